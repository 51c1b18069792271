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

from lib.experiments.dlrm_study.gains import DATA, loss_column
from lib.laws import AdditivePowerLaw, PowerLawPlusConstant
from lib.laws.power_law_plus_constant import (
    LEAST_REPLICAS,
    LEAST_SIZES,
    Bounds,
    Evidence,
    Intervals,
)

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
      rows_shared: whether the draws differ in their weights alone; their scatter then tells nothing
        of how far other rows would move the points.
    """

    resource: str
    x: np.ndarray
    loss: np.ndarray
    law: PowerLawPlusConstant
    intervals: Intervals
    evidence: Evidence
    held_out: HeldOut | None
    left: Bounds
    rows_shared: bool = False

    @property
    def follows(self) -> bool | None:
        """`Evidence.follows`, but undecided where the points do not settle the exponent.

        A step after the first size is a law of a very large exponent, which nothing contradicts.
        Undecided too where draws share their rows: a misfit may be these rows' own.
        """
        if self.rows_shared:
            return None
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
    shared = "data" in table and table.data.nunique() < table.draw.nunique()
    return {
        resource: dataclasses.replace(law, rows_shared=shared)
        for resource, law in laws.items()
        if law is not None
    }


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
    """The joint law of each way and data, and the best split between the two.

    Args:
      table: of `lib.experiments.dlrm_study.table.run`, of one family.
      least_samples: as for `resource_laws`; interval: probability of the intervals, over draws.

    Returns: DataFrame, a row for each way of enough sizes: way, constant, alpha (exponent of the
      way's resource), beta (of data), best_size (in multiples of the base, where size x samples may
      be what the base's last samples make of it), each with _low and _high (NaN for fewer than 3
      draws; alpha and best_size NaN where the part's term is nothing); interaction (p-value of the
      two not adding up), error and error_with_interaction (root mean square at points left out).
    """
    loss = loss_column(table)
    rows = []
    for way in table.way.unique():
        part = table[(table.way == way) & (table.samples >= least_samples)]
        part = part[part.samples <= _common_samples(part)]
        resource = COLUMNS[way]
        if part[resource].nunique() < LEAST_SIZES or part.samples.nunique() < LEAST_SIZES:
            continue
        part = part.groupby([resource, "samples", "draw"])[loss].mean().reset_index()
        x = part[[resource, "samples"]].to_numpy(float)
        law = AdditivePowerLaw().fit(x, part[loss], part.draw)
        base = table[(table.way == way) & (table.factor == 1)][resource].iloc[0]
        budget = float(base) * part.samples.max()
        known = interval if part.draw.nunique() >= LEAST_REPLICAS else None
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a term of nothing
            exponents, constant, split = _with_bounds(law, budget, known)
        if law.amplitudes_[0] == 0:  # the part does not help: its exponent and share are none
            exponents, split = ([np.append(np.nan, v[1:]) for v in of] for of in (exponents, split))
        quantities = {
            "constant": constant,
            "alpha": [values[0] for values in exponents],
            "beta": [values[1] for values in exponents],
            "best_size": [values[0] / base for values in split],
        }
        row = {"way": way}
        for name, (value, low, high) in quantities.items():
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        interaction = law.interaction()
        rows.append(
            row
            | {"interaction": interaction.p_value, "error": interaction.error}
            | {"error_with_interaction": interaction.error_with}
        )
    return pd.DataFrame(rows)


def _with_bounds(law, budget, interval):
    """(value, low, high) of exponents, constant and split; bounds NaN without an interval."""
    if interval is None:
        values = law.exponents_, law.constant_, law.cheapest(budget, 1.0, of="product").x
        return [(value, np.nan * value, np.nan * value) for value in values]
    bounds = law.intervals(interval)
    split = law.cheapest(budget, 1.0, of="product", interval=interval).x
    return bounds["exponents"], bounds["constant"], split
