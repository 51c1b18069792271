"""Offline metrics of retrieval models: R/R*, NDCG, Recall, OPA (Eq 5) and others."""
from lib.metrics.ranking import (
    Mean,
    captured,
    evaluate,
    every,
    joint_recall,
    linearised,
    mean,
    ndcg,
    opa,
    places,
    r_over_r_star,
    recall,
    revenue_ndcg,
)

__all__ = ["Mean", "captured", "evaluate", "every", "joint_recall", "linearised", "mean", "ndcg", "opa", "places", "r_over_r_star", "recall", "revenue_ndcg"]
