"""One figure from several systems, with an interval for another system like them.

Loop, log, trainings and tests of one world differ from those of the next by more than the
resampling of any one of them shows: models of a system share its base, its log and its users. So
a figure is computed in each system by itself, and its interval is Student's t of the systems'
mean. It supposes nothing about how the figure came about, and with three systems it is wide, as
it has to be.
"""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lib.infra.intervals import check_interval

LEAST_SYSTEMS = 3  # two leave one degree of freedom, whose 90 % interval is six errors wide


@dataclasses.dataclass(frozen=True)
class AcrossSystems:
    """What several systems say of the same figures.

    Attributes:
      values: [systems, ...], a figure (or several) computed in each system by itself.

    Raises: ValueError for fewer than 3 systems, or values that are not finite.

    >>> r_squared = AcrossSystems([0.6, 0.7, 0.8])
    >>> round(float(r_squared.mean), 3)
    0.7
    >>> [round(float(x), 3) for x in r_squared.interval(0.9)]
    [0.531, 0.869]
    """

    values: np.ndarray

    def __init__(self, values: ArrayLike):
        values = np.asarray(values, float)
        if values.ndim < 1 or len(values) < LEAST_SYSTEMS:
            raise ValueError(
                f"AcrossSystems: needs values of {LEAST_SYSTEMS} or more systems; got shape "
                f"{values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError("AcrossSystems: all values must be finite")
        object.__setattr__(self, "values", values)

    @property
    def systems(self) -> int:
        """How many there are."""
        return len(self.values)

    @property
    def mean(self) -> np.ndarray:
        """Mean over systems, [...]."""
        return self.values.mean(axis=0)

    @property
    def standard_error(self) -> np.ndarray:
        """Of the mean, from how far the systems lie apart, [...]."""
        return self.values.std(axis=0, ddof=1) / np.sqrt(self.systems)

    def interval(self, interval: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of the mean over systems like these, [...] each."""
        half = self._quantile(interval) * self.standard_error
        return self.mean - half, self.mean + half

    def interval_of_next(self, interval: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of the figure in one further system, [...] each."""
        half = self._quantile(interval) * self.standard_error * np.sqrt(self.systems + 1)
        return self.mean - half, self.mean + half

    def draws(self, count: int, seed: int = 0) -> np.ndarray:
        """Draws of the mean [count, ...], jointly Student's t, whose intervals are `interval`.

        Figures that move together from system to system, such as the lifts of two sizes, move
        together in the draws.
        """
        rng, freedom = np.random.default_rng(seed), self.systems - 1
        apart = (self.values - self.mean) / np.sqrt(self.systems * freedom)
        scale = np.sqrt(freedom / rng.chisquare(freedom, size=count))
        weights = scale[:, None] * rng.normal(size=(count, self.systems))
        return self.mean + np.tensordot(weights, apart, axes=1)

    def _quantile(self, interval):
        return stats.t.ppf((1 + check_interval(interval)) / 2, self.systems - 1)
