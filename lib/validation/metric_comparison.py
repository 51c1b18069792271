"""How well offline metrics agree with revenue: over models, worlds and sensitivity parameters.

Figures 3 to 6 of the paper show one system: R² and deviations of a line through its models.
Here every world has a line of its own (0.01 of R/R* is worth more in one world than in another)
and a statistic is the mean over worlds. With three worlds or more its interval is Student's t of
that mean: another system like them would draw world, loop, log and trainings anew
(`lib.validation.systems`).

With fewer, intervals are the bootstrap's over worlds *and* models: the models of a resample are the
same in all its worlds, since what is peculiar to a variant shows in every world (Owen 2007,
arXiv:0712.1111, "the pigeonhole bootstrap"). Which model a metric puts first is an argmax: a
resample that lacks the best models cannot choose them, and the bootstrap's draws lie to one side of
the value. Intervals of what is chosen are the jackknife's instead, over models and worlds, centred
on the value. All metrics share worlds and resamples, so that their differences are paired.

A sensitivity parameter ("dial") is one assumption of the simulated system that is varied while all
else stays; its name and value stand in the columns `dial` and `value`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from lib.infra.intervals import check_interval, interval_bounds
from lib.validation.rank_correlation import kendall_tau
from lib.validation.systems import LEAST_SYSTEMS, AcrossSystems

STATISTICS = (
    "r_squared",
    "mean_deviation",
    "max_deviation",
    "spearman",
    "kendall",
    "slope",
    "lift_of_selected",
    "regret",
)
SIZE = "flops"
CHOICES = ("lift_of_selected", "regret")  # what an argmax earns, and what it leaves
RANGES = {"r_squared": (0, 1), "regret": (0, np.inf)}  # that a statistic cannot leave


@dataclasses.dataclass(frozen=True)
class MetricComparison:
    """What `compare_metrics` returns.

    Attributes:
      metrics, worlds: names.
      models: number of models in each world.
      values: statistic -> [metrics, worlds]. `lift_of_selected` is the lift of the
        model that the metric puts first, `regret` how much more the best model of the world would
        have earned: the cost of choosing by the metric. The others are those of a line, lift on
        metric, or of ranks.
      draws: statistic -> [draws, metrics], means over resampled worlds.
      left_out: each of CHOICES -> its mean over worlds without each model in turn, [models,
        metrics], and without each world, [worlds, metrics] (none where there is one world).
      ceiling: of each world, the share of the lifts' variance that is not noise of the tests: no
        metric's R² can be expected beyond it. Noise that all models have in common, such as that
        of the base, moves all lifts alike and does not count. NaN where the tests' errors are not
        known.
      dropped: a sentence on each model that was not compared, of the table's attrs["dropped"].
    """

    metrics: tuple[str, ...]
    worlds: tuple[str, ...]
    models: np.ndarray
    values: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]
    left_out: dict[str, tuple[np.ndarray, np.ndarray]]
    ceiling: np.ndarray
    dropped: tuple[str, ...] = ()

    def value(self, metric: str, statistic: str = "r_squared") -> float:
        """Mean over worlds.

        Raises: ValueError, here and in the other methods, for a metric that was not compared, a
          statistic that is none of STATISTICS, or an interval that is not between 0 and 1.
        """
        return float(np.nanmean(self.values_by_world(metric, statistic)))

    def values_by_world(self, metric: str, statistic: str = "r_squared") -> np.ndarray:
        """One value a world, in the order of `worlds`."""
        return _named(self.values, statistic, "statistic")[self._column(metric)]

    def interval(
        self, metric: str, statistic: str = "r_squared", interval: float = 0.9
    ) -> tuple[float, float]:
        """(low, high): Student's t over worlds where they are three or more.

        Else over resampled worlds and models, or the jackknife's for CHOICES.
        """
        values = self.values_by_world(metric, statistic)
        if len(values) >= LEAST_SYSTEMS:
            low, high = _across(values, interval)
        elif statistic in CHOICES:
            left_out = [values[:, self._column(metric)] for values in self.left_out[statistic]]
            low, high = _jackknife(self.value(metric, statistic), left_out, interval)
        else:
            low, high = _bounds(self._draws(metric, statistic), interval)
        return tuple(np.clip((low, high), *RANGES.get(statistic, (-np.inf, np.inf))).tolist())

    def difference(
        self, first: str, second: str, statistic: str = "r_squared", interval: float = 0.9
    ) -> tuple[float, float, float]:
        """(value, low, high) of one metric's statistic less another's, paired by world."""
        value = self.value(first, statistic) - self.value(second, statistic)
        if len(self.worlds) >= LEAST_SYSTEMS:
            pair = (self.values_by_world(metric, statistic) for metric in (first, second))
            return value, *_across(np.subtract(*pair), interval)
        if statistic in CHOICES:
            columns = self._column(first), self._column(second)
            left_out = [v[:, columns[0]] - v[:, columns[1]] for v in self.left_out[statistic]]
            return value, *_jackknife(value, left_out, interval)
        drawn = self._draws(first, statistic) - self._draws(second, statistic)
        return value, *_bounds(drawn, interval)

    def table(self, interval: float = 0.9) -> pd.DataFrame:
        """One row a metric: each statistic with NAME_low and NAME_high."""
        rows = []
        for metric in self.metrics:
            row = {"metric": metric}
            for statistic in STATISTICS:
                low, high = self.interval(metric, statistic, interval)
                row |= {
                    statistic: self.value(metric, statistic),
                    f"{statistic}_low": low,
                    f"{statistic}_high": high,
                }
            rows.append(row)
        return pd.DataFrame(rows)

    def wins(self, statistic: str = "r_squared") -> pd.DataFrame:
        """One row a metric: in how many worlds it is best, and in what share of the draws.

        `probability_best` is the share of resamples whose mean over worlds is the highest of all.
        """
        best = np.argmax(_named(self.values, statistic, "statistic"), axis=0)
        best_of_draws = np.argmax(_named(self.draws, statistic, "statistic"), axis=1)
        worlds_won, draws_won = (
            np.bincount(winners, minlength=len(self.metrics)) for winners in (best, best_of_draws)
        )
        return pd.DataFrame(
            {
                "metric": self.metrics,
                "worlds_won": worlds_won,
                "worlds": len(self.worlds),
                "probability_best": draws_won / len(best_of_draws),
            }
        )

    def _column(self, metric):
        return _named({name: column for column, name in enumerate(self.metrics)}, metric, "metric")

    def _draws(self, metric, statistic):
        return _named(self.draws, statistic, "statistic")[:, self._column(metric)]


def compare_metrics(
    table: pd.DataFrame,
    metrics: Sequence[str],
    *,
    lift: str = "revenue_lift",
    draws: int = 2000,
    seed: int = 0,
) -> MetricComparison:
    """Agreement of metrics with lifts over models, and over worlds where there are several.

    Args:
      table: DataFrame, one row a model (and world): `model`, the metrics, the lift, optionally
        `world`, the lift's standard error, `{lift}_se`, and `{lift}_own_se`, that of the lift less
        the mean of all models' lifts. Without the latter, half of the variance of a lift's error
        is taken to be the base's, as if both arms of a test had as much noise of their own.
      metrics: names of columns.
      lift: column of lifts (fractions).
      draws, seed: of the bootstrap.

    Raises: ValueError for a missing column, a model that a world has twice, numbers that are
      not finite, fewer than 3 models in a world, or a column that is constant in one.

    >>> table = pd.DataFrame({"model": list("abcd"), "ndcg": [0.8, 0.82, 0.84, 0.85],
    ...                       "revenue_lift": [0.0, 0.01, 0.02, 0.025]})
    >>> round(compare_metrics(table, ["ndcg"]).value("ndcg"), 3)
    1.0
    """
    table = table.assign(world=table["world"] if "world" in table else "")
    _check(table, metrics, lift)
    worlds, models = (pd.unique(table[name]) for name in ("world", "model"))

    def by_world_and_model(name):
        """[worlds, models], NaN where a world lacks a model."""
        return (
            table.pivot(index="world", columns="model", values=name)
            .reindex(index=worlds, columns=models)
            .to_numpy(float)
        )

    lifts = by_world_and_model(lift)
    scores = np.stack([by_world_and_model(metric) for metric in metrics])
    values = _by_world(scores, lifts, np.ones((1, len(models))))
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(models), np.full(len(models), 1 / len(models)), draws)
    world_weights = rng.multinomial(len(worlds), np.full(len(worlds), 1 / len(worlds)), draws)
    drawn = _by_world(scores, lifts, weights.astype(float))
    return MetricComparison(
        metrics=tuple(metrics),
        worlds=tuple(worlds),
        models=np.isfinite(lifts).sum(axis=1),
        values={name: value[0] for name, value in values.items()},
        draws={name: _mean_over_worlds(value, world_weights) for name, value in drawn.items()},
        left_out=_left_out(scores, lifts, values),
        ceiling=1 - np.clip(_noise(table, lift, by_world_and_model) / _variance(lifts), 0, 1),
        dropped=tuple(table.attrs.get("dropped", ())),
    )


def compare_choices(
    table: pd.DataFrame, metrics: Sequence[str], *, lift: str = "revenue_lift"
) -> MetricComparison:
    """What choosing by each metric earns, and what choosing the largest model does without any.

    Args:
      table, metrics, lift: as for `compare_metrics`; the column `flops`, where it is there and
        differs between the models of every world, joins the metrics as SIZE.

    Returns: `MetricComparison`, of whose statistics CHOICES are of use.

    >>> table = pd.DataFrame({"model": list("abc"), "ndcg": [3, 2, 1], "flops": [1, 2, 3],
    ...                       "revenue_lift": [0.0, 0.01, 0.02]})
    >>> choices = compare_choices(table, ["ndcg"])
    >>> [choices.value(name, "lift_of_selected") for name in choices.metrics]
    [0.0, 0.02]
    """
    worlds = table["world"] if "world" in table else pd.Series("", table.index)
    sized = SIZE in table and table[SIZE].notna().all()
    if sized and (table.groupby(worlds)[SIZE].nunique() > 1).all():
        metrics = [*metrics, SIZE]
    return compare_metrics(table, metrics, lift=lift, draws=1)


def standardised_residuals(
    models: pd.DataFrame, metric: str, lift: str = "revenue_lift"
) -> pd.Series:
    """How far each model lies from the line of its world, in standard deviations of its lifts.

    Args:
      models: DataFrame with the columns world, `metric` and `lift`, two models a world or more.

    Returns: Series like the rows of `models`; positive where revenue is more than the metric says.

    >>> table = pd.DataFrame({"world": "A", "ndcg": [0.0, 1.0, 2.0], "revenue_lift": [0, 3, 0]})
    >>> standardised_residuals(table, "ndcg").round(2).tolist()
    [-0.58, 1.15, -0.58]
    """
    worlds = models.groupby("world", sort=False)
    x = models[metric] - worlds[metric].transform("mean")
    y = models[lift] - worlds[lift].transform("mean")
    world = models["world"]
    slope = (x * y).groupby(world).sum() / (x * x).groupby(world).sum()
    return (y - world.map(slope) * x) / worlds[lift].transform("std")


def leave_two_out(models: pd.DataFrame, metric: str, lift: str = "revenue_lift") -> pd.DataFrame:
    """R² of a metric in each world, with every pair of models left out in turn.

    A line's R² may hang on one or two models that lie far from all others; this names them.

    Args:
      models: as for `compare_metrics`; 5 models a world or more.

    Returns: DataFrame, a row a world: world, r_squared (of all models), lowest, median, highest
      (over the pairs left out), without_for_lowest, without_for_highest (the pair, as text).
    Raises: ValueError as `compare_metrics`, and for fewer than 5 models in a world.

    >>> table = pd.DataFrame({"model": list("abcdef"), "ndcg": [0.0, 1, 2, 3, 4, 5],
    ...                       "revenue_lift": [0.0, 1, 2, 3, 4, -9]})
    >>> leave_two_out(table, "ndcg")[["highest", "without_for_highest"]].values.tolist()
    [[1.0, 'a, f']]
    """
    models = models.assign(world=models["world"] if "world" in models else "")
    _check(models, [metric], lift)
    rows = []
    for world, part in models.groupby("world", sort=False):
        if len(part) < 5:
            raise ValueError(
                f"leave_two_out: needs 5 or more models in world {world!r}; got {len(part)}"
            )
        first, second = np.triu_indices(len(part), 1)
        weights = np.ones((len(first), len(part)))
        weights[np.arange(len(first))[:, None], np.stack([first, second], axis=1)] = 0
        x, y = part[metric].to_numpy(float), part[lift].to_numpy(float)
        left = _correlation(x, y, weights) ** 2
        names = part.model.astype(str).to_numpy()
        low, high = int(np.nanargmin(left)), int(np.nanargmax(left))
        pairs = {
            pair: f"{names[first[place]]}, {names[second[place]]}"
            for pair, place in (("lowest", low), ("highest", high))
        }
        rows.append(
            {
                "world": world,
                "r_squared": float(np.corrcoef(x, y)[0, 1] ** 2),
                "lowest": left[low],
                "median": float(np.nanmedian(left)),
                "highest": left[high],
                "without_for_lowest": pairs["lowest"],
                "without_for_highest": pairs["highest"],
            }
        )
    return pd.DataFrame(rows)


def sensitivity(
    table: pd.DataFrame,
    metrics: Sequence[str],
    *,
    lift: str = "revenue_lift",
    interval: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """R² of each metric at each value of each sensitivity parameter.

    Args:
      table: as for `compare_metrics`, with `dial` and `value`; rows whose dial is "" are left out.
      metrics, lift, draws, seed: as for `compare_metrics`; interval: probability of low and high.

    Returns: DataFrame with the columns dial, value, metric, worlds, r_squared, low, high,
      ceiling, lift_spread (standard deviation of the lifts between models).
    """
    rows = []
    for (dial, value), models in table[table.dial != ""].groupby(["dial", "value"], sort=False):
        comparison = compare_metrics(models, metrics, lift=lift, draws=draws, seed=seed)
        spread = models.groupby("world")[lift].std().mean()
        for metric in metrics:
            low, high = comparison.interval(metric, interval=interval)
            rows.append(
                {
                    "dial": dial,
                    "value": value,
                    "metric": metric,
                    "worlds": len(comparison.worlds),
                    "r_squared": comparison.value(metric),
                    "low": low,
                    "high": high,
                    "ceiling": float(np.mean(comparison.ceiling)),
                    "lift_spread": spread,
                }
            )
    return pd.DataFrame(rows)


def paired_changes(
    table: pd.DataFrame,
    dial: str,
    metric: str,
    reference: float | None = None,
    *,
    lift: str = "revenue_lift",
    interval: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """How R² changes where a sensitivity parameter leaves its reference: value, change, low, high.

    The same models and seeds are tested at all values, and all resample them alike: changes are
    paired.

    Args:
      reference: value of the parameter, by default its first.
      table, metric, lift, interval, draws, seed: as for `sensitivity`.

    Returns: DataFrame, one row a value other than the reference, ascending.
    Raises: ValueError where the parameter never stands at the reference.
    """
    rows_of_dial = table[table.dial == dial].sort_values("value", kind="stable")
    comparisons = {
        value: compare_metrics(models, [metric], lift=lift, draws=draws, seed=seed)
        for value, models in rows_of_dial.groupby("value")
    }
    reference = next(iter(comparisons), None) if reference is None else reference
    if reference not in comparisons:
        raise ValueError(
            f"paired_changes: {dial!r} must stand at its reference {reference} among "
            f"{list(comparisons)}"
        )
    plain = comparisons.pop(reference)
    rows = []
    for value, comparison in comparisons.items():
        drawn = (comparison.draws["r_squared"] - plain.draws["r_squared"])[:, 0]
        low, high = _bounds(drawn, interval)
        change = comparison.value(metric) - plain.value(metric)
        rows.append({"value": value, "change": change, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["value", "change", "low", "high"])


def changes_of_all(
    table: pd.DataFrame,
    metric: str,
    references: dict[str, float],
    *,
    interval: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """`paired_changes` of every sensitivity parameter in the table, largest fall first.

    Args:
      references: parameter -> its reference; one that is missing starts from its first value.

    Returns: DataFrame with the columns value, change, low, high, dial.
    """
    parts = [
        paired_changes(
            table, dial, metric, references.get(dial), interval=interval, draws=draws, seed=seed
        ).assign(dial=dial)
        for dial in table.dial[table.dial != ""].unique()
    ]
    return pd.concat(parts).sort_values("change", ignore_index=True)


def sensitivity_by_lift(
    table: pd.DataFrame,
    metrics: Sequence[str],
    lifts: dict[str, str],
    *,
    interval: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """`sensitivity` for each kind of lift that the table has, its label in the column `revenue`.

    Args:
      lifts: column of lifts -> label.
    """
    parts = [
        sensitivity(table, metrics, lift=lift, interval=interval, draws=draws, seed=seed).assign(
            revenue=label
        )
        for lift, label in lifts.items()
        if lift in table
    ]
    return pd.concat(parts, ignore_index=True)


# ---- statistics under weights ------------------------------------------------------------


def _by_world(scores, lifts, weights):
    """STATISTICS, each [draws, metrics, worlds].

    scores: [metrics, worlds, models]; lifts: [worlds, models]; weights: [draws, models], how often
    a resample holds each model.
    """
    statistics = {name: np.full((len(weights), *scores.shape[:2]), np.nan) for name in STATISTICS}
    for world, lifts_of_world in enumerate(lifts):
        tested = np.isfinite(lifts_of_world)
        w, b = weights[:, tested], lifts_of_world[tested]
        rank_b = w @ _lower(b).T
        for metric in range(len(scores)):
            a = scores[metric, world, tested]
            drawn = (
                _line(a, b, w)
                | _choice(a, b, w)
                | {
                    "spearman": _correlation(w @ _lower(a).T, rank_b, w),
                    "kendall": kendall_tau(a, b, w),
                }
            )
            for name, value in drawn.items():
                statistics[name][:, metric, world] = value
    return statistics


def _line(a, b, w):
    """Weighted least squares of b on a [models] for each row of w [draws, models]."""
    with np.errstate(invalid="ignore"):  # a resample of equal values has no slope
        slope = _covariance(a, b, w) / _covariance(a, a, w)
    mean_a, mean_b = (w @ z / w.sum(axis=1) for z in (a, b))
    off = np.abs((b - mean_b[:, None]) - slope[:, None] * (a - mean_a[:, None]))
    return {
        "r_squared": _correlation(a, b, w) ** 2,
        "slope": slope,
        "mean_deviation": (w * off).sum(axis=1) / w.sum(axis=1),
        "max_deviation": np.where(w > 0, off, 0).max(axis=1),
    }


def _covariance(a, b, w):
    total = w.sum(axis=1, keepdims=True)
    a, b = (np.broadcast_to(z, w.shape) for z in (a, b))
    a = a - (w * a).sum(axis=1, keepdims=True) / total
    b = b - (w * b).sum(axis=1, keepdims=True) / total
    covariance = (w * a * b).sum(axis=1) / total[:, 0]
    # Resamples of one repeated model have no spread but rounding.
    return np.where((w > 0).sum(axis=1) > 1, covariance, np.nan)


def _correlation(a, b, w):
    with np.errstate(invalid="ignore", divide="ignore"):
        return _covariance(a, b, w) / np.sqrt(_covariance(a, a, w) * _covariance(b, b, w))


def _lower(a):
    """[i, j]: 1 where model j lies below model i, 1/2 where equal; times weights: mid-ranks."""
    return (a[None, :] < a[:, None]) + 0.5 * (a[None, :] == a[:, None])


def _choice(a, b, w):
    """b of the highest a, the lowest of equal ones, and how far it is below the highest b."""
    drawn = w > 0
    first = drawn & (a == np.where(drawn, a, -np.inf).max(axis=1, keepdims=True))
    selected = np.where(first, b, np.inf).min(axis=1)
    best = np.where(drawn, b, -np.inf).max(axis=1)
    return {"lift_of_selected": selected, "regret": best - selected}


def _mean_over_worlds(values, weights):
    """[draws, metrics, worlds] -> [draws, metrics]; weights of worlds: [draws, worlds]."""
    counted = np.where(np.isnan(values), 0.0, weights[:, None, :])
    total = counted.sum(axis=-1)
    summed = (counted * np.nan_to_num(values)).sum(axis=-1)
    return np.divide(summed, total, out=np.full_like(summed, np.nan), where=total > 0)


def _variance(lifts):
    return np.nanvar(lifts, axis=1, ddof=1)


def _noise(table, lift, by_world_and_model):
    """Expected part of the tests' noise in the variance of lifts between models, [worlds]."""
    own, error = f"{lift}_own_se", f"{lift}_se"
    if own in table:
        squares = np.square(by_world_and_model(own))
        return np.nansum(squares, axis=1) / (np.isfinite(squares).sum(axis=1) - 1)
    if error in table:
        return np.nanmean(np.square(by_world_and_model(error)), axis=1) / 2
    return np.nan


def _left_out(scores, lifts, values):
    """`MetricComparison.left_out`."""
    models, worlds = lifts.shape[::-1]
    without_model = _by_world(scores, lifts, 1.0 - np.eye(models))
    without_world = (1.0 - np.eye(worlds))[worlds == 1 :]  # nothing is left without the only one
    return {
        name: (
            _mean_over_worlds(without_model[name], np.ones((models, worlds))),
            _mean_over_worlds(
                np.broadcast_to(values[name], (len(without_world), *values[name].shape[1:])),
                without_world,
            ),
        )
        for name in CHOICES
    }


def _jackknife(value, left_out, interval):
    """Student's t interval about the value; variances without models and without worlds add up."""
    variance = sum((len(values) - 1) * np.nanvar(values) for values in left_out if len(values) > 1)
    freedom = len(left_out[0]) - 1
    half = stats.t(freedom).ppf((1 + check_interval(interval)) / 2) * np.sqrt(variance)
    return float(value - half), float(value + half)


def _across(values, interval):
    """Student's t over worlds; NaN where a world has no such statistic."""
    check_interval(interval)
    if not np.isfinite(values).all():
        return np.nan, np.nan
    low, high = AcrossSystems(values).interval(interval)
    return float(low), float(high)


def _bounds(draws, interval):
    low, high = interval_bounds(draws, interval)
    return float(low), float(high)


def _named(mapping, name, what):
    if name not in mapping:
        raise ValueError(
            f"MetricComparison: {what} {name!r} is not known; expected one of {', '.join(mapping)}"
        )
    return mapping[name]


def _check(table, metrics, lift):
    for name in ("model", lift, *metrics):
        if name not in table:
            raise ValueError(
                f"compare_metrics: column {name!r} is missing; got {', '.join(table.columns)}"
            )
    twice = table.duplicated(["world", "model"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ValueError(
            f"compare_metrics: model {row.model!r} stands twice in world {row.world!r}; "
            "average its trainings first"
        )
    for name in (lift, *metrics):
        infinite = ~np.isfinite(table[name])
        if infinite.any():
            row = table[infinite].iloc[0]
            raise ValueError(
                f"compare_metrics: {name} must be finite; got {row[name]} for model "
                f"{row.model!r} in world {row.world!r}"
            )
        for world, values in table.groupby("world")[name]:
            if len(values) < 3 or np.ptp(values) == 0:
                raise ValueError(
                    f"compare_metrics: {name} needs 3 or more models that differ in world "
                    f"{world!r}; got {values.round(6).tolist()[:5]}"
                )
