"""One budget over several scenarios (Eq 9)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"knapsack": ["Allocation", "allocate"]}
)
