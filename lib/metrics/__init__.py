"""Offline metrics of retrieval models: R/R*, NDCG, Recall, OPA (Eq 5) and others."""

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
    "captured_ecpm",
    "evaluate",
    "joint_recall",
    "mean",
    "ndcg",
    "opa",
    "per_impression",
    "r_over_r_star",
    "ranks",
    "ratio_influence_values",
    "recall",
    "revenue_ndcg",
]
