"""What a law is worth outside its points: fit to the small sizes, predict a larger one.

A law with more parameters follows its points better and need not predict better; only
sizes it has not seen can tell. Here every law takes the same test on the reader's own
points: ours, a power law, and the paper's recipe with each number of breaks.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from tqdm import tqdm

from lib.infra.intervals import Share, binomial_share, check_interval
from lib.laws.basin_hopping import BasinHoppingBNSL, check_counts
from lib.laws.bnsl import BNSL, PowerLaw
from lib.laws.observations import check_points

AVERAGE = "average of laws"  # the name of `BNSL` in the column `law`


def basin_hopping_name(breaks: int) -> str:
    """The name of `BasinHoppingBNSL(breaks)` in the column `law`."""
    return f"basin-hopping, t = {breaks}"


def predict_next_size(
    x: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    least: int = 5,
    breaks: Iterable[int] = (),
    hops: int = 100,
    seed: int = 0,
    interval: float = 0.9,
    direction: str = "auto",
    bound: float | None = None,
) -> pd.DataFrame:
    """Laws fitted to the n smallest sizes, n = least, least + 1, ..., predict the next size.

    Args:
      x, y, groups: measurements, as `BNSL.fit` takes them.
      least: sizes in the smallest fit, >= 4.
      breaks: numbers of breaks (the paper's t) for `BasinHoppingBNSL`.
      hops, seed: of basin-hopping.
      interval: probability of the intervals of the laws that have one.
      direction, bound: as in `BNSL`.

    Returns: DataFrame, a row a law and fit: law, sizes (fitted to), x (of the next size),
      measured (mean of its repeats), predicted, low, high (of such a mean; NaN: basin-hopping),
      error (predicted - measured), r_squared (in sample).
    Raises: ValueError where no size is left to predict or a number of breaks is negative, and
      as `BNSL.fit`.

    >>> flops = np.geomspace(1e6, 1e8, 7)
    >>> table = predict_next_size(flops, 0.9 - 0.1 * (flops / 1e6) ** -0.4, breaks=[1])
    >>> table[["law", "sizes"]].values.tolist()[:3]
    [['average of laws', 5], ['power law', 5], ['basin-hopping, t = 1', 5]]
    """
    if least < 4:
        raise ValueError(f"predict_next_size: least must be >= 4; got {least}")
    breaks = list(breaks)
    check_counts(breaks, "predict_next_size: breaks")
    check_interval(interval, "predict_next_size: interval")
    x, y, groups = check_points(x, y, groups, name="predict_next_size", least=least + 1)
    sizes = np.unique(x)
    shape = {"direction": direction, "bound": bound}
    averages = {AVERAGE: BNSL(**shape), "power law": PowerLaw(**shape)}
    hopped = BasinHoppingBNSL(max(breaks, default=0), hops=hops, seed=seed, direction=direction)
    rows = []
    for n in tqdm(range(least, len(sizes)), desc="next sizes", leave=False):
        fitted, predicted_size = x < sizes[n], x == sizes[n]
        measured = y[predicted_size].mean()
        for name, law in averages.items():
            law.fit(x[fitted], y[fitted], groups[fitted])
            predicted = law.predict(sizes[n], interval, repeats=predicted_size.sum())
            rows.append([name, n, sizes[n], measured, *map(float, predicted), law.r_squared_])
        if breaks:
            hopped.fit(x[fitted], y[fitted])
        for t in breaks:
            law = hopped.with_breaks(t)
            predicted = float(law.predict(sizes[n]))
            name = basin_hopping_name(t)
            rows.append([name, n, sizes[n], measured, predicted, np.nan, np.nan, law.r_squared_])
    table = pd.DataFrame(
        rows, columns=["law", "sizes", "x", "measured", "predicted", "low", "high", "r_squared"]
    )
    table.insert(7, "error", table.predicted - table.measured)
    return table


def errors_by_law(table: pd.DataFrame) -> pd.DataFrame:
    """A summary of `predict_next_size`, one row a law in the order of the table.

    Returns: DataFrame indexed by law: mean_error and largest_error (absolute, over the next
      sizes) and r_squared (in sample, the mean of the fits).

    >>> table = pd.DataFrame({"law": ["a", "b", "a", "b"], "error": [0.1, 0.2, -0.3, 0.0],
    ...                       "r_squared": [0.9, 1.0, 0.7, 1.0]})
    >>> errors_by_law(table).round(3).values.tolist()
    [[0.2, 0.3, 0.8], [0.1, 0.2, 1.0]]
    """
    absolute = table.assign(absolute_error=table.error.abs())
    return absolute.groupby("law", sort=False).agg(
        mean_error=("absolute_error", "mean"),
        largest_error=("absolute_error", "max"),
        r_squared=("r_squared", "mean"),
    )


class Difference(NamedTuple):
    """A mean difference with its interval; `holds`: True below 0, False above, None undecided."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def holds(self) -> bool | None:
        return True if self.high < 0 else False if self.low > 0 else None


def paired_error_difference(
    table: pd.DataFrame, law: str, rival: str, interval: float = 0.9
) -> Difference:
    """Mean over the next sizes of |error of `law`| - |error of `rival`|: negative favours `law`.

    The interval is Student's t of the differences, paired by size.

    Args:
      table: as `predict_next_size` returns it.
      law, rival: names in its column `law`.
      interval: probability of the interval.

    Returns: `Difference`; low and high are NaN for a single size.
    Raises: ValueError for a law that the table does not hold.

    >>> table = pd.DataFrame({"law": ["a", "b"] * 3, "x": [1, 1, 2, 2, 3, 3],
    ...                       "error": [0.1, -0.2, 0.1, 0.3, -0.2, 0.2]})
    >>> difference = paired_error_difference(table, "a", "b", interval=0.9)
    >>> [round(value, 3) for value in (difference.mean, difference.low, difference.high)]
    [-0.1, -0.269, 0.069]
    """
    check_interval(interval, "paired_error_difference: interval")
    absolute = table.pivot(index="x", columns="law", values="error").abs()
    for name in (law, rival):
        if name not in absolute:
            raise ValueError(
                f"paired_error_difference: no law {name!r}; "
                f"the table has {', '.join(map(str, absolute.columns))}"
            )
    difference = absolute[law] - absolute[rival]
    count = len(difference)
    half = np.nan
    if count > 1:
        quantile = stats.t(count - 1).ppf((1 + interval) / 2)
        half = quantile * difference.std() / np.sqrt(count)
    mean = difference.mean()
    return Difference(float(mean), float(mean - half), float(mean + half), count)


def intervals_holding(table: pd.DataFrame, law: str = AVERAGE, interval: float = 0.9) -> Share:
    """How many of a law's intervals hold the measured next size.

    Args:
      table: as `predict_next_size` returns it.
      law: a law of the table that has intervals.
      interval: probability of the binomial interval (Clopper and Pearson) of the share.

    >>> table = pd.DataFrame({"law": "a", "measured": [1.0, 2.0], "low": [0.9, 2.1],
    ...                       "high": [1.1, 2.3]})
    >>> share = intervals_holding(table, "a", 0.9)
    >>> share.inside, share.count, round(share.low, 3), round(share.high, 3)
    (1, 2, 0.025, 0.975)
    """
    rows = table[table.law == law]
    inside = int(((rows.low <= rows.measured) & (rows.measured <= rows.high)).sum())
    return binomial_share(inside, len(rows), interval)
