"""Law of several resources whose returns add up, and the cheapest way to spend on them.

y = E + sum_j A_j x_j^-alpha_j, falling: the form behind the finding that backbone compute,
embedding parameters and data are "largely independent and additive" (Coupang, arXiv:2605.29232).
`JointPowerLaw` is the case of two, robust to single measurements; here are any number, and
intervals over re-drawn replicas: refits without one replica each (Tukey's jackknife), their
pseudo-values by Student's t.
"""

from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from lib.infra.arrays import check_positive, real_array
from lib.infra.intervals import check_interval
from lib.laws.power_law_plus_constant import LEAST_REPLICAS

EXPONENTS = 0.01, 3.0  # least and largest
STARTS = 0.1, 0.3, 0.8
DESCENTS = 4  # from the most promising combinations of starts
LEAST_SIZES = 4  # of a resource: an exponent, an amplitude, and what tells them from the constant


class Cheapest(NamedTuple):
    """The best split of a budget: x [resources] and y, or tuples (value, low, high) of them."""

    x: object
    y: object


class Interaction(NamedTuple):
    """Whether products of two resources' terms say more than their sum.

    p_value: of no interaction, over replicas; error, error_with: root mean square at points that
    were left out one by one, of the additive law and with an interaction of each pair.
    """

    p_value: float
    error: float
    error_with: float


class AdditivePowerLaw(RegressorMixin, BaseEstimator):
    """y = E + sum_j A_j x_j^-alpha_j with intervals over replicas.

    Attributes after `fit`: constant_ (E), amplitudes_ [resources] (A_j, y's unit at x_j = 1),
      exponents_ [resources]; residuals_ [points] of the mean over replicas.

    >>> size, data = np.meshgrid(np.geomspace(1, 1e3, 5), np.geomspace(1, 1e4, 5))
    >>> size, data = size.ravel(), data.ravel()
    >>> y = 0.4 + 0.1 * size**-0.5 + 0.2 * data**-0.3
    >>> law = AdditivePowerLaw().fit(np.column_stack([size, data]), y)
    >>> law.exponents_.round(3).tolist(), round(law.constant_, 3)
    ([0.5, 0.3], 0.4)
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = tags.target_tags.positive_only = True
        return tags

    def fit(
        self, x: ArrayLike, y: ArrayLike, replica: ArrayLike | None = None
    ) -> "AdditivePowerLaw":
        """Fits the law.

        Args:
          x: [measurements, resources], > 0; y: [measurements], falling, > 0.
          replica: as in `PowerLawPlusConstant.fit`; all replicas hold the same points, each once.
            None: no intervals.

        Returns: self.
        Raises: ValueError for values that are not finite and > 0, fewer than 4 different values of
          a resource, fewer points than parameters + 1, or replicas of different points.
        """
        self._x, self._y = check_measurements(x, y, replica)
        self.n_features_in_ = self._x.shape[1]
        self._centre = np.log(self._x).mean(axis=0)
        self._u = np.log(self._x) - self._centre
        mean, starts = self._y.mean(axis=0), list(product(STARTS, repeat=self.n_features_in_))
        promising = sorted(starts, key=lambda a: np.sum(self._off(np.log(a), mean) ** 2))
        found = [self._descend(np.log(a), mean) for a in promising[:DESCENTS]]
        self._best = min(found, key=lambda p: np.sum(self._off(p, mean) ** 2))
        self.exponents_, self.constant_, self.amplitudes_ = self._in_units(self._best, mean)
        self.residuals_ = mean - self.predict(self._x)
        self._parts = None
        return self

    def predict(self, x: ArrayLike, interval: float | None = None):
        """y at x [..., resources]; with `interval`, (y, low, high) of the mean over replicas."""
        x = self._checked(x, "predict")
        return self._with_interval(lambda *law: additive(x, *law), interval, "predict", log=False)

    def intervals(self, interval: float = 0.9) -> dict:
        """{"exponents": (values, low, high), "constant": ...}, exponents [resources].

        Raises: ValueError for fewer than 3 replicas.
        """
        return {
            "exponents": self._with_interval(lambda a, *_: a, interval, "intervals"),
            "constant": self._with_interval(lambda _, e, __: e, interval, "intervals", log=False),
        }

    def cheapest(
        self, budget: float, cost: ArrayLike, *, of: str = "sum", interval: float | None = None
    ) -> Cheapest:
        """The best y under sum_j cost_j x_j = budget, or cost x prod_j x_j = budget.

        Args:
          budget: > 0. cost: [resources] > 0 for a sum, one number for a product.
          of: "sum", what is paid for apart (rows, samples); "product", such as FLOPs by samples.
          interval: probability of the intervals, or None.

        Raises: ValueError for numbers that are not finite and > 0, or another `of`.
        """
        check_is_fitted(self, "exponents_")
        name = "AdditivePowerLaw.cheapest"
        budget, cost = real_array(budget, f"{name}: budget"), real_array(cost, f"{name}: cost")
        check_positive(budget, f"{name}: budget")
        check_positive(cost, f"{name}: cost")
        if of not in ("sum", "product"):
            raise ValueError(f'{name}: of must be "sum" or "product"; got {of!r}')
        if cost.shape != ((self.n_features_in_,) if of == "sum" else ()):
            raise ValueError(
                f"{name}: cost must be {self.n_features_in_} numbers for a sum, one for a product; "
                f"got shape {cost.shape}"
            )
        split = cheapest_of_sum if of == "sum" else cheapest_of_product

        def best(exponents, _, amplitudes):
            return split(exponents, amplitudes, float(budget), cost)

        return Cheapest(
            self._with_interval(best, interval, "cheapest"),
            self._with_interval(
                lambda *law: additive(best(*law), *law), interval, "cheapest", log=False
            ),
        )

    def interaction(self) -> Interaction:
        """Whether the terms add up: products of two terms put to the test.

        The p-value is that of the products' common direction beyond the law's own (constant, terms,
        their exponents): one number a replica, Student's t. Points are left out one by one at the
        exponents of the fit.
        """
        check_is_fitted(self, "exponents_")
        terms = np.exp(-self.exponents_ * self._u)
        pairs = combinations(range(self.n_features_in_), 2)
        products = np.stack([terms[:, i] * terms[:, j] for i, j in pairs], axis=1)
        linear = np.column_stack([np.ones(len(terms)), terms])
        own = np.linalg.qr(np.column_stack([linear, terms * self._u])).Q
        beyond = products.sum(axis=1)
        beyond = beyond - own @ (own.T @ beyond)
        p_value = np.nan
        if len(self._y) >= LEAST_REPLICAS:
            p_value = float(stats.ttest_1samp(self._y @ beyond, 0.0).pvalue)
        mean = self._y.mean(axis=0)
        errors = [
            left_out_errors(np.column_stack([linear, more]), mean)
            for more in (np.empty((len(terms), 0)), products)
        ]
        return Interaction(p_value, *(float(np.sqrt(np.mean(error**2))) for error in errors))

    def _off(self, log_exponents, y):
        columns = self._design(log_exponents)
        return columns @ optimize.nnls(columns, y)[0] - y

    def _design(self, log_exponents):
        return np.column_stack([np.ones(len(self._u)), np.exp(-np.exp(log_exponents) * self._u)])

    def _descend(self, start, y):
        bounds = np.log(EXPONENTS)
        return optimize.least_squares(
            lambda p: self._off(p, y) / np.ptp(y), start, bounds=bounds, xtol=1e-12, ftol=1e-12
        ).x

    def _in_units(self, log_exponents, y):
        linear = optimize.nnls(self._design(log_exponents), y)[0]
        exponents = np.exp(log_exponents)
        return exponents, float(linear[0]), linear[1:] * np.exp(exponents * self._centre)

    def _with_interval(self, value, interval, method, log=True):
        """value(law); with `interval`, (value, low, high) by the jackknife, in logs where > 0."""
        best = value(self.exponents_, self.constant_, self.amplitudes_)
        if interval is None:
            return best
        name = f"AdditivePowerLaw.{method}"
        check_interval(interval, f"{name}: interval")
        replicas = len(self._y)
        if replicas < LEAST_REPLICAS:
            raise ValueError(f"{name}: an interval needs 3 replicas or more; got {replicas}")
        if self._parts is None:
            means = (self._y.sum(axis=0) - self._y) / (replicas - 1)
            self._parts = [self._in_units(self._descend(self._best, y), y) for y in means]
        to, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
        without = to(np.array([value(*law) for law in self._parts]))
        half = (replicas - 1) / np.sqrt(replicas) * without.std(axis=0, ddof=1)
        half = half * stats.t(replicas - 1).ppf((1 + interval) / 2)
        return best, back(to(best) - half), back(to(best) + half)

    def _checked(self, x, method):
        check_is_fitted(self, "exponents_")
        name = f"AdditivePowerLaw.{method}: x"
        x = real_array(x, name)
        if x.ndim == 0 or x.shape[-1] != self.n_features_in_:
            raise ValueError(
                f"{name} must be [..., {self.n_features_in_}], the resources of every point; got "
                f"shape {x.shape}"
            )
        check_positive(x, name)
        return x


def additive(x, exponents, constant, amplitudes):
    """constant + sum_j amplitudes_j x_j^-exponents_j of x [..., resources]."""
    return constant + np.sum(amplitudes * x**-exponents, axis=-1)


def cheapest_of_sum(exponents, amplitudes, budget, cost):
    """x [resources] where the last unit of money buys the same of each: cost @ x = budget.

    >>> alike = np.array([0.5, 0.5]), np.array([1.0, 1.0])
    >>> cheapest_of_sum(*alike, 10.0, np.array([1.0, 4.0])).round(4)
    array([3.8649, 1.5338])
    """
    gain = np.log(exponents * amplitudes / cost)

    def split(log_price):
        return np.exp((gain - log_price) / (exponents + 1))

    # Where all of the budget goes to one resource, the price is its own: between these extremes.
    alone = gain - (exponents + 1) * np.log(budget / cost)
    spread = (exponents + 1) * np.log(len(cost))
    low, high = np.min(alone) - 1, np.max(alone + spread) + 1
    price = optimize.brentq(lambda p: np.log(split(p) @ cost / budget), low, high, xtol=1e-13)
    return split(price)


def cheapest_of_product(exponents, amplitudes, budget, cost):
    """x [resources] with cost x prod x = budget, where one per cent more of each is worth the same.

    >>> cheapest_of_product(np.array([0.5, 0.5]), np.array([1.0, 1.0]), 64.0, 4.0).round(9).tolist()
    [4.0, 4.0]
    """
    gain = np.log(exponents * amplitudes)
    price = (np.sum(gain / exponents) - np.log(budget / cost)) / np.sum(1 / exponents)
    return np.exp((gain - price) / exponents)


def left_out_errors(columns, y):
    """Errors of least squares at every row, fitted to the others (PRESS), [n]."""
    axes = np.linalg.qr(columns).Q
    return (y - axes @ (axes.T @ y)) / (1 - np.sum(axes**2, axis=1))


def check_measurements(x, y, replica):
    """x [points, resources] and y [replicas, points], or a ValueError."""
    name = "AdditivePowerLaw.fit"
    x, y = real_array(x, f"{name}: x"), real_array(y, f"{name}: y")
    if x.ndim != 2 or x.shape[1] < 2 or y.shape != (len(x),):
        raise ValueError(
            f"{name}: x must be [measurements, 2 resources or more] and y [measurements]; got "
            f"shapes {x.shape} and {y.shape}"
        )
    check_positive(x, f"{name}: x")
    check_positive(y, f"{name}: y")
    replica = np.zeros(len(x), int) if replica is None else np.asarray(replica)
    if replica.shape != y.shape:
        raise ValueError(
            f"{name}: replica must name the replica of every measurement; got "
            f"{len(replica)} for {len(y)} measurements"
        )
    names, of = np.unique(replica, return_inverse=True)
    points, place = np.unique(x, axis=0, return_inverse=True)
    cells = of * len(points) + place.ravel()
    if len(cells) != len(names) * len(points) or len(np.unique(cells)) != len(cells):
        raise ValueError(f"{name}: every replica must hold each of the {len(points)} points once")
    sizes = [len(np.unique(column)) for column in points.T]
    if min(sizes) < LEAST_SIZES:
        raise ValueError(f"{name}: needs 4 different values of every resource or more; got {sizes}")
    least = 2 + 2 * x.shape[1]
    if len(points) < least:
        raise ValueError(
            f"{name}: needs {least} different points or more for {x.shape[1]} resources; got "
            f"{len(points)}"
        )
    table = np.empty((len(names), len(points)))
    table.ravel()[cells] = y
    if np.all(y == y[0]):
        raise ValueError(f"{name}: y is {y[0]:g} everywhere; a constant has no law")
    return points, table
