"""Stages of one ad system under one budget: from their tables of sizes to a size for each.

Revenue and cost count beyond today's (incremental), so that a budget of 0 asks what one stage can
spend that another saves. The lifts of the stages are added up, which is Eq 9's assumption.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.allocation.baselines import compare
from lib.allocation.knapsack import allocate


class Stage(NamedTuple):
    """A stage of the ad system, such as Matching."""

    sizes: pd.DataFrame  # as of `lib.logs.tables.load_sizes`
    machines: float  # that serve it today


@dataclasses.dataclass(frozen=True)
class StageAllocation:
    """One size for each stage.

    Attributes:
      choice: row of the chosen size in each stage's table, stage -> row.
      size_parameters: stage -> the chosen size.
      lift: of all stages together, a fraction of today's revenue; low, high: its interval.
      cost: of all stages together, relative to today's.
      gap: proven: no combination earns more than this beyond `lift`, currency per hour.
      shadow_price: what a unit of budget more would earn, at the margin of the linear relaxation.
    """

    choice: dict[str, int]
    size_parameters: dict[str, list[int]]
    lift: float
    low: float
    high: float
    cost: float
    gap: float
    shadow_price: float = 0.0


def allocate_stages(
    stages: Mapping[str, Stage],
    budget: float,
    *,
    revenue_per_hour: float,
    price_per_hour: float,
    roi_min: float,
) -> StageAllocation:
    """The size of each stage that earn most together within a budget (Eq 9).

    Args:
      stages: name -> stage.
      budget: that all stages may cost beyond today, as a share of what they cost today; 0: no
        more than today, -0.1: a tenth less.
      revenue_per_hour: of the whole system today; price_per_hour: of a machine, same currency.
      roi_min: least incremental ROI of every stage.

    Raises: ValueError where no combination is within the budget.

    >>> sizes = pd.DataFrame({"size_parameters": [[4, 1], [8, 1]], "lift": [0.0, 0.02],
    ...                       "lift_low": [0.0, 0.01], "lift_high": [0.0, 0.03],
    ...                       "machine_cost_per_hour": [10.0, 14.0]})
    >>> stages = {"Matching": Stage(sizes, 10), "Pre-ranking": Stage(sizes, 14)}
    >>> best = allocate_stages(stages, 0, revenue_per_hour=1e3, price_per_hour=1, roi_min=1)
    >>> best.size_parameters, best.lift, best.cost
    ({'Matching': [8, 1], 'Pre-ranking': [4, 1]}, 0.02, 1.0)
    """
    today = cost_today(stages, price_per_hour)
    revenue, cost = _beyond_today(stages, revenue_per_hour, price_per_hour)
    answer = allocate(revenue, cost, today * budget, roi_min)
    rows = [stage.sizes.iloc[i] for stage, i in zip(stages.values(), answer.choice, strict=True)]
    lift, low, high = added_lifts(
        *([row[name] for row in rows] for name in ("lift", "lift_low", "lift_high"))
    )
    return StageAllocation(
        choice=dict(zip(stages, answer.choice, strict=True)),
        size_parameters={
            name: list(row.size_parameters) for name, row in zip(stages, rows, strict=True)
        },
        lift=lift,
        low=low,
        high=high,
        cost=1 + answer.cost / today,
        gap=answer.gap,
        shadow_price=answer.shadow_price,
    )


def _beyond_today(stages, revenue_per_hour, price_per_hour):
    """Revenue and cost of every stage's sizes beyond today's, a list of arrays each."""
    sizes = [stage.sizes for stage in stages.values()]
    revenue = [revenue_per_hour * table["lift"].to_numpy() for table in sizes]
    spent = [stage.machines * price_per_hour for stage in stages.values()]
    cost = [
        table["machine_cost_per_hour"].to_numpy() - today
        for table, today in zip(sizes, spent, strict=True)
    ]
    return revenue, cost


def ways_compared(
    stages: Mapping[str, Stage],
    budget: float,
    *,
    revenue_per_hour: float,
    price_per_hour: float,
    roi_min: float,
) -> pd.DataFrame:
    """The allocation beside other ways to share the budget (`lib.allocation.baselines`).

    Args: as of `allocate_stages`. Today's size of a stage is the one of least absolute lift.

    Returns: a row a way: columns way, lift, cost / today, changed (stages that leave today's
      size), gap (currency per hour) and seconds.
    """
    revenue, cost = _beyond_today(stages, revenue_per_hour, price_per_hour)
    spent = [stage.machines * price_per_hour for stage in stages.values()]
    table = compare(
        revenue,
        cost,
        sum(spent) * budget,
        roi_min,
        [int(np.abs(values).argmin()) for values in revenue],
        cost_today=spent,
    )
    return pd.DataFrame(
        {
            "way": table["way"],
            "lift": table["revenue"] / revenue_per_hour,
            "cost / today": 1 + table["cost"] / sum(spent),
            "changed": table["changed"],
            "gap": table["gap"],
            "seconds": table["seconds"],
        }
    )


def frontier(
    stages: Mapping[str, Stage], budgets: Sequence[float], *, revenue_per_hour: float, **limits
) -> pd.DataFrame:
    """What several budgets buy: a row for each, as `allocate_stages` with the same arguments."""
    allocations = [
        allocate_stages(stages, budget, revenue_per_hour=revenue_per_hour, **limits)
        for budget in budgets
    ]
    return pd.DataFrame(
        {
            "budget / today": 1 + budget,
            "lift": allocation.lift,
            "cost / today": allocation.cost,
            "proven gap": allocation.gap,
            "shadow price": allocation.shadow_price,
            **allocation.size_parameters,
        }
        for budget, allocation in zip(budgets, allocations, strict=True)
    )


def cost_today(stages: Mapping[str, Stage], price_per_hour: float) -> float:
    """What the machines of all stages cost per hour today."""
    return price_per_hour * sum(stage.machines for stage in stages.values())


def added_lifts(
    lifts: Sequence[float], lows: Sequence[float], highs: Sequence[float]
) -> tuple[float, float, float]:
    """The sum of independent lifts and its interval.

    Errors of different stages are independent, so that the distances of their bounds from the
    lifts add up in squares.

    Args:
      lifts, lows, highs: of each stage, fractions; the intervals have one probability.

    Returns: (lift, low, high).

    >>> [round(value, 4) for value in added_lifts([0.01, 0.02], [0.007, 0.016], [0.016, 0.028])]
    [0.03, 0.025, 0.04]
    """
    lifts, lows, highs = (np.asarray(values, float) for values in (lifts, lows, highs))
    total = float(lifts.sum())
    return (
        total,
        total - float(np.linalg.norm(lifts - lows)),
        total + float(np.linalg.norm(highs - lifts)),
    )
