"""One budget over several scenarios (Eq 9).

knapsack  the choice of one size for each scenario, proven optimal
stages    scenarios that are stages of one ad system: money, intervals, what a budget buys
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "knapsack": ["Allocation", "allocate"],
        "stages": ["Stage", "StageAllocation", "added_lifts", "allocate_stages", "frontier"],
    },
)
