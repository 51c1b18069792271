"""One budget over several scenarios, such as Matching and Pre-ranking (Eq 9).

Choosing one size per scenario under a common budget is a multiple-choice knapsack. It
is solved to proven optimality with HiGHS, so that many scenarios cost no grid of all
combinations.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import LinearConstraint, milp

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


def allocate(revenue, cost, budget, roi_min=1.0):
    """Sizes of most total revenue within a total budget and an ROI per scenario (Eq 9).

    Revenue and cost are in one currency per hour; ROI may be total or incremental, as at
    the head of `lib.design`. Incremental costs may be negative: what one scenario saves,
    another may spend.

    Args:
      revenue, cost: one array [sizes of the scenario] per scenario; a cost of inf marks a
        size that cannot be served.
      budget: the most that all scenarios cost together (the paper's B).
      roi_min: least ROI of every scenario, or one value per scenario; Eq 9 has 1.

    Returns: `Allocation`.
    Raises: ValueError where a scenario has no size of that ROI, or the budget is below
      the cheapest combination.

    >>> matching = np.array([50.0, 54.0, 55.0]), np.array([10.0, 20.0, 30.0])
    >>> pre_ranking = np.array([80.0, 86.0, 95.0]), np.array([10.0, 20.0, 30.0])
    >>> allocate(*zip(matching, pre_ranking), budget=45)
    Allocation(choice=[0, 2], revenue=145.0, cost=40.0, gap=0.0)
    """
    scenarios = _check(revenue, cost, budget, roi_min)
    kept = [_undominated(i, *scenario) for i, scenario in enumerate(scenarios)]
    revenue = [r[sizes] for (r, _, _), sizes in zip(scenarios, kept, strict=True)]
    cost = [c[sizes] for (_, c, _), sizes in zip(scenarios, kept, strict=True)]
    cheapest = sum(c[0] for c in cost)
    at_stake = max(sum(c[-1] - c[0] for c in cost), abs(budget))
    if cheapest > budget + _TOLERANCE * at_stake:
        raise ValueError(
            f"allocate: budget = {budget:g} is below {cheapest:g}, the cheapest "
            "combination that meets roi_min"
        )
    picked, bound = _knapsack(revenue, cost, budget, slack=_TOLERANCE * at_stake)
    total = float(sum(r[i] for r, i in zip(revenue, picked, strict=True)))
    return Allocation(
        choice=[int(sizes[i]) for sizes, i in zip(kept, picked, strict=True)],
        revenue=total,
        cost=float(sum(c[i] for c, i in zip(cost, picked, strict=True))),
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
    gain = np.concatenate([r - r[0] for r in revenue])
    extra = np.concatenate([c - c[0] for c in cost])
    scenario = np.repeat(np.arange(len(cost)), [len(c) for c in cost])
    spare = budget - sum(c[0] for c in cost) + slack
    gain_unit, extra_unit = gain.max() / _SCALE or 1.0, extra.max() / _SCALE or 1.0
    one_each = LinearConstraint(scenario == np.arange(len(cost))[:, None], 1, 1)
    limits = [one_each, LinearConstraint(extra / extra_unit, ub=spare / extra_unit)]
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
        limits.append(LinearConstraint(chosen, ub=len(cost) - 1))
    starts = np.flatnonzero(np.diff(scenario, prepend=-1))
    bound = -result.mip_dual_bound * gain_unit + sum(r[0] for r in revenue)
    return np.flatnonzero(chosen) - starts, float(bound)


def _check(revenue, cost, budget, roi_min):
    """Per scenario (revenue, cost, roi_min)."""
    revenue = [np.asarray(r, float) for r in revenue]
    cost = [np.asarray(c, float) for c in cost]
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
    roi_min = np.broadcast_to(roi_min, len(revenue))
    for i, (r, c, roi) in enumerate(zip(revenue, cost, roi_min, strict=True)):
        if r.shape != c.shape or r.ndim != 1:
            raise ValueError(
                f"allocate: scenario {i}: revenue and cost must be [sizes]; "
                f"got shapes {r.shape} and {c.shape}"
            )
        check_money(f"allocate: scenario {i}", r, c, roi)
    return list(zip(revenue, cost, roi_min, strict=True))
