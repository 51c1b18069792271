"""Small problems with every option, and the search of all their combinations; large ones."""

import itertools
import math

import numpy as np


def small(rng, *, whole=True):
    """A problem of up to 5 scenarios of up to 6 sizes with options at random: allocate's keywords.

    Whole numbers, so that many revenues and costs are equal; or any.
    """
    count = int(rng.integers(1, 6))
    draw = (
        (lambda low, high, size: rng.integers(low, high, size).astype(float))
        if whole
        else (lambda low, high, size: rng.uniform(low, high, size))
    )
    lengths = rng.integers(1, 7, count)
    problem = {
        "revenue": [draw(0, 21, n) for n in lengths],
        "cost": [draw(-2, 13, n) for n in lengths],
        "budget": float(draw(-3, 40, None)),
        "roi_min": rng.choice([0.0, 0.5, 1.0], count),
    }
    for i in np.flatnonzero(rng.random(count) < 0.2):
        problem["cost"][i][rng.integers(lengths[i])] = np.inf
    if rng.random() < 0.5:
        problem["least_revenue"] = draw(-5, 8, count)
    if rng.random() < 0.3:
        problem["capacity"] = [draw(0, 10, n) for n in lengths]
        problem["least_capacity"] = draw(-5, 5, count)
    if rng.random() < 0.3:
        problem["machine_price"] = rng.choice([1.0, 1.5, 2.0], count)
    if rng.random() < 0.3:
        problem["today"] = np.array([rng.integers(-1, n) for n in lengths])
        problem["switching_cost"] = draw(0, 8, count)
        problem["horizon_hours"] = 2.0
    if rng.random() < 0.6:
        names = ["gpu", "cpu", "tpu"][: int(rng.integers(1, 4))]
        problem["pools"] = [str(name) for name in rng.choice(names, count)]
        problem["pool_budgets"] = {name: float(draw(-3, 25, None)) for name in names}
        if rng.random() < 0.4:
            problem["budget"] = None
    return problem


def exhaustive(
    revenue,
    cost,
    budget,
    roi_min,
    least_revenue=None,
    capacity=None,
    least_capacity=None,
    machine_price=None,
    today=None,
    switching_cost=None,
    horizon_hours=None,
    pools=None,
    pool_budgets=None,
):
    """Most revenue over all combinations, None where none is allowed: a loop, option by option."""
    sizes = []
    for i, (earned, spent) in enumerate(zip(revenue, cost, strict=True)):
        allowed = []
        for j, (r, c) in enumerate(zip(earned, spent, strict=True)):
            if not math.isfinite(c):
                continue
            if machine_price is not None:
                c = math.ceil(c / machine_price[i] - 1e-9) * machine_price[i]
            if switching_cost is not None and today[i] not in (-1, j):
                r -= switching_cost[i] / horizon_hours
            if r < roi_min[i] * c:
                continue
            if least_revenue is not None and r < least_revenue[i]:
                continue
            if capacity is not None and capacity[i][j] < least_capacity[i]:
                continue
            allowed.append((r, c))
        sizes.append(allowed)
    best = None
    for combination in itertools.product(*sizes):
        spent = [c for _, c in combination]
        if budget is not None and sum(spent) > budget + 1e-9:
            continue
        if pools is not None and any(
            sum(c for c, pool in zip(spent, pools, strict=True) if pool == name) > limit + 1e-9
            for name, limit in pool_budgets.items()
        ):
            continue
        total = sum(r for r, _ in combination)
        best = total if best is None else max(best, total)
    return best


def large(kind, scenarios, sizes, seed=0):
    """Revenue and cost [scenarios, sizes] and a budget: the kinds of Pisinger (1995), in reals.

    "random": independent; "weak": revenue is cost and a little noise; "strong": revenue is cost
    and a constant, summed up from size to size; "subset sum": revenue is cost; "concave": a
    scenario's revenue grows with diminishing returns, as a law in FLOPs has it.
    """
    rng = np.random.default_rng(seed)
    cost = rng.uniform(1, 100, (scenarios, sizes))
    if kind == "random":
        revenue = rng.uniform(1, 100, (scenarios, sizes))
    elif kind == "weak":
        revenue = cost + rng.uniform(-10, 10, (scenarios, sizes))
    elif kind == "strong":
        step = np.sort(cost, axis=1)
        cost, revenue = np.cumsum(step, axis=1) / sizes, np.cumsum(step + 10, axis=1) / sizes
    elif kind == "subset sum":
        revenue = cost.copy()
    elif kind == "concave":
        worth = rng.lognormal(3, 1, (scenarios, 1))
        revenue = worth * (1 - (1 + cost) ** -rng.uniform(0.1, 1, (scenarios, 1)))
        revenue *= rng.uniform(0.99, 1, revenue.shape)
    else:
        raise ValueError(f"kind must be one of the five; got {kind!r}")
    budget = float(cost.min(axis=1).sum() + 0.3 * (cost.mean() * scenarios))
    return revenue, cost, budget
