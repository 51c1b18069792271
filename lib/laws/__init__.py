"""Scaling laws: fit a curve to a few sizes, predict the next with an honest interval.

BNSL and PowerLaw take one factor, JointPowerLaw two; BasinHoppingBNSL is the paper's own
recipe, for comparison, and `predict_next_size` holds them all against sizes they have
not seen. How the fit works is told in `lib.laws.bayesian_average`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "basin_hopping": ["BasinHoppingBNSL"],
        "bayesian_average": ["Prior"],
        "bnsl": ["BNSL", "PowerLaw"],
        "joint": ["JointPowerLaw"],
        "next_size": ["predict_next_size"],
    },
)
