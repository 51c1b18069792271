"""Offline metrics of retrieval models: R/R*, NDCG, Recall, OPA (Eq 5) and others; of click models:
log loss, normalised entropy, AUC, calibration.
"""

from lib.metrics.clicks import auc, base_rate_entropy, calibration, log_loss, normalised_entropy
from lib.metrics.ranking import (
    Mean,
    captured_ecpm,
    evaluate,
    joint_recall,
    mean,
    ndcg,
    opa,
    per_impression,
    r_over_r_star,
    ranks,
    ratio_influence_values,
    recall,
    revenue_ndcg,
)

__all__ = [
    "Mean",
    "auc",
    "base_rate_entropy",
    "calibration",
    "captured_ecpm",
    "evaluate",
    "joint_recall",
    "log_loss",
    "mean",
    "ndcg",
    "normalised_entropy",
    "opa",
    "per_impression",
    "r_over_r_star",
    "ranks",
    "ratio_influence_values",
    "recall",
    "revenue_ndcg",
]
