"""What a law is fitted to: checked points, one row per size, free of units."""

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from lib.infra.arrays import check_positive, real_array, single_column
from lib.laws.smoothing_spline import robust_spline, standard_deviation_of_most, trust_of

MOST_SIZES = 64  # more are averaged in cells of equal width in log x


@dataclass(frozen=True)
class Points:
    """One row per size, in the order of x; of many sizes, one per cell of neighbours."""

    u: np.ndarray  # [n] log(x / largest x), from -span to 0
    y: np.ndarray  # [n] geometric mean of a size's repeats, in units of `unit`
    smooth: np.ndarray  # [n] a smooth curve through y, see `lib.laws.smoothing_spline`
    count: np.ndarray  # [n] measurements of a size; what is off all others counts less
    variance: np.ndarray  # [n] of a single measurement, relative to its mean over sizes
    noise: float  # of log y about the smooth curve, standard deviation of single measurements
    noise_slope: float  # of log variance between repeats over u; 0: the same for all sizes
    within: float  # squares of log y around the means of repeats, relative to the variance
    sign: float  # +1 where y falls towards its asymptote, -1 where it rises
    farthest: float  # distance of the bound from the best y, in ranges of y
    largest_x: float
    unit: float
    spikes: np.ndarray  # x of the measurements that lie off all others

    @property
    def measurements(self):
        return self.count.sum()

    def relative_variance(self, u):
        """Variance of a single measurement at u over its mean at the sizes.

        Beyond the sizes it stays as at the nearest of them.
        """
        return relative_variance(np.clip(u, self.u[0], 0.0), self.noise_slope, self.u)

    @property
    def span(self):
        return -self.u[0]

    @property
    def range(self):
        return np.ptp(self.smooth)

    @property
    def best(self):
        return self.smooth.min() if self.sign > 0 else self.smooth.max()

    def asymptote(self, gaps):
        """Asymptotes that lie `gaps` ranges of y beyond the best point."""
        return self.best - self.sign * gaps * self.range


def check_lists(x, y, name):
    """x and y as arrays [measurements]; ValueError unless they are as long, finite and > 0."""
    x, y = single_column(x, f"{name}: x"), real_array(y, f"{name}: y")
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"{name}: x and y must be lists of equal length; got shapes {x.shape} and {y.shape}"
        )
    check_positive(x, f"{name}: x")
    check_positive(y, f"{name}: y")
    return x, y


def check_points(x, y, groups=None, *, name, least):
    """x, y, groups as arrays [measurements]; refuses what no law can be fitted to."""
    x, y = check_lists(x, y, name)
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


def gather_points(x, y, groups, *, direction, bound, name):
    """`Points` of checked measurements."""
    log_y = np.log(y)
    count = np.bincount(groups).astype(float)
    log_x = np.bincount(groups, np.log(x)) / count
    z = np.bincount(groups, log_y) / count
    squares = np.bincount(groups, (log_y - z[groups]) ** 2)
    order = np.argsort(log_x, kind="stable")
    largest = log_x.max()
    u, z, count, squares = (v[order] for v in (log_x - largest, z, count, squares))
    unit = np.exp(z.mean())
    z = z - z.mean()
    if np.ptp(z) == 0:
        raise ValueError(f"{name}: the repeats of every size average to one y; no law to fit")
    spikes = np.empty(0)
    if len(u) > MOST_SIZES:
        u, z, count, squares, spikes = in_cells(u, z, count, squares)
    slope = noise_slope(u, count, squares)
    variance = relative_variance(u, slope, u)
    smooth, noise, trust = z, 0.0, np.ones(len(u))
    if len(u) > 5:
        (smooth, noise, _), trust = robust_spline(u, z, count / variance)
    spikes = np.append(spikes, u[trust < 0.5])
    within = np.sum(squares / variance)
    freedom = np.maximum(count - 1, 0.0).sum()
    noise = np.sqrt((within + (len(u) - 3) * noise**2) / max(freedom + len(u) - 3, 1))
    smooth = np.exp(smooth)
    sign = {"falling": 1.0, "rising": -1.0}.get(direction) or _direction(u, z)
    bound = 0.0 if bound is None and sign > 0 else bound
    best, farthest = np.exp((sign * z).min() * sign), np.inf
    if bound is not None:
        if sign * (best - bound / unit) <= 0:
            raise ValueError(
                f"{name}: bound must lie beyond every y; got bound = {bound:g}, "
                f"best y = {best * unit:g}"
            )
        smooth = sign * np.maximum(sign * smooth, sign * (best + bound / unit) / 2)
        farthest = (sign * smooth).min() - sign * bound / unit
        farthest = farthest / np.ptp(smooth)
    return Points(
        u=u,
        y=np.exp(z),
        smooth=smooth,
        count=count * trust,
        variance=variance,
        noise=float(noise),
        noise_slope=slope,
        within=float(within),
        sign=sign,
        farthest=float(farthest),
        largest_x=float(np.exp(largest)),
        unit=float(unit),
        spikes=np.exp(largest + np.sort(spikes)),
    )


def in_cells(u, z, count, squares):
    """Sizes averaged in `MOST_SIZES` cells of equal width in u, spikes left out.

    Returns: u, mean of z, count and squares about the curve through the cells, one a cell that
    holds a size, and the u of what lies off that curve.
    """
    edges = np.linspace(u[0], u[-1], MOST_SIZES + 1)[1:-1]
    _, cell = np.unique(np.searchsorted(edges, u, side="right"), return_inverse=True)

    def total(values):
        return np.bincount(cell, values)

    first = np.flatnonzero(np.diff(cell, prepend=-1))
    middle = total(count * u) / total(count)
    medians = np.array([np.median(part) for part in np.split(z, first[1:])])
    curve = robust_spline(middle, medians, total(count))[0].values
    off = z - np.interp(u, middle, curve)
    distance = np.abs(off) * np.sqrt(count)
    trust = trust_of(distance / standard_deviation_of_most(distance))
    weight = count * trust
    mean = total(weight * off) / total(weight)
    squares = total(weight * (off - mean[cell]) ** 2 + trust * squares)
    return middle, curve + mean, total(weight), squares, u[trust < 0.5]


def noise_slope(u, count, squares):
    """Slope of the log variance of single measurements over u, from the repeats of each size.

    Trainings of large sizes may scatter less than those of small ones. The log variance of a size
    of r repeats errs by the trigamma of (r - 1) / 2 (chi squared), which weighs a straight line;
    its slope is shrunk by what it errs itself, to 0 where fewer than 3 sizes are repeated.

    Args:
      u: [n] log x; count: [n] repeats; squares: [n] sums of squares about the means of repeats.
    """
    repeated = (count >= 2) & (squares > 0)
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


def whitening(points, ratio, length):
    """Matrix V with V' V = inverse of the errors' covariance over noise^2, [n, n]; log det V.

    No curve follows its law exactly: neighbouring sizes err together. Beside an independent
    error of every measurement, each size has an error of variance `ratio` x noise^2, correlated
    as exp(-|distance in u| / length).
    """
    near = np.exp(-np.abs(points.u[:, None] - points.u) / length)
    factor = np.linalg.cholesky(np.diag(points.variance / points.count) + ratio * near)
    return np.linalg.inv(factor), -np.log(np.diag(factor)).sum()


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
