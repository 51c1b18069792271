"""Rank correlation of resampled models."""

import numpy as np


def kendall_tau(first, second, weights=None):
    """Kendall's tau-b along the last axis (Kendall 1945; as `scipy.stats.kendalltau`).

    SciPy's function takes one pair of rankings; a bootstrap needs thousands of them, given here
    as rows or as how often each model is drawn.

    Args:
      first, second: [..., models], what is ranked; ties count as such.
      weights: [..., models], how often a resample holds each model; None: once.

    Returns: [...]; NaN where all models of a row are equal by one of the two.

    >>> kendall_tau([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]).round(3)
    np.float64(0.333)
    """
    first, second = (np.asarray(values, float) for values in (first, second))
    sign_first, sign_second = (
        np.sign(values[..., :, None] - values[..., None, :]) for values in (first, second)
    )

    def pairs(signs):
        if weights is None:
            return signs.sum(axis=(-2, -1))
        return np.einsum("...j,...j->...", np.einsum("...i,...ij->...j", weights, signs), weights)

    with np.errstate(invalid="ignore", divide="ignore"):
        return pairs(sign_first * sign_second) / np.sqrt(
            pairs(sign_first**2) * pairs(sign_second**2)
        )
