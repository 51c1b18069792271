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
_STATES = (1 << 14, 1 << 17, 1 << 20)  # kept at a time; more where these did not prove the choice
_NODES = 20_000  # of HiGHS' search; a number, not a time: every machine gives up at the same place


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
    core_order = np.argsort(core.loss, kind="stable")
    count, states = min(_FIRST, len(core_order)), 0
    taken, proven, held = np.array([], int), 0.0, 0
    while gap - proven > enough:
        inside = core_order[:count]
        inside = inside[core.loss[inside] < gap]
        outside = core.loss[core_order[count]] if count < len(core_order) else tau
        held = max(held, len(inside))
        better, gap, missed = _states(core.take(inside), spare, price, gap, _STATES[states])
        if better is not None:
            taken = inside[better]
        proven = max(proven, min(gap, outside, missed))
        if gap <= min(outside, missed):
            break
        if missed < gap and (count == len(core_order) or gap <= outside):
            states += 1  # the core is whole, but not all of its allocations were looked at
            if states == len(_STATES):
                break
        elif count == len(core_order):
            break  # what lies beyond tau was not collected
        else:
            count = min(_GROWTH * count, len(core_order))
    return Filled(taken, gap, proven, held)


def _states(core, spare, price, gap, most):
    """Dynamic programming over the scenarios of a core, those that lose least first.

    A state is what some alternatives cost and earn together. It is dropped where its loss, with
    the least that the scenarios to come lose, reaches the gap; where another costs no more and
    earns no less; and, beyond `most` of them, where it loses most.

    Returns: (positions of the best alternatives or None, gap, least loss of what was dropped).
    """
    if not len(core.ids):
        return None, gap, np.inf
    order = np.lexsort((core.loss, core.ids))
    starts = np.flatnonzero(np.diff(core.ids[order], prepend=-1))
    members = np.split(order, starts[1:])
    members.sort(key=lambda one: core.loss[one[0]])
    least = np.array([core.loss[one[0]] for one in members])
    rises = np.array([max(0.0, core.extra[one].max()) for one in members])
    falls = np.array([min(0.0, core.extra[one].min()) for one in members])
    # The most that the scenarios from here on can add to a state's cost, and take from it.
    rises, falls = (np.cumsum(each[::-1])[::-1] for each in (rises, falls))
    extra, gain, node = np.zeros(1), np.zeros(1), np.full(1, -1)
    parents, picked, nodes = [], [], 0
    best, missed = -1, np.inf
    for one, step_least, rise, fall in zip(members, least, rises, falls, strict=True):
        loss = price * extra - gain
        bound = loss + step_least + price * np.maximum(0.0, spare - extra - rise)
        kept = np.flatnonzero((bound < gap) & (extra + fall <= spare))
        if not len(kept):
            break
        room = max(1, 4 * most // len(one))
        if len(kept) > room:
            ranked = kept[np.argsort(bound[kept], kind="stable")]
            missed, kept = min(missed, bound[ranked[room]]), np.sort(ranked[:room])
        extra, gain, node, loss = extra[kept], gain[kept], node[kept], loss[kept]
        parent, alternative = np.nonzero(loss[:, None] + core.loss[one] < gap)
        if not len(parent):
            continue
        item = one[alternative]
        new_extra, new_gain = extra[parent] + core.extra[item], gain[parent] + core.gain[item]
        extra = np.concatenate([extra, new_extra])
        gain = np.concatenate([gain, new_gain])
        node = np.concatenate([node, np.zeros(len(parent), int)])
        source = np.concatenate([np.full(len(kept), -1), node[: len(kept)][parent]])
        chosen = np.concatenate([np.full(len(kept), -1), item])
        order = np.lexsort((-gain, extra))
        rising = np.maximum.accumulate(gain[order])
        order = order[np.append(True, rising[1:] > rising[:-1])]
        if len(order) > most:
            value = price * extra[order] - gain[order]
            ranked = np.argsort(value, kind="stable")
            missed, order = min(missed, value[ranked[most]]), np.sort(order[ranked[:most]])
            order = order[np.argsort(extra[order], kind="stable")]
        extra, gain = extra[order], gain[order]
        source, chosen, old = source[order], chosen[order], node[order]
        new = chosen >= 0
        node = np.where(new, nodes + np.cumsum(new) - 1, old)
        parents.append(source[new])
        picked.append(chosen[new])
        nodes += int(new.sum())
        within = np.searchsorted(extra, spare, side="right") - 1
        if within >= 0 and price * spare - gain[within] < gap:
            gap, best = float(price * spare - gain[within]), int(node[within])
    if best < 0:
        return None, gap, missed
    parents, picked, path = np.concatenate(parents), np.concatenate(picked), []
    while best >= 0:
        path.append(picked[best])
        best = int(parents[best])
    return np.array(path[::-1]), gap, missed


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
      budgets: bool [budgets, sizes] which budget each size of the core is paid from.
      spare, prices: [budgets] what the choice leaves of each, and its price.
      gap, enough: as for `fill`.
    """
    order = np.argsort(core.loss, kind="stable")
    count = min(_GROWTH**2 * _FIRST, len(order))
    taken, proven, held = np.array([], int), 0.0, 0
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
    value = float(prices @ (spare - used) + core.loss[chosen].sum()) if value >= gap else value
    if value >= gap:
        return None, gap, min(gap, bound)
    return chosen, value, min(value, max(bound, 0.0))
