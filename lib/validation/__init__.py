"""Offline metrics against revenue.

population            models, measured and tested, as metrics are compared on them
metric_comparison     how well each metric agrees with revenue lifts, over models and worlds
subsets               the same among models that differ in one kind of thing alone
worlds                the same world by world, and whose random start pays
systems               one figure from several systems, with an interval for another like them
published             what the paper's Figures 3 to 6 report
published_click_models  accuracy of click models on public data, as BARS reports it
rank_correlation      Kendall's tau over resamples
revenue_model         G: from an offline metric to revenue lift
concave_revenue_model G with diminishing returns, and when it is the better one
tested_models         the models of two tables that G is fitted to
errors_in_variables   a line through points whose both coordinates carry errors
"""
