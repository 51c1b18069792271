"""A grid of sizes with lifts and costs, as notebook 04 has them after its load tests."""

import numpy as np

from lib.design.size_economics import SizeEconomics
from lib.design.size_grids import find_size, index_of, size_grid

BASE, PAPER = [3328, 1024, 256, 256, 256, 1], [16128, 1024, 512, 512, 512, 1]
GRID = size_grid()


def grid_economics(draws=50, **changes):
    """Lift grows with the logarithm of FLOPs, cost with the hidden layers' width."""
    base = index_of(GRID, BASE)
    relative = GRID.flops / GRID.flops[base]
    width = GRID.size_parameters[:, 1:-1].sum(axis=1)
    lift = 0.004 * np.log(relative)
    cost = 100 * (width / width[base]) ** 1.5 * relative**0.1
    factor = np.random.default_rng(0).normal(1, 0.3, size=(draws, 1))
    arguments = {
        "sizes": GRID,
        "base": base,
        "lift": lift,
        "lift_draws": lift * factor,
        "machine_cost": cost,
        "machine_cost_draws": np.tile(cost, (draws, 1)),
        "revenue_per_hour": 1e4,
    }
    return SizeEconomics(**arguments | changes)


def paper_size():
    return find_size(GRID, PAPER)
