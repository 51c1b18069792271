"""Intervals: of a quantity from draws of it, of a share from counts; what their probability is."""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEAST_TRIALS = 20  # fewer agree with too many probabilities to support one of them


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


class Share(NamedTuple):
    """How many of how many, and the exact binomial interval of the share."""

    inside: int
    count: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.inside / self.count

    def agrees_with(self, probability: float) -> bool | None:
        """Whether the count is one of that probability; None below 20 trials that exclude nothing.

        >>> binomial_share(2, 4).agrees_with(0.9), binomial_share(18, 20).agrees_with(0.9)
        (None, True)
        >>> binomial_share(0, 4).agrees_with(0.9)
        False
        """
        if not self.low <= probability <= self.high:
            return False
        return True if self.count >= LEAST_TRIALS else None

    def exceeds(self, probability: float) -> bool | None:
        """Whether the share lies above a probability; None where its interval holds that.

        >>> binomial_share(9, 9).exceeds(0.5), binomial_share(2, 9).exceeds(0.5)
        (True, None)
        """
        return True if self.low > probability else False if self.high < probability else None


def binomial_share(inside: int, count: int, interval: float = 0.9) -> Share:
    """A share with the exact binomial interval of Clopper and Pearson.

    Raises: ValueError unless 0 <= inside <= count and count > 0.

    >>> share = binomial_share(1, 2)
    >>> round(share.low, 3), round(share.high, 3)
    (0.025, 0.975)
    """
    if not 0 <= inside <= count or count == 0:
        raise ValueError(f"binomial_share: inside must lie in 0..count; got {inside} of {count}")
    bounds = stats.binomtest(inside, count).proportion_ci(check_interval(interval))
    return Share(inside, count, float(bounds.low), float(bounds.high))


class Mean(NamedTuple):
    """A mean over draws that are worth the same, with Student's interval."""

    value: float
    low: float
    high: float


def mean_interval(values, interval: float = 0.9) -> Mean:
    """The mean of independent draws (worlds, seeds) with Student's t interval; NaN bounds for one.

    Raises: ValueError for no draw, or an interval outside (0, 1).

    >>> [round(x, 3) for x in mean_interval([1.0, 2.0, 3.0])]
    [2.0, 0.314, 3.686]
    """
    values = np.asarray(values, dtype=float)
    check_interval(interval)
    count = len(values)
    if not count:
        raise ValueError("mean_interval: values must hold one draw or more; got none")
    mean = values.mean()
    half = np.nan
    if count > 1:
        half = stats.t(count - 1).ppf((1 + interval) / 2) * values.std(ddof=1) / np.sqrt(count)
    return Mean(float(mean), float(mean - half), float(mean + half))
