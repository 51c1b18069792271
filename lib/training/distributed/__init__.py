"""Training on several processes and machines, and what it does to the model.

delayed          asynchrony in one process: gradients late by a given number of steps
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"delayed": ["DelayedLearner"]}
)
