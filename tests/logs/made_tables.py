"""Tables of a reader's own, good ones: what tests write, read and spoil."""

import numpy as np
import pandas as pd
import pytest

from lib.logs import tables
from lib.logs.errors import InputError, TableError
from lib.logs.tables import (
    load_ab_tests,
    load_costs,
    load_grid,
    load_lifts,
    load_measurements,
    load_scenarios,
    load_sizes,
    load_training_costs,
    load_trainings,
)

MODELS = [f"m{i}" for i in range(5)]


def measurements():
    return pd.DataFrame(
        {
            "model": MODELS,
            "flops": [10, 20, 30, 40, 50],
            "r_over_r_star": [0.80, 0.81, 0.82, 0.83, 0.84],
            "ndcg": [0.7, 0.7, 0.71, 0.72, 0.73],
            "r_over_r_star_se": 0.001,
            "note": ["a", "", "c", "d", "e"],
        }
    )


def ab_tests():
    return pd.DataFrame(
        {
            "model": MODELS,
            "revenue_lift": [0.0, 0.001, 0.002, 0.003, 0.004],
            "revenue_lift_se": 0.0001,
            "impressions": 10**6,
        }
    )


def costs():
    return pd.DataFrame(
        {
            "family": "mlp",
            "size_parameters": [[4, 2, 1], [8, 2, 1]],
            "engine": "tensorrt",
            "precision": "fp16",
            "machine": "T4",
            "candidates": 1500,
            "latency_limit_ms": 30.0,
            "qps": [900.0, 700.0],
            "qps_low": [900.0, 690.0],
            "qps_high": [950.0, 740.0],
            "machines": [20.0, 25.7],
            "cost_per_hour": [10.0, 12.9],
            "note": ["ours", "ours"],
        }
    )


def lifts():
    return pd.DataFrame(
        {"model": ["base", "a"], "flops": [10, 20], "revenue_lift": [0.0, np.nan], "source": "us"}
    )


def size_table():
    return pd.DataFrame(
        {
            "size_parameters": [[4, 2, 1], [8, 2, 1]],
            "flops": [20, 36],
            "lift": [0.0, 0.01],
            "lift_low": [0.0, 0.005],
            "lift_high": [0.0, 0.02],
            "machine_cost_per_hour": [10.0, np.inf],
        }
    )


def study():
    return pd.DataFrame(
        {
            "world": "A",
            "dial": "",
            "value": np.nan,
            "set": "primary",
            "kind": "size",
            "model": MODELS,
            "seed": 0,
            "r_over_r_star": [0.80, 0.81, 0.82, 0.83, 0.84],
            "revenue_lift": [0.0, 0.001, 0.002, 0.003, 0.004],
            "revenue_lift_se": 0.0001,
        }
    )


def worlds():
    return pd.DataFrame(
        {"world": ["A"], "dial": [""], "value": [np.nan], "oracle_gap": [-0.1], "change": [0.01]}
    )


def scenario_table():
    return pd.DataFrame(
        {
            "scenario": ["feed", "feed", "search"],
            "revenue": [50.0, 54.0, 80.0],
            "cost": [10.0, np.inf, 10.0],
            "today": [True, False, True],
        }
    )


def training_cost_table():
    return pd.DataFrame(
        {
            "size_parameters": [[4, 2, 1], [8, 2, 1]],
            "impressions_per_second": [2000.0, 1500.0],
            "form": "naive",
        }
    )


def grid():
    return pd.DataFrame({"size_parameters": [[8, 4, 1], [16, 4, 1]]})


def load_study(path):
    written(path.with_name("worlds.csv"), worlds())
    return load_trainings(path)[1]


READERS = {
    "measurements": (load_measurements, measurements),
    "ab_tests": (load_ab_tests, ab_tests),
    "costs": (load_costs, costs),
    "lifts": (load_lifts, lifts),
    "sizes": (load_sizes, size_table),
    "scenarios": (load_scenarios, scenario_table),
}
# These and those that return something else than the table, or need another file.
EVERY_READER = {
    **READERS,
    "training_costs": (load_training_costs, training_cost_table),
    "trainings": (load_study, study),
    "grid": (load_grid, grid),
}
SCHEMAS = {name: getattr(tables, name.upper()) for name in EVERY_READER}


def written(path, table):
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


def fault(load, path, *words, **options):
    """The reader refuses the file in one line that holds all words."""
    with pytest.raises(TableError) as error:
        load(path, **options)
    message = str(error.value)
    assert isinstance(error.value, InputError)
    assert error.value.__context__ is None or error.value.__suppress_context__
    assert "\n" not in message
    for word in (path.name, *words):
        assert word in message
    return message
