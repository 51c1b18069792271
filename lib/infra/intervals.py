"""The interval of a quantity from draws of it, and what an interval's probability must be."""

import numpy as np


def check_interval(interval: float, name: str = "interval") -> float:
    """The probability of an interval; ValueError unless it lies between 0 and 1.

    >>> check_interval(0.9)
    0.9
    """
    if not 0 < interval < 1:
        raise ValueError(f"{name} must lie between 0 and 1; got {interval}")
    return interval


def interval_bounds(draws, interval: float = 0.9, axis: int = 0):
    """(low, high) that hold the middle `interval` of draws, equal tails; NaN draws are left out.

    Args:
      draws: [draws, ...] with the draws on `axis`.
      interval: probability, such as 0.9.

    Returns: two arrays (or numbers) without that axis.
    Raises: ValueError for an interval that is not between 0 and 1.

    >>> low, high = interval_bounds(np.arange(101.0), 0.9)
    >>> round(float(low), 6), round(float(high), 6)
    (5.0, 95.0)
    """
    tail = (1 - check_interval(interval)) / 2
    quantile = np.nanquantile if np.isnan(draws).any() else np.quantile  # the former is slow
    low, high = quantile(draws, [tail, 1 - tail], axis=axis)
    return low, high
