"""The best size under an ROI limit (Eq 7, 8).

ROI is revenue over machine cost, both in one currency per hour, and the caller says
revenue and cost of what. *Total*: all the system earns and all its machines cost, as
Eq 7 is written. *Incremental*: both less the base model's, so that the limit asks what
each further unit of money brings in; the base itself is then (0, 0). The condition is
kept as revenue >= roi_min * cost, the same for a positive cost and right for a saving.
"""

import numpy as np
from numpy.typing import ArrayLike

ROIS = ("incremental", "total")


def revenue_and_cost(
    lift: ArrayLike, machine_cost: ArrayLike, base: int, *, revenue_per_hour: float, roi: str
) -> tuple[np.ndarray, np.ndarray]:
    """Revenue and cost of sizes as the ROI compares them (see the module's head).

    Args:
      lift: revenue lifts over the base, fractions, [..., sizes].
      machine_cost: currency per hour, [..., sizes].
      base: index of the base among the sizes.
      revenue_per_hour: of the system with the base, > 0, same currency.
      roi: "incremental" or "total".

    Returns: (revenue, cost) per hour, [..., sizes] each.
    Raises: ValueError for another roi, or a revenue that is not positive.

    >>> lift, machine_cost = np.array([0.0, 0.01]), np.array([100.0, 150.0])
    >>> revenue_and_cost(lift, machine_cost, 0, revenue_per_hour=1000, roi="incremental")
    (array([ 0., 10.]), array([ 0., 50.]))
    >>> revenue_and_cost(lift, machine_cost, 0, revenue_per_hour=1000, roi="total")
    (array([1000., 1010.]), array([100., 150.]))
    """
    if roi not in ROIS:
        raise ValueError(f"roi must be {' or '.join(map(repr, ROIS))}; got {roi!r}")
    if not 0 < revenue_per_hour < np.inf:
        raise ValueError(f"revenue_per_hour must be > 0; got {revenue_per_hour}")
    lift, machine_cost = np.asarray(lift, float), np.asarray(machine_cost, float)
    if roi == "total":
        return revenue_per_hour * (1 + lift), machine_cost
    return revenue_per_hour * lift, machine_cost - machine_cost[..., base, None]


def best_size(revenue: ArrayLike, cost: ArrayLike, roi_min: float) -> int:
    """Index of the size of most revenue among those whose ROI is at least roi_min (Eq 8).

    Equal revenues go to the lower cost. A cost of inf marks a size that cannot be served.

    Args:
      revenue, cost: [sizes], one currency per hour; total or incremental (see the
        module's head).
      roi_min: the paper's lambda, >= 0.

    Raises: ValueError where no size meets the limit, with the highest ROI there is.

    >>> revenue, cost = np.array([100.0, 104.0, 107.0]), np.array([20.0, 22.0, 30.0])
    >>> best_size(revenue, cost, roi_min=4)                              # 107 / 30 = 3.6
    1
    >>> best_size(revenue - revenue[0], cost - cost[0], roi_min=0.5)     # 7 / 10 = 0.7
    2
    """
    revenue, cost = check_money("best_size", revenue, cost, roi_min)
    if revenue.ndim != 1:
        raise ValueError(
            f"best_size: revenue must be [sizes]; got shape {revenue.shape} "
            "(share_best takes draws)"
        )
    best = int(_best(revenue, cost, roi_min))
    if best < 0:
        raise ValueError(
            f"best_size: no size reaches roi_min = {roi_min:g}; " + highest_roi(revenue, cost)
        )
    return best


def share_best(revenue: ArrayLike, cost: ArrayLike, roi_min: float) -> np.ndarray:
    """How often each size is the best one over draws of revenue and cost.

    A row is one draw of everything uncertain at once, such as one refit of the law with
    one draw of the service times: rows drawn for each size by itself would make the
    winner look random, because the errors of neighbouring sizes move together.

    Args:
      revenue, cost: [draws, sizes], or [sizes] where one of the two is certain.
      roi_min: as in `best_size`.

    Returns: [sizes], shares of the draws; what they lack to 1 is the share of draws in
    which no size meets the limit.

    >>> share_best([[3.0, 4.0], [3.0, 5.0], [3.0, 2.0], [0.1, 0.2]], [1.0, 2.0], roi_min=1)
    array([0.25, 0.5 ])
    """
    revenue, cost = check_money("share_best", revenue, cost, roi_min)
    if revenue.ndim != 2:
        raise ValueError(
            f"share_best: revenue or cost must be [draws, sizes]; got shape {revenue.shape}"
        )
    best = _best(revenue, cost, roi_min)
    return np.bincount(best[best >= 0], minlength=revenue.shape[1]) / len(best)


def meets_roi(revenue: ArrayLike, cost: ArrayLike, roi_min: float) -> np.ndarray:
    """Where revenue >= roi_min * cost, elementwise (the constraint of Eq 8 and 9).

    >>> meets_roi(np.array([2.0, 2.0, 2.0]), np.array([1.0, 3.0, np.inf]), roi_min=1)
    array([ True, False, False])
    """
    served = np.isfinite(cost)
    return served & (revenue >= roi_min * np.where(served, cost, 0.0))


def highest_roi(revenue: np.ndarray, cost: np.ndarray) -> str:
    """The clause of an error that tells the highest ROI of [sizes].

    >>> highest_roi(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    'the highest ROI is 2 (size 0)'
    """
    priced = np.isfinite(cost) & (cost > 0)
    if not priced.any():
        return "no size has a positive, finite cost"
    roi = np.divide(revenue, cost, out=np.full(revenue.shape, -np.inf), where=priced)
    return f"the highest ROI is {roi.max():.4g} (size {roi.argmax()})"


def check_money(
    name: str, revenue: ArrayLike, cost: ArrayLike, roi_min: float
) -> tuple[np.ndarray, np.ndarray]:
    """Revenue and cost as arrays of one shape, [..., sizes].

    Raises: ValueError that begins with `name` for shapes that do not fit, revenues that are not
      finite, costs that are neither a number nor inf, a roi_min below 0.
    """
    revenue, cost = np.asarray(revenue, float), np.asarray(cost, float)
    try:
        revenue, cost = np.broadcast_arrays(revenue, cost)
    except ValueError:
        raise ValueError(
            f"{name}: revenue and cost must be of one shape; got {revenue.shape} and {cost.shape}"
        ) from None
    if revenue.shape[-1:] in ((), (0,)):
        raise ValueError(f"{name}: expected at least one size; got shape {revenue.shape}")
    if not np.isfinite(revenue).all():
        raise ValueError(f"{name}: revenue must be finite; got {revenue[~np.isfinite(revenue)][0]}")
    bad = np.isnan(cost) | (cost == -np.inf)
    if bad.any():
        raise ValueError(
            f"{name}: cost must be a number, or inf for a size that cannot be "
            f"served; got {cost[bad][0]}"
        )
    if not 0 <= roi_min < np.inf:
        raise ValueError(f"{name}: roi_min must be a number >= 0; got {roi_min}")
    return revenue, cost


def _best(revenue, cost, roi_min):
    """Best size along the last axis, -1 where none meets the limit."""
    feasible = meets_roi(revenue, cost, roi_min)
    value = np.where(feasible, revenue, -np.inf)
    tied = feasible & (value == value.max(axis=-1, keepdims=True))
    best = np.where(tied, cost, np.inf).argmin(axis=-1)
    return np.where(feasible.any(axis=-1), best, -1)
