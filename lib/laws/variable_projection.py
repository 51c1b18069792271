"""Variable projection: the nearest optimum of many laws at once, in all of Eq 6's parameters.

For given asymptote, positions and sharpness the coefficients are a linear least-squares
problem (see `lib.laws.bayesian_average`); Levenberg-Marquardt moves only the asymptote,
positions and sharpness, with Kaufman's Jacobian. Errors count as independent here, as in any
least-squares fit. On curves without noise it ends at their parameters, to machine precision.
"""

import numpy as np

from lib.laws.bayesian_average import Members, design, errors, prior_terms

SHARPNESS_SD = 0.7  # prior of log f; that of the positions only keeps them near the data


class Projection:
    """Residuals as functions of p = (reach, positions, log sharpness), for p [m, 1 + 2 t].

    `reach` places the asymptote: its distance from the best point, in ranges of y, is
    farthest / (1 + exp(-reach)), or exp(reach) where nothing bounds it.
    """

    def __init__(self, points, prior, breaks, count=None):
        self.points, self.breaks = points, breaks
        self.root = np.sqrt((points.count if count is None else count) / points.variance)
        precision, self.theta_mean = prior_terms(breaks, prior)
        self.theta_root = np.sqrt(precision)
        middle = np.log(np.median(prior.sharpness) * points.span)
        self.mean = np.r_[0.0, np.full(breaks, -points.span / 2), np.full(breaks, middle)]
        self.prior_root = np.r_[
            0.0, np.full(breaks, 0.01 / points.span), np.full(breaks, 1 / SHARPNESS_SD)
        ]

    def pack(self, members):
        points, t = self.points, self.breaks
        distance = points.sign * (points.best - members.asymptote) / points.range
        if np.isfinite(points.farthest):
            share = np.clip(distance / points.farthest, 1e-9, 1 - 1e-3)
            reach = np.log(share / (1 - share))
        else:
            reach = np.log(distance)
        return np.concatenate(
            [reach[:, None], members.place[:, :t], np.log(members.sharpness[:, :t])], axis=1
        )

    def unpack(self, p):
        """Asymptote [m], its derivative by reach [m], positions and sharpness [m, t]."""
        points, t = self.points, self.breaks
        reach = np.clip(p[:, 0], -25.0, 40.0)
        if np.isfinite(points.farthest):
            share = 1 / (1 + np.exp(-reach))
            distance, slope = points.farthest * share, points.farthest * share * (1 - share)
        else:
            distance = slope = np.exp(reach)
        low, high = np.log(1e-3 * points.span), np.log(3.0 * points.span)
        return (
            points.asymptote(distance),
            -points.sign * points.range * slope,
            p[:, 1 : 1 + t],
            np.exp(np.clip(p[:, 1 + t :], low, high)),
        )

    def solve(self, p, noise):
        """Residuals [m, r], their Jacobian [m, r, p], coefficients and mean square of log y."""
        points = self.points
        asymptote, by_reach, place, sharpness = self.unpack(p)
        basis = design(points.u, place, sharpness)
        hold = (noise[:, None] * self.theta_root)[:, :, None] * np.eye(len(self.theta_root))
        theta = self._start(asymptote, basis, hold)
        error, rows = self.weighted_errors(asymptote, theta, basis)
        held = (hold @ (self.theta_mean - theta)[:, :, None])[:, :, 0]
        Q, step = _least_squares(rows, hold, error, held)
        theta = theta + np.clip(step, -1.0, 1.0)
        error, rows = self.weighted_errors(asymptote, theta, basis)
        held = (hold @ (self.theta_mean - theta)[:, :, None])[:, :, 0]

        n, t = len(points.u), self.breaks
        by_gap = rows[:, :, :1]  # the first column of the basis is 1
        ahead = (place[:, None, :] - points.u[:, None]) / sharpness[:, None, :]
        turned = 1 / (1 + np.exp(-np.clip(ahead, -500.0, 500.0)))
        bend = -by_gap * theta[:, None, 2:]
        y = points.y * np.exp(-error / np.maximum(self.root, 1e-12))
        J = np.zeros((len(p), n + 2 + t, 1 + 2 * t))
        J[:, :n, :1] = (-self.root / y * by_reach[:, None])[:, :, None]
        J[:, :n, 1 : 1 + t] = bend * turned
        J[:, :n, 1 + t :] = bend * (basis[:, :, 2:] - sharpness[:, None, :] * ahead * turned)
        J -= Q @ (np.swapaxes(Q, 1, 2) @ J)
        pull = noise[:, None] * self.prior_root
        residual = np.concatenate([error, held, pull * (self.mean - p)], axis=1)
        J = np.concatenate([J, -pull[:, :, None] * np.eye(1 + 2 * t)], axis=1)
        square = np.sum(error**2, axis=1) / np.sum(self.root**2, axis=-1)
        return residual, J, theta, square

    def weighted_errors(self, asymptote, theta, basis):
        """Errors of log y and minus their derivatives by theta, times the root of the counts."""
        error, slope, _ = errors(self.points, asymptote, theta, basis)
        return self.root * error, (self.root * slope)[:, :, None] * basis

    def _start(self, asymptote, basis, hold):
        """Coefficients by the log of the gaps: close, and needs no start of its own."""
        points = self.points
        gap = points.sign * (points.smooth - asymptote[:, None])
        root = self.root * points.sign * gap / points.smooth
        mean = (hold @ self.theta_mean[:, None])[:, :, 0]
        target = root * np.log(gap) + self.root * np.log(points.y / points.smooth)
        _, theta = _least_squares(root[:, :, None] * basis, hold, target, mean)
        return theta


def _least_squares(rows, hold, target, held):
    """Q and solution of stacked rows [m, n, k] and prior rows [m, k, k]."""
    Q, R = np.linalg.qr(np.concatenate([rows, hold], axis=1))
    right = np.swapaxes(Q, 1, 2) @ np.concatenate([target, held], axis=1)[:, :, None]
    return Q, np.linalg.solve(R, right)[:, :, 0]


def refine(problem, start, noise, steps, tolerance=1e-3):
    """Walks every row of start [m, p] downhill.

    The prior fades as the noise does: where a law fits better than `noise` [m] says, its
    own mean square takes the place of the noise.

    Returns: p [m, p], coefficients [m, 2 + t], root mean square of log y [m].
    """
    p, noise = start.copy(), noise.copy()
    damping, stalled = np.full(len(p), 1e-2), np.zeros(len(p), dtype=int)
    state = problem.solve(p, noise)
    for _ in range(steps):
        residual, J, _, square = state
        Jt = np.swapaxes(J, 1, 2)
        H = Jt @ J
        diagonal = np.einsum("mii->mi", H)
        diagonal += damping[:, None] * diagonal + 1e-30
        move = np.linalg.solve(H, Jt @ residual[:, :, None])[:, :, 0]
        trial = p - np.clip(move, -1.5, 1.5)
        new = problem.solve(trial, noise)
        before, after = np.sum(residual**2, axis=1), np.sum(new[0] ** 2, axis=1)
        better = after < before
        p[better] = trial[better]
        for old, value in zip(state, new, strict=True):
            old[better] = value[better]
        noise = np.where(better, np.clip(np.sqrt(square), 1e-15, noise), noise)
        damping = np.where(better, damping / 6, damping * 4).clip(1e-14, 1e9)
        slow = better & (after > (1 - tolerance) * before)
        stalled = np.where(better, np.where(slow, stalled + 1, 0), stalled)
        if np.all((damping > 1e7) | (square < 1e-26) | (stalled >= 2)):
            break
    return p, state[2], np.sqrt(state[3])


def refined(points, prior, members, breaks, steps, doubt=1.0):
    """`Members` walked downhill; every law has all `breaks`, the weights stay.

    A `doubt` below 1 weakens the prior, for curves that should be met exactly.
    """
    problem = Projection(points, prior, breaks)
    start = problem.pack(members)
    p, theta, noise = refine(problem, start, doubt * members.noise, steps)
    asymptote, _, place, sharpness = problem.unpack(p)
    basis = design(points.u, place, sharpness)
    _, rows = problem.weighted_errors(asymptote, theta, basis)
    precision, _ = prior_terms(breaks, prior)
    variance = np.maximum(noise, 1e-12)[:, None, None] ** 2
    normal = np.swapaxes(rows, 1, 2) @ rows + variance * np.diag(precision)
    cov = np.zeros((len(p), 3 + breaks, 3 + breaks))
    cov[:, 1:, 1:] = variance * np.linalg.pinv(normal, hermitian=True)
    return Members(
        weight=members.weight,
        asymptote=asymptote,
        place=place,
        sharpness=sharpness,
        theta=theta,
        cov=cov,
        noise=noise,
        **alone(len(noise)),
    )


def alone(count):
    """Fields of `Members` for laws of independent errors that do not wander beyond the data."""
    zeros = np.zeros(count)
    return {
        "reach": zeros,
        "ratio": zeros,
        "drift": zeros,
        "end": zeros,
        "end_variance": zeros,
        "length": np.ones(count),
    }
