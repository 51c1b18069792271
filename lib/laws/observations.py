"""What a law is fitted to: checked points, one row per size, free of units."""

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from lib.infra.arrays import check_positive, real_array, single_column


@dataclass(frozen=True)
class Points:
    """One row per size, in the order of x."""

    u: np.ndarray  # [n] log(x / largest x), from -span to 0
    y: np.ndarray  # [n] geometric mean of a size's repeats, in units of `unit`
    count: np.ndarray  # [n] measurements of a size
    whiten: np.ndarray  # [n, n] makes errors of log y independent, see `whitening`
    noise_slope: float  # of log variance between repeats over u; 0: the same for all sizes
    within: float  # squares of log y around the means of repeats, in units of noise^2
    misfit: float  # share of noise^2 that sizes err by, which no repeat averages out
    scatter: float  # share of noise^2 that a measurement of mean variance errs by
    sign: float  # +1 where y falls towards its asymptote, -1 where it rises
    farthest: float  # distance of the bound from the best y, in ranges of y
    largest_x: float
    unit: float

    @property
    def measurements(self):
        return self.count.sum()

    def noise_share(self, u, repeats=1):
        """Share of noise^2 that the mean of new measurements carries at u, which is at most 0.

        Beyond the sizes the noise stays as at the nearest of them.
        """
        variance = relative_variance(np.clip(u, self.u[0], 0.0), self.noise_slope, self.u)
        return self.misfit + self.scatter * variance / repeats

    @property
    def span(self):
        return -self.u[0]

    @property
    def range(self):
        return np.ptp(self.y)

    @property
    def best(self):
        return self.y.min() if self.sign > 0 else self.y.max()

    def asymptote(self, gaps):
        """Asymptotes that lie `gaps` ranges of y beyond the best point."""
        return self.best - self.sign * gaps * self.range


def check_points(x, y, groups=None, *, name, least):
    """x, y, groups as arrays [measurements]; refuses what no law can be fitted to."""
    x, y = single_column(x, f"{name}: x"), real_array(y, f"{name}: y")
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"{name}: x and y must be lists of equal length; got shapes {x.shape} and {y.shape}"
        )
    check_positive(x, f"{name}: x")
    check_positive(y, f"{name}: y")
    groups = x if groups is None else np.asarray(groups)
    if groups.shape != x.shape:
        raise ValueError(
            f"{name}: groups must name the size of every measurement; got "
            f"{len(groups)} for {len(x)} measurements"
        )
    _, groups = np.unique(groups, return_inverse=True)
    x_of_group = x[np.unique(groups, return_index=True)[1]][groups]
    if np.any(x_of_group != x):
        i = np.flatnonzero(x_of_group != x)[0]
        raise ValueError(
            f"{name}: repeats of one size must have one x; a group holds both "
            f"{x_of_group[i]:g} and {x[i]:g}"
        )
    sizes = len(np.unique(x))
    if sizes < least:
        raise ValueError(f"{name}: needs {least} different x or more; got {sizes}")
    if np.all(y == y[0]):
        raise ValueError(f"{name}: y is {y[0]:g} everywhere; a constant has no law")
    return x, y, groups


def gather_points(x, y, groups, *, direction, bound, error_ratio, error_length, name):
    """`Points` of checked measurements; errors as in `whitening`."""
    log_y = np.log(y)
    count = np.bincount(groups)
    log_x = np.bincount(groups, np.log(x)) / count
    mean = np.bincount(groups, log_y) / count
    order = np.argsort(log_x, kind="stable")
    u, count_in_order = (log_x - log_x.max())[order], count[order].astype(float)
    squares = np.bincount(groups, (log_y - mean[groups]) ** 2)[order]
    slope = noise_slope(u, count_in_order, squares)
    variance = relative_variance(u, slope, u)
    unit = np.exp(mean.mean())
    values = np.exp(mean[order]) / unit
    if np.ptp(values) == 0:
        raise ValueError(f"{name}: the repeats of every size average to one y; no law to fit")
    sign = {"falling": 1.0, "rising": -1.0}.get(direction) or _direction(u, values)
    bound = 0.0 if bound is None and sign > 0 else bound
    best = values.min() if sign > 0 else values.max()
    farthest = np.inf
    if bound is not None:
        farthest = sign * (best - bound / unit) / np.ptp(values)
        if farthest <= 0:
            raise ValueError(
                f"{name}: bound must lie beyond every y; got bound = {bound:g}, "
                f"best y = {best * unit:g}"
            )
    return Points(
        u=u,
        y=values,
        count=count_in_order,
        whiten=whitening(u, count_in_order, error_ratio, error_length, variance),
        noise_slope=slope,
        within=float((1 + error_ratio) * np.sum(squares / variance)),
        misfit=float(error_ratio / count.mean() / (1 + error_ratio)),
        scatter=1 / (1 + error_ratio),
        sign=sign,
        farthest=float(farthest),
        largest_x=float(np.exp(log_x.max())),
        unit=float(unit),
    )


def noise_slope(u, count, squares):
    """Slope of the log variance of single measurements over u, from the repeats of each size.

    Trainings of large sizes may scatter less than those of small ones. The log variance of a size
    of r repeats errs by the trigamma of (r - 1) / 2 (chi squared), which weighs a straight line;
    its slope is shrunk by what it errs itself, to 0 where fewer than 3 sizes are repeated.

    Args:
      u: [n] log x; count: [n] repeats; squares: [n] sums of squares about the means of repeats.
    """
    repeated = (count > 1) & (squares > 0)
    if repeated.sum() < 3:
        return 0.0
    u, half = u[repeated], (count[repeated] - 1) / 2
    log_variance = np.log(squares[repeated] / 2) - special.digamma(half)
    weight = 1 / special.polygamma(1, half)
    u = u - weight @ u / weight.sum()
    information = weight @ u**2
    slope = weight @ (u * log_variance) / information
    return float(slope * max(0.0, 1 - 1 / (information * slope**2))) if slope else 0.0


def relative_variance(u, slope, sizes):
    """Variance of single measurements at u over its mean at the sizes."""
    return np.exp(slope * u) / np.exp(slope * sizes).mean()


def whitening(u, count, ratio, length, variance=1.0):
    """Matrix V with V' V = inverse of the errors' covariance, in units of noise^2, [n, n].

    No curve follows its law exactly: neighbouring sizes err together. Beside an
    independent error of every measurement (its `variance` relative to the mean of all sizes),
    each size has an error of `ratio` times the mean variance, correlated as
    exp(-|distance in u| / (length x measured range)).
    """
    near = np.exp(-np.abs(u[:, None] - u) / (length * -u[0]))
    cov = (np.diag(variance / count) + ratio / count.mean() * near) / (1 + ratio)
    return np.linalg.inv(np.linalg.cholesky(cov))


def _direction(u, y):
    """+1 if y mostly falls with u, -1 if it rises: the sign of Spearman's rank correlation.

    Equal y share a rank. Where that correlation is 0 or undefined the straight line's decides,
    and where this is 0 too, y counts as falling, as losses do.
    """
    for correlation in (stats.spearmanr, stats.pearsonr):
        trend = correlation(u, y).statistic
        if abs(trend) > 1e-9:  # a 0 may come with rounding errors
            return -float(np.sign(trend))
    return 1.0
