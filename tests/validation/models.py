"""Made-up models in made-up worlds, for tests."""

import numpy as np
import pandas as pd

KINDS = ("none", "size", "size", "size", "size", "loss", "loss", "loss", "data")
METRICS = ("r_over_r_star", "ndcg", "recall", "opa")


def made_up_models(worlds=("A seed 0", "B seed 0"), *, cuts=(), seed=0):
    """One row a model and world: lift follows quality, metrics see it with more and more noise."""
    rng, rows = np.random.default_rng(seed), []
    for world in worlds:
        for index, kind in enumerate(KINDS):
            quality = rng.uniform(0.0, 0.1)
            row = {"world": world, "model": f"{kind} {index}", "kind": kind, "set": "primary"}
            for noise, metric in enumerate(METRICS):
                row |= {
                    metric: 0.8 + quality + 0.01 * noise * rng.normal(),
                    f"{metric}_se": 0.001,
                    **{f"{metric}@{cut}": 0.8 + quality + 0.01 * rng.normal() for cut in cuts},
                }
            lift = 0.3 * quality + 0.001 * rng.normal()
            rows.append(row | {"revenue_lift": lift, "revenue_lift_se": 0.001})
    return pd.DataFrame(rows).assign(dial="", value=np.nan)
