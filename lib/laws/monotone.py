"""Laws that never turn, for readers who need y to go one way only, as cost and ROI do."""

from dataclasses import replace

import numpy as np

LEAST_SHARE = 0.05  # of the average that never turns, for the rest to be left out without a word


def monotone_members(grid, members):
    """The laws of an average that only approach their asymptote, or what stands in for them.

    Where all plausible laws turn, the most plausible of those on the grid that do not, of at most
    2 breaks, take their place, as far as they follow y better than its mean does; where none does
    (y runs against the direction), the mean is the law. Such laws miss points by more than noise,
    so their noise is at least what they miss them by.

    Returns: (`Members`, None, or the warning that others stand in for them).
    """
    kept = members.monotone()
    if members.weight[kept].sum() > LEAST_SHARE:
        return members.take(kept), None
    points = grid.points
    evidence = {
        breaks: np.where(grid.monotone(breaks), grid.log_evidence(breaks), -np.inf)
        for breaks in range(min(2, members.place.shape[1]) + 1)
    }
    level = constant(points, members)
    if np.isfinite([e.max() for e in evidence.values()]).any():
        laws = missing(points, grid.members(evidence))
        kept = laws.monotone() & (laws.noise < level.noise)
        if kept.any():
            return laws.take(kept), "y turns along x; a monotone law misses it by more than noise"
    return level, "y runs against the direction of the law; its mean is the nearest monotone law"


def missing(points, laws):
    """Laws whose noise is at least what they miss the points by."""
    missed = np.log(points.y) - laws.log_y(points.u, points.sign)[0]
    noise = np.maximum(laws.noise, np.sqrt(np.mean(missed**2, axis=1)))
    cov = laws.cov * (noise / laws.noise)[:, None, None] ** 2
    return replace(laws, noise=noise, cov=cov, ratio=np.zeros_like(noise))


def constant(points, members):
    """The mean of log y as a law, with the asymptote of the most plausible one."""
    best = members.take([int(np.argmax(members.weight))])
    y = np.exp(points.count @ np.log(points.y) / points.measurements)
    gap = points.sign * (y - best.asymptote[0])
    error = best.noise[0] * np.sqrt(best.ratio[0] + 1 / points.measurements)  # of the mean
    level = replace(
        best,
        place=best.place[:, :0],
        sharpness=best.sharpness[:, :0],
        theta=np.array([[np.log(gap), 0.0]]),
        cov=np.diag([0.0, (error * y / gap) ** 2, 0.0])[None],
        drift=np.zeros(1),
    )
    return missing(points, level)
