"""How well offline metrics agree with revenue: over models, worlds and dials.

Figures 3 to 6 of the paper show one system: R² and deviations of a line through its models.
Here every world has a line of its own (0.01 of R/R* is worth more in one world than in another)
and a statistic is the mean over worlds. Intervals are the bootstrap's over worlds *and* models:
the models of a resample are the same in all its worlds, since what is peculiar to a variant
shows in every world (Owen 2007, arXiv:0712.1111, "the pigeonhole bootstrap"). All metrics share
the resamples, so that their differences are paired.
"""

import dataclasses

import numpy as np
import pandas as pd

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


@dataclasses.dataclass(frozen=True)
class MetricComparison:
    """What `compare_metrics` found.

    Attributes:
      metrics, worlds: names.
      models: of each world, how many.
      values: statistic -> [metrics, worlds]. `lift_of_selected` is the lift of the
        model that the metric puts first, `regret` what a world's best model earns more: the cost
        of choosing by the metric. The others are those of a line, lift on metric, or of ranks.
      draws: statistic -> [draws, metrics], means over resampled worlds.
      ceiling: of each world, the share of the lifts' variance that is not noise of the tests: no
        metric's R² can be expected beyond it. NaN where the tests' errors are not known.
    """

    metrics: tuple
    worlds: tuple
    models: np.ndarray
    values: dict
    draws: dict
    ceiling: np.ndarray

    def value(self, metric, statistic="r_squared"):
        """Mean over worlds."""
        return float(np.nanmean(self.values[statistic][self.metrics.index(metric)]))

    def interval(self, metric, statistic="r_squared", interval=0.9):
        """(low, high) over resampled worlds and models."""
        return _bounds(self.draws[statistic][:, self.metrics.index(metric)], interval)

    def difference(self, first, second, statistic="r_squared", interval=0.9):
        """(value, low, high) of one metric's statistic less another's, on the same resamples."""
        one, other = self.metrics.index(first), self.metrics.index(second)
        drawn = self.draws[statistic]
        return (
            self.value(first, statistic) - self.value(second, statistic),
            *_bounds(drawn[:, one] - drawn[:, other], interval),
        )

    def table(self, interval=0.9):
        """One row a metric: each statistic with NAME_low and NAME_high."""
        return pd.DataFrame(
            [
                {"metric": metric}
                | {
                    name: number
                    for statistic in STATISTICS
                    for name, number in zip(
                        (statistic, f"{statistic}_low", f"{statistic}_high"),
                        (
                            self.value(metric, statistic),
                            *self.interval(metric, statistic, interval),
                        ),
                    )
                }
                for metric in self.metrics
            ]
        )

    def wins(self, statistic="r_squared"):
        """One row a metric: in how many worlds it is best, and in what share of the draws.

        `probability_best` is the share of resamples whose mean over worlds is the highest of all.
        """
        best = np.argmax(self.values[statistic], axis=0)
        leads = np.argmax(self.draws[statistic], axis=1)
        count = [np.bincount(x, minlength=len(self.metrics)) for x in (best, leads)]
        return pd.DataFrame(
            {
                "metric": self.metrics,
                "worlds_won": count[0],
                "worlds": len(self.worlds),
                "probability_best": count[1] / len(leads),
            }
        )


def compare_metrics(table, metrics, *, lift="revenue_lift", draws=2000, seed=0):
    """Agreement of metrics with lifts over models, and over worlds where there are several.

    Args:
      table: DataFrame, one row a model (and world): `model`, the metrics, the lift, optionally
        `world` and the lift's standard error, `{lift}_se`.
      metrics: names of columns.
      lift: column of lifts (fractions).
      draws, seed: of the bootstrap.

    Returns: MetricComparison.
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

    def wide(name):
        """[worlds, models], NaN where a world lacks a model."""
        return (
            table.pivot(index="world", columns="model", values=name)
            .reindex(index=worlds, columns=models)
            .to_numpy(float)
        )

    y = wide(lift)
    x = np.stack([wide(metric) for metric in metrics])
    ones = np.ones((1, len(models)))
    values = _by_world(x, y, ones)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(models), np.full(len(models), 1 / len(models)), draws)
    picked = rng.multinomial(len(worlds), np.full(len(worlds), 1 / len(worlds)), draws)
    drawn = _by_world(x, y, weights.astype(float))
    return MetricComparison(
        tuple(metrics),
        tuple(worlds),
        np.isfinite(y).sum(axis=1),
        {name: value[0] for name, value in values.items()},
        {name: _mean_over_worlds(value, picked) for name, value in drawn.items()},
        _ceiling(y, wide(f"{lift}_se")) if f"{lift}_se" in table else np.full(len(worlds), np.nan),
    )


def standardised_residuals(models, metric, lift="revenue_lift"):
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
    in_world = models["world"]
    slope = (x * y).groupby(in_world).sum() / (x * x).groupby(in_world).sum()
    return (y - in_world.map(slope) * x) / worlds[lift].transform("std")


def sensitivity(table, metrics, *, lift="revenue_lift", interval=0.9, draws=1000, seed=0):
    """R² of each metric at each point of each dial: dial, value, metric, worlds, r_squared, ...

    Args:
      table: as for `compare_metrics`, with `dial` and `value`; rows whose dial is "" are left out.
      metrics, lift, draws, seed: as for `compare_metrics`; interval: probability of low and high.

    Returns: DataFrame with the columns dial, value, metric, worlds, r_squared, low, high,
      ceiling, lift_spread (standard deviation of the lifts between models).
    """
    rows = []
    for (dial, value), at in table[table.dial != ""].groupby(["dial", "value"], sort=False):
        found = compare_metrics(at, metrics, lift=lift, draws=draws, seed=seed)
        spread = at.groupby("world")[lift].std().mean()
        rows += [
            {
                "dial": dial,
                "value": value,
                "metric": metric,
                "worlds": len(found.worlds),
                "r_squared": found.value(metric),
                **dict(zip(("low", "high"), found.interval(metric, interval=interval))),
                "ceiling": float(np.mean(found.ceiling)),
                "lift_spread": spread,
            }
            for metric in metrics
        ]
    return pd.DataFrame(rows)


def paired_changes(
    table, dial, metric, reference=None, *, lift="revenue_lift", interval=0.9, draws=1000, seed=0
):
    """How R² changes where a dial leaves a reference: value, change, low, high.

    The same models and seeds stand at all values, and all resample them alike: changes are paired.

    Args:
      reference: value of the dial, by default its first.
      table, metric, lift, interval, draws, seed: as for `sensitivity`.

    Returns: DataFrame, one row a value other than the reference, ascending.
    Raises: ValueError where the dial never stands at the reference.
    """
    of_dial = table[table.dial == dial].sort_values("value", kind="stable")
    found = {
        value: compare_metrics(at, [metric], lift=lift, draws=draws, seed=seed)
        for value, at in of_dial.groupby("value")
    }
    reference = next(iter(found), None) if reference is None else reference
    if reference not in found:
        raise ValueError(
            f"paired_changes: {dial!r} must stand at its reference {reference} among {list(found)}"
        )
    plain = found.pop(reference)
    rows = []
    for value, at in found.items():
        drawn = (at.draws["r_squared"] - plain.draws["r_squared"])[:, 0]
        rows.append(
            {
                "value": value,
                "change": at.value(metric) - plain.value(metric),
                **dict(zip(("low", "high"), _bounds(drawn, interval))),
            }
        )
    return pd.DataFrame(rows, columns=["value", "change", "low", "high"])


# ---- statistics under weights ------------------------------------------------------------


def _by_world(x, y, weights):
    """STATISTICS of x [metrics, worlds, models] and y [worlds, models], [draws, metrics, worlds].

    weights: [draws, models], how often a resample holds each model.
    """
    out = {name: np.full((len(weights), *x.shape[:2]), np.nan) for name in STATISTICS}
    for world, lifts in enumerate(y):
        there = np.isfinite(lifts)
        w, b = weights[:, there], lifts[there]
        rank_b = w @ _lower(b).T
        for metric in range(len(x)):
            a = x[metric, world, there]
            found = (
                _line(a, b, w)
                | _choice(a, b, w)
                | {
                    "spearman": _correlation(w @ _lower(a).T, rank_b, w),
                    "kendall": _kendall(a, b, w),
                }
            )
            for name, value in found.items():
                out[name][:, metric, world] = value
    return out


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


def _kendall(a, b, w):
    """Kendall's tau-b of each resample."""
    sign_a, sign_b = (np.sign(z[:, None] - z[None, :]) for z in (a, b))

    def pairs(signs):
        return np.einsum("dj,dj->d", w @ signs, w)

    with np.errstate(invalid="ignore", divide="ignore"):
        return pairs(sign_a * sign_b) / np.sqrt(pairs(sign_a**2) * pairs(sign_b**2))


def _choice(a, b, w):
    """b of the highest a, the lowest of equal ones, and how far it is below the highest b."""
    there = w > 0
    first = there & (a == np.where(there, a, -np.inf).max(axis=1, keepdims=True))
    chosen = np.where(first, b, np.inf).min(axis=1)
    return {"lift_of_selected": chosen, "regret": np.where(there, b, -np.inf).max(axis=1) - chosen}


def _mean_over_worlds(values, picked):
    """[draws, metrics, worlds] -> [draws, metrics], worlds weighted by `picked` [draws, worlds]."""
    counted = np.where(np.isnan(values), 0.0, picked[:, None, :])
    total = counted.sum(axis=-1)
    summed = (counted * np.nan_to_num(values)).sum(axis=-1)
    return np.divide(summed, total, out=np.full_like(summed, np.nan), where=total > 0)


def _ceiling(y, error):
    variance = np.nanvar(y, axis=1, ddof=1)
    return np.clip(1 - np.nanmean(np.square(error), axis=1) / variance, 0, 1)


def _bounds(draws, interval):
    tail = (1 - interval) / 2
    return tuple(float(x) for x in np.nanquantile(draws, [tail, 1 - tail]))


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
        if not np.isfinite(table[name]).all():
            raise ValueError(f"compare_metrics: {name} must be finite; got {table[name].min()}")
        for world, values in table.groupby("world")[name]:
            if len(values) < 3 or np.ptp(values) == 0:
                raise ValueError(
                    f"compare_metrics: {name} needs 3 or more models that differ in world "
                    f"{world!r}; got {values.round(6).tolist()[:5]}"
                )
