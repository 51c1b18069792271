"""What one shape loses against others of the same FLOPs: paired, over seeds and test impressions.

Seeds are a random effect: each shape is trained from the same seeds (and so on the same order of
impressions), and what differs between two shapes differs from seed to seed. Two or three seeds tell
little of their own spread, so each shape's variance is drawn towards the mean of its level's, which
counts as `PRIOR` seeds more (moderated t: Smyth 2004, doi:10.2202/1544-6115.1027). All models share
the test impressions. An interval adds both errors in squares; it covers other seeds and other
impressions of the same system, not another system.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lib.infra.intervals import check_interval, interval_bounds

PRIOR = 4.0  # degrees of freedom of the level's variance in each shape's


def differences(
    values: Mapping[str, np.ndarray], reference: Sequence[str], interval: float = 0.9
) -> pd.DataFrame:
    """Each model's mean less that of the reference models together.

    Args:
      values: model -> [seeds, units], the same seeds and units (impressions, users) in all; NaN
        where undefined, for all models alike.
      reference: names of one model or more.
      interval: of the intervals.

    Returns: DataFrame, a row a model: model, difference, low, high, seeds_se (over seeds) and
      units_se (over units). One seed has no interval.
    Raises: ValueError for no reference model, or arrays that differ in shape.

    >>> values = {"a": np.full((2, 3), 0.5), "b": np.full((2, 3), 0.7), "c": np.full((2, 3), 0.2)}
    >>> differences(values, ["a", "b"])[["model", "difference", "high"]].round(3).values.tolist()
    [['a', -0.1, -0.1], ['b', 0.1, 0.1], ['c', -0.4, -0.4]]
    """
    check_interval(interval)
    shapes = {np.shape(found) for found in values.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(
            f"differences: values must be [seeds, units], alike for all models; got {shapes}"
        )
    missing = [name for name in reference if name not in values]
    if missing or not len(reference):
        raise ValueError(
            "differences: reference must name one or more of "
            f"{', '.join(values)}; got {list(reference)}"
        )
    mean = np.mean([values[name] for name in reference], axis=0, dtype=float)
    table = pd.DataFrame([{"model": n, **_errors(found - mean)} for n, found in values.items()])
    seeds, level = next(iter(shapes))[0], (1 + interval) / 2
    freedom = seeds - 1 + PRIOR
    variance = ((seeds - 1) * table.seeds_se**2 + PRIOR * (table.seeds_se**2).mean()) / freedom
    table["seeds_se"] = np.sqrt(variance)
    half = np.hypot(
        stats.t(freedom).ppf(level) * table.seeds_se, stats.norm.ppf(level) * table.units_se
    )
    table.insert(2, "low", table.difference - half)
    table.insert(3, "high", table.difference + half)
    return table


def by_level(
    shapes: pd.DataFrame, values: Mapping[str, np.ndarray], interval: float = 0.9
) -> pd.DataFrame:
    """`differences` of every level's shapes to those within the rule at that level.

    Args:
      shapes: of `lib.experiments.shape_study.shapes.shapes_at`.
      values: model -> [seeds, units].

    Returns: `shapes` with mean (of the model itself) and the columns of `differences`.
    """
    tables = []
    for _, level in shapes.groupby("level", sort=False):
        of_level = {model: values[model] for model in level.model}
        table = differences(of_level, list(level.model[level.within_rule]), interval)
        mean = [np.nanmean(found) for found in of_level.values()]
        tables.append(level.merge(table.assign(mean=mean), on="model", validate="one_to_one"))
    return pd.concat(tables, ignore_index=True)


def relative_revenue(
    shapes: pd.DataFrame, revenue: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Revenue of users, [seeds, users], over the mean of shapes within the rule of their level.

    Differences of it are lifts: 0.01 is 1 % of revenue.
    """
    relative = {}
    for _, level in shapes.groupby("level", sort=False):
        within = [revenue[model] for model in level.model[level.within_rule]]
        scale = np.mean(within, axis=(0, 2))[:, None]
        relative |= {model: revenue[model] / scale for model in level.model}
    return relative


def expected_lifts(
    table: pd.DataFrame, revenue_model, *, draws: int = 2000, interval: float = 0.9, seed: int = 0
) -> pd.DataFrame:
    """What G expects of the differences of `by_level`: lift, low and high, a row a shape.

    Each draw takes a difference within its error and a line of its own.
    """
    reference = (table["mean"] - table.difference).to_numpy()
    rng = np.random.default_rng(seed)
    error = np.hypot(table.seeds_se, table.units_se).to_numpy()
    drawn = table.difference.to_numpy() + error * rng.normal(size=(draws, len(table)))
    both = np.stack([reference + drawn, np.broadcast_to(reference, drawn.shape)], axis=-1)
    lifts = revenue_model.sample(both)
    low, high = interval_bounds(lifts[..., 0] - lifts[..., 1], interval)
    lift = revenue_model.predict(table["mean"]) - revenue_model.predict(reference)
    return pd.DataFrame({"model": table.model, "lift": lift, "low": low, "high": high})


def errors_of_means(table: pd.DataFrame, sd: float) -> np.ndarray:
    """Standard error of every shape's mean as a point of a line over shapes, [shapes].

    Its seeds' (of `by_level`) and that of shapes about the line: sd of those within the rule.
    """
    return np.sqrt(np.maximum(np.nan_to_num(table.seeds_se.to_numpy()) ** 2 + sd**2, 1e-12))


def redrawn_means(values: Sequence[np.ndarray], draws: int, seed: int = 0) -> np.ndarray:
    """Means over the test impressions drawn again, the same ones for all: [draws, models].

    Args:
      values: of each model [impressions]; impressions that are undefined are left out for all.

    >>> redrawn_means([np.array([0.0, 1.0]), np.array([1.0, 2.0])], 3).shape
    (3, 2)
    """
    values = np.array(values, float)
    values = values[:, ~np.isnan(values).any(axis=0)]
    count = values.shape[1]
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws)
    return weights @ values.T / count


def _errors(paired):
    """Mean of [seeds, units], and its standard errors over both."""
    paired = paired[:, ~np.isnan(paired).any(axis=0)]
    by_seed, by_unit = paired.mean(axis=1), paired.mean(axis=0)
    seeds = len(by_seed)
    return {
        "difference": float(by_seed.mean()),
        "seeds_se": float(by_seed.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else np.nan,
        "units_se": float(by_unit.std(ddof=1) / np.sqrt(len(by_unit))),
    }


class Spread(NamedTuple):
    """How far the shapes of a level lie apart beyond the noise of their seeds.

    sd: standard deviation of the shapes' true means, 0 where they scatter no more than seeds
    explain; low, high: its interval; noise: standard deviation of one training about its shape's
    mean, the seed's own effect taken out; p_value: of shapes that are all alike.
    """

    sd: float
    low: float
    high: float
    noise: float
    p_value: float


def spread(levels: Sequence[np.ndarray], interval: float = 0.9) -> Spread:
    """`Spread` of shapes within their levels, from the means of their trainings.

    Analysis of variance with a seed's effect on all shapes of its level taken out. The interval
    turns that of the ratio of both mean squares into one of the shapes' standard deviation; the
    noise is taken as known.

    Args:
      levels: of each level [shapes, seeds], two or more of both.

    >>> spread([np.array([[0.5, 0.6, 0.4], [0.5, 0.6, 0.4]]) + 1e-3 * np.eye(2, 3)]).sd
    0.0
    """
    check_interval(interval)
    among = within = among_freedom = within_freedom = cells = 0.0
    for level in levels:
        level = np.asarray(level, float)
        shapes, seeds = level.shape
        if shapes < 2 or seeds < 2:
            raise ValueError(
                f"spread: needs two shapes and two seeds or more; got {shapes} and {seeds}"
            )
        level = level - level.mean(axis=0)
        means = level.mean(axis=1)
        among += seeds * np.sum(means**2)
        within += np.sum((level - means[:, None]) ** 2)
        among_freedom += shapes - 1
        within_freedom += (shapes - 1) * (seeds - 1)
        cells += (shapes - 1) * seeds
    noise = within / within_freedom
    ratio = among / among_freedom / noise
    tail = (1 - interval) / 2
    law = stats.f(among_freedom, within_freedom)
    seeds = cells / among_freedom
    sd, low, high = (
        float(np.sqrt(max(found - 1, 0) * noise / seeds))
        for found in (ratio, ratio / law.ppf(1 - tail), ratio / law.ppf(tail))
    )
    return Spread(sd, low, high, float(np.sqrt(noise)), float(law.sf(ratio)))
