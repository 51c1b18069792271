"""The whole grid decided at once: regret, confidence, frontier and the value of measurements.

The draws are made: lifts of a law whose slope is uncertain, costs whose errors neighbouring sizes
share. Beside it stands the plain loop, draw by draw and size by size, as tests have it; on a
twentieth of the draws, times twenty.
"""

import time

import numpy as np

from benchmarks.report import row
from lib.design.decision import Decision
from lib.design.next_measurements import measure_each, rank_measurements
from lib.design.size_economics import SizeEconomics
from lib.design.size_grids import index_of, size_grid

BASE = [3328, 1024, 256, 256, 256, 1]
DRAWS, ROUNDS, MEASURED, LOOP_SHARE = 1000, 5, 16, 20
LIMITS = [0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0]
HOURS = 8760.0


def made_economics(ratio_from, draws=DRAWS, seed=0):
    """A grid of appendix B.1 with joint draws of lift and cost."""
    grid, rng = size_grid(ratio_from=ratio_from), np.random.default_rng(seed)
    base = index_of(grid, BASE)
    doublings = np.log2(grid.flops / grid.flops[base])
    slope, bend = rng.normal(0.002, 0.0015, (draws, 1)), rng.normal(0, 2e-4, (draws, 1))
    widths = np.log2(grid.size_parameters[:, :-1] / np.array(BASE[:-1]))
    powers = np.array([0.1, 0.4, 0.2, 0.1, 0.1]) + rng.normal(0, 0.05, (draws, 5))
    cost = 100 * 2 ** (powers @ widths.T)
    lift = slope * doublings + bend * doublings**2
    return SizeEconomics(
        grid, base, lift.mean(axis=0), lift, np.median(cost, axis=0), cost, 10_000.0
    )


def decide(economics):
    """All that notebook 04 says of a decision."""
    decision = Decision(economics)
    table, frontier = decision.table(), decision.frontier(LIMITS)
    sizes = decision.contenders(MEASURED)
    ranked = rank_measurements(
        decision,
        [
            *measure_each("A/B test", economics.lift_draws[:, sizes], sizes, 0.001),
            *measure_each("load test", np.log(economics.machine_cost_draws[:, sizes]), sizes, 0.05),
        ],
        hours=HOURS,
    )
    return decision.choice, table, frontier, ranked


def regret_by_loop(economics, draws):
    """Expected regret of each size, without arrays."""
    base, limit = economics.base, economics.roi_min
    total = [0.0] * len(economics.lift)
    for i in range(draws):
        lifts, costs = (economics.lift_draws[i].tolist(), economics.machine_cost_draws[i].tolist())
        revenue = [economics.revenue_per_hour * lift for lift in lifts]
        extra = [cost - costs[base] for cost in costs]
        best = max(r for r, c in zip(revenue, extra, strict=True) if r >= limit * c)
        for j, (r, c) in enumerate(zip(revenue, extra, strict=True)):
            total[j] += best - (min(r, best) - max(limit * c - r, 0.0))
    return np.array(total) / draws


def main():
    """Seconds of a decision on both readings of the grid; rows of the report."""
    rows = []
    for reading in ("input", "hidden"):
        seconds = []
        economics = made_economics(reading)
        for _ in range(ROUNDS):
            start = time.perf_counter()
            decide(economics)
            seconds.append(time.perf_counter() - start)
        few = DRAWS // LOOP_SHARE
        start = time.perf_counter()
        slow = regret_by_loop(economics, few)
        loop = LOOP_SHARE * (time.perf_counter() - start)
        start = time.perf_counter()
        regret = Decision(economics).regret
        alone = time.perf_counter() - start
        part = Decision(made_economics(reading, few))
        assert np.allclose(regret_by_loop(part.economics, few), part.regret)
        assert slow.shape == regret.shape
        name = f"{len(economics.lift):,} sizes, {DRAWS:,} joint draws"
        rows += [
            row(f"{name}: decision, frontier, value of information", "s", seconds, 2.0),
            row(f"{name}: expected regret alone", "s", alone, baseline=loop, name="plain loop"),
        ]
    return rows
