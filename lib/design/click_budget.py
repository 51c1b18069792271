"""Data or parameters: one budget for a click model's serving, training and storage.

A larger model needs more machines to serve (Algorithm 1, or more memory than they have) and to
train; more data needs more machines to train and more storage. Both earn: what a model's ranking
is paid by the true click rates is measured. So every (size, samples) has revenue and cost beside
those of today's, and the best under a budget can be looked for.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib.cost.algorithm import cost_per_hour, required_machines
from lib.infra.intervals import mean_interval


@dataclasses.dataclass(frozen=True)
class ClickModelPrices:
    """What today's model costs and earns; others are priced relative to it.

    Attributes:
      serving_machines: that score today's candidates with today's model.
      memory_share: of a machine's memory that today's embedding tables fill, in (0, 1].
      training_machines: that train today's model on today's samples.
      storage_per_hour: of today's samples, currency.
      price_per_hour: of a machine; revenue_per_hour: of the whole system today.

    Raises: ValueError for a value that is not > 0, and a memory_share above 1.
    """

    serving_machines: float
    memory_share: float
    training_machines: float
    storage_per_hour: float
    price_per_hour: float
    revenue_per_hour: float

    def __post_init__(self):
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"ClickModelPrices: {name} must be > 0; got {value!r}")
        if self.memory_share > 1:
            raise ValueError(
                f"ClickModelPrices: memory_share must lie in (0, 1]; got {self.memory_share!r}"
            )


def seconds_at_the_roof(
    flops: ArrayLike, moved_bytes: ArrayLike, peak_flops: float, bandwidth: float
) -> np.ndarray:
    """Least time for arithmetic and memory traffic that overlap, seconds (the roofline model).

    Args:
      flops, moved_bytes: of a sample, arrays that broadcast.
      peak_flops: FLOP/s of the machine's matrix products; bandwidth: bytes/s of its memory.

    >>> seconds_at_the_roof([4e9, 1e9], 1e9, peak_flops=2e9, bandwidth=1e9).tolist()
    [2.0, 1.0]
    """
    return np.maximum(
        np.asarray(flops, float) / peak_flops, np.asarray(moved_bytes, float) / bandwidth
    )


def price_options(
    options: pd.DataFrame, prices: ClickModelPrices, interval: float = 0.9
) -> pd.DataFrame:
    """Revenue and cost of each (size, samples) beside today's.

    Args:
      options: a row for each size, number of samples and draw: `option` (its name), `today`
        (bool: the same option in every draw), samples, serving_seconds (a candidate on one
        machine), training_seconds (a sample on one), embedding_parameters, revenue (per
        request), draw. Seconds may be measured, or of `seconds_at_the_roof`.
      prices: of today's option.
      interval: probability of the lift's interval, Student's over draws.

    Returns: DataFrame, one row for each option: option, samples, lift (fraction of revenue), low,
      high, serving_cost, training_cost, storage_cost, cost (of them all, per hour),
      extra_cost (over today's), extra_revenue, roi (their ratio; NaN for today's).
    Raises: ValueError unless every draw holds today's option once, and all the same.

    >>> made = pd.DataFrame({"option": ["base", "wide"], "today": [True, False],
    ...     "samples": [10.0, 10.0], "serving_seconds": [0.5, 1.0],
    ...     "training_seconds": [0.5, 1.0], "embedding_parameters": [5, 10],
    ...     "revenue": [1.0, 1.1], "draw": [0, 0]})
    >>> prices = ClickModelPrices(10, 0.5, 1, 1.0, 2.0, 100.0)
    >>> price_options(made, prices)[["option", "cost", "extra_revenue"]].round(3)
      option  cost  extra_revenue
    0   base  23.0            0.0
    1   wide  45.0           10.0
    """
    today = options[options.today].set_index("draw")
    if set(today.index) != set(options.draw) or today.index.has_duplicates:
        raise ValueError(
            "price_options: every draw must hold today's option once; it is there in draws "
            f"{today.index.tolist()} of {sorted(set(options.draw))}"
        )
    if len(today[["option", "samples"]].drop_duplicates()) > 1:
        raise ValueError(
            "price_options: today's option must be the same in every draw; got "
            f"{today[['option', 'samples']].drop_duplicates().to_numpy().tolist()}"
        )
    base = today[["samples", "serving_seconds", "training_seconds"]].mean()
    parameters = today.embedding_parameters.iloc[0]
    rows = []
    for (name, samples), part in options.groupby(["option", "samples"], sort=False):
        own = part.set_index("draw")
        lift = mean_interval(own.revenue / today.revenue.loc[own.index] - 1, interval)
        serving = required_machines(
            1 / base.serving_seconds, prices.serving_machines, 1 / own.serving_seconds.mean()
        )
        # Tables that outgrow a machine are spread over more of them, however fast these are.
        needed = own.embedding_parameters.iloc[0] / parameters * prices.memory_share
        serving = np.maximum(serving, prices.serving_machines * needed)
        training = required_machines(
            1 / (base.samples * base.training_seconds),
            prices.training_machines,
            1 / (samples * own.training_seconds.mean()),
        )
        serving_cost, training_cost = cost_per_hour(
            np.array([serving, training]), prices.price_per_hour
        )
        rows.append(
            {
                "option": name,
                "samples": samples,
                "lift": lift.value,
                "low": lift.low,
                "high": lift.high,
                "serving_cost": serving_cost,
                "training_cost": training_cost,
                "storage_cost": prices.storage_per_hour * samples / base.samples,
            }
        )
    table = pd.DataFrame(rows)
    table["cost"] = table[["serving_cost", "training_cost", "storage_cost"]].sum(axis=1)
    today_cost = table.cost[
        (table.option == today.option.iloc[0]) & (table.samples == today.samples.iloc[0])
    ].item()
    table["extra_cost"] = table.cost - today_cost
    table["extra_revenue"] = prices.revenue_per_hour * table.lift
    table["roi"] = (table.extra_revenue / table.extra_cost).where(table.extra_cost != 0)
    return table


def best_under(table: pd.DataFrame, budgets) -> pd.DataFrame:
    """The option of most revenue at no more than each budget, and where its money goes.

    Args:
      table: of `price_options`; budgets: fractions of today's cost, such as 1.2.

    Returns: DataFrame: budget, option, samples, lift, low, high, cost, serving_share,
      training_share, storage_share (of its cost).
    Raises: ValueError for a budget that no option keeps to.

    >>> made = pd.DataFrame({"option": ["a", "b"], "samples": [1, 1], "lift": [0.0, 0.1],
    ...     "low": 0.0, "high": 0.1, "cost": [10.0, 15.0], "serving_cost": [5.0, 10.0],
    ...     "training_cost": 4.0, "storage_cost": 1.0, "extra_cost": [0.0, 5.0]})
    >>> best_under(made, [1.0, 1.5]).option.tolist()
    ['a', 'b']
    """
    today = table.cost[table.extra_cost == 0].iloc[0]
    rows = []
    for budget in budgets:
        affordable = table[table.cost <= budget * today * (1 + 1e-9)]
        if affordable.empty:
            raise ValueError(
                f"best_under: budgets must allow for an option; got {budget:g} times today's cost, "
                f"the cheapest costs {table.cost.min() / today:.3g} times as much"
            )
        best = affordable.sort_values(["lift", "cost"], ascending=[False, True]).iloc[0]
        rows.append(
            {"budget": budget}
            | best[["option", "samples", "lift", "low", "high", "cost"]].to_dict()
            | {
                f"{part}_share": best[f"{part}_cost"] / best.cost
                for part in ("serving", "training", "storage")
            }
        )
    return pd.DataFrame(rows)
