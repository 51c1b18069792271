"""Metrics of click probabilities, for one model [n] or several [models, n]."""

import numpy as np
from scipy.stats import rankdata


def log_loss(probability, clicks, weight=None):
    """Mean log loss in nats."""
    p = np.clip(np.asarray(probability, float), 1e-7, 1 - 1e-7)
    loss = -(clicks * np.log(p) + (1.0 - clicks) * np.log1p(-p))
    return np.average(loss, axis=-1, weights=weight)


def normalised_entropy(probability, clicks, weight=None):
    """Log loss over that of the base rate."""
    base = np.average(clicks, weights=weight)
    return log_loss(probability, clicks, weight) / log_loss(np.array([base]), base)


def auc(score, clicks):
    """Area under the ROC curve; ties count half."""
    clicks = np.asarray(clicks, bool)
    ranks, positive = rankdata(score, axis=-1), clicks.sum()
    pairs = positive * (len(clicks) - positive)
    return (ranks[..., clicks].sum(-1) - positive * (positive + 1) / 2) / pairs


def calibration(probability, clicks):
    """Expected clicks over clicks."""
    return np.sum(probability, axis=-1, dtype=float) / np.sum(clicks, dtype=float)
