"""Power law plus constant, y = E + A x^-alpha, with intervals on the exponent *and* the constant.

`BNSL` predicts; here the parameters themselves are asked for, and whether the points settle them.

For a given exponent the law is linear in E and A. The direction in which a wrong exponent moves
the curve, once E and A have been fitted, is then known: x^-alpha log x, less its parts along 1 and
x^-alpha. A replica's measurements along it are one number, of mean 0 where the exponent is right,
whatever that replica's own level and amplitude and however its errors depend on one another. The
interval holds the exponents at which Student's t over replicas does not reject 0: no expansion
about an optimum, no bootstrap of three numbers, and a side without an end where there is none.

Replicas are what is drawn again: with seeds as replicas the interval covers other seeds, with
worlds other worlds. Where the mean curve lies off its law by more than replicas explain, the
excess counts as an error of each size, so that a law that holds but roughly gets wider intervals.
It tells nothing of sizes beyond the measured ones if the law bends there.

The constant lies in [`lowest`, smallest y). The power law through `lowest` itself is the flattest
that is possible, so that its exponent's interval is a lower limit of the exponent's.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from lib.infra.arrays import check_positive, real_array, single_column
from lib.infra.intervals import check_interval, interval_bounds

EXPONENTS = np.geomspace(1e-3, 4.0, 320)  # a straight line in log x, to a step after the first size
LEAST_SIZES = 4
LEAST_REPLICAS = 3  # fewer do not tell their own spread


class Bounds(NamedTuple):
    """An interval; `identified`: whether the points, not what is possible, set both its ends."""

    low: float
    high: float
    identified: bool


class Intervals(NamedTuple):
    """Intervals of a law's exponent and constant."""

    exponent: Bounds
    constant: Bounds


class Evidence(NamedTuple):
    """p-values of what a law is held against; a small one speaks against the named hypothesis.

    `flat`: y does not fall with x. `straight_line`: y falls along a straight line in log x.
    `no_constant`: a pure power law, E = `lowest`. `law`: the power law plus constant itself.
    """

    flat: float
    straight_line: float
    no_constant: float
    law: float

    def follows(self, level: float = 0.05) -> bool | None:
        """True: y falls, bends, and the law fits; False: it does not fit or y does not fall.

        None: nothing contradicts the law, and a straight line in log x does as well.
        """
        if self.law < level or self.flat >= level:
            return False
        return True if self.straight_line < level else None


class PowerLawPlusConstant(RegressorMixin, BaseEstimator):
    """y = E + A x^-alpha, falling, with intervals over replicas.

    Args:
      lowest: a value that E cannot lie below, >= 0, such as a known Bayes loss.
      draws: of the law, behind all intervals but the exponent's.
      seed: of the draws.

    Attributes after `fit`: exponent_ (alpha), constant_ (E), amplitude_ (A, y's unit at x = 1),
      residuals_ (units of y, of the mean curve), r_squared_.

    >>> x = np.geomspace(1e3, 1e7, 9)
    >>> y = 0.4 + 2.0 * x**-0.3 + np.array([[0.01], [0.0], [-0.01]])
    >>> law = PowerLawPlusConstant().fit(np.tile(x, 3), y.ravel(), np.repeat([0, 1, 2], 9))
    >>> round(law.exponent_, 4), round(law.constant_, 4), round(law.amplitude_, 3)
    (0.3, 0.4, 2.0)
    """

    def __init__(self, *, lowest: float = 0.0, draws: int = 2000, seed: int = 0):
        self.lowest, self.draws, self.seed = lowest, draws, seed

    def fit(
        self, x: ArrayLike, y: ArrayLike, replica: ArrayLike | None = None
    ) -> "PowerLawPlusConstant":
        """Fits the law.

        Args:
          x: size of every measurement, > 0, [measurements].
          y: falling metric, > lowest, [measurements].
          replica: which re-draw (seed, world, training) a measurement belongs to. All replicas
            have the same sizes, each once. With None, or fewer than 3 replicas, every measurement
            has an error of its own, and intervals are those of least squares.

        Returns: self.
        Raises: ValueError for values that are not finite and > 0, y <= lowest, fewer than 4
          sizes, constant y, or replicas of different sizes.
        """
        raise NotImplementedError

    def interval(self, interval: float = 0.9) -> Intervals:
        """Intervals of exponent and constant, each with its `identified`."""
        raise NotImplementedError

    def predict(self, x: ArrayLike, interval: float | None = None):
        """The law at x, of x's shape; with `interval`, (y, low, high) of its mean over replicas."""
        raise NotImplementedError

    def doubling(self, x: ArrayLike, interval: float | None = None):
        """By how much y falls as x doubles, unit of y; with `interval`, (fall, low, high)."""
        raise NotImplementedError

    def reachable_left(self, x: float, interval: float = 0.9) -> Bounds:
        """Share of y - E that doubling x removes."""
        raise NotImplementedError

    def evidence(self) -> Evidence:
        """The law held against a flat line, a line in log x, no constant, and its own points."""
        raise NotImplementedError
