"""Other ways to share a budget, to hold `lib.allocation.knapsack.allocate` against.

today         every scenario keeps its size
proportional  one factor scales all base models: the paper's advice for many scenarios (5.2)
greedy        the next size of the highest marginal ROI, as long as money lasts
plain MILP    all sizes given to HiGHS, as one model
"""

import heapq
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array

from lib.allocation.knapsack import allocate
from lib.design.roi_choice import meets_roi

_SCALE = 1e4  # largest coefficient in the solver's units


class Choice(NamedTuple):
    """One size per scenario.

    Attributes:
      choice: index of the size in each scenario; revenue, cost: their sums.
      bound: the most that any choice earns, as far as the way knows; inf: it knows none.
    """

    choice: list[int]
    revenue: float
    cost: float
    bound: float = math.inf


def keep_today(revenue: Sequence[ArrayLike], cost: Sequence[ArrayLike], today) -> Choice:
    """Every scenario's size of today, whatever bound it meets.

    >>> keep_today([[1.0, 2.0]], [[1.0, 3.0]], [1])
    Choice(choice=[1], revenue=2.0, cost=3.0, bound=inf)
    """
    return _chosen(revenue, cost, today)


def scale_proportionally(
    revenue: Sequence[ArrayLike],
    cost: Sequence[ArrayLike],
    budget: float,
    roi_min: float,
    today: Sequence[int],
    *,
    cost_today: Sequence[float] | None = None,
    factors: ArrayLike | None = None,
) -> Choice:
    """The best of one factor for all scenarios: each takes the size nearest to factor times today.

    Nearest from below, by cost; a scenario in which that size does not reach roi_min stays as it
    is today. Of all factors within the budget the one that earns most counts.

    Args:
      cost_today: of each scenario's size of today, where `cost` counts beyond it.
      factors: tried; None: 401 from a tenth to ten times.

    >>> revenue, cost = [[1.0, 3.0, 4.0], [2.0, 5.0, 6.0]], [[1.0, 2.0, 4.0]] * 2
    >>> scale_proportionally(revenue, cost, 4, 0, today=[0, 0])
    Choice(choice=[1, 1], revenue=8.0, cost=4.0, bound=inf)
    """
    factors = np.geomspace(0.1, 10, 401) if factors is None else np.asarray(factors, float)
    picks = np.empty((len(revenue), len(factors)), int)
    earned, spent = np.zeros(len(factors)), np.zeros(len(factors))
    for i, (r, c) in enumerate(zip(revenue, cost, strict=True)):
        r, c = np.asarray(r, float), np.asarray(c, float)
        base = c[today[i]] if cost_today is None else cost_today[i]
        whole = c + (0.0 if cost_today is None else base - c[today[i]])
        order = np.lexsort((r, whole))
        place = np.searchsorted(whole[order], factors * base * (1 + 1e-9), side="right") - 1
        pick = np.where(place >= 0, order[place], order[0])
        picks[i] = np.where(meets_roi(r, c, roi_min)[pick], pick, today[i])
        earned += r[picks[i]]
        spent += c[picks[i]]
    within = spent <= budget + 1e-9 * abs(budget)
    if not within.any():
        return keep_today(revenue, cost, today)
    return _chosen(revenue, cost, picks[:, np.where(within, earned, -np.inf).argmax()])


def take_greedily(
    revenue: Sequence[ArrayLike], cost: Sequence[ArrayLike], budget: float, roi_min: float
) -> Choice:
    """From the cheapest sizes on, always the step of most revenue per cost that still fits.

    A step leads to the next size that earns more; where it does not fit, the scenario is done.

    >>> take_greedily([[1.0, 3.0, 4.0], [2.0, 5.0, 6.0]], [[1.0, 2.0, 4.0]] * 2, 6, 0)
    Choice(choice=[2, 1], revenue=9.0, cost=6.0, bound=inf)
    """
    ladders = [
        _undominated(np.asarray(r, float), np.asarray(c, float), roi_min)
        for r, c in zip(revenue, cost, strict=True)
    ]
    at, left = [0] * len(ladders), budget - sum(float(c[0]) for _, _, c in ladders)
    steps = [_step(i, 0, ladders[i]) for i in range(len(ladders)) if len(ladders[i][0]) > 1]
    heapq.heapify(steps)
    while steps:
        _, i, extra = heapq.heappop(steps)
        if extra > left + 1e-9 * abs(budget):
            continue
        left, at[i] = left - extra, at[i] + 1
        if at[i] + 1 < len(ladders[i][0]):
            heapq.heappush(steps, _step(i, at[i], ladders[i]))
    return _chosen(revenue, cost, [sizes[j] for (sizes, _, _), j in zip(ladders, at, strict=True)])


def _step(i, at, ladder):
    _, r, c = ladder
    extra = float(c[at + 1] - c[at])
    return -float(r[at + 1] - r[at]) / extra, i, extra


def plain_milp(
    revenue: Sequence[ArrayLike],
    cost: Sequence[ArrayLike],
    budget: float,
    roi_min: float,
    *,
    seconds: float | None = None,
) -> Choice | None:
    """All undominated sizes in one model for HiGHS.

    Args:
      seconds: after which it stops with what it has; None: it goes on to the end.

    Returns: the choice, None where none was found in the time.

    >>> plain_milp([[50.0, 54.0], [80.0, 86.0, 95.0]], [[10.0, 20.0], [10.0, 20.0, 30.0]], 45, 1)
    Choice(choice=[0, 2], revenue=145.0, cost=40.0, bound=145.0)
    """
    ladders = [
        _undominated(np.asarray(r, float), np.asarray(c, float), roi_min)
        for r, c in zip(revenue, cost, strict=True)
    ]
    gain = np.concatenate([r - r[0] for _, r, _ in ladders])
    extra = np.concatenate([c - c[0] for _, _, c in ladders])
    spare = budget - math.fsum(c[0] for _, _, c in ladders)
    gain_unit, extra_unit = gain.max() / _SCALE or 1.0, extra.max() / _SCALE or 1.0
    counts = [len(sizes) for sizes, _, _ in ladders]
    options = {"mip_rel_gap": 0.0} | ({} if seconds is None else {"time_limit": seconds})
    result = milp(
        -gain / gain_unit,
        integrality=1,
        bounds=(0, 1),
        constraints=[
            LinearConstraint(_membership(counts), 1, 1),
            LinearConstraint(csr_array(extra[None] / extra_unit), ub=spare / extra_unit),
        ],
        options=options,
    )
    if result.x is None:
        return None
    starts = np.cumsum([0, *counts[:-1]])
    picked = np.flatnonzero(result.x > 0.5) - starts
    base = math.fsum(r[0] for _, r, _ in ladders)
    found = _chosen(
        revenue, cost, [sizes[j] for (sizes, _, _), j in zip(ladders, picked, strict=True)]
    )
    return found._replace(bound=float(base - result.mip_dual_bound * gain_unit))


def _membership(counts):
    """Which scenario a size belongs to: sparse [scenarios, all sizes], one 1 in each column."""
    sizes = sum(counts)
    starts = np.cumsum([0, *counts])
    return csr_array((np.ones(sizes), np.arange(sizes), starts), shape=(len(counts), sizes))


def _undominated(revenue, cost, roi_min):
    """Sizes that meet the ROI bound and that no cheaper one beats, cheapest first."""
    allowed = np.flatnonzero(meets_roi(revenue, cost, roi_min))
    order = allowed[np.lexsort((-revenue[allowed], cost[allowed]))]
    best_before = np.maximum.accumulate(np.append(-np.inf, revenue[order][:-1]))
    order = order[revenue[order] > best_before]
    return order, revenue[order], cost[order]


def _chosen(revenue, cost, choice):
    choice = [int(size) for size in choice]
    return Choice(
        choice,
        math.fsum(values[j] for values, j in zip(revenue, choice, strict=True)),
        math.fsum(values[j] for values, j in zip(cost, choice, strict=True)),
    )


def compare(
    revenue: Sequence[ArrayLike],
    cost: Sequence[ArrayLike],
    budget: float,
    roi_min: float,
    today: Sequence[int],
    *,
    cost_today: Sequence[float] | None = None,
    milp_seconds: float = 10.0,
) -> pd.DataFrame:
    """All ways on one problem, a row each: what they earn and cost, and how far they may be off.

    Args:
      today, cost_today: as for `scale_proportionally`; milp_seconds: of the plain MILP.

    Returns: columns way, revenue, cost, changed (scenarios that leave today's size), gap (proven;
      of the other ways to the bound of the exact one) and seconds (of CPU).

    >>> compare([[1.0, 3.0, 4.0], [2.0, 5.0, 6.0]], [[1.0, 2.0, 4.0]] * 2, 6, 0, [0, 0])[
    ...     ["way", "revenue", "gap"]].values.tolist()[1:3]
    [['proportional', 8.0, 1.0], ['greedy', 9.0, 0.0]]
    """
    ways = {
        "today": lambda: keep_today(revenue, cost, today),
        "proportional": lambda: scale_proportionally(
            revenue, cost, budget, roi_min, today, cost_today=cost_today
        ),
        "greedy": lambda: take_greedily(revenue, cost, budget, roi_min),
        "plain MILP": lambda: plain_milp(revenue, cost, budget, roi_min, seconds=milp_seconds),
        "exact": lambda: allocate(revenue, cost, budget, roi_min),
    }
    answers, found = timed(ways), []
    best = answers["exact"][1]
    for name, (seconds, answer) in answers.items():
        if answer is not None:
            gap = best.revenue + best.gap - answer.revenue
            changed = sum(a != b for a, b in zip(answer.choice, today, strict=True))
            found.append((name, answer.revenue, answer.cost, changed, max(0.0, gap), seconds))
    return pd.DataFrame(found, columns=["way", "revenue", "cost", "changed", "gap", "seconds"])


def timed(ways: Mapping[str, Callable]) -> dict[str, tuple]:
    """CPU seconds and answer of each way, one after another."""
    found = {}
    for name, way in ways.items():
        start = time.process_time()
        answer = way()
        found[name] = time.process_time() - start, answer
    return found
