"""Scenarios of one table: any number of them, one row a size, each with its own bounds."""

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lib.allocation.baselines import compare
from lib.allocation.knapsack import Allocation, allocate

# Columns that the other ways of sharing a budget do not know.
_BEYOND = {"pool", "roi_min", "least_revenue", "capacity", "machine_price", "switching_cost"}


def allocate_table(
    table: pd.DataFrame,
    budget: float | None,
    roi_min: float = 1.0,
    *,
    pool_budgets: Mapping | None = None,
    horizon_hours: float | None = None,
    relative_gap: float = 0.0,
) -> tuple[pd.DataFrame, Allocation]:
    """As `allocate`, of any number of scenarios in one table, one row a size.

    Args:
      table: columns scenario, revenue and cost; where it has them, `pool` (with pool_budgets),
        `roi_min`, `least_revenue`, `capacity` and `least_capacity`, `machine_price`, `today` (true
        for today's size) and `switching_cost` (with horizon_hours), as for `allocate`. What
        belongs to a scenario stands in each of its rows.
      roi_min: where the table has no such column.

    Returns: (the chosen rows, one a scenario, in the order in which scenarios first appear; the
      allocation).
    Raises: ValueError as `allocate`; for a column that is missing, or differs within a scenario.

    >>> table = pd.DataFrame({"scenario": ["feed", "feed", "search"], "revenue": [3.0, 5.0, 4.0],
    ...                       "cost": [1.0, 2.0, 1.0]})
    >>> rows, best = allocate_table(table, 3)
    >>> rows["revenue"].tolist(), best.shadow_price
    ([5.0, 4.0], 0.0)
    """
    missing = [name for name in ("scenario", "revenue", "cost") if name not in table]
    if missing:
        raise ValueError(
            f"allocate_table: the table must have columns scenario, revenue and cost; {missing[0]} "
            "is missing"
        )
    code, names = pd.factorize(table["scenario"])
    order = np.argsort(code, kind="stable")
    starts = np.append(0, np.cumsum(np.bincount(code)))
    first = order[starts[:-1]]

    def sizes(name):
        values = table[name].to_numpy(float)[order]
        return [values[a:b] for a, b in itertools.pairwise(starts)]

    def of_scenario(name):
        values = table[name].to_numpy()
        differs = values != values[first][code]
        if differs.any():
            row = int(differs.argmax())
            raise ValueError(
                f"allocate_table: column {name} must be the same in all rows of a scenario; in "
                f"{names[code[row]]!r} it is {values[first[code[row]]]} and {values[row]}"
            )
        return values[first]

    terms = {"roi_min": roi_min, "horizon_hours": horizon_hours}
    for name in ("roi_min", "least_revenue", "least_capacity", "machine_price", "switching_cost"):
        if name in table:
            terms[name] = of_scenario(name)
    if "capacity" in table:
        terms["capacity"] = sizes("capacity")
    if "today" in table:
        terms["today"] = [int(t.argmax()) if t.any() else -1 for t in sizes("today")]
    if "switching_cost" not in table:
        terms.pop("horizon_hours")
    if "pool" in table and pool_budgets is not None:
        terms |= {"pools": of_scenario("pool").tolist(), "pool_budgets": pool_budgets}
    try:
        best = allocate(sizes("revenue"), sizes("cost"), budget, relative_gap=relative_gap, **terms)
    except ValueError as error:
        raise ValueError(_with_name(str(error), names)) from None
    return table.iloc[order[starts[:-1] + np.array(best.choice)]], best


def table_frontier(
    table: pd.DataFrame,
    budget: float | None,
    shares: Sequence[float] = (0.0, 0.02, 0.05, 0.1, 0.2),
    *,
    pool_budgets: Mapping | None = None,
    **options,
) -> pd.DataFrame:
    """What more money buys of a table's scenarios, a row each.

    Args:
      budget: the least; without a common one those of the pools grow.
      shares: added to it, of what lies between all scenarios' cheapest and dearest sizes.
      options: of `allocate_table`.

    Returns: columns added (money beyond the budgets), revenue, cost, gap, shadow price.

    >>> table = pd.DataFrame({"scenario": ["feed"] * 2, "revenue": [3.0, 5.0], "cost": [1.0, 2.0]})
    >>> table_frontier(table, 1, [0, 1])["revenue"].tolist()
    [3.0, 5.0]
    """
    served = table[np.isfinite(table["cost"])]
    costs = served.groupby("scenario")["cost"]
    spread = (costs.max() - costs.min()).rename("spread").reset_index()
    if budget is None:
        pool = table.drop_duplicates("scenario").set_index("scenario")["pool"]
        more = spread["spread"].groupby(spread["scenario"].map(pool)).sum()
    rows = []
    for share in shares:
        own, common = pool_budgets, budget
        if budget is None:
            own = {name: limit + share * more.get(name, 0) for name, limit in own.items()}
        else:
            common = budget + share * spread["spread"].sum()
        _, best = allocate_table(table, common, pool_budgets=own, **options)
        added = share * spread["spread"].sum()
        rows.append((added, best.revenue, best.cost, best.gap, best.shadow_price))
    return pd.DataFrame(rows, columns=["added", "revenue", "cost", "gap", "shadow price"])


def table_ways(table: pd.DataFrame, budget: float, roi_min: float = 1.0) -> pd.DataFrame | None:
    """The allocation of a table beside other ways to share its budget.

    Returns: as `lib.allocation.baselines.compare`; None for a table that these ways cannot take:
      without a size of today in every scenario, or with bounds that they do not know.
    """
    codes, _ = pd.factorize(table["scenario"])
    if set(table) & _BEYOND or "today" not in table or set(codes[table["today"]]) != set(codes):
        return None
    parts = [part for _, part in table.groupby(codes)]
    return compare(
        [part["revenue"].to_numpy(float) for part in parts],
        [part["cost"].to_numpy(float) for part in parts],
        budget,
        roi_min,
        [int(part["today"].to_numpy().argmax()) for part in parts],
    )


def _with_name(message, names):
    """A message in which the scenario's position is its name."""
    return re.sub(r"scenario (\d+)", lambda found: f"scenario {names[int(found[1])]!r}", message)
