"""The paper's own recipe, for comparison: a fixed number of breaks, fitted by basin-hopping.

Section 4.2 takes t = 6 breaks and `scipy.optimize.basinhopping` [25]; its loss, starts,
steps and bounds are not published. Here the loss is the sum of squared errors of log y over
the mean square that the power law leaves, so that the hops' temperature of 1 means the same
for any units and noise. `scipy.optimize.least_squares` finds the minima: L-BFGS-B stops in
their long flat valleys (ten public vision curves, ten hops: four times the squares with one
break, 7 % more with two, and slower). A hop moves all parameters a little and one break
elsewhere: small moves alone often leave a break where it began. Boxes are wide.

Breaks are added one by one: a fit starts where that of one break fewer ended, with a break of
size 0 where the errors ask for one most. So more breaks never fit worse, by construction, and
where the curve goes through its points already, further breaks keep size 0: among the curves
through the points, this is one of the fewest breaks.

It is the best optimum that the hops find of the recipe's own loss, and nothing holds it back
beyond the points. With one break and dozens of points it extrapolates as published fits of
Eq 6 do. Where 3 + 3 t parameters come near the number of points, it is not identified: seeds
agree at the points and differ beyond them, on Figure 7 by as much as laws of fewer breaks err.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult, basinhopping, least_squares
from scipy.special import expit
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from lib.infra.arrays import check_positive, single_column
from lib.laws.bnsl import PowerLaw
from lib.laws.curve import bnsl
from lib.laws.observations import check_points

STEP = 0.3  # largest move of a parameter in a hop: slopes, logs of x, y and sharpness
THROUGH = 1e-6  # a loss below which the curve goes through its points; further hops gain nothing


class BasinHoppingBNSL(RegressorMixin, BaseEstimator):
    """Eq 6 with `breaks` breaks, one curve, no interval; a regressor of scikit-learn, as `BNSL`.

    Args:
      breaks: the paper's t, >= 0.
      hops: local minimisations after the first, for every number of breaks up to `breaks`.
      seed: of the hops.
      direction: as in `BNSL`.

    Attributes after `fit`: params_ (Eq 6), sum_of_squares_ (errors of log y), r_squared_,
    residuals_ (units of y).

    >>> x = np.geomspace(1.0, 1e4, 12)
    >>> law = BasinHoppingBNSL(breaks=0, hops=2).fit(x, 0.5 + x**-0.5)
    >>> float(law.predict(1e6).round(4))
    0.501
    """

    def __init__(self, breaks: int = 6, *, hops: int = 100, seed: int = 0, direction: str = "auto"):
        self.breaks, self.hops, self.seed, self.direction = breaks, hops, seed, direction

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.positive_only = tags.target_tags.positive_only = True
        return tags

    def fit(self, x: ArrayLike, y: ArrayLike) -> "BasinHoppingBNSL":
        """Fits the curve; x and y as in `BNSL.fit`, 3 different x or more whatever `breaks` is.

        Raises: ValueError for a number of breaks or hops that is not whole and >= 0, and as
          `BNSL.fit`.
        """
        check_counts([self.breaks], "BasinHoppingBNSL: breaks")
        check_counts([self.hops], "BasinHoppingBNSL: hops")
        x, y, groups = check_points(x, y, name="BasinHoppingBNSL.fit", least=3)
        # On matrices this small, threads cost more than they save.
        with threadpool_limits(1, "blas"), np.errstate(over="ignore"):
            power_law = PowerLaw(direction=self.direction).fit(x, y, groups)
            problem = LeastSquaresProblem(x, y, power_law)
            self._x, self._y, self._problem = x, y, problem
            self._optima = [problem.hopped(problem.power_law, self.hops, [self.seed, 0])]
            for t in range(1, self.breaks + 1):
                start = problem.with_another_break(self._optima[-1])
                self._optima.append(problem.hopped(start, self.hops, [self.seed, t]))
        return self._take_optimum()

    def with_breaks(self, breaks: int) -> "BasinHoppingBNSL":
        """The fit of fewer breaks that this one went through, as `fit` with so many gives it."""
        check_is_fitted(self, "params_")
        if breaks not in range(len(self._optima)):
            raise ValueError(
                f"BasinHoppingBNSL.with_breaks: breaks must be 0..{len(self._optima) - 1}, "
                f"the breaks of the fit; got {breaks!r}"
            )
        law = BasinHoppingBNSL(breaks, hops=self.hops, seed=self.seed, direction=self.direction)
        law._x, law._y, law._problem = self._x, self._y, self._problem
        law._optima = self._optima[: breaks + 1]
        return law._take_optimum()

    def predict(self, x: ArrayLike) -> np.ndarray:
        """y at x > 0, of x's shape; a single column [n, 1] counts as [n]."""
        check_is_fitted(self, "params_")
        x = single_column(x, "BasinHoppingBNSL.predict: x")
        check_positive(x, "BasinHoppingBNSL.predict: x")
        return bnsl(x, **self.params_)

    def _take_optimum(self):
        self.params_, self.n_features_in_ = self._problem.eq6(self._optima[-1]), 1
        predicted = self.predict(self._x)
        self.sum_of_squares_ = float(np.sum(np.log(predicted / self._y) ** 2))
        self.residuals_ = self._y - predicted
        around_mean = np.sum((self._y - self._y.mean()) ** 2)
        self.r_squared_ = 1 - float(np.sum(self.residuals_**2) / around_mean)
        return self


def check_counts(counts, name: str) -> None:
    """ValueError, beginning with `name`, for a number below 0 or not whole."""
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0:
            raise ValueError(f"{name} must be whole numbers >= 0; got {count!r}")


class LeastSquaresProblem:
    """Least squares in p = (log a, log b, c0, c [t], log d [t], log f [t]), free of units.

    x counts from the largest, y from the geometric mean, so a and b are in units of that mean.
    """

    def __init__(self, x, y, power_law):
        self.sign = power_law.points_.sign
        self.origin = np.log(power_law.points_.largest_x)
        self.unit = np.exp(np.log(y).mean())
        self.u, self.z = np.log(x) - self.origin, np.log(y / self.unit)
        self.noise = 1.0
        self.power_law = self._minimised(self._start(power_law.params_)).x
        error, _ = self.errors(self.power_law)
        # An exact power law leaves rounding, which is no unit to count errors in.
        self.noise = np.sqrt(max(np.mean(error**2), np.finfo(float).eps))

    def errors(self, p):
        """Errors of log y over the noise [n] and their Jacobian [n, p]."""
        (log_a, log_b, c0), (c, d, log_f) = p[:3], p[3:].reshape(3, -1, 1)
        f = np.exp(log_f)
        past_break = (self.u - d) / f
        bend, turned = np.logaddexp(0.0, past_break), expit(past_break)
        gap = np.exp(np.minimum(log_b - c0 * self.u - (c * f * bend).sum(axis=0), 50.0))
        y = np.maximum(np.exp(log_a) + self.sign * gap, 1e-9)
        by_gap = self.sign * gap / y
        jacobian = np.vstack(
            [
                np.exp(log_a) / y,
                by_gap,
                -by_gap * self.u,
                -by_gap * f * bend,
                by_gap * c * turned,
                -by_gap * c * f * (bend - past_break * turned),
            ]
        )
        return (np.log(y) - self.z) / self.noise, jacobian.T / self.noise

    def loss(self, p):
        error, _ = self.errors(p)
        return float(error @ error)

    def hopped(self, start, hops, seed):
        """The best of `start` and of the minima that `hops` hops from it find."""
        if self.loss(start) < THROUGH:
            return start
        rng = np.random.default_rng(seed)
        optimum = basinhopping(
            self.loss,
            start,
            niter=hops,
            take_step=lambda p: self._hop(p, rng),
            rng=rng,
            minimizer_kwargs={"method": lambda _, p, **unused: self._minimised(p, 50)},
            callback=lambda p, loss, accepted: loss < THROUGH,
        )
        return min(start, self._minimised(optimum.x).x, key=self.loss)

    def with_another_break(self, p):
        """p with a break of size 0 where a first step in its size lowers the loss most."""
        error, jacobian = self.errors(p)
        basis, _ = np.linalg.qr(jacobian)
        c, d, log_f = p[3:].reshape(3, -1)
        best = -np.inf
        for place in np.unique(np.quantile(self.u, np.linspace(0.1, 0.9, 9))):
            for sharpness in (0.1, 0.3, 1.0):
                trial = np.r_[p[:3], c, 0.0, d, place, log_f, np.log(sharpness)]
                by_size = self.errors(trial)[1][:, 3 + len(c)]
                # What the parameters there are cannot do already
                by_size = by_size - basis @ (basis.T @ by_size)
                gain = abs(by_size @ error) / (np.linalg.norm(by_size) + 1e-12)
                if gain > best:
                    best, start = gain, trial
        return start

    def eq6(self, p):
        """The names of Eq 6, in the units of x and y."""
        (log_a, log_b, c0), (c, d, log_f) = p[:3], p[3:].reshape(3, -1)
        return {
            "a": float(np.exp(log_a) * self.unit),
            "b": float(self.sign * self.unit * np.exp(log_b + c0 * self.origin)),
            "c0": float(c0),
            "c": c.tolist(),
            "d": np.exp(d + self.origin).tolist(),
            "f": np.exp(log_f).tolist(),
        }

    def _start(self, params):
        box = self._bounds(0)[:, 0]
        log_a, c0 = np.log(max(params["c"] / self.unit, 1e-6)), params["b"]
        log_b = np.log(abs(params["a"]) / self.unit) - c0 * self.origin
        if not box[0] <= log_a <= box[1]:
            # A straight line in log x has its asymptote far off: the nearest curve in the box.
            log_a = np.clip(log_a, *box)
            gap = np.maximum(self.sign * (np.exp(self.z) - np.exp(log_a)), 1e-6)
            slope, log_b = np.polyfit(self.u, np.log(gap), 1)
            c0 = -slope
        return np.r_[log_a, log_b, c0]

    def _bounds(self, t):
        """Lowest and highest p, [2, 3 + 3 t]."""
        u, z, span = self.u, self.z, np.ptp(self.u)
        low = min(np.log(1e-6), z.min() - 1.0)  # y may span more than six decades
        asymptote = (low, z.min()) if self.sign > 0 else (z.max(), z.max() + 3.0)
        place, sharpness = (u.min() - 0.5 * span, u.max() + 0.5 * span), np.log([0.01, 10.0])
        kinds = [asymptote, (-20.0, 20.0), (-5.0, 5.0), (-5.0, 5.0), place, sharpness]
        return np.repeat(kinds, [1, 1, 1, t, t, t], axis=0).T

    def _hop(self, p, rng):
        p = p + rng.uniform(-STEP, STEP, len(p))
        c, d, log_f = p[3:].reshape(3, -1)  # views: what is set below is set in p
        if len(c):
            moved = rng.integers(len(c))
            c[moved] = rng.normal(0.0, 0.5)
            d[moved] = rng.uniform(self.u.min(), self.u.max())
            log_f[moved] = rng.uniform(np.log(0.05), np.log(3.0))
        return p

    def _minimised(self, p, evaluations=1000):
        """The nearest minimum inside the boxes, as `scipy.optimize.minimize` returns it."""
        low, high = self._bounds((len(p) - 3) // 3)
        edge = 1e-10 * (high - low)  # least_squares starts inside
        optimum = least_squares(
            lambda p: self.errors(p)[0],
            np.clip(p, low + edge, high - edge),
            lambda p: self.errors(p)[1],
            bounds=(low, high),
            x_scale="jac",
            ftol=1e-10,
            xtol=1e-10,
            gtol=1e-10,
            max_nfev=evaluations,
        )
        return OptimizeResult(x=optimum.x, fun=2 * optimum.cost, nfev=optimum.nfev, success=True)
