"""Bayesian average over broken power laws: many plausible curves, each with its weight.

A law that follows its points better does not extrapolate better, and near its floor it
is hardly identified: so no single curve is trusted. In the logarithm of the gap to the
asymptote `a`, Eq 6 is linear once `a` and the breaks' positions and sharpness are given:

    log |y - a| = theta_0 + theta_1 u + sum_i theta_{i+1} h_i(u),     u = log(x / largest x),
    h_i(u) = f_i log(1 + exp((log d_i - u) / f_i)).

Under Gaussian priors and noise its coefficients, their covariance and the evidence of
the combination then have closed forms. A grid covers the rest (asymptote, positions,
sharpness, noise); every combination is weighed by its evidence, and all are averaged.

Bends point to the left: theta_1 is the slope *beyond* the last break, the one that
extrapolates, and the prior speaks of it directly.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np


@dataclass(frozen=True)
class Prior:
    """What is plausible before a point is seen: one setting for all kinds of curves.

    Chosen by hand and random search on the even-numbered tasks of public scaling curves
    (benchmarks/laws.py); around these values the errors of the large families there hardly
    change, those of a few curves (language models, translation) do. Positions,
    sharpness and error_length are shares of the measured range of log x, distances of the
    asymptote shares of the range of y, noises shares of the range of log y: units do not
    matter.
    """

    slope: float = -0.4  # theta_1, beyond the last break
    slope_sd: float = 0.4
    bend_sd: float = 0.5  # of theta_2 ...
    places: int = 9  # candidate positions of breaks
    last_place: float = 0.95  # no break in the last part of the data
    by_points: float = 0.25  # 0: places even in log x, 1: even in the number of points
    sharpness: tuple = (0.04, 0.08, 0.16)
    asymptotes: int = 11  # candidates, even in log distance from the best point
    nearest: float = 0.005
    farthest: float = 10.0  # or the bound, if that is nearer
    distance_power: float = -0.45  # prior density of log distance: distance^distance_power
    noises: tuple = tuple((1e-3 * 2.0 ** np.arange(9)).tolist())
    noise: float = 0.01  # most plausible
    noise_spread: float = 1.0  # standard deviation of log noise
    error_ratio: float = 2.0  # see `lib.laws.observations.whitening`
    error_length: float = 0.1


@dataclass(frozen=True)
class Members:
    """The laws of an average, one a row; laws with fewer breaks carry bends of size 0."""

    weight: np.ndarray  # [m], sums to 1
    asymptote: np.ndarray  # [m], unit of Points.y
    place: np.ndarray  # [m, t], log(d / largest x)
    sharpness: np.ndarray  # [m, t], f
    theta: np.ndarray  # [m, 2 + t], mean of the coefficients
    cov: np.ndarray  # [m, 2 + t, 2 + t], their covariance
    noise: np.ndarray  # [m], standard deviation of log y

    def __len__(self):
        return len(self.weight)

    def take(self, rows):
        """The chosen laws, weights made to sum to 1 again."""
        fields = {k: v[rows] for k, v in vars(self).items()}
        fields["weight"] = fields["weight"] / fields["weight"].sum()
        return Members(**fields)

    def log_y(self, u, sign):
        """log y of every law and its standard deviation without noise, both [m, n]."""
        basis = design(u, self.place, self.sharpness)
        gap = np.exp(np.minimum(np.einsum("mni,mi->mn", basis, self.theta), 50.0))
        y = np.maximum(self.asymptote[:, None] + sign * gap, 1e-12)
        variance = np.einsum("mni,mni->mn", basis @ self.cov, basis)
        return np.log(y), np.sqrt(np.maximum(variance, 0.0)) * gap / y

    def monotone(self):
        """Which laws only approach their asymptote, [m]."""
        order = np.argsort(self.place, axis=1)  # laws walked downhill may have changed it
        bends = np.take_along_axis(self.theta[:, 2:], order, axis=1)
        return falls_towards(np.concatenate([self.theta[:, :2], bends], axis=1))


def falls_towards(theta):
    """Whether all slopes of the log gap are <= 0, bends left to right: theta [m, 2 + t] -> [m]."""
    slopes = theta[:, 1:2] - np.cumsum(theta[:, :1:-1], axis=1)
    return (theta[:, 1] <= 0) & np.all(slopes <= 0, axis=1)


def design(u, place, sharpness):
    """Columns 1, u, h_1(u) ... h_t(u): u [n], place and sharpness [m, t] -> [m, n, 2 + t]."""
    m, t = np.broadcast_shapes(place.shape, sharpness.shape)
    columns = np.empty((m, len(u), 2 + t))
    columns[:, :, 0] = 1.0
    columns[:, :, 1] = u
    f = sharpness[:, None, :]
    ahead = (place[:, None, :] - u[:, None]) / f
    # log(1 + exp(ahead)); np.logaddexp is several times slower
    columns[:, :, 2:] = f * (np.maximum(ahead, 0.0) + np.log(1.0 + np.exp(-np.abs(ahead))))
    return columns


def prior_terms(breaks, prior):
    """Precision and mean of the coefficients, [2 + breaks]; the scale of y is left free."""
    precision = np.r_[1e-4, prior.slope_sd**-2.0, np.full(breaks, prior.bend_sd**-2.0)]
    mean = np.r_[0.0, prior.slope, np.zeros(breaks)]
    return precision, mean


@cache
def subsets(places, breaks):
    """All ways to put the breaks on different places, [breaks, ways]."""
    ways = list(combinations(range(places), breaks))
    return np.array(ways, dtype=int).reshape(len(ways), breaks).T


class Grid:
    """Normal equations of every row (noise, sharpness, asymptote), with all breaks in.

    Leaving breaks out is leaving rows and columns out, so one matrix serves all subsets
    of the places. The line's two columns are eliminated once.
    """

    def __init__(self, points, prior):
        self.points, self.prior = points, prior
        far = min(prior.farthest, points.farthest)
        distance = np.geomspace(min(prior.nearest, far / 2), far, prior.asymptotes)
        self.asymptotes = points.asymptote(distance)
        self.places = break_places(points, prior)
        self.sharpness = np.array(prior.sharpness) * points.span
        noise = np.array(prior.noises)
        self.noises = noise * np.ptp(np.log(points.y))
        self.shape = len(self.noises), len(self.sharpness), len(self.asymptotes)

        rows, target = self._weighted_rows()
        gram = np.swapaxes(rows, -1, -2) @ rows
        projection = (np.swapaxes(rows, -1, -2) @ target[..., None])[..., 0]
        power = np.sum(target**2, axis=-1) + points.within
        per_variance = self.noises[:, None, None] ** -2.0
        precision, mean = prior_terms(len(self.places), prior)
        normal = gram * per_variance[..., None, None] + np.diag(precision)
        response = projection * per_variance[..., None] + precision * mean
        log_prior = (
            prior.distance_power * np.log(distance)
            - 0.5 * (np.log(noise / prior.noise)[:, None, None] / prior.noise_spread) ** 2
        )
        log_prior = np.broadcast_to(log_prior, self.shape)
        log_weight = (
            log_prior
            - 0.5 * power * per_variance
            - points.measurements * np.log(self.noises)[:, None, None]
        )
        self.log_prior = log_prior.ravel()
        size = len(precision)
        self.normal, self.response = normal.reshape(-1, size, size), response.reshape(-1, size)
        self._eliminate_line(log_weight.ravel())

    def _weighted_rows(self):
        """Basis [sharpness, asymptote, n, columns] and log gap, weighted for errors of log y."""
        points = self.points
        self.basis = design(points.u, self.places[None], self.sharpness[:, None])
        gap = points.sign * (points.y - self.asymptotes[:, None])
        scale = gap / points.y
        rows = points.whiten @ (scale[:, :, None] * self.basis[:, None])
        target = (scale * np.log(gap)) @ points.whiten.T
        return rows, np.broadcast_to(target, rows.shape[:-1])

    def _eliminate_line(self, log_weight):
        S, v = self.normal, self.response
        for k in range(2):
            pivot = S[:, k, k]
            column, step = S[:, :, k], v[:, k] / pivot
            log_weight = log_weight + 0.5 * (v[:, k] * step - np.log(pivot))
            S = S - (column / pivot[:, None])[:, :, None] * column[:, None, :]
            v = v - step[:, None] * column
        self.log_weight = log_weight
        self.S = np.ascontiguousarray(np.moveaxis(S[:, 2:, 2:], 0, -1))  # [places, places, rows]
        self.v = np.ascontiguousarray(v[:, 2:].T)

    def log_evidence(self, breaks):
        """Log evidence of all ways to place the breaks in all rows, [ways, rows].

        Every number of breaks is as likely beforehand, and every way to place them. A
        Cholesky factorisation written out, so that ways and rows go through it at once.
        """
        if breaks == 0:
            return self.log_weight[None]
        ways = subsets(len(self.places), breaks)
        gain, pivots, steps, factor = 0.0, [], [], {}
        for p in range(breaks):
            pivot, step = self.S[ways[p], ways[p]], self.v[ways[p]]
            for q in range(p):
                entry = self.S[ways[p], ways[q]]
                for k in range(q):
                    entry = entry - factor[p, k] * factor[q, k] * pivots[k]
                factor[p, q] = entry / pivots[q]
                pivot = pivot - factor[p, q] * entry
                step = step - factor[p, q] * steps[q]
            pivots.append(pivot)
            steps.append(step)
            gain = gain + step * step / pivot - np.log(pivot)
        odds = -breaks * np.log(self.prior.bend_sd) - np.log(ways.shape[1])
        return self.log_weight + 0.5 * gain + odds

    def monotone(self, breaks):
        """Which of all ways to place the breaks only approach the asymptote, [ways, rows]."""
        ways = subsets(len(self.places), breaks).shape[1]
        every = np.ones((ways, len(self.log_weight)), dtype=bool)
        return falls_towards(self._laws(breaks, every, breaks)["theta"]).reshape(every.shape)

    def members(self, log_evidence, window=5.0):
        """The plausible laws, `Members`, out of {breaks: log evidence [ways, rows]}."""
        best = max(e.max() for e in log_evidence.values())
        most_breaks = max(log_evidence)
        parts = [
            self._laws(breaks, e > best - window, most_breaks) for breaks, e in log_evidence.items()
        ]
        merged = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
        return polished(self.points, self.prior, **merged)

    def _laws(self, breaks, plausible, most_breaks):
        way, row = np.nonzero(plausible)
        ways = subsets(len(self.places), breaks)
        chosen = ways[:, way].T
        keep = np.column_stack([np.tile([0, 1], (len(way), 1)), chosen + 2])
        noise, sharpness, asymptote = np.unravel_index(row, self.shape)
        normal = self.normal[row[:, None, None], keep[:, :, None], keep[:, None, :]]
        m, used = len(way), 2 + breaks
        place, sharp = np.zeros((m, most_breaks)), np.ones((m, most_breaks))
        theta = np.zeros((m, 2 + most_breaks))
        basis = np.zeros((m, len(self.points.u), 2 + most_breaks))
        place[:, :breaks] = self.places[chosen]
        sharp[:, :breaks] = self.sharpness[sharpness][:, None]
        response = self.response[row[:, None], keep][..., None]
        theta[:, :used] = np.linalg.solve(normal, response)[..., 0]
        basis[:, :, :used] = np.moveaxis(self.basis[sharpness[:, None], :, keep], 1, 2)
        return {
            "log_prior": self.log_prior[row] - np.log(ways.shape[1]),
            "basis": basis,
            "breaks": np.full(m, breaks),
            "asymptote": self.asymptotes[asymptote],
            "place": place,
            "sharpness": sharp,
            "theta": theta,
            "noise": self.noises[noise],
        }


def polished(points, prior, *, log_prior, basis, breaks, asymptote, place, sharpness, theta, noise):
    """`Members` after one Newton step on the errors of log y, weighed by Laplace's evidence.

    The grid takes errors of the log gap, scaled; near the asymptote that is too coarse: a
    point that all but touches it would cost nothing.
    """
    precision, mean = prior_terms(place.shape[1], prior)
    used = np.arange(2 + place.shape[1]) < 2 + breaks[:, None]
    residual, slope = errors(points, asymptote, theta, basis)
    residual, rows = residual @ points.whiten.T, points.whiten @ (slope[:, :, None] * basis)
    normal = np.swapaxes(rows, 1, 2) @ rows / noise[:, None, None] ** 2 + np.diag(precision)
    cov = np.linalg.inv(normal)
    pull = (residual[:, None] @ rows)[:, 0] / noise[:, None] ** 2 + precision * (mean - theta)
    theta = theta + np.clip((cov @ pull[:, :, None])[:, :, 0], -1.0, 1.0)
    residual, _ = errors(points, asymptote, theta, basis)
    square = np.sum((residual @ points.whiten.T) ** 2, axis=1) + points.within
    log_evidence = (
        log_prior
        - points.measurements * np.log(noise)
        - 0.5 * square / noise**2
        - 0.5 * np.sum(precision * (theta - mean) ** 2, axis=1)
        - 0.5 * np.linalg.slogdet(normal / precision)[1]
    )
    weight = np.exp(log_evidence - log_evidence.max())
    cov *= used[:, :, None] & used[:, None, :]
    return Members(weight / weight.sum(), asymptote, place, sharpness, theta * used, cov, noise)


def errors(points, asymptote, theta, basis):
    """Errors of log y, and the slope of log y by the log gap, both [m, n]."""
    gap = np.exp(np.minimum((basis @ theta[:, :, None])[:, :, 0], 50.0))
    y = np.maximum(asymptote[:, None] + points.sign * gap, 1e-12)
    return np.log(points.y / y), points.sign * gap / y


def break_places(points, prior):
    """Candidate positions of breaks on u: between even in log x and even in the points."""
    fine = np.linspace(-points.span, 0.0, 401)
    by_points = np.interp(fine, points.u, np.linspace(0.0, 1.0, len(points.u)))
    share = (1 - prior.by_points) * (1 + fine / points.span) + prior.by_points * by_points
    return np.interp(np.linspace(0.0, prior.last_place, prior.places + 2)[1:-1], share, fine)
