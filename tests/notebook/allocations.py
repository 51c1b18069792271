"""Two stages of random sizes and what may be spent on them, as notebook 05 has them."""

import numpy as np
import pandas as pd

from lib.allocation.stages import Stage, allocate_stages, frontier

MONEY = {"revenue_per_hour": 1e4, "price_per_hour": 1.0, "roi_min": 1.0}


def stage(seed, slope, count=400):
    """Sizes from a third of today's cost to nine times; the first is today's."""
    rng = np.random.default_rng(seed)
    cost = np.append(100.0, 100 * np.exp(rng.uniform(np.log(0.33), np.log(9.4), count)))
    lift = slope * np.log(cost / 100) - np.append(0, rng.uniform(0, slope, count))
    return Stage(
        pd.DataFrame(
            {
                "size_parameters": [[3328, i + 1, 1] for i in range(count + 1)],
                "flops": 1.0,
                "lift": lift,
                "lift_low": lift - 0.002,
                "lift_high": lift + 0.003,
                "machine_cost_per_hour": cost,
            }
        ),
        100.0,
    )


def stages():
    return {"Matching": stage(0, 0.001), "Pre-ranking": stage(1, 0.02)}


def chosen(system):
    return allocate_stages(system, 0, **MONEY)


def budgets(system):
    return frontier(system, [-0.1, 0, 0.5, 1], **MONEY)


def own_scenarios():
    """A table of 20 scenarios of 10 sizes, the third of which is today's."""
    cost = np.tile(np.geomspace(5, 80, 10), 20)
    worth = np.repeat(np.linspace(50, 200, 20), 10)
    return pd.DataFrame(
        {
            "scenario": np.repeat([f"placement {i}" for i in range(20)], 10),
            "revenue": worth * (1 + np.log(cost)),
            "cost": cost,
            "today": np.tile(np.arange(10) == 2, 20),
        }
    )
