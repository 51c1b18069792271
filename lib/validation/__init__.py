"""Offline metrics against revenue.

metric_comparison    how well each metric agrees with revenue lifts, over models and worlds
rank_correlation     Kendall's tau over resamples
revenue_model        G: from an offline metric to revenue lift
errors_in_variables  a line through points whose both coordinates carry errors
"""
