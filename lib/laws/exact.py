"""Laws of points without visible noise, met exactly where a law meets them."""

import numpy as np

from lib.laws.bayesian_average import Members
from lib.laws.variable_projection import refined


def exact_members(points, grid, members, counts, starts=100, steps=150):
    """For curves without visible noise: the laws that follow the points exactly.

    The grid's noise is then only its own coarseness. Where refined laws are several times
    better, they take its place; else the average stays. Takes some tenths of a second.
    """
    refined_laws = []
    for breaks in counts:
        if len(points.u) > 4 + 3 * breaks:
            candidates = grid.members(
                {breaks: _best_of_each_way(grid.log_evidence(breaks))}, np.inf
            )
            candidates = candidates.take(np.argsort(-candidates.weight)[:starts])
            laws = refined(points, grid.prior, candidates, breaks, steps, doubt=1e-3)
            refined_laws.append((breaks, laws))
    if (
        not refined_laws
        or min(laws.noise.min() for _, laws in refined_laws) > 0.2 * members.noise.min()
    ):
        return members
    most_breaks = max(breaks for breaks, _ in refined_laws)
    laws = {
        k: np.concatenate([_pad(vars(part)[k], k, most_breaks) for _, part in refined_laws])
        for k in vars(members)
    }
    size = np.concatenate([np.full(len(part), 3 + 3 * breaks) for breaks, part in refined_laws])
    log_weight = -points.measurements * np.log(
        np.maximum(laws["noise"], 1e-10)
    ) - 0.5 * size * np.log(points.measurements)
    laws["weight"] = np.exp(log_weight - log_weight.max())
    return Members(**laws).take(np.flatnonzero(laws["weight"] > np.exp(-8.0)))


def _best_of_each_way(log_evidence):
    """Evidence of the best row for every way to place the breaks, -inf for all other rows."""
    best = log_evidence.max(axis=1, keepdims=True)
    return np.where(log_evidence == best, log_evidence, -np.inf)


def _pad(values, name, most_breaks):
    """Fields of laws with fewer breaks, filled up with bends of size 0."""
    coefficients = 2 + most_breaks
    width = {
        "place": most_breaks,
        "sharpness": most_breaks,
        "theta": coefficients,
        "cov": 1 + coefficients,
    }.get(name)
    if width is None:
        return values
    fill = [(0, 0)] + [(0, width - size) for size in values.shape[1:]]
    return np.pad(values, fill, constant_values=1.0 if name == "sharpness" else 0.0)
