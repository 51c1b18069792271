"""One budget over several scenarios (Eq 9).

knapsack     the choice of one size for each scenario, with its proven gap and the budget's price
scenarios    what a scenario may choose from: its bounds, whole machines, what switching costs
relaxation   prices of the budgets at which scenarios choose by themselves: the dual bound
core         the few sizes that a better choice could hold, weighed one against another
baselines    other ways to share a budget: today's sizes, one factor for all, greedy, plain MILP
tables       any number of scenarios in one table, one row a size
stages       scenarios that are stages of one ad system: money, intervals, what a budget buys
surface      two stages whose lifts need not add up, with the candidates between them
per_request  which request deserves which of the sizes deployed
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baselines": ["compare"],
        "knapsack": ["Allocation", "allocate", "allocate_chunks"],
        "per_request": ["assign", "best_mixture", "policies", "predicted_gain"],
        "stages": [
            *("Stage", "StageAllocation", "added_lifts", "allocate_stages", "frontier"),
            "ways_compared",
        ],
        "surface": ["Surface", "best_arm", "fit_surface", "knowledge", "next_arms"],
        "tables": ["allocate_table", "table_frontier", "table_ways"],
    },
)
