"""A law of two factors, size and data, and the cheapest way to spend a budget on them.

    y = E + A size^-alpha + B data^-beta      (a falling metric; E - A ... - B ... rising)

The form of Hoffmann et al. 2022 ("Chinchilla", arXiv:2203.15556), fitted as there by
Huber's loss on errors of log y, summed rather than averaged, and from many starts:
Besiroglu et al. 2024 (arXiv:2404.10102) show that an average stops optimisers early.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from lib.infra.arrays import check_positive, real_array
from lib.infra.intervals import check_interval, interval_bounds

_NAMES = ("E", "A", "B", "alpha", "beta")


class Frontier(NamedTuple):
    """The best split of each budget: arrays, or (value, low, high) with an interval."""

    size: object
    data: object
    y: object


class JointPowerLaw(RegressorMixin, BaseEstimator):
    """Joint law over size (parameters or FLOPs) and data (samples).

    A regressor of scikit-learn, as `lib.laws.BNSL` is.

    Args:
      direction: "falling", "rising" or "auto", by the sum of both rank correlations with y; where
        that is 0, falling.
      bound: of a rising metric, > 0, which E does not pass, such as 1 for R/R*; None: none.
      delta: errors of log y beyond it count linearly instead of squared (Huber).
      refits: bootstrap refits behind intervals: of resampled measurements, or where they come in
        groups, of each group's errors with a sign drawn at random (wild cluster bootstrap: Cameron,
        Gelbach and Miller 2008, Review of Economics and Statistics 90).
      seed: of the bootstrap.

    Attributes after `fit`: params_ (E, A, B, alpha, beta), r_squared_, residuals_,
      mean_deviation_, max_deviation_.

    >>> size, data = np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e8, 1e11, 5))
    >>> x = np.column_stack([size.ravel(), data.ravel()])
    >>> y = 1.7 + 400 * x[:, 0] ** -0.34 + 410 * x[:, 1] ** -0.28
    >>> law = JointPowerLaw().fit(x, y)
    >>> {name: round(value, 3) for name, value in law.params_.items()}
    {'E': 1.7, 'A': 400.0, 'B': 410.0, 'alpha': 0.34, 'beta': 0.28}
    """

    def __init__(
        self,
        *,
        direction: str = "auto",
        bound: float | None = None,
        delta: float = 1e-3,
        refits: int = 200,
        seed: int = 0,
    ):
        self.direction, self.bound, self.delta = direction, bound, delta
        self.refits, self.seed = refits, seed

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = tags.target_tags.positive_only = True
        return tags

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        redraws: ArrayLike | None = None,
    ) -> "JointPowerLaw":
        """Fits the law.

        Args:
          x: [measurements, 2], size and data of every measurement, > 0.
          y: [measurements], metric, > 0.
          groups: [measurements], which measurements err together, such as those of one pass over
            growing data; None: each by itself.
          redraws: [redraws, measurements], y as other test samples would have given it, for the
            refits; only with groups.

        Returns: self.
        Raises: ValueError for values that are not finite and > 0, fewer than 6
          measurements, fewer than 3 different sizes or amounts of data, fewer than 3 groups, or
          redraws of another shape.
        """
        x, y = _check(x, y)
        self._groups, self._redraws = _check_groups(groups, redraws, y)
        if self.direction not in ("auto", "falling", "rising"):
            raise ValueError(
                'JointPowerLaw: direction must be "auto", "falling" or "rising"; '
                f"got {self.direction!r}"
            )
        rising = self.direction == "rising"
        if self.direction == "auto":
            # A 0 may come with rounding errors.
            rising = sum(spearmanr(column, y).statistic for column in x.T) > 1e-9
        self.sign_ = -1.0 if rising else 1.0
        self.x_, self.y_, self.n_features_in_ = x, y, 2
        if self.bound is not None and not (rising and y.max() < self.bound):
            raise ValueError(
                "JointPowerLaw: bound must be None or above all y of a rising metric; got "
                f"{self.bound} for y up to {y.max():g}"
            )
        self._centre = np.log(x).mean(axis=0)
        self._p = self._best(np.log(x) - self._centre, np.log(y))
        self._draws = None
        self.params_ = dict(zip(_NAMES, map(float, self._in_units(self._p)), strict=True))
        self.residuals_ = y - self.predict(x)
        self.r_squared_ = 1 - float(np.sum(self.residuals_**2) / np.sum((y - y.mean()) ** 2))
        self.mean_deviation_ = float(np.abs(self.residuals_).mean())
        self.max_deviation_ = float(np.abs(self.residuals_).max())
        return self

    def predict(self, x: ArrayLike, interval: float | None = None):
        """y at x [..., 2]; with `interval`, (y, low, high) for a new measurement.

        Intervals are bootstrap percentiles, residuals drawn at random added.

        Raises: ValueError for x that is not [..., 2], finite and > 0, or an interval outside
          (0, 1).
        """
        check_is_fitted(self, "params_")
        x = real_array(x, "JointPowerLaw.predict: x")
        if x.ndim == 0 or x.shape[-1] != 2:
            raise ValueError(
                "JointPowerLaw.predict: x must be [..., 2], size and data of every point; got "
                f"shape {x.shape}"
            )
        check_positive(x, "JointPowerLaw.predict: x")
        log_x = np.log(x) - self._centre
        y = np.exp(self._log_y(self._p, log_x))
        if interval is None:
            return y
        check_interval(interval, "JointPowerLaw.predict: interval")
        errors = np.log(self.y_) - self._log_y(self._p, np.log(self.x_) - self._centre)
        rng = np.random.default_rng([self.seed, 1])
        drawn = np.array([self._log_y(p, log_x) for p in self._bootstrap()])
        drawn = drawn + rng.choice(errors, size=drawn.shape)
        low, high = interval_bounds(drawn, interval)
        return y, np.exp(low), np.exp(high)

    def frontier(
        self, budget: ArrayLike, *, cost: float = 6.0, interval: float | None = None
    ) -> Frontier:
        """Size and data of the best y under a budget of cost x size x data.

        Args:
          budget: FLOPs of the whole training, number or array.
          cost: FLOPs per unit of size and of data; 6 for parameters and samples, 3 for
            forward FLOPs and samples.
          interval: probability of the intervals, or None.

        Returns: `Frontier`; size ~ budget^(beta / (alpha + beta)).
        Raises: ValueError for a budget or cost that is not finite and > 0, or an interval
          outside (0, 1).
        """
        check_is_fitted(self, "params_")
        budget, cost = (
            real_array(values, f"JointPowerLaw.frontier: {name}")
            for name, values in (("budget", budget), ("cost", cost))
        )
        check_positive(budget, "JointPowerLaw.frontier: budget")
        check_positive(cost, "JointPowerLaw.frontier: cost")
        if interval is not None:
            check_interval(interval, "JointPowerLaw.frontier: interval")
        best = self._optimum(self.params_.values(), budget / cost)
        if interval is None:
            return Frontier(*best)
        drawn = [self._optimum(self._in_units(p), budget / cost) for p in self._bootstrap()]
        return Frontier(
            *(
                (value, *interval_bounds([optimum[k] for optimum in drawn], interval))
                for k, value in enumerate(best)
            )
        )

    def exponents(self, interval: float | None = None) -> dict:
        """Exponents of the optimal size and data by budget, {"size": ..., "data": ...}.

        With `interval`, each is (value, low, high). Raises: ValueError for one outside (0, 1).
        """
        check_is_fitted(self, "params_")
        if interval is not None:
            check_interval(interval, "JointPowerLaw.exponents: interval")

        def shares(alpha, beta):
            return {"size": beta / (alpha + beta), "data": alpha / (alpha + beta)}

        best = shares(self.params_["alpha"], self.params_["beta"])
        if interval is None:
            return best
        drawn = shares(*self._bootstrap()[:, 3:].T)
        return {k: (v, *map(float, interval_bounds(drawn[k], interval))) for k, v in best.items()}

    def sample(self, x: ArrayLike) -> np.ndarray:
        """y at x [..., 2] by each refit, [refits, ...]: draws of the law, without a measurement's
        own error; values at several x belong together."""
        check_is_fitted(self, "params_")
        x = real_array(x, "JointPowerLaw.sample: x")
        if x.ndim == 0 or x.shape[-1] != 2:
            raise ValueError(f"JointPowerLaw.sample: x must be [..., 2]; got shape {x.shape}")
        check_positive(x, "JointPowerLaw.sample: x")
        log_x = np.log(x) - self._centre
        return np.exp([self._log_y(p, log_x) for p in self._bootstrap()])

    def _optimum(self, params, product):
        E, A, B, alpha, beta = params
        balance = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
        size = balance * product ** (beta / (alpha + beta))
        data = product / size
        return size, data, E + self.sign_ * (A * size**-alpha + B * data**-beta)

    def _in_units(self, p):
        e, a, b, alpha, beta = p
        return (
            np.exp(e),
            np.exp(a + alpha * self._centre[0]),
            np.exp(b + beta * self._centre[1]),
            alpha,
            beta,
        )

    def _log_y(self, p, log_x):
        """p = (log E, log A, log B, alpha, beta), A and B at the centre of log x."""
        gap = np.exp(p[1] - p[3] * log_x[..., 0]) + np.exp(p[2] - p[4] * log_x[..., 1])
        return np.log(np.maximum(np.exp(p[0]) + self.sign_ * gap, 1e-12))

    def _jacobian(self, p, log_x):
        by_a = self.sign_ * np.exp(p[1] - p[3] * log_x[:, 0])
        by_b = self.sign_ * np.exp(p[2] - p[4] * log_x[:, 1])
        columns = [
            np.full(len(by_a), np.exp(p[0])),
            by_a,
            by_b,
            -by_a * log_x[:, 0],
            -by_b * log_x[:, 1],
        ]
        return np.column_stack(columns) / np.exp(self._log_y(p, log_x))[:, None]

    def _descend(self, start, log_x, log_y):
        highest = np.full(5, np.inf)
        if self.bound is not None:
            highest[0] = np.log(self.bound)
            start = np.minimum(start, highest - 1e-6)
        return least_squares(
            lambda p: self._log_y(p, log_x) - log_y,
            start,
            bounds=(-np.inf, highest),
            jac=lambda p: self._jacobian(p, log_x),
            loss="huber",
            f_scale=self.delta,
            x_scale="jac",
            max_nfev=200,
        )

    def _best(self, log_x, log_y, descents=8):
        """The best optimum reached from the most promising of a grid of starts."""
        y = np.exp(log_y)
        best, gap = (y.min(), np.ptp(y)) if self.sign_ > 0 else (y.max(), np.ptp(y))
        starts = [
            (np.log(E), np.log(share * rest), np.log((1 - share) * rest), alpha, beta)
            for beyond in (0.02, 0.1, 0.3, 1.0)
            for E in [max(best - self.sign_ * beyond * gap, 0.1 * best)]
            for rest in [np.abs(np.median(y) - E)]
            for share in (0.2, 0.5, 0.8)
            for alpha in (0.1, 0.3, 0.6)
            for beta in (0.1, 0.3, 0.6)
        ]
        loss = [np.abs(self._log_y(p, log_x) - log_y).sum() for p in starts]
        optima = [self._descend(starts[i], log_x, log_y) for i in np.argsort(loss)[:descents]]
        return min(optima, key=lambda result: result.cost).x

    def _bootstrap(self):
        if self._draws is None:
            rng = np.random.default_rng([self.seed, 0])
            log_x, log_y = np.log(self.x_) - self._centre, np.log(self.y_)
            if self._groups is None:
                rows = rng.integers(len(log_y), size=(self.refits, len(log_y)))
                self._draws = np.array([self._descend(self._p, log_x[r], log_y[r]).x for r in rows])
            else:
                drawn = self._wild(rng, log_x, log_y)
                self._draws = np.array([self._descend(self._p, log_x, row).x for row in drawn])
        return self._draws

    def _wild(self, rng, log_x, log_y):
        """log y [refits, measurements] with the errors of each group times a random sign."""
        fitted, groups = self._log_y(self._p, log_x), self._groups.max() + 1
        signs = rng.choice([-1.0, 1.0], size=(self.refits, groups))
        # Errors about a fitted law are too small by the parameters that were fitted to them.
        size = np.sqrt(len(log_y) / max(len(log_y) - len(_NAMES), 1) * groups / (groups - 1))
        drawn = fitted + size * (log_y - fitted) * signs[:, self._groups]
        if self._redraws is not None:
            again = self._redraws[rng.integers(len(self._redraws), size=self.refits)]
            drawn += np.log(again) - log_y
        return drawn

    def summary(self) -> str:
        """A few lines to print."""
        share = self.exponents(interval=0.9)["size"]
        params = ", ".join(f"{k} = {v:.4g}" for k, v in self.params_.items())
        return (
            f"JointPowerLaw: {params}\n  {len(self.y_)} measurements, "
            f"R2 = {self.r_squared_:.4f}, deviation mean {self.mean_deviation_:.3g}, "
            f"max {self.max_deviation_:.3g}\n  optimal size ~ budget^{share[0]:.3f} "
            f"(90 %: {share[1]:.3f} to {share[2]:.3f})"
        )

    def to_dict(self) -> dict:
        """Settings and measurements, as JSON can hold them; `from_dict` fits again."""
        check_is_fitted(self, "params_")
        return {
            "law": type(self).__name__,
            "settings": self.get_params(),
            "x": self.x_.tolist(),
            "y": self.y_.tolist(),
            "groups": None if self._groups is None else self._groups.tolist(),
            "redraws": None if self._redraws is None else self._redraws.tolist(),
        }

    @classmethod
    def from_dict(cls, saved: dict) -> "JointPowerLaw":
        """The law that `to_dict` saved."""
        if saved["law"] != cls.__name__:
            raise ValueError(f"{cls.__name__}.from_dict: got a {saved['law']}")
        law = cls(**saved["settings"])
        return law.fit(saved["x"], saved["y"], saved.get("groups"), saved.get("redraws"))


def _check_groups(groups, redraws, y):
    """Number of each measurement's group, and the redraws; None for what is not given."""
    if groups is None:
        if redraws is not None:
            raise ValueError("JointPowerLaw.fit: redraws need groups; got None")
        return None, None
    names, of = np.unique(np.asarray(groups), return_inverse=True)
    if of.shape != y.shape or len(names) < 3:
        raise ValueError(
            "JointPowerLaw.fit: groups must name 3 groups or more, one a measurement; got "
            f"{len(names)} for {len(of)} of {len(y)} measurements"
        )
    if redraws is not None:
        redraws = real_array(redraws, "JointPowerLaw.fit: redraws")
        check_positive(redraws, "JointPowerLaw.fit: redraws")
        if redraws.ndim != 2 or redraws.shape[1] != len(y):
            raise ValueError(
                f"JointPowerLaw.fit: redraws must be [redraws, {len(y)}]; got {redraws.shape}"
            )
    return of, redraws


def _check(x, y):
    x, y = real_array(x, "JointPowerLaw.fit: x"), real_array(y, "JointPowerLaw.fit: y")
    if x.ndim != 2 or x.shape[1] != 2 or y.shape != (len(x),):
        raise ValueError(
            "JointPowerLaw.fit: x must be [measurements, 2] (size, data) and y "
            f"[measurements]; got shapes {x.shape} and {y.shape}"
        )
    check_positive(x, "JointPowerLaw.fit: x")
    check_positive(y, "JointPowerLaw.fit: y")
    if len(y) < 6:
        raise ValueError(f"JointPowerLaw.fit: needs 6 measurements or more; got {len(y)}")
    if np.all(y == y[0]):
        raise ValueError(f"JointPowerLaw.fit: y is {y[0]:g} everywhere; a constant has no law")
    for label, column in zip(("sizes", "amounts of data"), x.T, strict=True):
        if len(np.unique(column)) < 3:
            raise ValueError(
                f"JointPowerLaw.fit: needs 3 different {label} or more; "
                f"got {len(np.unique(column))}"
            )
    return x, y
