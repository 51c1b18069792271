"""Metrics of predicted click probabilities: log loss, normalised entropy, AUC, calibration.

Impressions lie on the last axis, models before it; clicks and weights are one an impression. Where
a click's true probability is known, it may stand in the place of the click (but for AUC), and the
metric is then its expectation over clicks. Sums are taken in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

# A float32 cannot tell a probability nearer to 1 than half of this from 1, whose loss without a
# click would be infinite. The most that an impression can lose is -log of it, 16.6.
CLIPPED_AT = 2.0**-24
_BLOCK = 2**17  # impressions whose logarithms stay in the cache


def log_loss(
    probability: ArrayLike, clicks: ArrayLike, weight: ArrayLike | None = None
) -> np.ndarray:
    """Mean of -log of the probability of what happened, in nats.

    Args:
      probability: [..., n]; taken to lie within `CLIPPED_AT` .. 1 - `CLIPPED_AT`.
      clicks: [n], 0 or 1, or true probabilities.
      weight: [n], >= 0 and not 0 everywhere; None: all alike.

    Returns: [...]

    Raises ValueError for arrays that do not match, are empty, or hold a value out of range; so do
    the other metrics.

    >>> log_loss([0.2, 0.3], [1, 0]).round(4)
    np.float64(0.9831)
    """
    probability, clicks, weight = _checked("log_loss", probability, clicks, weight)
    total = np.zeros(probability.shape[:-1])
    for i in range(0, len(clicks), _BLOCK):
        part = slice(i, i + _BLOCK)
        p = probability[..., part].astype(float)
        np.clip(p, CLIPPED_AT, 1 - CLIPPED_AT, out=p)
        y = clicks[part].astype(float)
        loss = y * np.log(p) + (1 - y) * np.log1p(-p)
        total -= (loss if weight is None else loss * weight[part]).sum(axis=-1)
    return (total / _total(weight, len(clicks)))[()]


def base_rate_entropy(clicks: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Log loss of predicting the base rate, the mean of the clicks, for every impression.

    >>> round(base_rate_entropy([1, 0]), 4)
    0.6931
    """
    _, clicks, weight = _checked("base_rate_entropy", clicks, clicks, weight)
    rate = float(_sum(clicks, weight) / _total(weight, len(clicks)))
    return float(-sum(p * np.log(p) for p in (rate, 1 - rate) if p > 0))


def normalised_entropy(
    probability: ArrayLike, clicks: ArrayLike, weight: ArrayLike | None = None
) -> np.ndarray:
    """Log loss over the entropy of the base rate: below 1 where a model says more than that rate.

    He et al. 2014, "Practical lessons from predicting clicks on ads at Facebook". Comparable
    between data whose base rates differ, and between models only on the same impressions.

    Args, returns: as `log_loss`; NaN where all impressions were clicked or none.

    >>> normalised_entropy([0.2, 0.3], [1, 0]).round(4)
    np.float64(1.4183)
    """
    loss = log_loss(probability, clicks, weight)
    entropy = base_rate_entropy(clicks, weight)
    return loss / (entropy if entropy > 0 else np.nan)


def auc(score: ArrayLike, clicks: ArrayLike) -> np.ndarray:
    """Chance that a clicked impression scores above one that was not; equal scores count half.

    Args:
      score: [..., n], in any unit.
      clicks: [n], each 0 or 1.

    Returns: [...]; NaN where all impressions were clicked or none.

    >>> auc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
    np.float64(0.875)
    """
    score, clicks, _ = _checked("auc", score, clicks, None, probabilities=False)
    clicked = clicks == 1
    if not np.array_equal(clicked, clicks != 0):
        raise ValueError(f"auc: clicks must be 0 or 1; got {clicks[clicked != (clicks != 0)][0]}")
    scores = score.reshape(-1, len(clicks))
    values = np.array([_auc(one[clicked], one[~clicked]) for one in scores])
    return values.reshape(score.shape[:-1])[()]


def calibration(
    probability: ArrayLike, clicks: ArrayLike, weight: ArrayLike | None = None
) -> np.ndarray:
    """Clicks expected over clicks that came: above 1 where a model promises too many.

    Args, returns: as `log_loss`; NaN where nothing was clicked.

    >>> calibration([0.2, 0.4], [1, 0]).round(3)
    np.float64(0.6)
    """
    probability, clicks, weight = _checked("calibration", probability, clicks, weight)
    came = _sum(clicks, weight)
    return (_sum(probability, weight) / (came if came > 0 else np.nan))[()]


def _auc(above, below):
    pairs = len(above) * len(below)
    if not pairs:
        return np.nan
    above, below = np.sort(above), np.sort(below)
    # The fewer are looked up among the more: a lookup costs more than its share of sorting.
    fewer_above = len(above) <= len(below)
    few, many = (above, below) if fewer_above else (below, above)
    # Of `many` those below each of `few`, counted twice, and those equal to it once.
    lower = sum(int(np.searchsorted(many, few, side).sum()) for side in ("left", "right"))
    return (lower if fewer_above else 2 * pairs - lower) / (2 * pairs)


def _sum(values, weight):
    if weight is None:
        return values.sum(axis=-1, dtype=float)
    return (values * weight).sum(axis=-1)


def _total(weight, count):
    return count if weight is None else weight.sum()


def _checked(name, values, clicks, weight, probabilities=True):
    """The arrays; ValueError naming what does not fit."""
    values, clicks = np.asarray(values), np.asarray(clicks)
    weight = None if weight is None else np.asarray(weight, float)
    first = "probability" if probabilities else "score"
    if clicks.ndim != 1 or not len(clicks):
        raise ValueError(f"{name}: clicks must have shape [n], n >= 1; got {clicks.shape}")
    if values.ndim < 1 or values.shape[-1] != len(clicks):
        raise ValueError(
            f"{name}: {first} must have shape [..., {len(clicks)}], as many as clicks; "
            f"got {values.shape}"
        )
    if weight is not None and weight.shape != clicks.shape:
        raise ValueError(
            f"{name}: weight must have shape [{len(clicks)}], as clicks; got {weight.shape}"
        )
    _check_range(name, "clicks", clicks, 1)
    if probabilities:
        _check_range(name, first, values, 1)
    elif np.isnan(values).any():
        raise ValueError(f"{name}: {first} is NaN at {np.argwhere(np.isnan(values))[0].tolist()}")
    if weight is not None:
        _check_range(name, "weight", weight, np.finfo(float).max)
        if not weight.any():
            raise ValueError(f"{name}: weight must not be 0 everywhere")
    return values, clicks, weight


def _check_range(name, what, values, highest):
    """ValueError unless all values lie in 0 .. highest; NaN does not."""
    if 0 <= values.min(initial=0) and values.max(initial=0) <= highest:
        return
    place = np.argwhere(~((values >= 0) & (values <= highest)))[0].tolist()
    limits = "0..1" if highest == 1 else "0 or above and finite"
    raise ValueError(f"{name}: {what} must be {limits}; got {values[tuple(place)]} at {place}")
