r"""The core: the few sizes that an allocation better than the one at hand could hold.

At prices \lambda a size j of scenario i loses (max_k net_ik) - net_ij, net = revenue - \lambda
cost, against the scenario's choice. An allocation's revenue is the dual bound less all of its
losses and less \lambda times what it leaves of the budget, so that a size which loses as much as
the gap at hand is in no better allocation (fixing by reduced cost). Of what is left, the sizes that
lose least come first (Pisinger 1995): a core of them is solved, the gap falls, fewer remain, and
the core grows until no size outside of it could matter.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array, hstack

_FIRST, _GROWTH = 64, 4  # sizes in the first core, and how it grows
_STATES = (1 << 12, 1 << 15)  # kept at a time; more where these did not prove the choice
_BETTER, _STALLED = 0.99, 2  # rounds that close less of the gap than this, and when to stop
_ADDED = 8  # times as many states may be made of one scenario's sizes before the best are kept
_STEPS = 1 << 20  # of the gap: losses that differ by less are alike
_NEAR = 1e-6  # share of a gap that pools filled one by one may leave to be closed together
_MILP_TOLERANCE = 1e-6  # HiGHS': what it calls optimal is so up to this share of the gap
_NODES = 500  # of HiGHS' search; a number, not a time: every machine gives up at the same place


class Core(NamedTuple):
    """Sizes that lose less than the gap, [sizes], against their scenario's choice."""

    ids: np.ndarray  # the scenario
    size: np.ndarray  # index in it
    loss: np.ndarray
    gain: np.ndarray  # revenue beyond the choice's, on the survey's grid
    extra: np.ndarray  # and cost

    def take(self, kept) -> "Core":
        """Some of the sizes."""
        return Core(*(values[kept] for values in self))


class Filled(NamedTuple):
    """The best use found of what is left of a budget.

    Attributes:
      taken: positions in the core, at most one of a scenario.
      gap: to the dual bound now; proven: the share of it that no allocation can close, so that
        gap - proven is what a better one could earn.
      held: sizes in the largest core that was solved.
    """

    taken: np.ndarray
    gap: float
    proven: float
    held: int


def fill(core: Core, spare: float, price: float, gap: float, tau: float, enough: float) -> Filled:
    """The best allocation of one budget, by growing cores.

    Args:
      core: all sizes that lose less than `tau`.
      spare: what the choice leaves of the budget; price: of the budget.
      gap: of the choice to the dual bound, price * spare and what it loses itself.
      enough: a gap that is not worth closing.

    >>> core = Core(*map(np.array, ([0, 1, 1], [1, 0, 2], [0.5, 0.2, 1.0], [2.5, 0.8, 4.0],
    ...                             [3.0, 1.0, 5.0])))
    >>> best = fill(core, spare=4.0, price=1.0, gap=4.0, tau=9.0, enough=0.0)
    >>> best.taken.tolist(), round(best.gap, 6), round(best.gap - best.proven, 6)
    ([0, 1], 0.7, 0.0)
    """
    count, states, stalled = _FIRST, 0, 0
    taken, proven, held = np.array([], int), 0.0, 0
    while gap - proven > enough:
        order = _order(core, gap)
        inside, before = order[:count], gap
        held = max(held, len(inside))
        better, gap, missed = _meet(core.take(inside), spare, price, gap, enough, _STATES[states])
        if better is not None:
            taken = inside[better]
        outside = min(core.loss[order[count:]].min(initial=tau), tau)
        proven = max(proven, min(gap, outside, missed))
        whole = (core.loss[order[count:]] >= gap).all()
        if whole and missed >= gap:
            break  # of what lies beyond tau nothing was collected
        stalled = stalled + 1 if gap > _BETTER * before else 0
        if stalled == _STALLED and missed < gap:
            break
        if not whole and (gap < before / 2 or missed >= gap or states + 1 == len(_STATES)):
            count *= _GROWTH
        elif states + 1 < len(_STATES):
            states += 1
        else:
            break
    return Filled(taken, gap, proven, held)


def _order(core, gap):
    """Positions of sizes that lose less than the gap, in the order to look at.

    From the dearer and the cheaper ones, and for every order of magnitude of what they cost, in
    turn the one that loses least: together they can fill a rest of any amount. Of those that lose
    the same, one of each scenario comes before the second of any.
    """
    kept = np.flatnonzero(core.loss < gap)
    loss, extra = core.loss[kept], core.extra[kept]
    step = np.floor(loss * (_STEPS / max(gap, 1e-300)))
    kind = 2 * np.frexp(extra)[1] + (extra > 0)
    order = np.lexsort((loss, core.ids[kept], kind))
    in_scenario = np.empty(len(kept), int)
    in_scenario[order] = _place(kind[order], core.ids[kept][order])
    order = np.lexsort((core.ids[kept], in_scenario, step, kind))
    return kept[order[np.lexsort((step[order], _place(kind[order])))]]


def _place(*groups):
    """0, 1, ... within each run of equal values."""
    if not len(groups[0]):
        return np.array([], int)
    start = np.append(True, np.any([values[1:] != values[:-1] for values in groups], axis=0))
    start = np.flatnonzero(start)
    return np.arange(len(groups[0])) - np.repeat(start, np.diff(np.append(start, len(groups[0]))))


class _States:
    """What alternatives of some scenarios cost and earn together: none dominated, cheapest first.

    A state costs more than the one before it and earns more.
    """

    def __init__(self):
        self.extra, self.gain, self.node = np.zeros(1), np.zeros(1), np.full(1, -1)
        self._parents, self._items, self._nodes = [], [], 0

    def keep(self, states):
        self.extra, self.gain, self.node = self.extra[states], self.gain[states], self.node[states]

    def add(self, core, items, price, gap):
        """States with one of the items of a scenario, or none."""
        parent, item = np.nonzero(
            (price * self.extra - self.gain)[:, None] + core.loss[items] < gap
        )
        item = items[item]
        old = len(self.extra)
        extra = np.append(self.extra, self.extra[parent] + core.extra[item])
        gain = np.append(self.gain, self.gain[parent] + core.gain[item])
        order = np.lexsort((-gain, extra))
        best = np.maximum.accumulate(gain[order])
        order = order[np.append(True, best[1:] > best[:-1])]
        new = order[order >= old] - old
        node = np.empty(len(order), int)
        node[order < old] = self.node[order[order < old]]
        node[order >= old] = self._nodes + np.arange(len(new))
        self._parents.append(self.node[parent[new]])
        self._items.append(item[new])
        self._nodes += len(new)
        self.extra, self.gain, self.node = extra[order], gain[order], node

    def thin(self, price, most):
        """Keep at most so many, over all costs those that lose least; the least loss dropped."""
        if len(self.extra) <= most:
            return np.inf
        loss = price * self.extra - self.gain
        group = np.arange(len(loss)) * most // len(loss)
        order = np.lexsort((loss, group))
        first = np.append(True, np.diff(group[order]) > 0)
        self.keep(np.sort(order[first]))
        return float(loss[order[~first]].min())

    def items(self, node):
        """The items of a state."""
        if not self._parents:
            return []
        parents, items, found = np.concatenate(self._parents), np.concatenate(self._items), []
        while node >= 0:
            found.append(items[node])
            node = int(parents[node])
        return found


def _meet(core, spare, price, gap, enough, most):
    """Dynamic programming over the scenarios of a core, in two lists that meet in the middle.

    Scenarios join the two lists in turn, and an allocation is a state of each: two lists of a
    thousand states stand for a million allocations (Horowitz and Sahni 1974). A state is dropped
    where its loss, with the least that scenarios to come lose, reaches the gap, where no state of
    the other list brings it within the budget, and where there are more than `most`.

    Returns: (positions of the best sizes or None, gap, least loss of what was dropped unseen).
    """
    if not len(core.ids):
        return None, gap, np.inf
    _, first, inverse = np.unique(core.ids, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)
    members = [members[i] for i in np.argsort(first)]
    # Of the scenarios from here on: the least loss, the most they add to a cost and take from it.
    least = [core.loss[one].min() for one in members]
    least = np.minimum.accumulate(least[::-1])[::-1]
    rise = np.cumsum([max(0.0, core.extra[one].max()) for one in members][::-1])[::-1]
    fall = np.cumsum([min(0.0, core.extra[one].min()) for one in members][::-1])[::-1]
    lists, best, missed = (_States(), _States()), None, np.inf
    for i, one in enumerate(members):
        mine, other = lists[i % 2], lists[1 - i % 2]
        unused = np.maximum(0.0, spare - mine.extra - rise[i] - other.extra[-1])
        loss = price * mine.extra - mine.gain + least[i] + price * unused
        within = mine.extra + fall[i] + other.extra[0] <= spare
        mine.keep((loss < gap) & within)
        if not len(mine.extra):
            break
        missed = min(missed, mine.thin(price, max(1, _ADDED * most // len(one))))
        mine.add(core, one, price, gap)
        missed = min(missed, mine.thin(price, most))
        partner = np.searchsorted(other.extra, spare - mine.extra, side="right") - 1
        gain = np.where(partner >= 0, mine.gain + other.gain[partner], -np.inf)
        top = int(gain.argmax())
        if price * spare - gain[top] < gap:
            gap = float(price * spare - gain[top])
            best = mine, int(mine.node[top]), other, int(other.node[partner[top]])
            if gap <= enough:
                break
    if best is None:
        return None, gap, missed
    mine, node, other, partner = best
    return np.array([*mine.items(node), *other.items(partner)], int), gap, missed


def fill_jointly(
    core: Core,
    budgets: np.ndarray,
    spare: np.ndarray,
    prices: np.ndarray,
    gap: float,
    tau: float,
    enough: float,
) -> Filled:
    """The best allocation of several budgets at once, growing cores given to HiGHS.

    Args:
      core: all sizes that lose less than `tau`.
      budgets: bool [budgets, sizes] which budget each size of the core is paid from; the last one
        is common to all.
      spare, prices: [budgets] what the choice leaves of each, and its price.
      gap, enough: as for `fill`.
    """
    taken, gap = _one_by_one(core, budgets, spare, prices, gap, tau, max(enough, _NEAR * gap))
    order = np.argsort(core.loss, kind="stable")
    count = min(_GROWTH**2 * _FIRST, len(order))
    proven, held = 0.0, 0
    while gap - proven > enough:
        inside = order[:count]
        inside = inside[core.loss[inside] < gap]
        outside = core.loss[order[count]] if count < len(order) else tau
        held = max(held, len(inside))
        better, value, bound = _milp(core.take(inside), budgets[:, inside], spare, prices, gap)
        if better is not None:
            taken, gap = inside[better], value
        proven = max(proven, min(gap, outside, bound))
        if gap <= outside or count == len(order) or bound < min(gap, outside):
            break
        count = min(_GROWTH * count, len(order))
    return Filled(taken, gap, proven, held)


def _one_by_one(core, budgets, spare, prices, gap, tau, enough):
    """Sizes that fill first the pools that are short of money, then what is left for the others.

    Returns: (their positions, the gap with them).
    """
    short = prices[:-1] > 0
    groups = [(budgets[i], i, prices[i] + prices[-1]) for i in np.flatnonzero(short)]
    groups.append((~budgets[:-1][short].any(axis=0), -1, prices[-1]))
    left, taken, lost = spare.copy(), np.array([], int), 0.0
    for mine, i, price in groups:
        mine, room = np.flatnonzero(mine), min(left[i], left[-1])
        found = mine[fill(core.take(mine), room, price, price * room, tau, enough).taken]
        used = budgets[:, found] @ core.extra[found]
        if (used <= left).all():
            left, taken = left - used, np.append(taken, found)
            lost += core.loss[found].sum()
    value = float(prices @ left + lost)
    return (taken, value) if value < gap else (np.array([], int), gap)


def _milp(core, budgets, spare, prices, gap):
    """HiGHS on a core, all money in units of the gap: its tolerances (1e-6) are of that.

    What is left of a budget with a price is a variable that loses, as the sizes do; a better
    allocation than the one at hand loses less than 1 in all.

    Returns: (positions of the best sizes or None, their gap, a bound on every allocation's gap).
    """
    count, limited = len(core.ids), len(spare)
    if not count:
        return None, gap, gap
    _, scenario = np.unique(core.ids, return_inverse=True)
    member = coo_array((np.ones(count), (scenario, np.arange(count)))).tocsr()
    slope = np.where(prices > 0, prices / gap, 1 / np.maximum(np.abs(core.extra).max(), 1e-300))
    rows = csr_array(budgets * core.extra * slope[:, None])
    left = csr_array(np.diag(np.where(prices > 0, 1.0, 0.0)))
    right = spare * slope
    limits = [
        LinearConstraint(hstack([member, csr_array((member.shape[0], limited))]), ub=1),
        LinearConstraint(hstack([rows, left]), lb=np.where(prices > 0, right, -np.inf), ub=right),
    ]
    lost = np.append(core.loss / gap, np.where(prices > 0, 1.0, 0.0))
    while True:
        result = milp(
            lost,
            integrality=np.append(np.ones(count), np.zeros(limited)),
            bounds=Bounds(0, 1),
            constraints=limits,
            options={"mip_rel_gap": 0.0, "node_limit": _NODES},
        )
        if result.status == 2:  # infeasible: none loses less than the gap
            return None, gap, gap
        bound = gap if result.mip_dual_bound is None else gap * result.mip_dual_bound
        if result.x is None:
            return None, gap, min(gap, bound)
        chosen = np.flatnonzero(result.x[:count] > 0.5)
        used = budgets[:, chosen] @ core.extra[chosen]
        if (used <= spare).all():
            break
        # Over a budget by less than the solver's own tolerance: exclude it, solve again.
        cut = np.zeros(count + limited)
        cut[:count] = -1
        cut[chosen] = 1
        limits.append(LinearConstraint(csr_array(cut[None]), ub=len(chosen) - 1))
    value = float(prices @ spare - core.gain[chosen].sum())
    if value >= gap:
        chosen, value = None, gap
    proven = result.status == 0 and value - bound < 2 * _MILP_TOLERANCE * gap
    return chosen, value, value if proven else min(value, max(bound, 0.0))
