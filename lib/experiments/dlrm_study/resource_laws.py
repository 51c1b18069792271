"""The law of each resource: does the loss fall as a power of it towards a constant?

Resources are samples (of the base), each way's own (rows, width, tables, FLOPs of the MLPs) after
the most samples that all its sizes have seen, and compute: the training FLOPs of the cheapest of
all measured (size, samples) that reaches a loss.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lib.experiments.dlrm_study.gains import DATA, loss_column
from lib.laws import JointPowerLaw, PowerLawPlusConstant
from lib.laws.power_law_plus_constant import LEAST_SIZES, Bounds, Evidence, Intervals

# Resource -> the column of the table that holds how much of it there is.
COLUMNS = {
    DATA: "samples",
    "rows": "rows",
    "width": "width",
    "tables_per_field": "tables_per_field",
    "top_mlp": "top_flops",
    "all_mlps": "mlp_flops",
}
COMPUTE = "compute"
NAMES = {
    DATA: "samples",
    "rows": "rows of a table",
    "width": "width of embeddings",
    "tables_per_field": "tables of a field",
    "top_mlp": "FLOPs of the top MLP",
    "all_mlps": "FLOPs of all MLPs",
    COMPUTE: "training FLOPs, cheapest size",
}


class HeldOut(NamedTuple):
    """What the law of all but the largest size said of it; `held`: its interval held the mean."""

    x: float
    predicted: float
    low: float
    high: float
    measured: float

    @property
    def held(self) -> bool:
        """Whether the interval holds what was measured."""
        return bool(self.low <= self.measured <= self.high)


@dataclasses.dataclass(frozen=True)
class ResourceLaw:
    """Measurements along one resource, and their law.

    Attributes:
      resource: a key of NAMES.
      x: [sizes]; loss: [draws, sizes].
      law: fitted to them; intervals, evidence, held_out: of it; left: of the improvement that is
        reachable by this resource alone, the share that the next doubling takes.
    """

    resource: str
    x: np.ndarray
    loss: np.ndarray
    law: PowerLawPlusConstant
    intervals: Intervals
    evidence: Evidence
    held_out: HeldOut | None
    left: Bounds

    @property
    def follows(self) -> bool | None:
        """`Evidence.follows`, but undecided where the points do not settle the exponent.

        A step after the first size is a law of a very large exponent, which nothing contradicts.
        """
        follows = self.evidence.follows()
        return None if follows and not self.intervals.exponent.identified else follows

    def row(self) -> dict:
        """As a row of a table."""
        exponent, constant = self.intervals
        doubling = self.law.doubling(self.x[-1])
        return {
            "resource": NAMES[self.resource],
            "smallest": self.x[0],
            "largest": self.x[-1],
            "exponent": self.law.exponent_,
            "exponent_low": exponent.low,
            "exponent_high": exponent.high,
            "exponent_identified": exponent.identified,
            "constant": self.law.constant_,
            "constant_low": constant.low,
            "constant_high": constant.high,
            "constant_identified": constant.identified,
            "next_doubling": float(doubling),
            "left_low": self.left.low,
            "left_high": self.left.high,
            "follows": self.follows,
            "p_law": self.evidence.law,
            "p_flat": self.evidence.flat,
            "p_straight_line": self.evidence.straight_line,
            "held_out": None if self.held_out is None else self.held_out.held,
        }


def resource_laws(
    table: pd.DataFrame, *, interval: float = 0.9, least_samples: int = 0, seed: int = 0
) -> dict[str, ResourceLaw]:
    """The law of every resource of which there are sizes enough.

    Args:
      table: of `lib.experiments.dlrm_study.table.run`, of one family.
      interval: probability of the intervals, over draws.
      least_samples: the data's law begins there: before, a model still learns the base rate.
      seed: of the draws behind intervals.

    Returns: {resource: ResourceLaw}.
    """
    loss = loss_column(table)
    base = table[(table.way == table.way.iloc[0]) & (table.factor == 1)]
    points = {DATA: base[base.samples >= least_samples]}
    for way in table.way.unique():
        part = table[table.way == way]
        points[way] = part[part.samples == _common_samples(part)]
    laws = {}
    for resource, part in points.items():
        grid = part.pivot_table(index="draw", columns=COLUMNS[resource], values=loss)
        laws[resource] = _law(resource, grid, interval, seed)
    laws[COMPUTE] = _law(COMPUTE, _cheapest(table, loss, least_samples), interval, seed)
    return {resource: law for resource, law in laws.items() if law is not None}


def _common_samples(part):
    """The most samples that every size has seen."""
    return part.groupby("factor").samples.max().min()


def _cheapest(table, loss, least_samples):
    """[draws, budgets]: the least loss of any size within each budget of training FLOPs.

    Which size is cheapest is chosen on the mean over draws, so that no draw is picked for its luck.
    """
    # Of equal FLOPs, sizes may differ: looking up in more rows is no arithmetic.
    size = ["rows", "width", "tables_per_field", "top_flops", "mlp_flops", "samples"]
    part = table[table.samples >= least_samples].drop_duplicates([*size, "draw", "seed"])
    options = part.pivot_table(index=["training_flops", *size], columns="draw", values=loss)
    options = options.dropna()
    mean, flops = options.mean(axis=1), options.index.get_level_values("training_flops")
    budgets = np.geomspace(flops[0] * 4, flops[-1], 12)
    best = [mean[flops <= budget].idxmin() for budget in budgets]
    chosen = options.loc[list(dict.fromkeys(best))]
    return chosen.droplevel(size).T


def _law(resource, grid, interval, seed):
    x, loss = grid.columns.to_numpy(float), grid.to_numpy(float)
    if len(x) < LEAST_SIZES:
        return None
    law = _fitted(x, loss, seed)
    held_out = None
    if len(x) > LEAST_SIZES:
        without = _fitted(x[:-1], loss[:, :-1], seed)
        predicted, low, high = without.predict(x[-1:], interval=interval)
        held_out = HeldOut(
            x[-1], predicted.item(), low.item(), high.item(), float(loss[:, -1].mean())
        )
    return ResourceLaw(
        resource,
        x,
        loss,
        law,
        law.interval(interval),
        law.evidence(),
        held_out,
        law.reachable_left(interval),
    )


def _fitted(x, loss, seed):
    draws = len(loss)
    return PowerLawPlusConstant(seed=seed).fit(
        np.tile(x, draws), loss.ravel(), np.repeat(np.arange(draws), len(x))
    )


def beyond(
    law: ResourceLaw, further: pd.DataFrame, interval: float = 0.9
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the law of data says of amounts that it has not seen, and what was measured there.

    Worlds differ in the level of their loss; each is moved so that it agrees with the law at the
    last amount that the law knows.

    Args:
      law: of data, on the same kind of stream.
      further: of `benchmarks.one_more_decade`: way, seed, samples, expected_normalised_entropy;
        must hold the law's last amount.

    Returns: (the base: samples, predicted, low, high, measured (mean over worlds, moved), worlds;
      all of them: way, samples, loss (mean over worlds, moved as the base's)).
    Raises: ValueError where the further measurements lack the law's last amount.
    """
    last, loss = law.x[-1], "expected_normalised_entropy"
    base = further[further.way == "base"].pivot_table(index="samples", columns="seed", values=loss)
    if last not in base.index:
        raise ValueError(
            f"one_more_decade: needs the base after {last:,.0f} samples, the last of the law; "
            f"it holds {', '.join(f'{x:,}' for x in base.index)}"
        )
    shift = law.law.predict(last) - base.loc[last]
    unseen = base[base.index > last]
    predicted, low, high = law.law.predict(unseen.index.to_numpy(float), interval=interval)
    table = pd.DataFrame(
        {
            "samples": unseen.index,
            "predicted": predicted,
            "low": low,
            "high": high,
            "measured": (unseen + shift).mean(axis=1).to_numpy(),
            "worlds": unseen.notna().sum(axis=1).to_numpy(),
        }
    )
    moved = further.assign(loss=further[loss] + further.seed.map(shift))
    moved = moved[moved.seed.isin(base.columns)]
    return table, moved.groupby(["way", "samples"]).loss.mean().reset_index()


def joint_laws(table: pd.DataFrame, least_samples: int, interval: float = 0.9) -> pd.DataFrame:
    """The joint law of each way and data, and how the best size grows with a training's FLOPs.

    Intervals are Tukey's jackknife over draws, which are what is drawn again.

    Returns: DataFrame: way, E, alpha (size), beta (data), with low and high, max_deviation (of the
      loss, units of the loss), size_grows (exponent of the best size by budget, with low, high).
    """
    loss = loss_column(table)
    rows = []
    for way in table.way.unique():
        part = table[(table.way == way) & (table.samples >= least_samples)]
        if part.factor.nunique() < 3:
            continue
        grid = part.pivot_table(index=[COLUMNS[way], "samples"], columns="draw", values=loss)
        grid = grid.dropna()
        x = np.array(grid.index.tolist(), float)
        parts = [grid]
        if len(grid.columns) > 2:
            parts += [grid.drop(columns=draw) for draw in grid.columns]
        with np.errstate(over="ignore"):  # exponents of a part that does not help run away
            joint = [JointPowerLaw(direction="falling").fit(x, p.mean(axis=1)) for p in parts]
        row = {"way": way, "max_deviation": joint[0].max_deviation_}
        frame = pd.DataFrame([_quantities(law) for law in joint])
        for name in frame:
            value, low, high = _jackknifed(frame[name].to_numpy(), interval)
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _quantities(law):
    p = law.params_
    return {name: p[name] for name in ("E", "alpha", "beta")} | {
        "size_grows": p["beta"] / (p["alpha"] + p["beta"])
    }


def _jackknifed(values, interval):
    """(value, low, high) from the whole's value and those without each draw (Tukey's jackknife)."""
    whole, without = values[0], values[1:]
    count = len(without)
    if count < 3:
        return whole, np.nan, np.nan
    error = np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2))
    half = stats.t(count - 1).ppf((1 + interval) / 2) * error
    return whole, whole - half, whole + half
