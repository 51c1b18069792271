"""What doubling each resource gives, measured: every model has seen, or not, twice the samples.

A data doubling is paired within a training: the base after n samples and the same base after 2n.
A doubling of a part is paired within a stream: the base and the scaled model after the same
samples. Both are differences of losses on nearly the same rows, so that what errs in the level of
a loss is gone. Intervals are Student's over draws (worlds or shuffles), each the mean of its seeds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lib.infra.intervals import mean_interval

DATA = "data"
# A change of normalised entropy that counts: .02 %, as in Wukong (Zhang et al. 2024).
COUNTS = 2e-4


def loss_column(table: pd.DataFrame) -> str:
    """The loss to compare by: of the true probabilities where the stream knows them."""
    known = "expected_normalised_entropy"
    return known if known in table and table[known].notna().all() else "normalised_entropy"


def by_draw(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean over the seeds of a draw: rows (way, factor, samples), a column for each draw."""
    return table.pivot_table(index=["way", "factor", "samples"], columns="draw", values=value)


def gains(table: pd.DataFrame, interval: float = 0.9) -> pd.DataFrame:
    """The relative fall of the loss by doubling data, and by each measured factor of each way.

    Args:
      table: of `lib.experiments.dlrm_study.table.run`, of one family.
      interval: probability of the intervals.

    Returns: DataFrame: way ("data" or of WAYS), factor, samples (before doubling), gain, low, high
      (fractions of the loss at the base, per doubling of that resource; a factor f is log2 f
      doublings), draws; extra_flops (training FLOPs that the whole factor adds), extra_bytes (of
      weights), extra_traffic (bytes a sample of training), extra_samples.
    """
    loss = by_draw(table, loss_column(table))
    costs = table.groupby(["way", "factor", "samples"])[
        ["training_flops", "memory_bytes", "training_bytes"]
    ].mean()
    rows = []
    for way in table.way.unique():
        base = loss.loc[way, 1.0]
        for factor in (f for f in loss.loc[way].index.unique("factor") if f > 1):
            scaled = loss.loc[way, factor]
            for samples in base.index.intersection(scaled.index):
                relative = (1 - scaled.loc[samples] / base.loc[samples]) / np.log2(factor)
                extra = costs.loc[way, factor, samples] - costs.loc[way, 1.0, samples]
                rows.append(_row(way, factor, samples, relative, extra, 0, interval))
    way = table.way.iloc[0]
    base = loss.loc[way, 1.0]
    for samples in base.index:
        if 2 * samples in base.index:
            relative = 1 - base.loc[2 * samples] / base.loc[samples]
            extra = costs.loc[way, 1.0, 2 * samples] - costs.loc[way, 1.0, samples]
            rows.append(_row(DATA, 2.0, samples, relative, extra, samples, interval))
    return pd.DataFrame(rows)


def _row(way, factor, samples, relative, extra, extra_samples, interval):
    mean = mean_interval(relative.dropna(), interval)
    return {
        "way": way,
        "factor": factor,
        "samples": samples,
        "gain": mean.value,
        "low": mean.low,
        "high": mean.high,
        "draws": int(relative.notna().sum()),
        "extra_flops": extra.training_flops,
        "extra_bytes": extra.memory_bytes,
        "extra_traffic": extra.training_bytes,
        "extra_samples": extra_samples,
    }


def returns(table: pd.DataFrame, samples: int, factor: float = 2.0) -> pd.DataFrame:
    """The ways ranked at one number of samples: what a unit of each resource buys.

    Args:
      table: of `gains`; samples: one of its numbers; factor: of the ways.

    Returns: DataFrame, the highest gain per FLOP first: way, gain, low, high, what
      the factor adds, and the whole factor's gain per added training FLOP, byte of weights, byte
      moved a sample and sample (NaN where a way needs no more of it).
    """
    now = table[(table.samples == samples) & (table.factor == factor)].set_index("way")
    per = {
        f"gain_per_{name}": now.gain * np.log2(factor) / now[f"extra_{name}"].where(lambda x: x > 0)
        for name in ("flops", "bytes", "traffic", "samples")
    }
    ranked = now[["gain", "low", "high", "extra_flops", "extra_bytes", "extra_traffic"]]
    return ranked.assign(**per).sort_values("gain_per_flops", ascending=False).reset_index()


def out_of_steam(table: pd.DataFrame, samples: int, interval: float = 0.9) -> pd.DataFrame:
    """For each way, its gain by doubling, and that over the gain of doubling data.

    A way is out of steam where the whole interval of its gain lies below `COUNTS`, a fall of the
    loss too small to count; it is not where the whole interval lies above; else undecided (None).

    Args:
      table: of `lib.experiments.dlrm_study.table.run`, of one family.
      samples: one of its numbers, of which the base knows the double as well.

    Returns: DataFrame: way, gain, low, high (fraction of the loss), ratio, ratio_low, ratio_high,
      less_than_data, less_low, less_high (data's gain less the way's), out_of_steam.
    """
    loss = by_draw(table, loss_column(table))
    rows = []
    for way in table.way.unique():
        base = loss.loc[way, 1.0]
        if 2.0 not in loss.loc[way].index.unique("factor"):
            continue
        gain = (1 - loss.loc[way, 2.0, samples] / base.loc[samples]).dropna()
        data = 1 - base.loc[2 * samples] / base.loc[samples]
        own, ratio, less = (
            mean_interval(x.dropna(), interval) for x in (gain, gain / data, data - gain)
        )
        verdict = True if own.high < COUNTS else False if own.low > COUNTS else None
        rows.append(
            {"way": way, "gain": own.value, "low": own.low, "high": own.high}
            | {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
            | {"less_than_data": less.value, "less_low": less.low, "less_high": less.high}
            | {"out_of_steam": verdict}
        )
    return pd.DataFrame(rows)


def last_common(table: pd.DataFrame) -> int:
    """The most samples at which every way's doubling, and data's, were measured; of `gains`."""
    return int(table[table.factor == 2].groupby("way").samples.max().min())


def architectures(table: pd.DataFrame, interval: float = 0.9) -> pd.DataFrame:
    """The loss of every family's base after the same samples, the best first.

    Args:
      table: of `lib.experiments.dlrm_study.table.run`, of several families.

    Returns: DataFrame: family, samples, loss, low, high (Student's over draws), auc, calibration,
      better (the loss of the DLRM less the family's, paired by draw), better_low, better_high.
    """
    loss = loss_column(table)
    part = table[(table.way == table.way.iloc[0]) & (table.factor == 1)]
    samples = int(part.groupby("family").samples.max().min())
    part = part[part.samples == samples]
    by_family = part.pivot_table(index="family", columns="draw", values=loss)
    others = part.groupby("family")[["auc", "calibration"]].mean()
    rows = []
    for family, losses in by_family.iterrows():
        own = mean_interval(losses, interval)
        better = mean_interval(by_family.loc["dlrm"] - losses, interval)
        rows.append(
            {"family": family, "samples": samples, "loss": own.value}
            | {"low": own.low, "high": own.high, **others.loc[family]}
            | {"better": better.value, "better_low": better.low, "better_high": better.high}
        )
    return pd.DataFrame(rows).sort_values("loss", ignore_index=True)


def options(table: pd.DataFrame, today: int) -> pd.DataFrame:
    """Every size and number of samples as an option for `lib.design.price_options`.

    Args:
      table: of `lib.experiments.dlrm_study.table.run`, of one family.
      today: samples of the base that is today's option.

    Returns: DataFrame: option, way, factor, today, samples, draw, revenue, flops,
      training_flops_a_sample, serving_bytes, training_bytes, embedding_parameters.
    """
    first = table.way.iloc[0]
    part = table[(table.factor != 1) | (table.way == first)]
    is_base = part.factor == 1
    names = (part.way + " x " + part.factor.map("{:g}".format)).where(~is_base, "base")
    part = part.assign(
        option=names,
        way=part.way.where(~is_base, DATA),
        today=is_base & (part.samples == today),
        training_flops_a_sample=3 * part.flops,
    )
    keys = ["option", "way", "factor", "today", "samples", "draw"]
    values = ["revenue", "flops", "training_flops_a_sample", "serving_bytes", "training_bytes"]
    return part.groupby(keys, sort=False)[[*values, "embedding_parameters"]].mean().reset_index()
