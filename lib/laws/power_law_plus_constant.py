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
from scipy import optimize, stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from lib.infra.arrays import check_positive, single_column
from lib.infra.intervals import check_interval, interval_bounds
from lib.laws.observations import check_lists, noise_slope, relative_variance

EXPONENTS = np.geomspace(1e-3, 4.0, 100)  # a straight line in log x, to a step after the first size
TREND = 4.0  # replicas that the trend of the scatter over sizes counts as, at each size
STEP = 0.02  # of confidence between neighbouring exponents
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
    `no_constant`: a pure power law, E = `lowest`. `law`: the power law plus constant itself: twice
    the smaller of two p-values, that of any misfit and that of an exponent that changes with x.
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.positive_only = tags.target_tags.positive_only = True
        return tags

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
        measured = check_measurements(x, y, replica, self.lowest)
        self.replicas_, self.n_features_in_ = len(measured.y), 1
        self._profile = Profile(measured, self.lowest)
        self.exponent_, self.constant_, amplitude = self._profile.law
        self._origin = measured.origin
        self.amplitude_ = float(amplitude * np.exp(self.exponent_ * measured.origin))
        mean = measured.y.mean(axis=0)
        self.residuals_ = mean - self.predict(np.exp(measured.u + measured.origin))
        self.r_squared_ = 1 - float(np.sum(self.residuals_**2) / np.sum((mean - mean.mean()) ** 2))
        self._draws = None
        return self

    def interval(self, interval: float = 0.9) -> Intervals:
        """Intervals of exponent and constant, each with its `identified`.

        The exponent is not identified where a straight line in log x, or a fall between the first
        two sizes alone, is not rejected; the constant where its interval reaches `lowest`; neither
        where y may not fall at all. An end that possibility sets, not the points, is still an end.
        """
        check_is_fitted(self, "exponent_")
        check_interval(interval, "PowerLawPlusConstant.interval: interval")
        tail, profile = (1 - interval) / 2, self._profile
        low, high = profile.exponent_quantiles(np.array([tail, 1 - tail]))
        below, falls = profile.free.below, profile.falls < tail
        is_bounded = falls and below[0] < tail and below[-1] > 1 - tail
        exponent = Bounds(float(low), float(high), bool(is_bounded))
        low, high = map(float, interval_bounds(self._laws()[1], interval))
        return Intervals(exponent, Bounds(low, high, bool(falls and self.lowest < low)))

    def predict(self, x: ArrayLike, interval: float | None = None):
        """The law at x, of x's shape; with `interval`, (y, low, high) of its mean over replicas."""

        def curve(u, exponent, constant, amplitude):
            return constant + amplitude * np.exp(-exponent * u)

        return self._of_laws(curve, x, interval, "predict")

    def doubling(self, x: ArrayLike, interval: float | None = None):
        """By how much y falls as x doubles, unit of y; with `interval`, (fall, low, high)."""

        def fall(u, exponent, _, amplitude):
            return amplitude * np.exp(-exponent * u) * (1 - 0.5**exponent)

        return self._of_laws(fall, x, interval, "doubling")

    def reachable_left(self, interval: float = 0.9) -> Bounds:
        """Share of what is left, y - E, that doubling x removes: 1 - 2^-alpha, the same at all x.

        Returns: `Bounds`; not identified where the exponent is not.
        """
        low, high, is_identified = self.interval(interval).exponent
        return Bounds(1 - 0.5**low, 1 - 0.5**high, is_identified)

    def evidence(self) -> Evidence:
        """The law held against a flat line, a line in log x, no constant, and its own points."""
        check_is_fitted(self, "exponent_")
        return self._profile.evidence()

    def summary(self) -> str:
        """A few lines to print."""
        evidence, (exponent, constant) = self.evidence(), self.interval(0.9)

        def bounds(of):
            return f"{of.low:.4g} to {of.high:.4g}" + ("" if of.identified else ", not identified")

        return (
            f"PowerLawPlusConstant: exponent {self.exponent_:.4g} (90 %: {bounds(exponent)}), "
            f"constant {self.constant_:.5g} (90 %: {bounds(constant)})\n"
            f"  {self.replicas_} replicas; p-values: flat {evidence.flat:.2g}, a line in log x "
            f"{evidence.straight_line:.2g}, no constant {evidence.no_constant:.2g}, this law "
            f"{evidence.law:.2g}"
        )

    def _laws(self):
        """Plausible laws: exponents, constants and amplitudes at the middle of log x, [draws]."""
        if self._draws is None:
            self._draws = self._profile.draw(self.draws, np.random.default_rng(self.seed))
        return self._draws

    def _of_laws(self, value, x, interval, method):
        check_is_fitted(self, "exponent_")
        name = f"PowerLawPlusConstant.{method}"
        x = single_column(x, f"{name}: x")
        check_positive(x, f"{name}: x")
        u = np.log(x) - self._origin
        amplitude = self.amplitude_ * np.exp(-self.exponent_ * self._origin)
        best = value(u, self.exponent_, self.constant_, amplitude)
        if interval is None:
            return best
        check_interval(interval, f"{name}: interval")
        laws = (of[:, None] for of in self._laws())
        low, high = interval_bounds(value(u.ravel(), *laws), interval)
        return best, low.reshape(x.shape)[()], high.reshape(x.shape)[()]


class Measured(NamedTuple):
    """Measurements by replica; fewer replicas than `LEAST_REPLICAS` are one row."""

    u: np.ndarray  # [n] log x less its mean
    origin: float
    y: np.ndarray  # [replicas, n]

    @property
    def is_replicated(self):
        return len(self.y) > 1


def check_measurements(x, y, replica, lowest) -> Measured:
    """`Measured`, or a ValueError for what no law can be fitted to."""
    name = "PowerLawPlusConstant.fit"
    if not (np.isfinite(lowest) and lowest >= 0):
        raise ValueError(f"PowerLawPlusConstant: lowest must be finite and >= 0; got {lowest}")
    x, y = check_lists(x, y, name)
    if np.any(y <= lowest):
        raise ValueError(f"{name}: y must lie above lowest = {lowest:g}; got {y.min():g}")
    if len(np.unique(x)) < LEAST_SIZES:
        raise ValueError(
            f"{name}: needs {LEAST_SIZES} different x or more; got {len(np.unique(x))}"
        )
    if np.all(y == y[0]):
        raise ValueError(f"{name}: y is {y[0]:g} everywhere; a constant has no law")
    replica = np.zeros(len(x), int) if replica is None else np.asarray(replica)
    if replica.shape != x.shape:
        raise ValueError(
            f"{name}: replica must name the replica of every measurement; got "
            f"{len(replica)} for {len(x)} measurements"
        )
    names, of = np.unique(replica, return_inverse=True)
    if len(names) < LEAST_REPLICAS:
        log_x = np.log(x)
        return Measured(log_x - log_x.mean(), float(log_x.mean()), y[None])
    order = np.lexsort([x, of])
    sizes, count = np.unique(x), np.bincount(of)
    if np.any(count != len(sizes)) or np.any(x[order] != np.tile(sizes, len(names))):
        raise ValueError(
            f"{name}: every replica must hold each of the {len(sizes)} sizes once; replicas hold "
            f"{count.min()} to {count.max()} measurements"
        )
    log_x = np.log(sizes)
    return Measured(
        log_x - log_x.mean(), float(log_x.mean()), y[order].reshape(len(names), len(sizes))
    )


class Parts(NamedTuple):
    """Measurements split along 1, x^-alpha and the direction of alpha, weighed, for k exponents."""

    axes: np.ndarray  # [k, n, 3] orthonormal
    triangle: np.ndarray  # [k, 3, 3] the three columns in terms of the axes
    along: np.ndarray  # [k, replicas, 3]
    off: np.ndarray  # [k, n] of the mean over replicas, off all three


class Confidence(NamedTuple):
    """`below` [k]: confidence that the true exponent is none above `exponents` [k], rising."""

    exponents: np.ndarray
    below: np.ndarray

    def quantiles(self, probability):
        """Exponents at levels of confidence [m]; of several crossings the outermost.

        >>> Confidence(np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.5, 1.0])).quantiles([0.5])
        array([2.])
        """
        middle = int(np.argmin(np.abs(self.below - 0.5)))
        left = np.maximum.accumulate(self.below[: middle + 1])
        right = np.minimum.accumulate(self.below[:middle:-1])[::-1]
        rising = np.maximum.accumulate(np.concatenate([left, right]))
        rising = rising + 1e-12 * np.arange(len(rising))  # np.interp needs a way through steps
        return np.exp(np.interp(probability, rising, np.log(self.exponents)))


class Profile:
    """What the measurements say of every exponent.

    free: `Confidence` by the law with a free constant; through_lowest: by that through `lowest`.
    """

    def __init__(self, measured, lowest):
        self.measured, self.lowest = measured, lowest
        self.freedom = len(measured.u) - 3
        self.root = np.ones(len(measured.u))
        if measured.is_replicated:
            self._weigh()
        self.law = self._best()
        self.excess = self._excess(self.law[0])
        self.free = self._confidence(lambda exponents: self._parts(exponents).along[:, :, 2])
        self.through_lowest = self._confidence(
            lambda exponents: self._power_and_turn(exponents)[1] @ self._above().T
        )

    def _best(self):
        """Exponent, constant and amplitude (at u = 0) of least squares within what is possible."""
        squares = self._constrained(EXPONENTS)[2]
        best = int(np.argmin(squares))
        low, high = np.log(EXPONENTS)[[max(best - 1, 0), min(best + 1, len(EXPONENTS) - 1)]]
        found = optimize.minimize_scalar(
            lambda p: self._constrained(np.exp([p]))[2][0],
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-10},
        )
        exponent = np.exp(found.x) if found.fun < squares[best] else EXPONENTS[best]
        constant, amplitude, _ = self._constrained(np.array([exponent]))
        return float(exponent), float(constant[0]), float(amplitude[0])

    def exponent_quantiles(self, probability):
        """Exponents at levels of confidence, within what is possible: [m] -> [m].

        A constant of at least `lowest` bends the curve at least as much as the law through it.
        """
        free = self.free.quantiles(probability)
        return np.maximum(free, self.through_lowest.quantiles(probability))

    def draw(self, draws, rng):
        """Exponents, constants, amplitudes at u = 0, [draws], by their confidence."""
        exponent = self.exponent_quantiles((rng.permutation(draws) + 0.5) / draws)
        parts, replicas = self._parts(exponent), len(self.measured.y)
        mean, noise = parts.along.mean(axis=1), 0.0
        if self.measured.is_replicated:
            apart = parts.along - mean[:, None]
            normal = rng.standard_normal((draws, 1, replicas))
            noise = (normal @ apart)[:, 0] / np.sqrt(replicas * (replicas - 1))
            noise *= np.sqrt((replicas - 1) / rng.chisquare(replicas - 1, (draws, 1)))
        off = rng.standard_normal((draws, 3)) * np.sqrt(self.excess)
        noise = noise + off * np.sqrt(self.freedom / rng.chisquare(self.freedom, (draws, 1)))
        constant, amplitude = solve_two(parts.triangle, (mean + noise)[:, :2])
        # Below the lowest constant, the amplitude alone is left to fit.
        power = self._power_and_turn(exponent)[0]
        alone = power @ self._above().mean(axis=0) + np.sum(parts.triangle[:, :, 1] * noise, axis=1)
        alone = alone / np.sum(power**2, axis=1)
        bare = constant < self.lowest
        amplitude = np.maximum(np.where(bare, alone, amplitude), 0.0)
        return exponent, np.where(bare, self.lowest, constant), amplitude

    @property
    def falls(self):
        """p-value of y that does not fall with x, by straight lines in log x."""
        measured, u = self.measured, self.measured.u
        line = self.root * (u - np.average(u, weights=self.root**2))
        line = line / np.sqrt(line @ line)
        weighed, spread = measured.y * self.root, 0.0
        if not measured.is_replicated:
            centre = self.root * np.average(measured.y[0], weights=self.root**2)
            off = weighed[0] - centre - line * (line @ weighed[0])
            spread = off @ off / self.freedom
        return float(self._student((weighed @ line)[None], spread)[0])

    def evidence(self):
        """`Evidence`."""
        # The constant's own direction, at the exponent of the law through the lowest one
        alone = self.through_lowest.quantiles(np.array([0.5]))
        turned = np.linalg.qr((self.root[:, None] * self._columns(alone)[0])[:, [1, 2, 0]])
        own = turned.Q[:, 2] * np.sign(turned.R[2, 2])
        no_constant = 1 - self._student((self._above() @ own)[None], self.excess)[0]
        straight = float(self.free.below[0])
        ways = self._misfit(), self._bend()
        law = min(1.0, 2 * np.nanmin(ways)) if np.isfinite(ways).any() else np.nan
        return Evidence(self.falls, straight, float(no_constant), float(law))

    def _misfit(self):
        """p-value of what the mean curve misses, against replicas however correlated.

        Box's (1954) F of a sum of squares, its degrees of freedom as Greenhouse and Geisser's.
        """
        if not self.measured.is_replicated:
            return np.nan
        parts, replicas = self._parts(np.array([self.law[0]])), len(self.measured.y)
        weighed = self.measured.y * self.root
        off = weighed - parts.along[0] @ parts.axes[0].T
        apart = off - off.mean(axis=0)
        inner = apart @ apart.T / (replicas - 1)
        between = np.trace(inner)
        if between == 0:
            return np.nan
        freedom = between**2 / np.sum(inner**2)
        ratio = replicas * np.sum(off.mean(axis=0) ** 2) / between
        return float(stats.f.sf(ratio, freedom, freedom * (replicas - 1)))

    def _bend(self):
        """p-value of an exponent that is the same at all x: it must not change with log x.

        One direction, where `_misfit` looks in all: it sees the less, and the sooner.
        """
        u, (one, power, turn) = self.measured.u, self._columns(np.array([self.law[0]]))[0].T
        if len(u) < 5:
            return np.nan
        axes = np.linalg.qr(self.root[:, None] * np.stack([one, power, turn, turn * u], axis=1)).Q
        weighed, spread = self.measured.y * self.root, 0.0
        if not self.measured.is_replicated:
            spread = np.sum((weighed[0] - axes @ (axes.T @ weighed[0])) ** 2) / (len(u) - 4)
        below = self._student((weighed @ axes[:, 3])[None], spread)[0]
        return float(2 * min(below, 1 - below))

    def _weigh(self):
        """Weights by size: what replicas scatter there, and what the mean curve misses anywhere."""
        measured, n = self.measured, len(self.measured.u)
        replicas = len(measured.y)
        nearest = EXPONENTS[[np.argmin(self._constrained(EXPONENTS)[2])]]
        columns = self._columns(nearest)[0, :, :2]
        apart = measured.y - measured.y.mean(axis=0)
        variance = np.ones(n)
        for _ in range(3):
            # A replica's own level and amplitude are no scatter: they turn no exponent.
            root = 1 / np.sqrt(variance)
            axes = np.linalg.qr(columns * root[:, None]).Q
            weighed = apart * root
            off = (weighed - weighed @ axes @ axes.T) / root
            share = np.sum(axes**2, axis=1)
            squares = np.sum(off**2, axis=0) / np.maximum(1 - share, 1 / n)
            slope = noise_slope(measured.u, np.full(n, replicas), squares)
            trend = relative_variance(measured.u, slope, measured.u)
            trend *= np.sum(squares / trend) / n / (replicas - 1)
            variance = (TREND * trend + squares) / (TREND + replicas - 1)
        floor = 1e-20 * np.mean(measured.y) ** 2  # replicas that are alike to rounding
        known = np.maximum(variance / replicas, floor)
        missed = 0.0
        for _ in range(3):
            self.root = 1 / np.sqrt(known + missed)
            _, _, squares = self._constrained(EXPONENTS)
            off = self._parts(EXPONENTS[[np.argmin(squares)]]).off[0] / self.root
            missed = excess_variance(off**2, known, self.freedom)
        self.root = 1 / np.sqrt(known + missed)
        self.root /= np.sqrt(np.mean(self.root**2))

    def _columns(self, exponents):
        """1, x^-alpha and -d/d alpha of it, [k, n, 3]."""
        u = self.measured.u
        power = np.exp(-exponents[:, None] * u)
        return np.stack([np.ones_like(power), power, power * u], axis=2)

    def _above(self):
        return (self.measured.y - self.lowest) * self.root

    def _power_and_turn(self, exponents):
        """Weighed x^-alpha, and the direction of alpha less its part along it, of length 1."""
        _, power, turn = np.moveaxis(self._columns(exponents) * self.root[:, None], 2, 0)
        power_square = np.sum(power**2, axis=1, keepdims=True)
        turn = turn - power * np.sum(power * turn, axis=1, keepdims=True) / power_square
        return power, turn / np.linalg.norm(turn, axis=1, keepdims=True)

    def _parts(self, exponents):
        axes, triangle = np.linalg.qr(self._columns(exponents) * self.root[:, None])
        sign = np.sign(np.einsum("kii->ki", triangle))
        axes, triangle = axes * sign[:, None], triangle * sign[:, :, None]
        weighed = self.measured.y * self.root
        along = weighed @ axes
        mean = weighed.mean(axis=0)
        off = mean - (axes @ along.mean(axis=1)[:, :, None])[:, :, 0]
        return Parts(axes, triangle, along, off)

    def _excess(self, exponent):
        """Variance of a weighed mean over replicas beyond what these explain."""
        parts, explained = self._parts(np.array([exponent])), 0.0
        if self.measured.is_replicated:
            weighed = self.measured.y * self.root
            off = weighed - parts.along[0] @ parts.axes[0].T
            explained = np.sum(off.var(axis=0, ddof=1)) / len(weighed)
        return max(np.sum(parts.off**2) - explained, 0.0) / self.freedom

    def _student(self, along, excess):
        """Probability below Student's t of `along` [k, replicas], [k].

        Degrees of freedom of the sum of both variances are Satterthwaite's (1946).
        """
        mean, replicas = along.mean(axis=1), along.shape[1]
        between = along.var(axis=1, ddof=1) / replicas if replicas > 1 else np.zeros(len(mean))
        variance = np.maximum(between + excess, 1e-26 * np.mean(self._above() ** 2))
        squares = between**2 / max(replicas - 1, 1) + excess**2 / self.freedom
        freedom = variance**2 / np.maximum(squares, variance**2 * 1e-9)
        return stats.t.cdf(mean / np.sqrt(variance), freedom)

    def _confidence(self, along):
        """`Confidence` of all exponents, finer where it changes fast."""
        exponents = EXPONENTS
        below = self._student(along(exponents), self.excess)
        for _ in range(40):
            steep = (np.abs(np.diff(below)) > STEP) & (np.diff(np.log(exponents)) > 1e-9)
            if not steep.any():
                break
            middle = np.sqrt(exponents[:-1] * exponents[1:])[steep]
            exponents = np.append(exponents, middle)
            order = np.argsort(exponents)
            below = np.append(below, self._student(along(middle), self.excess))[order]
            exponents = exponents[order]
        return Confidence(exponents, below)

    def _constrained(self, exponents):
        """Constants, amplitudes and squares of the best possible law of each exponent, [k]."""
        parts = self._parts(exponents)
        mean = parts.along.mean(axis=1)
        constant, amplitude = solve_two(parts.triangle, mean[:, :2])
        squares = np.sum(parts.off**2, axis=1) + mean[:, 2] ** 2
        weighed = self._above().mean(axis=0)
        power, _ = self._power_and_turn(exponents)
        alone = power @ weighed / np.sum(power**2, axis=1)
        squares_alone = np.sum((weighed - alone[:, None] * power) ** 2, axis=1)
        level = np.average(self.measured.y.mean(axis=0), weights=self.root**2)
        squares_flat = np.sum((weighed + (self.lowest - level) * self.root) ** 2)
        rising, bare = amplitude < 0, constant < self.lowest
        kinds = [rising, bare]
        return (
            np.select(kinds, [level, self.lowest], constant),
            np.select(kinds, [0.0, alone], amplitude),
            np.select(kinds, [squares_flat, squares_alone], squares),
        )


def solve_two(triangle, right):
    """The first two unknowns of triangular systems [k, 3, 3], given [k, 2]."""
    second = right[:, 1] / triangle[:, 1, 1]
    return (right[:, 0] - triangle[:, 0, 1] * second) / triangle[:, 0, 0], second


def excess_variance(squares, known, freedom):
    """Variance that, added to `known` [n], makes the weighed squares [n] their freedom.

    The method of moments of Paule and Mandel (1982); 0 where `known` explains them.

    >>> excess_variance(np.full(5, 3.0), np.ones(5), 5)
    2.0
    """
    if np.sum(squares / known) <= freedom:
        return 0.0
    highest = np.sum(squares) / freedom
    return float(optimize.brentq(lambda v: np.sum(squares / (known + v)) - freedom, 0.0, highest))
