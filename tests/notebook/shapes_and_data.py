"""Results of notebook 02b made up: shapes that lose beyond a ratio, a joint law, prices."""

import numpy as np
import pandas as pd

from lib.experiments.shape_study import breakpoint, differences, joint_fit, shapes, spending
from lib.validation.revenue_model import LinearRevenueModel

METRIC = "r_over_r_star"
LEVELS, RATIOS, SEEDS = [14112, 34368, 70000], [1, 4, 8, 16, 32, 64], 3
OTHERS = [{"shape": "neck last", "widths": [32, 32, 32, 1]}]
BASE = (6288.0, 600000.0)
PRICES = spending.Prices(serving=100.0, training=10.0, data=0.0, revenue=1e4)


def plan():
    return shapes.shapes_at(LEVELS, RATIOS, OTHERS, 86)


def lost(at=15.0, scale=1.0, seed=0):
    """`by_level` of shapes that lose beyond the ratio `at`; scale 0.02 is one of revenue."""
    rng, table = np.random.default_rng(seed), plan()
    unit = rng.normal(0, 0.2, 400)
    values = {
        row.model: 0.8
        + 0.004 * np.log2(row.flops)
        - scale * 0.02 * max(0, np.log2(row.drop / at))
        + rng.normal(0, 0.002 * scale, (SEEDS, 1))
        + unit
        for row in table.itertuples()
    }
    return differences.by_level(table, values)


def broken_line(table):
    return breakpoint.find_break(table["drop"], table.difference, table.level, np.ones(len(table)))


def trainings(seed=0):
    """(table, values) of passes of five sizes over four amounts."""
    rng = np.random.default_rng(seed)
    rows, values, unit = [], {}, rng.normal(0, 0.1, 200)
    for flops in (1512, 2952, 6288, 14112, 34368):
        mean = np.array(
            [0.95 - 2.0 * flops**-0.4 - 20.0 * data**-0.5 for data in (1e4, 2e4, 4e4, 8e4)]
        )
        values[str(flops)] = (mean + rng.normal(0, 0.003, (SEEDS, 1)))[..., None] + unit
        for s in range(SEEDS):
            for d, data in enumerate((10000, 20000, 40000, 80000)):
                row = {"model": str(flops), "flops": flops, "seed": s, "impressions": data}
                rows.append(row | {METRIC: values[str(flops)][s, d].mean()})
    return pd.DataFrame(rows), values


def law():
    return joint_fit.fit(*trainings(), METRIC, refits=30)


def g():
    metric = np.linspace(0.6, 0.95, 12)
    noise = 1e-3 * np.cos(np.arange(12))
    return LinearRevenueModel(draws=100).fit(metric, 0.2 * metric - 0.17 + noise)


def money(joint):
    """(next_unit, by_training_price, best_split) of a law."""
    ratios = np.unique([*np.geomspace(0.001, 100, 21), 0.1])
    return (
        spending.next_unit(joint, g(), BASE, PRICES),
        spending.by_training_price(joint, BASE, PRICES, ratios),
        spending.best_split(joint, g(), BASE, PRICES, [0.5, 1.0, 2.0], most_data=1e7),
    )
