"""World by world: R², and what sharing the log's own start is worth."""

import numpy as np
import pandas as pd
import pytest

from lib.validation import worlds
from lib.validation.metric_comparison import compare_metrics
from tests.validation.models import METRICS, made_up_models


def test_r_squared_is_that_of_each_world():
    models = made_up_models()
    table = worlds.r_squared_by_world(models, METRICS).set_index("world")
    for name, world in models.groupby("world"):
        for metric in METRICS:
            expected = np.corrcoef(world[metric], world.revenue_lift)[0, 1] ** 2
            assert table.loc[name, metric] == pytest.approx(expected)


def test_presets_count_once_whatever_their_seeds():
    comparison = compare_metrics(
        made_up_models(("notebook 00", "D seed 1", "D seed 2")), METRICS, draws=2
    )
    table = worlds.mean_by_preset(comparison)
    assert table.preset.tolist() == ["notebook 00", "D"] and table.worlds.tolist() == [1, 2]
    assert table.opa.tolist() == pytest.approx(
        [comparison.values_by_world("opa")[0], comparison.values_by_world("opa")[1:].mean()]
    )


def test_it_stands_beside_the_gap_of_the_same_setting():
    models = made_up_models(("A seed 0",))
    both = pd.concat(
        [models, models.assign(dial="drift", value=0.3, revenue_lift=models.opa)], ignore_index=True
    )
    built = pd.DataFrame(
        {
            "world": "A seed 0",
            "dial": ["drift", ""],
            "value": [0.3, np.nan],
            "oracle_gap": [-0.2, -0.1],
            "oracle_gap_se": 0.01,
            "change": 0.001,
        }
    )
    table = worlds.add_r_squared(built, both, ["opa"]).set_index("dial")
    assert table.opa["drift"] == pytest.approx(1) and table.opa[""] < 1
    assert table.oracle_gap.to_dict() == {"drift": -0.2, "": -0.1}


def trainings():
    rows = [("A", "x", 0, 0.03), ("A", "x", 1, 0.01), ("A", "y", 0, 0.05), ("A", "y", 1, 0.01)]
    rows += [("B", "x", 0, 0.01), ("B", "x", 7, 0.02), ("C", "x", 0, 0.9), ("C", "x", 1, 0.1)]
    return pd.DataFrame(rows, columns=["world", "model", "seed", "revenue_lift"])


def test_a_start_is_shared_where_the_seed_is_that_of_the_log():
    shared = worlds.shares_start(trainings(), {"A": 0, "B": 7})
    assert shared.tolist() == [True, False, True, False, False, True, False, False]


def test_the_gain_by_hand():
    gains = worlds.gain_of_shared_start(trainings(), {"A": 0, "B": 7}).set_index("world")
    assert gains.index.tolist() == ["A", "B"]  # of C's log no seed is known
    assert gains.gain.tolist() == pytest.approx([0.03, 0.01])
    assert gains.gain_se["A"] == pytest.approx(np.std([0.02, 0.04], ddof=1) / np.sqrt(2))
    assert np.isnan(gains.gain_se["B"]) and gains.models.tolist() == [2, 1]


@pytest.mark.parametrize("log_seeds", [{}, {"A": 5}])
def test_without_shared_starts_there_is_no_gain(log_seeds):
    assert worlds.gain_of_shared_start(trainings(), log_seeds).empty


def test_loops_count_once_in_the_correlation_with_the_gap():
    table = pd.DataFrame(
        {
            "world": ["A", "A", "B", "C"],
            "oracle_gap": [-0.3, -0.3, -0.2, -0.1],
            "r_over_r_star": [0.9, 0.9, 0.5, 0.7],
        }
    )
    correlation, loops = worlds.gap_correlation(table)
    assert loops == 3 and correlation == pytest.approx(-0.5)
    correlation, loops = worlds.gap_correlation(table[:3])
    assert loops == 2 and np.isnan(correlation)
