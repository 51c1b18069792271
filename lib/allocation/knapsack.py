"""One budget over several scenarios, such as Matching and Pre-ranking (Eq 9).

Choosing one size per scenario under a common budget is a multiple-choice knapsack. It
is solved to proven optimality with HiGHS instead of searching the grid of all combinations,
which grows as the product of the scenarios' sizes. The model's memory grows with their sum:
its matrix is sparse, one entry a size for the choice and one for the budget.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array

from lib.design.roi_choice import check_money, highest_roi, meets_roi

# A combination is within the budget up to this share of the money that is at stake.
# Without it, the cost of today's sizes, added up in another order, could exceed itself.
_TOLERANCE = 1e-9
_SCALE = 1e4  # largest coefficient in the solver's units


class Allocation(NamedTuple):
    """One size per scenario."""

    choice: list[int]  # [scenarios] index of the chosen size
    revenue: float  # sum over scenarios, the currency of the input per hour
    cost: float  # likewise
    gap: float  # proven: no combination earns more than revenue + gap


def allocate(
    revenue: Sequence[ArrayLike],
    cost: Sequence[ArrayLike],
    budget: float,
    roi_min: float | Sequence[float] = 1.0,
) -> Allocation:
    """Sizes of most total revenue within a total budget and an ROI per scenario (Eq 9).

    Revenue and cost are in one currency per hour; ROI may be total or incremental, as at
    the head of `lib.design.roi_choice`. Incremental costs may be negative: what one scenario
    saves, another may spend.

    Args:
      revenue, cost: one array [sizes of the scenario] per scenario; a cost of inf marks a
        size that cannot be served.
      budget: the most that all scenarios cost together (the paper's B).
      roi_min: least ROI of every scenario, or one value per scenario; Eq 9 has 1.

    Returns: `Allocation`.
    Raises: ValueError where a scenario has no size of that ROI, or the budget is below
      the cheapest combination; RuntimeError where the solver does not finish.

    >>> matching = np.array([50.0, 54.0, 55.0]), np.array([10.0, 20.0, 30.0])
    >>> pre_ranking = np.array([80.0, 86.0, 95.0]), np.array([10.0, 20.0, 30.0])
    >>> allocate(*zip(matching, pre_ranking), budget=45)
    Allocation(choice=[0, 2], revenue=145.0, cost=40.0, gap=0.0)
    """
    scenarios = _check(revenue, cost, budget, roi_min)
    candidates = [_undominated(i, *scenario) for i, scenario in enumerate(scenarios)]
    revenue = [values[sizes] for (values, _, _), sizes in zip(scenarios, candidates, strict=True)]
    cost = [values[sizes] for (_, values, _), sizes in zip(scenarios, candidates, strict=True)]
    cheapest = sum(values[0] for values in cost)
    at_stake = max(sum(values[-1] - values[0] for values in cost), abs(budget))
    if cheapest > budget + _TOLERANCE * at_stake:
        raise ValueError(
            f"allocate: budget = {budget:g} is below {cheapest:g}, the cheapest "
            "combination that meets roi_min"
        )
    picked, bound = _knapsack(revenue, cost, budget, slack=_TOLERANCE * at_stake)
    total = float(sum(values[i] for values, i in zip(revenue, picked, strict=True)))
    return Allocation(
        choice=[int(sizes[i]) for sizes, i in zip(candidates, picked, strict=True)],
        revenue=total,
        cost=float(sum(values[i] for values, i in zip(cost, picked, strict=True))),
        gap=max(0.0, bound - total),
    )


def _undominated(scenario, revenue, cost, roi_min):
    """Sizes that meet the ROI limit and that no cheaper one beats, cheapest first.

    Dropping the others is exact: whatever combination holds a dominated size stays
    feasible, at no more cost and no less revenue, with the size that dominates it, since
    that one meets the ROI limit too.
    """
    feasible = np.flatnonzero(meets_roi(revenue, cost, roi_min))
    if not len(feasible):
        raise ValueError(
            f"allocate: scenario {scenario}: no size reaches roi_min = {roi_min:g}; "
            + highest_roi(revenue, cost)
        )
    order = feasible[np.lexsort((-revenue[feasible], cost[feasible]))]
    best_before = np.maximum.accumulate(np.append(-np.inf, revenue[order][:-1]))
    return order[revenue[order] > best_before]


def _knapsack(revenue, cost, budget, *, slack):
    """Choice per scenario and an upper bound on revenue, for sizes in order of cost.

    The model holds what each size earns and costs above its scenario's cheapest, in units
    that make the solver's absolute tolerances (1e-6) less than a billionth of what is at
    stake: a lift of a thousandth must not drown in them.
    """
    counts = [len(values) for values in cost]
    gain = np.concatenate([values - values[0] for values in revenue])
    extra = np.concatenate([values - values[0] for values in cost])
    spare = budget - sum(values[0] for values in cost) + slack
    gain_unit, extra_unit = gain.max() / _SCALE or 1.0, extra.max() / _SCALE or 1.0
    limits = [
        LinearConstraint(_membership(counts), 1, 1),
        LinearConstraint(csr_array(extra[None] / extra_unit), ub=spare / extra_unit),
    ]
    while True:
        result = milp(
            -gain / gain_unit,
            integrality=1,
            bounds=(0, 1),
            constraints=limits,
            options={"mip_rel_gap": 0.0},
        )
        if result.status != 0:
            raise RuntimeError(f"allocate: HiGHS did not finish: {result.message}")
        chosen = result.x > 0.5
        if extra[chosen].sum() <= spare:
            break
        # Over the budget by less than the solver's own tolerance: exclude it, solve again.
        limits.append(LinearConstraint(csr_array(chosen[None].astype(float)), ub=len(cost) - 1))
    starts = np.cumsum([0, *counts[:-1]])
    bound = -result.mip_dual_bound * gain_unit + sum(values[0] for values in revenue)
    return np.flatnonzero(chosen) - starts, float(bound)


def _membership(counts):
    """Which scenario a size belongs to: sparse [scenarios, all sizes], one 1 in each column."""
    sizes = sum(counts)
    starts = np.cumsum([0, *counts])
    return csr_array((np.ones(sizes), np.arange(sizes), starts), shape=(len(counts), sizes))


def _check(revenue, cost, budget, roi_min):
    """Per scenario (revenue, cost, roi_min)."""
    revenue = [np.asarray(values, float) for values in revenue]
    cost = [np.asarray(values, float) for values in cost]
    if not revenue or len(revenue) != len(cost):
        raise ValueError(
            "allocate: revenue and cost must hold one array per scenario; "
            f"got {len(revenue)} and {len(cost)}"
        )
    roi_min = np.asarray(roi_min, float)
    if roi_min.shape not in ((), (len(revenue),)):
        raise ValueError(
            f"allocate: roi_min must be one value, or one for each of the "
            f"{len(revenue)} scenarios; got shape {roi_min.shape}"
        )
    if not np.isfinite(budget):
        raise ValueError(f"allocate: budget must be finite; got {budget}")
    scenarios = list(zip(revenue, cost, np.broadcast_to(roi_min, len(revenue)), strict=True))
    for i, (earned, spent, least_roi) in enumerate(scenarios):
        if earned.shape != spent.shape or earned.ndim != 1:
            raise ValueError(
                f"allocate: scenario {i}: revenue and cost must be [sizes]; "
                f"got shapes {earned.shape} and {spent.shape}"
            )
        check_money(f"allocate: scenario {i}", earned, spent, least_roi)
    return scenarios
