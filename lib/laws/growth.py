"""Whether a metric grows with size at all, and how much of the way to its asymptote is left.

A law takes its direction as given: between sizes that differ by noise alone it still rises.
The question is put to a straight line in log x instead.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lib.infra.intervals import check_interval
from lib.laws.bnsl import BNSL


class Growth(NamedTuple):
    """Change of y each time x doubles, with its interval, in the unit of y."""

    per_doubling: float
    low: float
    high: float

    def is_towards(self, direction: str) -> bool:
        """Whether the whole interval lies on the side of `direction`, "rising" or "falling".

        >>> Growth(0.01, 0.002, 0.018).is_towards("rising")
        True
        """
        return self.low > 0 if direction == "rising" else self.high < 0


def growth_per_doubling(x: ArrayLike, y: ArrayLike, interval: float = 0.9) -> Growth:
    """Slope of least squares of y on log2 x; its interval is Student's t over sizes.

    Repeats of one size lie off a straight line alike, and are no further evidence of its slope:
    from 3 sizes on each counts once, with the mean of its repeats.

    Args:
      x: size of every measurement, > 0, [measurements]; y: its metric.
      interval: probability of the interval.

    Returns: `Growth`.
    Raises: ValueError for fewer than 3 measurements or one size only.

    >>> growth = growth_per_doubling([1, 2, 4, 8], [0.1, 0.2, 0.3, 0.4])
    >>> round(growth.per_doubling, 6), round(growth.high - growth.low, 6)
    (0.1, 0.0)
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    check_interval(interval, "growth_per_doubling: interval")
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(
            "growth_per_doubling: needs 3 measurements or more of 2 sizes or more; got "
            f"{len(x)} of {len(np.unique(x))}"
        )
    sizes, place, count = np.unique(x, return_inverse=True, return_counts=True)
    if len(sizes) >= 3:
        x, y = sizes, np.bincount(place, y) / count
    line = stats.linregress(np.log2(x), y)
    half = stats.t(len(x) - 2).ppf((1 + interval) / 2) * line.stderr
    return Growth(float(line.slope), float(line.slope - half), float(line.slope + half))


def gap_closed(law: BNSL, x: float, factor: float = 2.0) -> float:
    """Share of the distance to the asymptote at x that is gone at `factor` times x.

    Of the law's most plausible single curve (`BNSL.curve`), which has an asymptote of its own.

    >>> x = np.geomspace(1e3, 1e6, 9)
    >>> round(gap_closed(BNSL().fit(x, 0.9 - x**-0.5), 1e6, factor=4.0), 3)
    0.5
    """
    gap = law.asymptote_ - law.curve(np.array([x, factor * x]))
    return float(1 - gap[1] / gap[0])


@dataclass(frozen=True)
class AsymptoteDistance:
    """Curve, interval and measurements of a law as distances to one asymptote.

    Positive on the near side of the asymptote, whether the law falls or rises; unit of y.

    Attributes:
      asymptote: of the law's most plausible single curve.
      x, curve, nearest, farthest: along the curve; `nearest` and `farthest` are the ends of the
        interval of a new measurement, <= 0 where it holds the asymptote itself.
      measured: of every measurement, in the order given; <= 0 beyond the asymptote.
    """

    asymptote: float
    x: np.ndarray
    curve: np.ndarray
    nearest: np.ndarray
    farthest: np.ndarray
    measured: np.ndarray

    @property
    def reached_from(self) -> float | None:
        """The first x at which the interval holds the asymptote; None if there is none."""
        reached = self.nearest <= 0
        return float(self.x[np.argmax(reached)]) if reached.any() else None

    @property
    def measured_beyond(self) -> int:
        """Number of measurements at or beyond the asymptote."""
        return int(np.count_nonzero(self.measured <= 0))


def distance_to_asymptote(
    law: BNSL, y: ArrayLike, grid: ArrayLike, interval: float = 0.9
) -> AsymptoteDistance:
    """How far curve, interval and measurements lie from the law's own asymptote.

    Args:
      law: fitted; its asymptote serves all distances.
      y: measurements, [measurements].
      grid: x along which curve and interval are given, [n].
      interval: probability of the interval, which is for a new measurement.

    >>> x = np.geomspace(1e3, 1e6, 9)
    >>> law = BNSL().fit(x, 0.9 - x**-0.5)
    >>> distance = distance_to_asymptote(law, 0.9 - x**-0.5, [1e4, 1e8])
    >>> distance.curve.round(6).tolist(), distance.measured_beyond
    ([0.01, 0.0001], 0)
    """
    y, grid = np.asarray(y, dtype=float), np.asarray(grid, dtype=float)
    asymptote, side = law.asymptote_, law.points_.sign
    _, low, high = law.predict(grid, interval=interval)
    nearest, farthest = np.sort([side * (low - asymptote), side * (high - asymptote)], axis=0)
    return AsymptoteDistance(
        asymptote,
        grid,
        side * (law.curve(grid) - asymptote),
        nearest,
        farthest,
        side * (y - asymptote),
    )
