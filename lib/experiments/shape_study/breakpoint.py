"""From where on a shape loses: a broken line of the metric over a shape's ratio (or width).

    y = level + slope_level max(0, log2(x / break))

With x the largest ratio of neighbouring layers the metric is flat up to the break and falls
beyond it. With x = 1 / width of the narrowest layer the same line asks whether units, and not
their ratio, are what is missing.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from lib.infra.arrays import check_positive, real_array
from lib.infra.intervals import check_interval, interval_bounds

POINTS = 120  # of the grid of breaks
_CARRIED = ["level", "break", "slope", "error", "no_loss"]


class Break(NamedTuple):
    """Where the metric begins to fall.

    Attributes:
      value: the most plausible break, unit of x; low, high: its interval.
      is_bounded: whether the points bound it (from below, from above): by F tests at the interval's
        level, of lines without a flat part and of no loss at all.
      heights, slopes: level -> metric up to the break, and what a doubling of x beyond it adds
        (negative: it falls).
      draws: breaks, [draws].
    """

    value: float
    low: float
    high: float
    is_bounded: tuple[bool, bool]
    heights: dict
    slopes: dict
    draws: np.ndarray


def find_break(
    x: ArrayLike,
    y: ArrayLike,
    level: ArrayLike,
    error: ArrayLike,
    *,
    redraws: ArrayLike | None = None,
    interval: float = 0.9,
    draws: int = 4000,
    seed: int = 0,
) -> Break:
    """The break that all levels share; level and slope are each level's own.

    Every shape counts as one point: how far points lie off the line, which seeds and other
    properties of a shape both cause, is what the interval is made of. Breaks are weighed by the
    weighted squares that they leave, the errors' common factor unknown, flat in the logarithm.

    Args:
      x: of each shape, > 0, [shapes]; y: its mean metric; level: which level of FLOPs it is of.
      error: standard error of y, > 0, relative to one another, [shapes].
      redraws: y as other test impressions would have given it, [redraws, shapes].
      interval: probability; draws, seed: of the breaks drawn.

    Raises: ValueError for lists that differ in length, x or error that is not > 0, or fewer
      points than a line in each level and a break need.

    >>> x = np.tile([1.0, 2, 4, 8, 16, 32, 64], 2)
    >>> y = 0.8 - 0.02 * np.maximum(0, np.log2(x / 8)) + 0.001 * (-1.0) ** np.arange(14)
    >>> found = find_break(x, y, np.repeat([0, 1], 7), np.ones(14))
    >>> bool(found.low <= 8 <= found.high), round(found.slopes[0], 2)
    (True, -0.02)
    """
    x, y, error = (
        real_array(values, f"find_break: {name}")
        for name, values in (("x", x), ("y", y), ("error", error))
    )
    check_positive(x, "find_break: x")
    check_positive(error, "find_break: error")
    check_interval(interval)
    names, of_level = np.unique(np.asarray(level), return_inverse=True)
    freedom = len(x) - 2 * len(names) - 1
    if not (len(x) == len(y) == len(error) == len(of_level)) or freedom < 1:
        raise ValueError(
            f"find_break: needs lists of one length, more than {2 * len(names) + 1} of "
            f"{len(names)} levels; got {len(x)}, {len(y)}, {len(of_level)} and {len(error)}"
        )
    breaks = _grid(x)
    designs = [_design(x, value, of_level, len(names)) for value in breaks]
    bases = [_basis(design / error[:, None]) for design in designs]
    measured = np.atleast_2d(y if redraws is None else redraws) / error
    rng = np.random.default_rng(seed)
    weights = [_weights(_left(bases, row), freedom) for row in measured]
    each = rng.multinomial(draws, np.full(len(measured), 1 / len(measured)))
    drawn = np.concatenate(
        [rng.choice(breaks, count, p=w) for count, w in zip(each, weights, strict=True)]
    )
    low, high = map(float, interval_bounds(drawn, interval))
    left = _left(bases, y / error)
    best = int(np.argmin(left))
    line, *_ = np.linalg.lstsq(designs[best] / error[:, None], y / error, rcond=None)
    heights, slopes = (
        dict(zip(names.tolist(), map(float, part), strict=True)) for part in np.split(line, 2)
    )
    levels_alone = _basis(np.eye(len(names))[of_level] / error[:, None])
    (no_loss,) = _left([levels_alone], y / error)
    is_bounded = tuple(
        bool((squares / left[best] - 1) * freedom / more > stats.f(more, freedom).ppf(interval))
        for squares, more in ((left[0], 1), (no_loss, len(names) + 1))
    )
    return Break(float(breaks[best]), low, high, is_bounded, heights, slopes, drawn)


def on_line(found: Break, x: ArrayLike, level) -> np.ndarray:
    """The fitted line of a level at x, [...]."""
    return found.heights[level] + found.slopes[level] * _hinge(np.asarray(x, float), found.value)


def carried_over(x: ArrayLike, y: ArrayLike, level: ArrayLike) -> pd.DataFrame:
    """How well break and slope of the other levels predict the differences within each level.

    Args:
      x, y, level: as for `find_break`; here all levels share the slope as well.

    Returns: DataFrame, a row a level: level, break, slope, error (mean absolute, of y less its
      level's mean) and no_loss (the error of predicting no difference).

    >>> x = np.tile([1.0, 2, 4, 8, 16, 32], 3)
    >>> y = 0.8 - 0.02 * np.maximum(0, np.log2(x / 5))
    >>> carried_over(x, y, np.repeat([0, 1, 2], 6))[["error", "no_loss"]].round(3).iloc[0].tolist()
    [0.0, 0.018]
    """
    x, y, level = np.asarray(x, float), np.asarray(y, float), np.asarray(level)
    names = np.unique(level)
    if len(names) < 2:
        raise ValueError(f"carried_over: needs two levels or more; got {len(names)}")
    rows = []
    for name in names:
        known, asked = level != name, level == name
        of_level = np.unique(level[known], return_inverse=True)[1]
        fits = []
        for value in _grid(x):
            hinge = _hinge(x[known], value)
            centred = hinge - _by_level(hinge, of_level)
            residual = y[known] - _by_level(y[known], of_level)
            slope = centred @ residual / max(centred @ centred, 1e-300)
            fits.append((np.sum((residual - slope * centred) ** 2), value, slope))
        _, value, slope = min(fits)
        predicted = slope * _hinge(x[asked], value)
        measured = y[asked] - y[asked].mean()
        rows.append(
            {
                "level": name,
                "break": value,
                "slope": slope,
                "error": np.abs(measured - predicted + predicted.mean()).mean(),
                "no_loss": np.abs(measured).mean(),
            }
        )
    return pd.DataFrame(rows, columns=_CARRIED)


def compared(properties: Mapping[str, ArrayLike], y: ArrayLike, level: ArrayLike) -> pd.DataFrame:
    """`carried_over` by each property of a shape, the column `property` first.

    Args:
      properties: name -> x, [shapes]; y, level: as there.
    """
    return pd.concat(
        [
            carried_over(x, y, level).assign(property=name)[["property", *_CARRIED]]
            for name, x in properties.items()
        ],
        ignore_index=True,
    )


def _grid(x):
    """Breaks from the smallest x up to the largest, where no point would be left beyond."""
    return np.geomspace(x.min(), x.max(), POINTS + 1)[:-1]


def _hinge(x, value):
    return np.maximum(0, np.log2(x / value))


def _by_level(values, of_level):
    return (np.bincount(of_level, values) / np.bincount(of_level))[of_level]


def _design(x, value, of_level, levels):
    """[shapes, 2 levels]: an intercept and a slope of each level."""
    own = np.eye(levels)[of_level]
    return np.hstack([own, own * _hinge(x, value)[:, None]])


def _basis(design):
    """An orthonormal basis of its columns; a level all below the break has no slope."""
    vectors, sizes, _ = np.linalg.svd(design, full_matrices=False)
    return vectors[:, sizes > 1e-10 * sizes[0]]


def _left(bases, y):
    """Squares of y that each line leaves, [bases]; no less than rounding would."""
    left = np.array([y @ y - np.sum((basis.T @ y) ** 2) for basis in bases])
    return np.maximum(left, 1e-12 * max(y @ y, 1e-300))


def _weights(left, freedom):
    """Plausibility of each break, [breaks], from what its line leaves."""
    weight = (left / left.min()) ** (-freedom / 2)
    return weight / weight.sum()
