"""A smooth curve through noisy points that supposes no law: a quintic smoothing spline.

Its stiffness is the one of the largest restricted likelihood (REML; Wahba 1985, Annals of
Statistics 13): on points without noise it passes through them, on noisy ones it averages many.
A cubic spline takes noise of a thousandth of the curve's range for the curve's own.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import median_filter

STIFFNESS = np.geomspace(1e-2, 1e13, 46)  # variance of the curve over that of the noise
SPIKE = 5.0  # standard deviations off the others from which on a point loses weight
GROSS = 0.01  # of the range of z: what is nearer to its curve is no spike, however small the noise
LEAST_POINTS = 10  # fewer do not tell a spike from a bend


class Smooth(NamedTuple):
    """What a spline makes of n points.

    `distance`: of every point from the spline of the others, in standard deviations.
    """

    values: np.ndarray  # [n]
    noise: float  # standard deviation of a point of weight 1
    distance: np.ndarray  # [n]


def smoothing_spline(u: np.ndarray, z: np.ndarray, weight: np.ndarray) -> Smooth:
    """The spline through z at u (both [n], u rising); errors have variance noise^2 / weight.

    >>> u = np.linspace(0.0, 1.0, 20)
    >>> smooth = smoothing_spline(u, u**2, np.ones(20))
    >>> bool(np.abs(smooth.values - u**2).max() < 1e-3), bool(smooth.noise < 1e-3)
    (True, True)
    """
    n, place = len(u), (u - u[0]) / (u[-1] - u[0])
    low, high = np.minimum(place[:, None], place), np.maximum(place[:, None], place)
    kernel = low**3 * (10 * high**2 - 5 * high * low + low**2) / 120  # Wiener, integrated twice
    root = np.sqrt(weight)
    parabola = root[:, None] * place[:, None] ** np.arange(3)
    axes = np.linalg.qr(parabola, mode="complete")[0][:, 3:]
    spread, turn = np.linalg.eigh(axes.T @ (root[:, None] * kernel * root) @ axes)
    spread, axes = np.maximum(spread, 0.0), axes @ turn
    along = axes.T @ (root * z)
    left = 1 / (1 + STIFFNESS[:, None] * spread)  # share of every direction that counts as noise
    power = np.maximum((along**2 * left).sum(axis=1), 1e-300)
    likelihood = np.log(left).sum(axis=1) - (n - 3) * np.log(power)
    best = int(np.argmax(likelihood))
    noise = np.sqrt(power[best] / (n - 3))
    off = axes @ (left[best] * along)
    open_share = np.maximum(axes**2 @ left[best], 1e-12)
    return Smooth(z - off / root, float(noise), np.abs(off) / np.sqrt(open_share) / noise)


def trust_of(distance: np.ndarray) -> np.ndarray:
    """Share of its weight that a point keeps, from its distance in standard deviations.

    1 up to `SPIKE`, then falling so fast that a point counts the less the farther it lies off.

    >>> trust_of(np.array([1.0, 10.0])).round(4).tolist()
    [1.0, 0.0625]
    """
    return np.maximum((SPIKE / np.maximum(distance, SPIKE)) ** 4, 1e-8)


def standard_deviation_of_most(distance: np.ndarray) -> float:
    """That of normal errors whose median absolute value is that of `distance`."""
    return max(1.4826 * float(np.median(np.abs(distance))), 1e-12)


def robust_spline(u: np.ndarray, z: np.ndarray, weight: np.ndarray, rounds: int = 4):
    """The spline of the points that can be trusted.

    Returns: `Smooth` and the share of its weight that every point keeps, [n].

    >>> u = np.linspace(0.0, 1.0, 20)
    >>> z = np.where(np.arange(20) == 7, 2.0, u + 0.01 * np.cos(40 * u))
    >>> smooth, trust = robust_spline(u, z, np.ones(20))
    >>> np.flatnonzero(trust < 0.5).tolist(), bool(abs(smooth.values[7] - u[7]) < 0.02)
    ([7], True)
    """
    trust = np.ones(len(u))
    smooth = smoothing_spline(u, z, weight)
    if len(u) < LEAST_POINTS:
        return smooth, trust
    # Several spikes hide one another from the spline, and none from the median of neighbours.
    gross = GROSS * np.ptp(z)
    off = np.abs(z - median_filter(z, 5, mode="mirror"))
    off = np.where(off > gross, off * np.sqrt(weight), 0.0)
    off[[0, -1]] = 0.0  # the first and last have neighbours on one side only
    trust = trust_of(off / max(standard_deviation_of_most(off), smooth.noise / 10))
    if trust.min() < 1:
        smooth = smoothing_spline(u, z, weight * trust)
    for _ in range(rounds):
        distance = smooth.distance / np.sqrt(trust)  # of a point of full weight
        distance[np.abs(z - smooth.values) < gross] = 0.0
        now = trust_of(distance / standard_deviation_of_most(smooth.distance))
        if np.allclose(now, trust, rtol=0.1):
            break
        trust = now
        smooth = smoothing_spline(u, z, weight * trust)
    return smooth, trust
