"""Laws of one factor, such as R/R* on FLOPs: broken neural scaling law and power law.

Both rise or fall towards an asymptote. Errors count relative to y (in log y), and
predictions average over many plausible curves (`lib.laws.bayesian_average`), so that what the
points do not settle, above all the asymptote, widens the interval instead of being guessed.
"""

from dataclasses import asdict, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from lib.infra.arrays import check_positive, single_column
from lib.infra.intervals import check_interval, interval_bounds
from lib.laws.bayesian_average import Grid, Members, Prior
from lib.laws.curve import bnsl
from lib.laws.diagnosis import BackTest, back_test, few_sizes, missed_before, warnings_of
from lib.laws.exact import exact_members
from lib.laws.monotone import monotone_members
from lib.laws.observations import check_points, gather_points
from lib.laws.variable_projection import Projection, alone, refine, refined


class BNSL(RegressorMixin, BaseEstimator):
    """Broken neural scaling law, y = a + b x^{-c0} prod_i (1 + (x/d_i)^{1/f_i})^{-c_i f_i} (Eq 6).

    A regressor of scikit-learn: `cross_val_score`, `GridSearchCV` and `Pipeline` take it, and
    before `fit` it raises `sklearn.exceptions.NotFittedError`.

    Args:
      breaks: number of breaks (the paper's t), or "auto": the average over 0, 1 and 2,
        as far as the number of sizes allows.
      direction: "falling" (losses, errors), "rising" (R/R*), or "auto", by rank correlation.
      bound: a value that y cannot pass, such as 1 for R/R*; None is 0 for a falling law
        and no bound for a rising one.
      monotone: keep only curves without a turn, as cost and ROI need them. Where every plausible
        one turns, the nearest that do not are taken, with more noise, and `warnings_` says so.
      prior: `Prior` of the average.

    Attributes after `fit`:
      params_: most plausible single curve, the names of Eq 6: a, b, c0, c, d, f.
      asymptote_: its value for large x, unit of y.
      r_squared_, mean_deviation_, max_deviation_: of the averaged prediction at the
        points, deviations in units of y, as the paper reports them.
      residuals_: y minus prediction, in the order given.
      noise_: standard deviation of log y around the law, of single measurements, mean over sizes;
        where 3 or more sizes are repeated it depends on the size (`noise_at`).
      break_weights_: {number of breaks: its share of the average}.
      back_tests_, widening_: what the law of the first points says of the next, and the factor
        on its intervals where it misses them.
      warnings_: what a reader of the law should know, a list of sentences.

    >>> flops = np.geomspace(1e6, 1e8, 9)
    >>> law = BNSL().fit(flops, 0.9 - 0.1 * (flops / 1e6) ** -0.4)
    >>> float(law.predict(1e9).round(3))
    0.894
    >>> mean, low, high = law.predict(1e9, interval=0.9)
    >>> bool(low < mean < high), round(law.params_["c0"], 3)
    (True, 0.4)
    """

    def __init__(
        self,
        breaks: int | str = "auto",
        *,
        direction: str = "auto",
        bound: float | None = None,
        monotone: bool = False,
        prior: Prior | None = None,
    ):
        self.breaks, self.direction = breaks, direction
        self.bound, self.monotone, self.prior = bound, monotone, prior

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.positive_only = tags.target_tags.positive_only = True
        return tags

    def fit(self, x: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> "BNSL":
        """Fits the average of laws to measurements.

        Args:
          x: scaling factor of every measurement, > 0, [measurements] or [measurements, 1].
          y: metric of every measurement, > 0, [measurements].
          groups: the size each measurement repeats (several seeds); by default, its x.

        Returns: self.
        Raises: ValueError for non-finite or non-positive values, fewer than 3 sizes or 3
          more than breaks, constant y, a bound that y passes.
        """
        name = type(self).__name__
        breaks, prior = self._check_settings(), self._prior()
        least = 3 + (0 if breaks == "auto" else breaks)
        x, y, groups = check_points(x, y, groups, name=f"{name}.fit", least=least)
        points = gather_points(
            x, y, groups, direction=self.direction, bound=self.bound, name=f"{name}.fit"
        )
        sizes = len(points.u)
        counts = range(min(2, (sizes - 3) // 3) + 1) if breaks == "auto" else [breaks]
        grid = Grid(points, prior, counts)
        members = grid.members({b: grid.log_evidence(b) for b in counts})
        if sizes > 5 and points.noise < 0.1 * members.weight @ members.noise:
            counts = range(4) if breaks == "auto" else [breaks]
            members = exact_members(points, grid, members, counts)
        self._warnings, self._back_tests, self._params = [], None, None
        if self.monotone:
            members, warning = monotone_members(grid, members)
            members = members.without_end()
            self._warnings += [f"monotone: {warning}"] if warning else []
        self.points_, self.members_ = points, members
        self.x_, self.y_, self.groups_, self.n_features_in_ = x, y, groups, 1
        self.noise_ = float(np.mean(self.noise_at(np.unique(x))))
        breaks_used = np.count_nonzero(members.theta[:, 2:], axis=1)
        self.break_weights_ = {
            int(b): float(members.weight[breaks_used == b].sum()) for b in np.unique(breaks_used)
        }
        return self

    def _prior(self):
        return self.prior or Prior()

    def _check_settings(self):
        name = type(self).__name__
        is_whole = isinstance(self.breaks, (int, np.integer)) and not isinstance(self.breaks, bool)
        if self.breaks != "auto" and not (is_whole and 0 <= self.breaks <= 6):
            raise ValueError(f'{name}: breaks must be "auto" or 0..6; got {self.breaks!r}')
        if self.direction not in ("auto", "falling", "rising"):
            raise ValueError(
                f'{name}: direction must be "auto", "falling" or "rising"; got {self.direction!r}'
            )
        return self.breaks

    def noise_at(self, x: ArrayLike, repeats: ArrayLike = 1) -> np.ndarray:
        """Standard deviation of log y around the law: of the mean of `repeats` measurements."""
        x = self._checked(x, "noise_at")
        members, alone = self.members_, self._alone(self._locate(x), repeats)
        variance = members.weight @ (members.noise[:, None] ** 2 * (alone + members.ratio[:, None]))
        return np.sqrt(variance).reshape(x.shape)[()]

    def _alone(self, u, repeats):
        """Variance of a mean of `repeats` measurements over noise^2, less what sizes share."""
        return self.points_.relative_variance(u) / np.ravel(repeats)

    def predict(self, x: ArrayLike, interval: float | None = None, repeats: ArrayLike = 1):
        """Averaged law at x, and near the largest sizes what they err by alike.

        A law that runs beside the last points is not right just beyond them: what these share
        (`Members.end`) fades with the distance in log x.

        Args:
          x: scaling factor, > 0, any shape; a single column [n, 1] counts as [n].
          interval: probability that an interval should cover a *new measurement* at x,
            noise included, such as 0.9.
          repeats: how many trainings the new measurement is the mean of, a number or of x's shape.

        Returns: y of x's shape; with `interval`, a tuple (mean, low, high).
        Raises: ValueError for x that is not finite and > 0, or an interval outside (0, 1).
        """
        x = self._checked(x, "predict")
        if interval is not None:
            check_interval(interval, f"{type(self).__name__}.predict: interval")
        u = self._locate(x)
        log_y, sd = self.members_.log_y(u, self.points_.sign)
        centre = self.members_.weight @ log_y
        mean = self._in_units(centre, x.shape)
        if interval is None:
            return mean
        sd = np.sqrt(sd**2 + self.members_.noise_variance(u, self._alone(u, repeats)))
        bounds = (
            mixture_quantile(q, log_y, sd, self.members_.weight)
            for q in ((1 - interval) / 2, (1 + interval) / 2)
        )
        widening = self.widening_
        low, high = (
            self._in_units(centre + widening * (bound - centre), x.shape) for bound in bounds
        )
        return mean, low, high

    def deviations(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Errors of log y at new measurements over the standard deviation that the law gives them.

        Without the widening by `back_tests_`, which these errors are the measure of.
        """
        x = self._checked(x, "deviations")
        u = self._locate(x)
        log_y, sd = self.members_.log_y(u, self.points_.sign)
        weight = self.members_.weight
        centre = weight @ log_y
        variance = weight @ (
            (log_y - centre) ** 2 + sd**2 + self.members_.noise_variance(u, self._alone(u, 1))
        )
        error = np.log(np.asarray(y, dtype=float) / self.points_.unit).ravel() - centre
        return (error / np.sqrt(variance)).reshape(x.shape)

    def sample(self, x: ArrayLike, draws: int = 200, seed: int = 0) -> np.ndarray:
        """Plausible laws, without noise, at x: [draws, *x.shape], to carry uncertainty onwards.

        What the last points share beside their law is noise here, and no part of a draw.
        """
        x = self._checked(x, "sample")
        rng, members = np.random.default_rng(seed), self.members_.without_end()
        rows = rng.choice(len(members), size=draws, p=members.weight)
        spread, axes = np.linalg.eigh(members.cov[rows])
        normal = np.sqrt(np.maximum(spread, 0.0)) * rng.standard_normal(spread.shape)
        moved = (axes @ normal[:, :, None])[:, :, 0]
        asymptote = members.asymptote[rows] + members.reach[rows] * np.expm1(moved[:, 0])
        theta = members.theta[rows] + moved[:, 1:]
        theta[:, 0] += moved[:, 0]  # a gap grows with the distance of its asymptote
        u, sign = self._locate(x), self.points_.sign
        drift = np.sqrt(members.drift[rows]) * rng.standard_normal(draws)
        drawn, _ = replace(members.take(rows), asymptote=asymptote, theta=theta).log_y(
            u, sign, drift
        )
        centre = members.weight @ members.log_y(u, sign)[0]
        return self._in_units(centre + self.widening_ * (drawn - centre), (draws, *x.shape))

    def gain(
        self, x: ArrayLike, base: float, interval: float = 0.9, draws: int = 1000, seed: int = 0
    ) -> tuple:
        """y at x minus y at base, both without noise, as (mean, low, high).

        Narrower than two intervals held against each other: what moves the whole law
        moves both ends.
        """
        name = f"{type(self).__name__}.gain"
        x, base = self._checked(x, "gain"), self._checked(base, "gain", "base")
        check_interval(interval, f"{name}: interval")
        if base.size != 1:
            raise ValueError(f"{name}: base must be one size; got {base.tolist()}")
        sizes = np.append(x, base)
        drawn = self.sample(sizes, draws, seed)
        log_y, _ = self.members_.without_end().log_y(self._locate(sizes), self.points_.sign)
        mean = self._in_units(self.members_.weight @ log_y, sizes.shape)
        low, high = interval_bounds(drawn[:, :-1] - drawn[:, -1:], interval)
        return tuple(v.reshape(x.shape)[()] for v in (mean[:-1] - mean[-1], low, high))

    def bootstrap(self, x: ArrayLike, refits: int = 200, seed: int = 0) -> np.ndarray:
        """The single best curve refitted to resampled sizes, at x: [refits, *x.shape].

        The usual bootstrap, for comparison: its spread is too narrow beyond the data.
        """
        x = self._checked(x, "bootstrap")
        rng, points = np.random.default_rng(seed), self.points_
        best, breaks = self._best_member()
        n = len(points.u)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=refits)
        problem = Projection(points, self._prior(), breaks, points.count * counts)
        start = np.repeat(problem.pack(best), refits, axis=0)
        p, theta, noise = refine(problem, start, np.repeat(best.noise, refits), steps=3)
        asymptote, _, place, sharpness = problem.unpack(p)
        laws = Members(
            weight=np.full(refits, 1 / refits),
            asymptote=asymptote,
            place=place,
            sharpness=sharpness,
            theta=theta,
            cov=np.zeros((refits, 3 + breaks, 3 + breaks)),
            noise=noise,
            **alone(refits),
        )
        log_y, _ = laws.log_y(self._locate(x), points.sign)
        return (np.exp(log_y) * points.unit).reshape(refits, *x.shape)

    @property
    def back_tests_(self) -> list[BackTest]:
        """What the law of the first points says of those that follow; made when first asked for."""
        check_is_fitted(self, "points_")
        if self._back_tests is None:
            self._back_tests = back_test(self)
        return self._back_tests

    @property
    def widening_(self) -> float:
        """Factor > 1 on intervals (in log y) for few sizes and for what back-tests missed."""
        return few_sizes(len(self.points_.u)) * missed_before(self.back_tests_)

    @property
    def warnings_(self) -> list[str]:
        """What a reader of the law should know, in sentences; `lib.laws.diagnosis`."""
        check_is_fitted(self, "points_")
        return self._warnings + warnings_of(self)

    @property
    def params_(self):
        return self._eq6()

    @property
    def asymptote_(self) -> float:
        """The value that the most plausible single curve approaches for large x (Eq 6's a)."""
        return self._eq6()["a"]

    @property
    def residuals_(self):
        check_is_fitted(self, "points_")
        return self.y_ - self.predict(self.x_)

    @property
    def r_squared_(self):
        return 1 - float(np.sum(self.residuals_**2) / np.sum((self.y_ - self.y_.mean()) ** 2))

    @property
    def mean_deviation_(self):
        return float(np.abs(self.residuals_).mean())

    @property
    def max_deviation_(self):
        return float(np.abs(self.residuals_).max())

    def curve(self, x: ArrayLike) -> np.ndarray:
        """The most plausible single curve, Eq 6 with `params_`, at x."""
        return bnsl(self._checked(x, "curve"), **self._eq6())

    def _eq6(self):
        check_is_fitted(self, "points_")
        if self._params is None:  # found when first asked for: predictions do not need it
            best, breaks = self._best_member()
            self._params = eq6_params(best, breaks, self.points_)
        return self._params

    def _best_member(self):
        members, points = self.members_, self.points_
        best = members.take([int(np.argmax(members.weight))])
        breaks = int(np.count_nonzero(best.theta[0, 2:]))
        if len(points.u) > 3 + 3 * breaks:
            nearest = refined(points, self._prior(), best, breaks, steps=30)
            if not self.monotone or nearest.monotone().all():
                best = nearest
        return best, breaks

    def _checked(self, x, method, name="x"):
        """x as the public methods take it, [n] for a single column [n, 1]."""
        check_is_fitted(self, "points_")
        name = f"{type(self).__name__}.{method}: {name}"
        x = single_column(x, name)
        check_positive(x, name)
        return x

    def _locate(self, x):
        return np.log(x).ravel() - np.log(self.points_.largest_x)

    def _in_units(self, log_y, shape):
        with np.errstate(over="ignore"):  # a bound beyond all numbers is the largest of them
            y = np.minimum(np.exp(log_y) * self.points_.unit, np.finfo(float).max)
        sign = self.points_.sign
        if self.bound is not None:
            y = sign * np.maximum(sign * y, sign * self.bound)
        return y.reshape(shape)[()]

    def summary(self) -> str:
        """A few lines to print: the curve, how it fits, and the interval at twice the largest x."""
        p, points = self._eq6(), self.points_
        trend = "falls" if points.sign > 0 else "rises"
        doubled = 2 * points.largest_x
        mean, low, high = self.predict(doubled, interval=0.9)
        shares = ", ".join(f"{b}: {w:.0%}" for b, w in self.break_weights_.items())
        breaks = "".join(
            f"\n  break at x = {d:.4g}: slope changes by {-c:+.3f}, sharpness {f:.3g}"
            for c, d, f in zip(p["c"], p["d"], p["f"], strict=True)
        )
        return (
            f"{type(self).__name__}: y {trend} towards a = {p['a']:.5g}, b = {p['b']:.4g}, "
            f"c0 = {p['c0']:.4f}{breaks}\n"
            f"  {len(self.y_)} measurements of {len(points.u)} sizes, "
            f"R2 = {self.r_squared_:.4f}, deviation mean {self.mean_deviation_:.3g}, "
            f"max {self.max_deviation_:.3g}\n"
            f"  number of breaks in the average: {shares}\n"
            f"  at x = {doubled:.4g}, twice the largest: {mean:.5g} (90 %: {low:.5g} to "
            f"{high:.5g})" + "".join(f"\n  warning: {text}" for text in self.warnings_)
        )

    def to_dict(self) -> dict:
        """Settings and measurements, as JSON can hold them; `from_dict` fits again."""
        check_is_fitted(self, "points_")
        settings = self.get_params()
        settings["prior"] = self.prior and asdict(self.prior)
        return {
            "law": type(self).__name__,
            "settings": settings,
            "x": self.x_.tolist(),
            "y": self.y_.tolist(),
            "groups": self.groups_.tolist(),
        }

    @classmethod
    def from_dict(cls, saved: dict) -> "BNSL":
        """The law that `to_dict` saved: fits are deterministic and take milliseconds."""
        if saved["law"] != cls.__name__:
            raise ValueError(f"{cls.__name__}.from_dict: got a {saved['law']}")
        settings = dict(saved["settings"])
        settings["prior"] = settings["prior"] and Prior(**settings["prior"])
        return cls(**settings).fit(saved["x"], saved["y"], saved["groups"])


class PowerLaw(BNSL):
    """Power law with a constant, y = a x^{-b} + c, the form of the second paper.

    A BNSL without breaks; a < 0 and b > 0 for a rising metric. Settings and attributes as
    there, but `params_` holds a, b, c.

    >>> x = np.geomspace(1e3, 1e6, 7)
    >>> law = PowerLaw().fit(x, 3.0 * x**-0.25 + 0.5)
    >>> {k: round(v, 4) for k, v in law.params_.items()}
    {'a': 3.0, 'b': 0.25, 'c': 0.5}
    """

    breaks, monotone = 0, False  # no settings here

    def __init__(
        self, *, direction: str = "auto", bound: float | None = None, prior: Prior | None = None
    ):
        self.direction, self.bound, self.prior = direction, bound, prior

    def _prior(self):
        return self.prior or Prior(asymptotes=30)  # without breaks, a finer grid costs nothing

    @property
    def params_(self):
        p = self._eq6()
        return {"a": p["b"], "b": p["c0"], "c": p["a"]}


def eq6_params(member, breaks, points):
    """Eq 6's parameters of one law, in the units of x and y, breaks from left to right."""
    order = np.argsort(member.place[0, :breaks])
    place, f = member.place[0, order], member.sharpness[0, order]
    bend, origin = member.theta[0, 2 + order], np.log(points.largest_x)
    c0 = bend.sum() - member.theta[0, 1]  # h_i bends to the left, Eq 6 to the right
    log_b = member.theta[0, 0] + bend @ place + c0 * origin
    return {
        "a": float(member.asymptote[0] * points.unit),
        "b": float(points.sign * np.exp(log_b) * points.unit),
        "c0": float(c0),
        "c": (-bend).tolist(),
        "d": np.exp(place + origin).tolist(),
        "f": f.tolist(),
    }


def mixture_quantile(probability, centre, sd, weight):
    """Quantile of a mixture of normals at every column: centre, sd [m, n], weight [m] -> [n]."""
    low, high = (centre - 8 * sd).min(axis=0), (centre + 8 * sd).max(axis=0)
    for _ in range(40):
        middle = (low + high) / 2
        below = weight @ ndtr((middle - centre) / sd) < probability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
