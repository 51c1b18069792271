r"""The dual bound: a price of money at which scenarios choose by themselves.

At a price \lambda a scenario takes the size of most revenue - \lambda cost, which is a corner of
the concave hull of its sizes; the total cost falls as \lambda grows. The price at which it meets
the budget solves the linear relaxation (Sinha and Zoltners 1979), and with it

  revenue of any combination within the budget
      <= \lambda budget + \sum_i max_j (revenue_ij - \lambda cost_ij)

Pools and a common budget have a price each; a scenario pays the sum of its pool's and the common.
Neither dominated sizes nor hulls are sought: to choose at a price passes them over. Scenarios
whose choice is the same at both ends of the interval that holds the price are settled and not
looked at again, so that a table larger than memory is read a few times and no more.

Revenue and cost count from each scenario's cheapest size and are rounded to a power of two, a
2^-50 th of what all scenarios together could add. Their sums are then exact in any order: no
decision hangs on how a processor adds up.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from lib.allocation.scenarios import Block

_TILE = 1 << 15  # elements that are worked on at once: they stay in the processor's cache
_RESIDENT = 1 << 25  # unsettled elements up to this many are kept in memory (two arrays of 8 bytes)
_PRICES = 8  # tried in one pass over sizes in memory
_PRICES_STREAMED = 16  # in one over sizes that must be read
_NARROW = 2.0**-44  # relative width at which an interval of prices is closed
_GRID = 50  # bits


class Survey(NamedTuple):
    """What one pass over all scenarios finds; arrays are [scenarios] but for the grids."""

    pool: np.ndarray
    sizes: np.ndarray  # how many
    cost: np.ndarray  # of the cheapest size
    revenue: np.ndarray  # most among the cheapest
    cheapest: np.ndarray  # its index
    top: np.ndarray  # index of the size of most revenue, the cheapest of these
    top_gain: np.ndarray  # what it earns beyond the cheapest, on the grid
    top_extra: np.ndarray  # and costs
    gain_unit: float  # the grids: powers of two
    extra_unit: float


class Rows(NamedTuple):
    """Sizes beyond the cheapest of their scenario, on the grid: [scenarios, sizes]."""

    ids: np.ndarray
    gain: np.ndarray  # -inf: not allowed
    extra: np.ndarray


class Prices(NamedTuple):
    """What the relaxation found.

    Attributes:
      common: price of the common budget; 0 where it is no limit.
      pools: [pools] what a scenario of the pool pays, common price included.
      choice, gain, extra: [scenarios] within all budgets, best at these prices.
    """

    common: float
    pools: np.ndarray
    choice: np.ndarray
    gain: np.ndarray
    extra: np.ndarray


Blocks = Callable[[], Iterable[Block]]


def survey(blocks: Iterable[Block]) -> Survey:
    """The cheapest and the best size of each scenario.

    >>> from lib.allocation.scenarios import Terms, blocks
    >>> found = survey(blocks([[1.0, 5.0, 4.0]], [[1.0, 3.0, 9.0]], Terms(roi_min=0)))
    >>> int(found.top[0]), float(found.top_gain[0]), float(found.top_extra[0])
    (1, 4.0, 2.0)
    """
    parts = [_corners(block, rows) for block in blocks for rows in tiles(block.cost.shape)]
    ids = np.concatenate([part[0] for part in parts])
    order = np.argsort(ids, kind="stable")
    pool, sizes, cost, revenue, cheapest, top, gain, extra = (
        np.concatenate(arrays)[order] for arrays in list(zip(*parts, strict=True))[1:]
    )
    gain_unit, extra_unit = _unit(gain), _unit(extra)
    return Survey(
        pool,
        sizes,
        cost,
        revenue,
        cheapest,
        top,
        _on_grid(gain, gain_unit),
        _on_grid(extra, extra_unit),
        gain_unit,
        extra_unit,
    )


def _corners(block, rows):
    revenue, cost = block.revenue[rows], block.cost[rows]
    allowed = revenue > -np.inf
    priced = np.where(allowed, cost, np.inf)
    least = priced.min(axis=1)
    cheapest = np.where(priced == least[:, None], revenue, -np.inf).argmax(axis=1)
    most = revenue.max(axis=1)
    top = np.where(revenue == most[:, None], priced, np.inf).argmin(axis=1)
    each = np.arange(len(least))
    base = revenue[each, cheapest]
    return (
        *(block.ids[rows], block.pool[rows], np.full(len(least), cost.shape[1])),
        *(least, base, cheapest, top),
        *(most - base, cost[each, top] - least),
    )


def tiles(shape):
    """Slices of rows of an array [rows, columns] whose elements fit into the cache."""
    step = max(1, _TILE // max(1, shape[1]))
    return (slice(start, start + step) for start in range(0, shape[0], step))


def _unit(values):
    total = math.fsum(values)
    return 2.0 ** (math.ceil(math.log2(total)) - _GRID) if total > 0 else 1.0


def _on_grid(values, unit):
    values = values * (1 / unit)
    np.rint(values, out=values)
    values *= unit
    return values


def rows(blocks: Blocks, found: Survey, wanted: np.ndarray | None = None) -> Iterator[Rows]:
    """The sizes of scenarios, of those that are wanted (bool [scenarios]), as the survey counts."""
    for block in blocks():
        kept = slice(None) if wanted is None else wanted[block.ids]
        ids = block.ids[kept]
        if len(ids):
            yield Rows(
                ids,
                _on_grid(block.revenue[kept] - found.revenue[ids, None], found.gain_unit),
                _on_grid(block.cost[kept] - found.cost[ids, None], found.extra_unit),
            )


class _Side:
    """A choice of every scenario: at one end of the interval of prices."""

    def __init__(self, choice, gain, extra):
        self.choice, self.gain, self.extra = choice.copy(), gain.copy(), extra.copy()

    def set(self, ids, choice, gain, extra):
        self.choice[ids], self.gain[ids], self.extra[ids] = choice, gain, extra


def prices(
    source: Callable[[np.ndarray | None], Iterable[Rows]],
    found: Survey,
    spare: float | None,
    pool_spare: np.ndarray | None,
    *,
    streamed: bool = False,
) -> Prices:
    """The prices of the budgets, and a choice within all of them.

    Args:
      source: gives the rows of the scenarios that are wanted, as `rows` does.
      found: of `survey`.
      spare: what all scenarios may cost beyond their cheapest sizes; None: no common budget.
      pool_spare: [pools] likewise; None: no pools.
      streamed: whether to ask the source anew costs much more than to choose.
    """
    pools = 1 if pool_spare is None else len(pool_spare)
    floor, dear = np.zeros(pools), _Side(found.top, found.top_gain, found.top_extra)
    common, exact, open_ends = 0.0, floor, []
    if pool_spare is not None:
        exact, floor, dear, upper = _search(
            source, found, pool_spare, np.arange(pools), floor, pool_spare, dear, streamed
        )
        open_ends.append((dear, upper))
    if spare is not None:
        limits = np.full(pools, np.inf) if pool_spare is None else pool_spare
        of_one = np.zeros(pools, int)
        (common,), _, dear, upper = _search(
            source, found, np.array([spare]), of_one, floor, limits, dear, streamed
        )
        exact = np.maximum(exact, common)
        open_ends.append((dear, upper))
    for cheap, upper in open_ends:
        _round_up(dear, cheap, upper, found.pool, spare, pool_spare)
    return Prices(float(common), exact, dear.choice, dear.gain, dear.extra)


def _round_up(chosen, cheap, dear, pool, spare, pool_spare):
    """Give scenarios that are as well off with either size the dearer one, while budgets last."""
    open_rows = np.flatnonzero((cheap.choice != dear.choice) & (chosen.choice == cheap.choice))
    left = np.inf if spare is None else spare - chosen.extra.sum()
    own = None
    if pool_spare is not None:
        own = pool_spare - np.bincount(pool, chosen.extra, minlength=len(pool_spare))
    for i, more in zip(open_rows, dear.extra[open_rows] - chosen.extra[open_rows], strict=True):
        if more <= left and (own is None or more <= own[pool[i]]):
            left -= more
            if own is not None:
                own[pool[i]] -= more
            chosen.set(i, dear.choice[i], dear.gain[i], dear.extra[i])


def _search(source, found, spare, group, floor, limits, dear, streamed):
    """The price of each group of pools at which its cost meets what it may spend.

    Args:
      spare: [groups]; group: [pools] each one's group.
      floor: [pools] prices that a scenario pays at least: those of budgets of their own; limits:
        [pools] what a pool spends at its floor, where that is above 0.
      dear: the choice at the floor.

    Returns: (price, the feasible end of its interval), [groups], the choices at that end and at the
      other.
    """
    pool = found.pool
    cheap = _Side(found.cheapest, np.zeros(len(pool)), np.zeros(len(pool)))
    low, high = np.zeros(len(spare)), np.full(len(spare), np.inf)
    fits = _spent(dear.extra, pool, group, floor, limits, low)[0] <= spare
    high[fits] = 0.0
    free = fits[group][pool]
    cheap.set(free, dear.choice[free], dear.gain[free], dear.extra[free])
    typical = found.top_gain.sum() / max(found.top_extra.sum(), found.extra_unit)
    typical = typical or 1.0
    tried = _PRICES_STREAMED if streamed else _PRICES
    while True:
        unsettled = cheap.choice != dear.choice
        wide = ~(high <= low * (1 + _NARROW)) & (high > typical * 1e-30)
        jumps = (floor > low[group]) & (floor <= high[group])  # where a pool's own limit ends
        wide &= (
            np.bincount(group[pool[unsettled]], minlength=len(spare))
            + np.bincount(group, jumps, minlength=len(spare))
            > 0
        )
        if not wide.any():
            break
        active = unsettled & wide[group][pool]
        source, streamed = _narrowed(source, active, streamed, found)
        tries = _between(low, high, tried, typical)
        at = np.maximum(tries[group], floor[:, None])  # [pools, prices]
        ids, choice, gain, extra = _choose(source(active), at, pool)
        settled = np.bincount(pool[~active], cheap.extra[~active], minlength=len(floor))
        total = settled[:, None] + np.stack(
            [np.bincount(pool[ids], each, minlength=len(floor)) for each in extra.T], axis=1
        )
        over = (
            _group(np.where(tries[group] > floor[:, None], total, limits[:, None]), group)
            > (spare[:, None])
        )
        first = np.where(over.all(axis=1), tried, over.argmin(axis=1))  # that is within
        mine = first[group][pool[ids]]
        for side, step in ((cheap, mine), (dear, mine - 1)):
            known = (step >= 0) & (step < tried)
            at_step = known.nonzero()[0], step[known]
            side.set(ids[known], choice[at_step], gain[at_step], extra[at_step])
        ends = np.column_stack([low, tries, high])
        each = np.arange(len(spare))
        low = np.where(wide, ends[each, first], low)
        high = np.where(wide, ends[each, first + 1], high)
    more = dear.extra - cheap.extra
    gained = np.bincount(group[pool], dear.gain - cheap.gain, minlength=len(spare))
    spent = np.bincount(group[pool], more, minlength=len(spare))
    between = np.divide(gained, spent, out=high.copy(), where=spent > 0)
    return np.clip(between, low, high), high, cheap, dear


def _spent(extra, pool, group, floor, limits, price):
    """[groups, 1] what groups cost, pools that their own budget limits by that."""
    total = np.bincount(pool, extra, minlength=len(floor))[:, None]
    return _group(
        np.where(price[group][:, None] >= floor[:, None], total, limits[:, None]), group
    ).T


def _group(values, group):
    """Sums of [pools, prices] over the pools of each group; the numbers are on the grid."""
    sums = np.zeros((group.max() + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return sums


def _narrowed(source, active, streamed, found):
    """The source, in memory once what is unsettled fits."""
    if not streamed:
        kept = [
            Rows(part.ids[mine], part.gain[mine], part.extra[mine])
            for part in source(active)
            if (mine := active[part.ids]).any()
        ]
        return (lambda _: kept), False
    if found.sizes[active].sum() > _RESIDENT:
        return source, True
    kept = list(source(active))
    return (lambda _: kept), False


def _between(low, high, count, typical):
    """[groups, count] rising prices inside each interval."""
    steps = np.arange(count)
    start = typical * 4.0 ** (steps - count // 2)
    with np.errstate(invalid="ignore"):  # of an interval without end
        inside = low[:, None] + (1 + steps) / (count + 1) * (high - low)[:, None]
        up = low[:, None] * 16.0 ** (1 + steps)
        down = high[:, None] * 16.0 ** (steps - count)
    least, most = low[:, None] == 0, high[:, None] == np.inf
    tries = np.where(least & most, start, np.where(most, up, np.where(least, down, inside)))
    return np.where((high == 0)[:, None], 0.0, tries)


def _choose(source, at, pool):
    """The sizes that scenarios take at prices [pools, prices].

    Returns: (ids [scenarios], choice, gain, extra [scenarios, prices]).
    """
    nothing = np.zeros((0, at.shape[1]))
    found = [(np.zeros(0, int), nothing.astype(np.int32), nothing, nothing)]
    for part in source:
        for tile in tiles(part.gain.shape):
            ids, gain, extra = part.ids[tile], part.gain[tile], part.extra[tile]
            each, net = np.arange(len(ids)), np.empty_like(gain)
            choice = np.empty((len(ids), at.shape[1]), np.int32)
            paid = at[pool[ids]]
            for k in range(at.shape[1]):
                np.multiply(extra, paid[:, k, None], out=net)
                np.subtract(gain, net, out=net)
                choice[:, k] = net.argmax(axis=1)
            each = each[:, None]
            found.append((ids, choice, gain[each, choice], extra[each, choice]))
    return tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))
