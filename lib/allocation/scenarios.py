"""What the scenarios may choose from: sizes that meet every bound, their net revenue and cost.

The bounds of a scenario forbid sizes, and rounding and switching change what a size costs and
earns; both are settled here, once, so that what remains is one choice a scenario and the budgets.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lib.design.roi_choice import highest_roi, meets_roi

# Machines above a whole number by less than this share of it are that number: a sum's last bits.
_WHOLE = 1e-9
_PADDING = 1.25  # scenarios stand in one block up to this ratio of their numbers of sizes


class Block(NamedTuple):
    """Scenarios side by side; the shorter ones are padded with sizes that are not allowed."""

    ids: np.ndarray  # [scenarios] their positions among all
    pool: np.ndarray  # [scenarios] position of the pool
    revenue: np.ndarray  # [scenarios, sizes] less the cost of switching; -inf: not allowed
    cost: np.ndarray  # [scenarios, sizes], in whole machines where asked for; 0: not allowed


@dataclasses.dataclass(frozen=True)
class Terms:
    """Bounds and prices of scenarios: one value for all, or one for each.

    Attributes:
      roi_min: least revenue over cost.
      least_revenue: of each scenario; None: no bound.
      capacity: like revenue and cost, what each size can serve; least_capacity: what is needed.
      machine_price: cost is rounded up to whole machines of this price; None: it is not.
      today: index of today's size in each scenario; negative: it has none.
      switching_cost: paid once for any other size than today's.
      horizon_hours: that the switching cost is spread over.
    """

    roi_min: ArrayLike = 1.0
    least_revenue: ArrayLike | None = None
    capacity: Sequence[ArrayLike] | None = None
    least_capacity: ArrayLike | None = None
    machine_price: ArrayLike | None = None
    today: ArrayLike | None = None
    switching_cost: ArrayLike | None = None
    horizon_hours: float | None = None

    def __post_init__(self):
        for one, other in (
            ("capacity", "least_capacity"),
            ("switching_cost", "today"),
            ("switching_cost", "horizon_hours"),
        ):
            if getattr(self, one) is not None and getattr(self, other) is None:
                raise ValueError(f"allocate: {one} needs {other}, which is not given")
        if self.least_capacity is not None and self.capacity is None:
            raise ValueError("allocate: least_capacity needs capacity, which is not given")
        if self.horizon_hours is not None and not 0 < self.horizon_hours < np.inf:
            raise ValueError(f"allocate: horizon_hours must be > 0; got {self.horizon_hours}")

    def of_each(self, count: int) -> "Terms":
        """The same with an array [count] in place of each single value, checked."""
        given = {}
        for name, least in (
            ("roi_min", 0.0),
            ("least_revenue", -np.inf),
            ("least_capacity", -np.inf),
            ("machine_price", np.nextafter(0, 1)),
            ("switching_cost", 0.0),
        ):
            if getattr(self, name) is not None:
                given[name] = _of_each(name, getattr(self, name), count, least)
        if self.today is not None:
            given["today"] = _of_each("today", self.today, count, -np.inf).astype(int)
        return dataclasses.replace(self, **given)


def _of_each(name, value, count, least):
    values = np.asarray(value, float)
    if values.shape not in ((), (count,)):
        raise ValueError(
            f"allocate: {name} must be one value, or one for each of the {count} scenarios; "
            f"got shape {values.shape}"
        )
    wrong = ~(np.isfinite(values) & (values >= least))
    if wrong.any():
        bound = "" if least == -np.inf else " >= 0" if least == 0 else " > 0"
        raise ValueError(f"allocate: {name} must be a number{bound}; got {values[wrong].flat[0]:g}")
    return np.broadcast_to(values, count)


def blocks(
    revenue: Sequence[ArrayLike],
    cost: Sequence[ArrayLike],
    terms: Terms,
    pool: np.ndarray | None = None,
    first: int = 0,
) -> list[Block]:
    """The scenarios in blocks of like numbers of sizes, what is not allowed marked.

    Args:
      revenue, cost: one array [sizes] per scenario, or all as [scenarios, sizes].
      terms: of these scenarios.
      pool: [scenarios] position of each one's pool; None: all are in the first.
      first: position of the first of these scenarios among all.

    Raises: ValueError for arrays that do not fit, numbers that are none, and a scenario in which
      no size meets its bounds: it names the bound and the best that there is.
    """
    count = len(revenue)
    if not count or count != len(cost):
        raise ValueError(
            "allocate: revenue and cost must hold one array per scenario; "
            f"got {count} and {len(cost)}"
        )
    terms = terms.of_each(count)
    pool = np.zeros(count, int) if pool is None else pool
    given = {"revenue": revenue, "cost": cost}
    if terms.capacity is not None:
        given["capacity"] = terms.capacity
    if all(isinstance(values, np.ndarray) and values.ndim == 2 for values in given.values()):
        members = [np.arange(count)]
        lengths = np.full(count, revenue.shape[1])
        for name, values in given.items():
            if values.shape != revenue.shape or not values.size:
                raise ValueError(
                    f"allocate: {name} must be [scenarios, sizes] as revenue, {revenue.shape}, "
                    f"with at least one size; got {values.shape}"
                )
    else:
        given = {name: [np.asarray(one, float) for one in each] for name, each in given.items()}
        lengths = _lengths(given, first)
        members = _alike(lengths)
    return [
        _allowed(
            {name: _beside(values, lengths, rows) for name, values in given.items()},
            lengths[rows],
            rows,
            _rows_of(terms, rows),
            pool[rows],
            first,
        )
        for rows in members
    ]


def _lengths(given, first):
    """Sizes of each scenario, checked."""
    for name, values in given.items():
        if len(values) != len(given["revenue"]):
            raise ValueError(
                f"allocate: {name} must hold one array per scenario, {len(given['revenue'])}; "
                f"got {len(values)}"
            )
    for i, arrays in enumerate(zip(*given.values(), strict=True)):
        shapes = [values.shape for values in arrays]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            names = " and ".join(given) if len(given) == 2 else "revenue, cost and capacity"
            raise ValueError(
                f"allocate: scenario {first + i}: {names} must be [sizes]; "
                f"got shapes {' and '.join(map(str, shapes))}"
            )
        if not shapes[0][0]:
            raise ValueError(f"allocate: scenario {first + i}: expected at least one size; got 0")
    return np.array([len(values) for values in given["revenue"]])


def _alike(lengths):
    """Positions of scenarios in groups, in each of which padding adds at most a quarter."""
    order = np.argsort(lengths, kind="stable")
    groups, start = [], 0
    while start < len(order):
        end = np.searchsorted(lengths[order], _PADDING * lengths[order[start]], side="right")
        groups.append(order[start:end])
        start = int(end)
    return groups


def _beside(values, lengths, rows):
    """[rows, most sizes] of what stands in a list of arrays; 0 where a scenario has no size."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return np.asarray(values, float)
    table = np.zeros((len(rows), lengths[rows].max()))
    for line, i in zip(table, rows, strict=True):
        line[: lengths[i]] = values[i]
    return table


def _rows_of(terms, rows):
    """The terms of some scenarios; capacity is an array of the block and comes separately."""
    names = (
        "roi_min",
        "least_revenue",
        "least_capacity",
        "machine_price",
        "today",
        "switching_cost",
    )
    return {
        name: None if getattr(terms, name) is None else getattr(terms, name)[rows] for name in names
    } | {"horizon_hours": terms.horizon_hours}


def _allowed(given, lengths, rows, terms, pool, first):
    """The block of some scenarios."""
    revenue, cost = given["revenue"], given["cost"]
    there = (
        np.arange(revenue.shape[1]) < lengths[:, None] if lengths.min() < lengths.max() else None
    )
    _check_money(revenue, cost, rows, first)
    if terms["machine_price"] is not None:
        price = terms["machine_price"][:, None]
        cost = price * whole_machines(cost / price)
    if terms["switching_cost"] is not None:
        other = np.arange(revenue.shape[1]) != terms["today"][:, None]
        other &= terms["today"][:, None] >= 0
        revenue = revenue - other * (terms["switching_cost"] / terms["horizon_hours"])[:, None]
    bounds = {"roi_min": meets_roi(revenue, cost, terms["roi_min"][:, None])}
    if terms["least_revenue"] is not None:
        bounds["least_revenue"] = revenue >= terms["least_revenue"][:, None]
    if terms["least_capacity"] is not None:
        bounds["least_capacity"] = given["capacity"] >= terms["least_capacity"][:, None]
    allowed = there
    for meets in bounds.values():
        allowed = meets if allowed is None else allowed & meets
    none = ~allowed.any(axis=1)
    if none.any():
        i = int(none.argmax())
        own = slice(lengths[i])
        raise ValueError(
            _no_size(
                first + int(rows[i]),
                {name: meets[i, own] for name, meets in bounds.items()},
                {name: terms[name][i] for name in bounds},
                {"revenue": revenue[i, own], "cost": cost[i, own]}
                | {name: given[name][i, own] for name in given if name == "capacity"},
            )
        )
    return Block(
        first + rows, pool, np.where(allowed, revenue, -np.inf), np.where(allowed, cost, 0.0)
    )


def whole_machines(machines: ArrayLike) -> np.ndarray:
    """Machines rounded up to whole ones; inf stays.

    >>> whole_machines([1.2, 3.0000000001, -0.5]).tolist()
    [2.0, 3.0, -0.0]
    """
    machines = np.asarray(machines, float)
    nearest = np.rint(machines)
    with np.errstate(invalid="ignore"):  # inf less inf
        close = np.abs(machines - nearest) <= _WHOLE * np.maximum(1.0, np.abs(nearest))
    return np.where(close, nearest, np.ceil(machines))


def _check_money(revenue, cost, rows, first):
    bad = ~np.isfinite(revenue)
    if bad.any():
        i = int(bad.any(axis=1).argmax())
        raise ValueError(
            f"allocate: scenario {first + rows[i]}: revenue must be finite; "
            f"got {revenue[i][bad[i]][0]}"
        )
    bad = ~(cost > -np.inf)
    if bad.any():
        i = int(bad.any(axis=1).argmax())
        raise ValueError(
            f"allocate: scenario {first + rows[i]}: cost must be a number, or inf for a size that "
            f"cannot be served; got {cost[i][bad[i]][0]}"
        )


def _no_size(scenario, meets, bounds, given):
    """The sentence on a scenario in which no size meets all bounds."""
    head = f"allocate: scenario {scenario}: no size "
    revenue, cost = given["revenue"], given["cost"]
    if not meets["roi_min"].any():
        return f"{head}reaches roi_min = {bounds['roi_min']:g}; {highest_roi(revenue, cost)}"
    within, said = meets["roi_min"], f"of those that reach roi_min = {bounds['roi_min']:g}"
    for name, values in (("least_revenue", revenue), ("least_capacity", given.get("capacity"))):
        if name in meets and not (within & meets[name]).any():
            best = np.where(within, values, -np.inf)
            return (
                f"{head}has {name} = {bounds[name]:g}; {said}, size {best.argmax()} has most, "
                f"{best.max():.4g}"
            )
        if name in meets:
            within, said = within & meets[name], f"{said} and {name} = {bounds[name]:g}"
    raise AssertionError("one of the bounds forbids the last size")


def pool_positions(
    pools: Sequence | None, budgets: Mapping | None, count: int
) -> tuple[list, np.ndarray, np.ndarray | None]:
    """Names of the pools, the position of each scenario's, the budgets in that order.

    Raises: ValueError for pools that are not one for each scenario, a pool without a budget, a
      budget of no pool, or one that is not finite.
    """
    if (pools is None) != (budgets is None):
        raise ValueError("allocate: pools and pool_budgets go together; one of the two is missing")
    if pools is None:
        return ["all"], np.zeros(count, int), None
    if len(pools) != count:
        raise ValueError(
            f"allocate: pools must name one for each of the {count} scenarios; got {len(pools)}"
        )
    names = list(budgets)
    position = {name: i for i, name in enumerate(names)}
    for name in dict.fromkeys(pools):
        if name not in position:
            raise ValueError(f"allocate: pool {name!r} has no budget; pool_budgets has {names}")
    for name in names:
        if not np.isfinite(budgets[name]):
            raise ValueError(
                f"allocate: pool {name!r}: its budget must be finite; got {budgets[name]}"
            )
    return (
        names,
        np.array([position[name] for name in pools]),
        np.array([float(budgets[name]) for name in names]),
    )
