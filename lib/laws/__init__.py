"""Scaling laws: fit a curve to a few sizes, predict the next with an honest interval.

BNSL and PowerLaw take one factor, JointPowerLaw two, AdditivePowerLaw any number;
BasinHoppingBNSL is the paper's own recipe, for comparison. PowerLawPlusConstant puts intervals on
a law's own exponent and constant, over replicas. `fit_without_largest` and `predict_next_size`
compare laws with sizes that they have not seen; `growth_per_doubling` asks, without a law,
whether a metric grows at all. `lib.laws.bayesian_average` describes the method of the fit,
`lib.laws.diagnosis` what a law says of itself.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "additive": ["AdditivePowerLaw"],
        "basin_hopping": ["BasinHoppingBNSL"],
        "bayesian_average": ["Prior"],
        "bnsl": ["BNSL", "PowerLaw"],
        "growth": ["distance_to_asymptote", "gap_closed", "growth_per_doubling"],
        "held_out": ["fit_without_largest"],
        "joint": ["JointPowerLaw"],
        "next_size": [
            "errors_by_law",
            "intervals_holding",
            "paired_error_difference",
            "predict_next_size",
        ],
        "power_law_plus_constant": ["PowerLawPlusConstant"],
    },
)
