"""One budget over several scenarios, such as Matching and Pre-ranking (Eq 9), to proven optimality.

Choosing one size per scenario under a common budget is a multiple-choice knapsack. The dual bound
(`lib.allocation.relaxation`) gives prices of the budgets, and a choice that is best at these; what
it leaves of them is filled from a small core of sizes (`lib.allocation.core`), which grows until
the gap to the bound is closed or shown to stay open. Time and memory grow with the table.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lib.allocation import core as cores
from lib.allocation.relaxation import Rows, prices, rows, survey, tiles
from lib.allocation.scenarios import Block, Terms, blocks, pool_positions

# A combination is within the budget up to this share of the money that is at stake.
# Without it, the cost of today's sizes, added up in another order, could exceed itself.
_TOLERANCE = 1e-11
_ROUNDING = 2.0**-40  # share of the revenue at stake below which a gap is a sum's last bits
_SUMMED = 1e-12  # share of a budget by which sums of the caller's may differ in their last bits
_COLLECTED = 1 << 16  # sizes of the core that are kept
_PASSES = 3  # over all sizes, to collect a core


@dataclasses.dataclass(frozen=True)
class Allocation:
    """One size per scenario, and the proof of how good it is.

    Attributes:
      choice: index of the chosen size, scenario by scenario.
      revenue: sum over scenarios, the currency of the input per hour, less what switching costs.
      cost: likewise, in whole machines where they were asked for.
      gap: proven: no combination earns more than revenue + gap.
      shadow_price: what a unit of the common budget more would earn, at the margin of the linear
        relaxation; 0 where the budget is no limit, or there is none.
      pool_shadow_prices: name of the pool -> what a unit of its own budget would.
      core: sizes that had to be weighed one against another.
      seconds: that it took.
    """

    choice: list[int]
    revenue: float
    cost: float
    gap: float
    shadow_price: float
    pool_shadow_prices: dict = dataclasses.field(default_factory=dict)
    core: int = 0
    seconds: float = dataclasses.field(default=0.0, repr=False, compare=False)

    @property
    def relative_gap(self) -> float:
        """The gap as a share of the revenue; inf where that is 0 and the gap is not."""
        return self.gap / abs(self.revenue) if self.revenue else (np.inf if self.gap else 0.0)


def allocate(
    revenue: Sequence[ArrayLike],
    cost: Sequence[ArrayLike],
    budget: float | None,
    roi_min: float | Sequence[float] = 1.0,
    *,
    pools: Sequence | None = None,
    pool_budgets: Mapping | None = None,
    relative_gap: float = 0.0,
    **terms,
) -> Allocation:
    """Sizes of most total revenue within a total budget and an ROI per scenario (Eq 9).

    Revenue and cost are in one currency per hour; ROI may be total or incremental, as at
    the head of `lib.design.roi_choice`. Incremental costs may be negative: what one scenario
    saves, another may spend.

    Args:
      revenue, cost: one array [sizes of the scenario] per scenario, or all as [scenarios, sizes];
        a cost of inf marks a size that cannot be served.
      budget: the most that all scenarios cost together (the paper's B); None: the pools' own
        budgets alone count.
      roi_min: least ROI of every scenario, or one value per scenario; Eq 9 has 1.
      pools: for each scenario the name of its pool, such as a kind of machine.
      pool_budgets: pool -> the most that its scenarios cost together.
      relative_gap: a share of the revenue that need not be proven; 0: to the last bit that counts.
      terms: more bounds and prices, each one value for all scenarios or one for each, as
        `lib.allocation.scenarios.Terms` says: least_revenue, capacity and least_capacity,
        machine_price (cost in whole machines), today, switching_cost and horizon_hours.

    Returns: `Allocation`.
    Raises: ValueError where a scenario has no size within its bounds, or a budget is below
      the cheapest combination: it names the bound, scenario or pool, and the least that would do.

    >>> matching = np.array([50.0, 54.0, 55.0]), np.array([10.0, 20.0, 30.0])
    >>> pre_ranking = np.array([80.0, 86.0, 95.0]), np.array([10.0, 20.0, 30.0])
    >>> best = allocate(*zip(matching, pre_ranking), budget=45)
    >>> best.choice, best.revenue, best.cost, best.gap, best.shadow_price
    ([0, 2], 145.0, 40.0, 0.0, 0.4)
    """
    start = time.perf_counter()
    names, pool, own = pool_positions(pools, pool_budgets, len(revenue))
    made = blocks(revenue, cost, Terms(roi_min, **terms), pool)
    found = survey(made)
    kept = list(rows(lambda: made, found))
    solved = _solve(
        lambda wanted: kept if wanted is None else _wanted(kept, wanted),
        found,
        budget,
        own,
        names,
        relative_gap,
        streamed=False,
    )
    earned, spent = np.empty(len(found.pool)), np.empty(len(found.pool))
    for block in made:
        each = np.arange(len(block.ids))
        earned[block.ids] = block.revenue[each, solved.choice[block.ids]]
        spent[block.ids] = block.cost[each, solved.choice[block.ids]]
    return dataclasses.replace(
        solved,
        choice=solved.choice.tolist(),
        revenue=math.fsum(earned),
        cost=math.fsum(spent),
        seconds=time.perf_counter() - start,
    )


def allocate_chunks(
    chunks: Callable[[], Iterable],
    budget: float | None,
    roi_min: float = 1.0,
    *,
    pool_budgets: Mapping | None = None,
    relative_gap: float = 1e-6,
) -> Allocation:
    """As `allocate`, of more scenarios than fit into memory, which are read some times over.

    Args:
      chunks: gives the scenarios from the first, the same each time it is called: tuples
        (revenue, cost) of some scenarios as `allocate` takes them, or (revenue, cost, terms) with
        a dictionary of its keywords; `pools` and `roi_min` may be among them. Parts of a
        memory-mapped file will do.
      roi_min: of scenarios whose chunk does not say.

    Returns: `Allocation` whose choice is an array [scenarios].

    >>> revenue, cost = np.array([[50.0, 54.0], [80.0, 95.0]]), np.array([[10.0, 20.0]] * 2)
    >>> best = allocate_chunks(lambda: ((revenue[i:i + 1], cost[i:i + 1]) for i in range(2)), 35)
    >>> best.choice.tolist(), best.revenue
    ([0, 1], 145.0)
    """
    start = time.perf_counter()
    names = list(pool_budgets or ["all"])

    def made() -> Iterable[Block]:
        first = 0
        for chunk in chunks():
            revenue, cost, terms = *chunk[:2], dict(chunk[2]) if len(chunk) > 2 else {}
            _, pool, _ = pool_positions(terms.pop("pools", None), pool_budgets, len(revenue))
            yield from blocks(revenue, cost, Terms(**{"roi_min": roi_min} | terms), pool, first)
            first += len(revenue)

    found = survey(made())
    own = None if pool_budgets is None else np.array([float(b) for b in pool_budgets.values()])
    solved = _solve(
        lambda wanted: rows(made, found, wanted), found, budget, own, names, relative_gap, True
    )
    return dataclasses.replace(solved, seconds=time.perf_counter() - start)


def _wanted(kept, wanted):
    for part in kept:
        mine = wanted[part.ids]
        yield part if mine.all() else Rows(part.ids[mine], part.gain[mine], part.extra[mine])


def _solve(source, found, budget, pool_budgets, names, relative_gap, streamed):
    """The allocation, its choice an array, its totals from the survey's grid."""
    spare, pool_spare = _spare(found, budget, pool_budgets, names)
    at = prices(source, found, spare, pool_spare, streamed=streamed)
    stake = found.top_gain.sum()
    base = math.fsum(found.revenue)
    enough = max(_ROUNDING * stake, relative_gap * abs(base + at.gain.sum()))
    problems = _problems(at, found.pool, spare, pool_spare)
    gap = np.array([max(0.0, float(one.prices @ one.spare)) for one in problems])
    proven, taken, held, noise = np.zeros(len(gap)), [None] * len(gap), 0, 0.0
    for _ in range(_PASSES):
        if (gap - proven).sum() <= enough:
            break
        tau = np.empty(len(at.pools))
        for one, most in zip(problems, gap, strict=True):
            tau[one.pools] = most
        items, tau, noise = _collect(source(None), at, found.pool, tau)
        for i, one in enumerate(problems):
            mine = items.take(np.isin(found.pool[items.ids], one.pools))
            filled = one.fill(mine, found.pool, gap[i], tau[one.pools[0]], enough / len(gap))
            if len(filled.taken):
                taken[i] = mine.take(filled.taken)
            gap[i], proven[i] = filled.gap, filled.proven
            held += filled.held
    for sizes in filter(None, taken):
        at.choice[sizes.ids] = sizes.size
        at.gain[sizes.ids] += sizes.gain
        at.extra[sizes.ids] += sizes.extra
    left = float((gap - proven).sum()) + noise
    own = (at.pools - at.common).tolist()
    return Allocation(
        choice=at.choice,
        revenue=base + float(at.gain.sum()),
        cost=math.fsum(found.cost) + float(at.extra.sum()),
        gap=left if left > _ROUNDING * stake else 0.0,
        shadow_price=at.common,
        pool_shadow_prices={} if pool_spare is None else dict(zip(names, own, strict=True)),
        core=held,
    )


class _Problem(NamedTuple):
    """Pools whose budgets must be looked at together."""

    pools: np.ndarray  # positions
    spare: np.ndarray  # [budgets] what the choice at the prices leaves
    prices: np.ndarray  # [budgets]

    def fill(self, items, pool, gap, tau, enough):
        """The best sizes of a core within the budgets."""
        if len(self.spare) == 1:
            return cores.fill(items, float(self.spare[0]), float(self.prices[0]), gap, tau, enough)
        budgets = np.vstack([pool[items.ids] == self.pools[:, None], np.full(len(items.ids), True)])
        return cores.fill_jointly(items, budgets, self.spare, self.prices, gap, tau, enough)


def _problems(at, pool, spare, pool_spare):
    """Budgets that can be met one by one, or all together where the common one binds pools."""
    pools = np.arange(len(at.pools))
    used = np.bincount(pool, at.extra, minlength=len(pools))
    if pool_spare is None:
        return [_Problem(pools, np.array([spare - used[0]]), at.pools)]
    if at.common > 0:
        left = np.append(pool_spare - used, spare - used.sum())
        return [_Problem(pools, left, np.append(at.pools - at.common, at.common))]
    return [
        _Problem(pools[i : i + 1], pool_spare[i : i + 1] - used[i], at.pools[i : i + 1])
        for i in pools
    ]


def _spare(found, budget, pool_budgets, names):
    """What the budgets leave beyond the cheapest sizes: of all scenarios, of each pool's."""
    if budget is None and pool_budgets is None:
        raise ValueError("allocate: budget must be a number where there are no pool_budgets")
    if budget is not None and not np.isfinite(budget):
        raise ValueError(f"allocate: budget must be finite; got {budget}")
    at_stake = found.top_extra.sum()

    def beyond(limit, mine, said):
        cheapest = math.fsum(found.cost[mine])
        slack = _TOLERANCE * at_stake + _SUMMED * abs(limit)
        if cheapest > limit + slack:
            most = np.flatnonzero(mine)[found.cost[mine].argmax()] if mine.any() else None
            raise ValueError(
                f"allocate: {said}budget = {limit:g} is below {cheapest:g}, the cheapest "
                "combination that meets roi_min and the other bounds of its scenarios"
                + (
                    f" (scenario {most} needs most of it, {found.cost[most]:g})"
                    if mine.any()
                    else ""
                )
            )
        steps = math.floor((limit - cheapest + slack) / found.extra_unit)
        return max(0.0, min(float(steps) * found.extra_unit, 2 * at_stake))

    own = None
    if pool_budgets is not None:
        own = np.array(
            [
                beyond(limit, found.pool == i, f"pool {names[i]!r}: ")
                for i, limit in enumerate(pool_budgets)
            ]
        )
    everyone = np.full(len(found.pool), True)
    return None if budget is None else beyond(budget, everyone, ""), own


def _collect(source, at, pool, tau):
    """Sizes that lose less than tau [pools]; of too many those that lose the smallest share of it.

    Returns: (`cores.Core`, tau lowered to what all sizes beyond these lose at least, what the
      choice itself loses by rounding, over all scenarios).
    """
    parts, kept, noise, share = [], 0, 0.0, 1.0
    for part in source:
        for tile in tiles(part.gain.shape):
            ids, gain, extra = part.ids[tile], part.gain[tile], part.extra[tile]
            price = at.pools[pool[ids]]
            loss = (at.gain[ids] - price * at.extra[ids])[:, None] - (gain - price[:, None] * extra)
            noise -= float(np.minimum(loss.min(axis=1), 0.0).sum())
            loss[np.arange(len(ids)), at.choice[ids]] = np.inf
            most = tau[pool[ids], None]
            row, size = np.nonzero((loss <= share * most) & (loss < most))
            i = ids[row]
            parts.append(
                cores.Core(
                    i,
                    size,
                    loss[row, size],
                    gain[row, size] - at.gain[i],
                    extra[row, size] - at.extra[i],
                )
            )
            kept += len(i)
            if kept > 2 * _COLLECTED:
                least, cut = _least(_joined(parts), pool, tau)
                parts, kept, share = [least], len(least.ids), min(share, cut)
    items, cut = _least(_joined(parts), pool, tau)
    return items, min(share, cut) * tau, noise


def _joined(parts):
    return cores.Core(*map(np.concatenate, zip(*parts, strict=True)))


def _least(items, pool, tau):
    """The sizes that lose the smallest share of tau, and the least share of what is left out.

    Of many that lose the same, which ones depends on a scrambled number: neighbouring scenarios
    may be all alike.
    """
    if len(items.ids) <= _COLLECTED:
        return items, 1.0
    share = items.loss / tau[pool[items.ids]]
    scrambled = (items.ids * 2654435761 + items.size * 40503) % (1 << 32)
    order = np.lexsort((scrambled, share))
    return items.take(order[:_COLLECTED]), float(max(0.0, share[order[_COLLECTED]]))
