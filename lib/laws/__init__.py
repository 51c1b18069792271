"""Scaling laws: fit a curve to a few sizes, predict the next with an honest interval.

BNSL and PowerLaw take one factor, JointPowerLaw two; BasinHoppingBNSL is the paper's own
recipe, for comparison, and `predict_next_size` holds them all against sizes they have
not seen. How the fit works is told in `lib.laws.average`.
"""
from lib.laws.average import Prior
from lib.laws.basin_hopping import BasinHoppingBNSL
from lib.laws.curve import bnsl, log_bnsl
from lib.laws.held_out import predict_next_size
from lib.laws.joint import JointPowerLaw
from lib.laws.law import BNSL, PowerLaw

__all__ = ["BNSL", "BasinHoppingBNSL", "JointPowerLaw", "PowerLaw", "Prior", "bnsl", "log_bnsl",
           "predict_next_size"]
