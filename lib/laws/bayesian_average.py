"""Bayesian average over broken power laws: many plausible curves, each with its weight.

A law that follows its points better does not extrapolate better, and near its floor it
is hardly identified: so no single curve is trusted. In the logarithm of the gap to the
asymptote `a`, Eq 6 is linear once `a` and the breaks' positions and sharpness are given:

    log |y - a| = theta_0 + theta_1 u + sum_i theta_{i+1} h_i(u),     u = log(x / largest x),
    h_i(u) = f_i log(1 + exp((log d_i - u) / f_i)).

Errors are of log y, so a point weighs as (y - a) / y. Taken from the noisy point itself that
weight is an error in the regressors: the law flattens, the more so the more points there are.
It comes from a smooth curve through the points instead (`lib.laws.smoothing_spline`), about
which log y is linearised; on points without noise the two are one.

Under Gaussian priors and noise the coefficients, their covariance and the evidence of
the combination then have closed forms. A grid covers the rest (asymptote, positions,
sharpness, noise and the part of it that neighbouring sizes share); every combination is
weighed by its evidence, and all are averaged.

Bends point to the left: theta_1 is the slope *beyond* the last break, the one that
extrapolates, and the prior speaks of it directly. Where a curve has broken before, it may break
again beyond the data: a law's slope is taken to wander there at the rate of its own breaks.
"""

from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, pairwise

import numpy as np

from lib.laws.observations import whitening

MOST_MEMBERS = 256  # laws of an average, the most plausible ones
LEAST_WEIGHT = 1e-6  # of the most plausible one's, below which a law is left out
WINDOW = 5.0  # differences of log evidence beyond which a law is left out
PAIR_WINDOW = 4.0  # the same for pairs of noise and ratio, on the coarse grid
NO_LAW = "y varies too much from one x to the next: no law comes near it in double precision"


@dataclass(frozen=True)
class Prior:
    """What is plausible before a point is seen: one setting for all kinds of curves.

    Chosen by hand and random search on made curves (benchmarks/made_curves.py) and on the
    even-numbered tasks of public scaling curves (benchmarks/laws.py), each also cut at half its
    largest x; around these values the errors of the large families hardly change, those of a few
    curves (language models, translation) do. Nearer asymptotes suit those few as they stand and
    hardly anything else: laws of few sizes stall. Positions,
    sharpness and error_length are shares of the measured range of log x, distances of the
    asymptote shares of the range of y, noises shares of the range of log y: units do not
    matter.
    """

    slope: float = -0.4  # theta_1, beyond the last break
    slope_sd: float = 0.6
    bend_sd: float = 0.5  # of theta_2 ...
    places: int = 9  # candidate positions of breaks
    last_place: float = 0.97  # no break in the last part of the data
    by_points: float = 0.25  # 0: places even in log x, 1: even in the number of points
    sharpness: tuple = (0.04, 0.08, 0.16)
    asymptotes: int = 11  # candidates, even in log distance from the best point
    nearest: float = 0.005
    farthest: float = 10.0  # or the bound, if that is nearer
    distance_power: float = 0.1  # prior density of log distance: distance^distance_power
    noises: int = 7  # candidates about the noise of the smooth curve
    least_noise: float = 1e-3
    noise: float = 0.01  # most plausible
    noise_spread: float = 0.5  # half width of log noise (Cauchy)
    error_ratios: tuple = (0.0, 0.5, 2.0, 8.0)  # see `lib.laws.observations.whitening`
    error_odds: tuple = (1.0, 1.0, 1.0, 1.0)  # of each ratio
    error_length: float = 0.1
    new_breaks: float = 1.5  # beyond the data, over the rate of a law's breaks within


@dataclass(frozen=True)
class Members:
    """The laws of an average, one a row; laws with fewer breaks carry bends of size 0."""

    weight: np.ndarray  # [m], sums to 1
    asymptote: np.ndarray  # [m], unit of Points.y
    place: np.ndarray  # [m, t], log(d / largest x)
    sharpness: np.ndarray  # [m, t], f
    theta: np.ndarray  # [m, 2 + t], mean of the coefficients
    reach: np.ndarray  # [m], derivative of the asymptote by the log of its distance
    cov: np.ndarray  # [m, 3 + t, 3 + t], of that log distance and the coefficients
    noise: np.ndarray  # [m], standard deviation of log y, of single measurements
    ratio: np.ndarray  # [m], variance of the errors that neighbouring sizes share, over noise^2
    drift: np.ndarray  # [m], variance of the log gap beyond the data, over u^3
    end: np.ndarray  # [m], what the last points share of errors of log y, by which `log_y` starts
    end_variance: np.ndarray  # [m], what is not known of that, over noise^2
    length: np.ndarray  # [m], of their correlation, in u

    def __len__(self):
        return len(self.weight)

    def take(self, rows):
        """The chosen laws, weights made to sum to 1 again."""
        fields = {k: v[rows] for k, v in vars(self).items()}
        fields["weight"] = fields["weight"] / fields["weight"].sum()
        return Members(**fields)

    def log_y(self, u, sign, drift=0.0):
        """log y of every law and its standard deviation without noise, both [m, n].

        `drift`: how far every law's log gap has wandered beyond the data, over u^1.5, [m].
        """
        basis = design(u, self.place, self.sharpness)
        log_gap = np.einsum("mni,mi->mn", basis, self.theta)
        log_gap += np.multiply.outer(drift, np.maximum(u, 0.0) ** 1.5)
        gap = np.exp(np.minimum(log_gap, 50.0))
        y = np.maximum(self.asymptote[:, None] + sign * gap, 1e-12)
        slope = sign * gap / y
        rows = np.concatenate(
            [(self.reach[:, None] / y + slope)[:, :, None], slope[:, :, None] * basis], axis=2
        )
        variance = np.einsum("mni,mni->mn", rows @ self.cov, rows)
        variance += self.drift[:, None] * np.maximum(u, 0.0) ** 3 * slope**2
        return np.log(y) + self.end[:, None] * self._near_end(u), np.sqrt(np.maximum(variance, 0))

    def noise_variance(self, u, alone):
        """Variance of a measurement of log y about `log_y`, [m, n].

        `alone`: of its independent errors relative to noise^2, [n]. What neighbouring sizes share
        no repeat averages out; near the end of the data it is partly known.
        """
        known = (self.ratio - self.end_variance)[:, None] * self._near_end(u) ** 2
        return self.noise[:, None] ** 2 * (alone + self.ratio[:, None] - known)

    def _near_end(self, u):
        return np.exp(-np.abs(u) / self.length[:, None])

    def without_end(self):
        """The same laws where the last points' shared errors count as no more than errors."""
        return replace(self, end=np.zeros_like(self.end), end_variance=self.ratio)

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
    """Normal equations of every row (ratio, noise, sharpness, asymptote), with all breaks in.

    Leaving breaks out is leaving rows and columns out, so one matrix serves all subsets
    of the places. The line's two columns are eliminated once, and so is that of the asymptote:
    about each candidate it may move by a share of the step to the next, so that laws of many points
    lie where they should and not on the grid. A coarse grid of asymptotes first tells which pairs
    of ratio and noise are plausible for laws of `counts` breaks.
    """

    def __init__(self, points, prior, counts):
        self.points, self.prior = points, prior
        far = min(prior.farthest, points.farthest)
        self.distance = np.geomspace(min(prior.nearest, far / 2), far, prior.asymptotes)
        self.asymptotes = points.asymptote(self.distance)
        self.reach_sd = np.log(self.distance[1] / self.distance[0]) / 2
        self.places = break_places(points, prior)
        self.sharpness = np.array(prior.sharpness) * points.span
        self.ratios, self.noises = np.array(prior.error_ratios), noise_candidates(points, prior)
        self.basis = design(points.u, self.places[None], self.sharpness[:, None])
        self._weigh()
        every = np.arange(len(self.asymptotes))
        pairs = np.indices((len(self.ratios), len(self.noises))).reshape(2, -1).T
        self._choose(pairs, every[::4])
        best = np.max([self.log_evidence(breaks).max(axis=0) for breaks in counts], axis=0)
        best = best.reshape(len(pairs), -1).max(axis=1)
        if best.max() == -np.inf:
            raise ValueError(NO_LAW)
        self._choose(pairs[best > best.max() - PAIR_WINDOW], every)

    def _weigh(self):
        """Gram matrices of basis and log gap, [entries, ratio x sharpness x asymptote]."""
        points = self.points
        gap = points.sign * (points.smooth - self.asymptotes[:, None])
        scale = points.sign * gap / points.smooth  # of the log gap's errors, as errors of log y
        sharp, n, columns = self.basis.shape
        rows = np.empty((n, sharp, len(gap), columns + 2))
        rows[..., 0] = (1 - points.best / points.smooth)[:, None, None]
        rows[..., 1:-1] = scale.T[:, None, :, None] * np.swapaxes(self.basis, 0, 1)[:, :, None]
        rows[..., -1] = (scale * np.log(gap) + np.log(points.y / points.smooth)).T[:, None]
        self.whiten, self.log_det, gram = [], np.empty(len(self.ratios)), []
        self.length = self.prior.error_length * points.span
        for k, ratio in enumerate(self.ratios):
            whiten, self.log_det[k] = whitening(points, ratio, self.length)
            self.whiten.append(whiten)
            white = (whiten @ rows.reshape(n, -1)).reshape(n, -1, columns + 2).swapaxes(0, 1)
            white = np.ascontiguousarray(white)
            gram.append(white.swapaxes(-1, -2) @ white)
        self._gram = np.ascontiguousarray(np.concatenate(gram).reshape(-1, (columns + 2) ** 2).T)

    def _prior_terms(self, breaks):
        """Precision and mean of log distance and coefficients, [3 + breaks]."""
        precision, mean = prior_terms(breaks, self.prior)
        return np.r_[self.reach_sd**-2.0, precision], np.r_[0.0, mean]

    def _choose(self, pairs, asymptotes):
        """Takes the rows of pairs of ratio and noise, [pairs, 2], by sharpness by asymptotes."""
        points, prior, sharpness = self.points, self.prior, np.arange(len(self.sharpness))
        pair, sharp, asymptote = (
            axis.ravel()
            for axis in np.meshgrid(np.arange(len(pairs)), sharpness, asymptotes, indexing="ij")
        )
        ratio, noise = pairs[pair].T
        self.rows = {"ratio": ratio, "noise": noise, "sharpness": sharp, "asymptote": asymptote}
        noises = self.noises[noise]
        cell = (ratio * len(sharpness) + sharp) * len(self.asymptotes) + asymptote
        size = len(self.places) + 3
        gram = (self._gram[:, cell] * noises**-2.0).reshape(size + 1, size + 1, -1)
        precision, mean = self._prior_terms(len(self.places))
        self.normal, self.response = gram[:-1, :-1], gram[:-1, -1] + (precision * mean)[:, None]
        self.normal[np.arange(size), np.arange(size)] += precision[:, None]
        noise_odds = np.log(self.noises / np.ptp(np.log(points.smooth)) / prior.noise)
        self.log_prior = (
            prior.distance_power * np.log(self.distance)[asymptote]
            - np.log1p((noise_odds[noise] / prior.noise_spread) ** 2)
            + np.log(prior.error_odds)[ratio]
        )
        log_weight = (
            self.log_prior
            + self.log_det[ratio]
            - 0.5 * (gram[-1, -1] + points.within / noises**2)
            - points.measurements * np.log(noises)
        )
        S, v = self.normal, self.response
        for _ in range(3):
            pivot, log_weight = _regular(S[0, 0], log_weight)
            column, step = S[0, 1:], v[0] / pivot
            log_weight = log_weight + 0.5 * (v[0] * step - np.log(pivot))
            S, v = S[1:, 1:] - (column / pivot)[:, None] * column, v[1:] - step * column
        self.log_weight, self.S, self.v = log_weight, S, v

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
            pivot, gain = _regular(pivot, gain)
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

    def members(self, log_evidence, window=WINDOW):
        """The plausible laws, `Members`, out of {breaks: log evidence [ways, rows]}."""
        every = np.concatenate([evidence.ravel() for evidence in log_evidence.values()])
        least = every.max() - window
        if np.isfinite(window) and np.count_nonzero(every > least) > MOST_MEMBERS:
            least = np.partition(every, -MOST_MEMBERS - 1)[-MOST_MEMBERS - 1]
        most_breaks = max(log_evidence)
        parts = [
            self._laws(breaks, evidence > least, most_breaks)
            for breaks, evidence in log_evidence.items()
        ]
        merged = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
        order = np.argsort(merged["ratio"], kind="stable")
        laws = self._polished(**{k: values[order] for k, values in merged.items()})
        least = LEAST_WEIGHT * laws.weight.max() if np.isfinite(window) else 0.0
        return laws.take(laws.weight >= least)

    def _laws(self, breaks, plausible, most_breaks):
        way, row = np.nonzero(plausible)
        ways = subsets(len(self.places), breaks)
        chosen = ways[:, way].T
        keep = np.column_stack([np.tile([0, 1, 2], (len(way), 1)), chosen + 3])
        ratio, noise, sharpness, asymptote = (values[row] for values in self.rows.values())
        normal = self.normal[keep[:, :, None], keep[:, None, :], row[:, None, None]]
        m, used = len(way), 2 + breaks
        place, sharp = np.zeros((m, most_breaks)), np.ones((m, most_breaks))
        theta = np.zeros((m, 2 + most_breaks))
        basis = np.zeros((m, len(self.points.u), 2 + most_breaks))
        place[:, :breaks] = self.places[chosen]
        sharp[:, :breaks] = self.sharpness[sharpness][:, None]
        response = self.response[keep, row[:, None]][..., None]
        cov, moved = np.linalg.inv(normal), np.linalg.solve(normal, response)[..., 0]
        moved = self._kept_in_reach(moved, cov, self.distance[asymptote])
        theta[:, :used] = moved[:, 1:]
        basis[:, :, :used] = np.moveaxis(self.basis[sharpness[:, None], :, keep[:, 1:] - 1], 1, 2)
        return {
            "log_prior": self.log_prior[row] - np.log(ways.shape[1]),
            "basis": basis,
            "breaks": np.full(m, breaks),
            "distance": self.distance[asymptote],
            "farther": moved[:, 0],
            "place": place,
            "sharpness": sharp,
            "theta": theta,
            "noise": self.noises[noise],
            "ratio": ratio,
        }

    def _polished(
        self, *, log_prior, basis, breaks, distance, farther, place, sharpness, theta, noise, ratio
    ):
        """`Members` after one Newton step on the errors of log y, weighed by Laplace's evidence.

        The grid is linear about the smooth curve; near the asymptote that is too coarse: a
        point that all but touches it would cost nothing. Rows come in the order of their ratio.
        """
        points, prior = self.points, self.prior
        precision, mean = self._prior_terms(place.shape[1])
        used = np.arange(3 + place.shape[1]) < 3 + breaks[:, None]
        ends = np.searchsorted(ratio, np.arange(len(self.ratios) + 1))
        of_ratio = [slice(*pair) for pair in pairwise(ends)]
        moved = np.column_stack([farther, theta])
        asymptote, theta = self._placed(moved, distance)
        error, slope, y = errors(points, asymptote, theta, basis)
        rows = np.concatenate(
            [(1 - points.best / y)[:, :, None], slope[:, :, None] * basis], axis=2
        )
        columns = np.concatenate([error[:, :, None], rows], axis=2)
        for whiten, part in zip(self.whiten, of_ratio, strict=True):
            columns[part] = whiten @ columns[part]
        error, rows = columns[:, :, 0], columns[:, :, 1:]
        normal = np.swapaxes(rows, 1, 2) @ rows / noise[:, None, None] ** 2 + np.diag(precision)
        regular = np.linalg.slogdet(normal)[0] != 0
        cov = np.linalg.inv(np.where(regular[:, None, None], normal, np.diag(precision)))
        pull = (error[:, None] @ rows)[:, 0] / noise[:, None] ** 2 + precision * (mean - moved)
        step = (cov @ pull[:, :, None])[:, :, 0]
        step /= np.maximum(np.abs(step).max(axis=1, keepdims=True), 1.0)
        moved = self._kept_in_reach(moved + step, cov, distance)
        asymptote, theta = self._placed(moved, distance)
        error, _, _ = errors(points, asymptote, theta, basis)
        for whiten, part in zip(self.whiten, of_ratio, strict=True):
            error[part] = error[part] @ whiten.T
        square = np.sum(error**2, axis=1) + points.within
        end, end_variance = np.zeros(len(theta)), np.zeros(len(theta))
        for whiten, part, shared in zip(self.whiten, of_ratio, self.ratios, strict=True):
            gain = whiten @ (shared * np.exp(points.u / self.length))
            end[part], end_variance[part] = error[part] @ gain, shared - gain @ gain
        log_evidence = (
            log_prior
            + self.log_det[ratio]
            - points.measurements * np.log(noise)
            - 0.5 * square / noise**2
            - 0.5 * np.sum(precision * (moved - mean) ** 2, axis=1)
            - 0.5 * np.linalg.slogdet(normal / precision)[1]
        )
        possible = regular & np.isfinite(log_evidence)  # not where rounding made a step singular
        if not possible.any():
            raise ValueError(NO_LAW)
        weight = np.exp(np.where(possible, log_evidence, -np.inf) - log_evidence[possible].max())
        theta = theta * used[:, 1:]
        members = Members(
            weight=weight / weight.sum(),
            asymptote=asymptote,
            place=place,
            sharpness=sharpness,
            theta=theta,
            reach=asymptote - points.best,
            cov=cov * (used[:, :, None] & used[:, None, :]),
            noise=noise,
            ratio=self.ratios[ratio],
            drift=prior.new_breaks / points.span * np.sum(theta[:, 2:] ** 2, axis=1) / 3,
            end=end,
            end_variance=end_variance,
            length=np.full(len(theta), self.length),
        )
        return members if possible.all() else members.take(possible)

    def _kept_in_reach(self, moved, cov, distance):
        """Log distance and coefficients [m, 3 + t] where the asymptote keeps near its candidate.

        Where it would leave, or pass the bound, the coefficients are those given its place.
        """
        most = np.log(0.999 * min(self.points.farthest, 1e9) / distance)
        farther = np.clip(moved[:, 0], np.minimum(-1.0, most), np.minimum(1.0, most))
        return moved + (cov[:, :, 0] / cov[:, :1, 0]) * (farther - moved[:, 0])[:, None]

    def _placed(self, moved, distance):
        """Asymptotes [m] and coefficients [m, 2 + t].

        Farther asymptotes have gaps larger by as much: the first coefficient counts from there,
        so that the best point stays where it is.
        """
        asymptote = self.points.asymptote(distance * np.exp(moved[:, 0]))
        return asymptote, moved[:, 1:] + moved[:, :1] * (np.arange(moved.shape[1] - 1) == 0)


def noise_candidates(points, prior):
    """Standard deviations about that of the smooth curve, the closer the more is measured."""
    least = prior.least_noise * np.ptp(np.log(points.smooth))
    step = np.exp(2.0 / np.sqrt(points.measurements))
    return max(points.noise, least) * step ** (np.arange(prior.noises) - 2)


def errors(points, asymptote, theta, basis):
    """Errors of log y, the slope of log y by the log gap, and y, all [m, n]."""
    gap = np.exp(np.minimum((basis @ theta[:, :, None])[:, :, 0], 50.0))
    y = np.maximum(asymptote[:, None] + points.sign * gap, 1e-12)
    return np.log(points.y / y), points.sign * gap / y, y


def break_places(points, prior):
    """Candidate positions of breaks on u: between even in log x and even in the points."""
    fine = np.linspace(-points.span, 0.0, 401)
    by_points = np.interp(fine, points.u, np.linspace(0.0, 1.0, len(points.u)))
    share = (1 - prior.by_points) * (1 + fine / points.span) + prior.by_points * by_points
    return np.interp(np.linspace(0.0, prior.last_place, prior.places + 2)[1:-1], share, fine)


def _regular(pivot, log_weight):
    """(pivot, log weight) of factorisations; one that rounding made singular has no weight.

    Measurements that swing by orders of magnitude make it so: no law comes near them.
    """
    if pivot.min() > 0:
        return pivot, log_weight
    return np.where(pivot > 0, pivot, 1.0), np.where(pivot > 0, log_weight, -np.inf)
