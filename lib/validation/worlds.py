"""What differs between the worlds of a study: R² in each, and whose random start pays."""

from collections.abc import Sequence

import pandas as pd
from scipy import stats

from lib.validation.metric_comparison import MetricComparison

WORLD = ["world", "dial", "value"]


def r_squared_by_world(
    models: pd.DataFrame, metrics: Sequence[str], lift: str = "revenue_lift"
) -> pd.DataFrame:
    """R² of each metric with the lift among the models of each world and setting.

    Args:
      models: DataFrame with the columns world, dial, value, the metrics and the lift.

    Returns: DataFrame with the columns world, dial, value and the metrics.
    """
    metrics = list(metrics)
    return (
        models.groupby(WORLD, dropna=False)[[*metrics, lift]]
        .apply(lambda world: world[metrics].corrwith(world[lift]) ** 2)
        .reset_index()
    )


def mean_by_preset(comparison: MetricComparison, statistic: str = "r_squared") -> pd.DataFrame:
    """A statistic of each metric, mean over the worlds of each preset.

    Worlds of one preset differ in their seed alone; the mean over all worlds is one over the
    presets that a study chose, weighed by how many seeds of each it took.

    Args:
      comparison: of worlds named as "D seed 2" (a preset and a seed), or otherwise (a preset each).

    Returns: DataFrame with the columns preset, worlds and the metrics.
    """
    by_world = pd.DataFrame(
        {name: comparison.values_by_world(name, statistic) for name in comparison.metrics}
    )
    preset = pd.Series(comparison.worlds).str.replace(r" seed \d+$", "", regex=True)
    groups = by_world.groupby(preset.rename("preset"), sort=False)
    means = groups.mean()
    means.insert(0, "worlds", groups.size())
    return means.reset_index()


def add_r_squared(
    worlds: pd.DataFrame, models: pd.DataFrame, metrics: Sequence[str]
) -> pd.DataFrame:
    """A study's table of worlds (gap to the oracle, last change of the loop) with R² beside it."""
    table = worlds.drop_duplicates(WORLD).merge(r_squared_by_world(models, metrics), on=WORLD)
    return table[[*WORLD, "oracle_gap", "oracle_gap_se", "change", *metrics]]


def shares_start(trainings: pd.DataFrame, log_seeds: dict[str, int]) -> pd.Series:
    """Whether a training started from the weights of the model that wrote its world's log.

    Both start from their seed: it is the same start where the seeds are the same.

    Args:
      trainings: rows with world and seed; log_seeds: world -> seed of its log's model.
    """
    return trainings.seed == trainings.world.map(log_seeds)


def gain_of_shared_start(
    trainings: pd.DataFrame, log_seeds: dict[str, int], lift: str = "revenue_lift"
) -> pd.DataFrame:
    """Lift of trainings that share the start of the log's own model, less that of the others.

    Args:
      trainings: rows with world, model, seed and the lift; log_seeds: as for `shares_start`.

    Returns: DataFrame, a row a world in which some model was trained from both: `gain` (fraction
      of revenue, mean over models), `gain_se` over models, `models`.

    >>> rows = pd.DataFrame({"world": "A", "model": ["x", "x", "y", "y"], "seed": [0, 1, 0, 1],
    ...                      "revenue_lift": [0.02, 0.01, 0.04, 0.01]})
    >>> gain_of_shared_start(rows, {"A": 0}).round(3).values.tolist()
    [['A', 0.02, 0.01, 2]]
    """
    pairs = (
        trainings.assign(shared=shares_start(trainings, log_seeds))
        .pivot_table(index=["world", "model"], columns="shared", values=lift)
        .dropna()
    )
    if len(pairs.columns) < 2:
        return pd.DataFrame(columns=["world", "gain", "gain_se", "models"])
    gain = (pairs[True] - pairs[False]).groupby("world", sort=False)
    return gain.agg(gain="mean", gain_se="sem", models="size").reset_index()


def gap_correlation(by_world: pd.DataFrame, metric: str = "r_over_r_star") -> tuple[float, int]:
    """Whether a metric predicts better where the base is worse.

    Args:
      by_world: of `add_r_squared`; worlds of one closed loop (the plain points of sensitivity
        parameters) count once.

    Returns: (Spearman's correlation of the base's gap to the oracle with R², number of worlds);
      NaN for fewer than 3 worlds.
    """
    loops = by_world.drop_duplicates(["world", "oracle_gap"])
    if len(loops) < 3:
        return float("nan"), len(loops)
    return float(stats.spearmanr(loops.oracle_gap, loops[metric]).statistic), len(loops)
