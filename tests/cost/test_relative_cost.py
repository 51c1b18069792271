"""Sizes beside the base: measured ones by division, others by draws of the model."""

import numpy as np
import pandas as pd
import pytest

from lib.cost.algorithm import machines_interval
from lib.cost.relative_cost import first_layer_gain, not_proportional, relative_machines
from lib.cost.service_time import ServiceTimeModel
from tests.cost.test_service_time import SIZES, rows

BASE = SIZES[1]
REQUESTS = {"candidates": 300, "latency_limit_ms": 200.0, "workers": 2}
NEW = [12928, 1024, 512, 256, 128, 1]


@pytest.fixture(scope="module")
def model():
    return ServiceTimeModel().fit(rows(0.03))


def served(**columns):
    table = {"size_parameters": [BASE, SIZES[2]], "machines": [100.0, 250.0]}
    return pd.DataFrame({**table, **columns})


def test_a_measured_size_is_what_the_table_says(model):
    table = served(machines_low=[100.0, 200.0], machines_high=[100.0, 320.0])
    (row,) = relative_machines([SIZES[2]], BASE, table, 100, model, **REQUESTS).to_dict("records")
    assert (row["here"], row["low"], row["high"], row["how"]) == (2.5, 2.0, 3.2, "measured")
    assert row["flops"] == pytest.approx(
        (3328 * 1024 + 3 * 1024**2 + 1024) / (3328 * 1024 + 1024 * 256 + 2 * 256**2 + 256)
    )


def test_a_table_without_intervals_gives_none(model):
    (row,) = relative_machines([SIZES[2]], BASE, served(), 100, model, **REQUESTS).itertuples()
    assert row.here == 2.5 and np.isnan([row.low, row.high]).all()


def test_another_size_is_predicted_with_the_base_in_the_same_draw(model):
    (row,) = relative_machines([NEW], BASE, served(), 100, model, seed=3, **REQUESTS).itertuples()
    qps = model.sample_qps(
        np.array([BASE, NEW]), "first_layer_optimised", 300, 200.0, draws=1000, seed=3, workers=2
    )
    ratio = qps[:, 0] / qps[:, 1]
    assert row.how == "predicted"
    assert row.here == np.median(ratio)
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(ratio, [0.05, 0.95])))


@pytest.mark.parametrize("share", [0.03, 0.3, 0.7, 1.0])
def test_a_size_that_may_not_meet_the_limit_may_need_infinitely_many_machines(share):
    """The base bears 10 QPS in all draws, the size 5 in some and 0 in the last `share` of them."""

    class Model:
        def sample_qps(self, sizes, form, candidates, latency_limit_ms, *, draws, seed, workers):
            size = np.where(np.arange(draws) < (1 - share) * draws, 5.0, 0.0)
            return np.stack([np.full(draws, 10.0), size], axis=1)

    (row,) = relative_machines([NEW], BASE, served(), 100, Model(), **REQUESTS).itertuples()
    assert row.here == (np.inf if share > 0.5 else 2.0)
    assert row.low == (np.inf if share > 0.95 else 2.0)
    assert row.high == (np.inf if share > 0.05 else 2.0)
    assert row.low <= row.here <= row.high


def test_a_narrower_interval_lies_inside(model):
    bounds = [
        relative_machines([NEW], BASE, served(), 100, model, interval=interval, **REQUESTS)
        for interval in (0.5, 0.9)
    ]
    assert bounds[1].low[0] < bounds[0].low[0] < bounds[0].high[0] < bounds[1].high[0]


def test_the_index_says_which_sizes_are_known():
    machines = relative_machines([NEW, SIZES[2]], BASE, served(), 100, None, **REQUESTS)
    assert machines.index.tolist() == [1]
    machines["other"] = pd.Series([7.0, 8.0])
    assert machines.other.tolist() == [8.0]
    assert list(relative_machines([NEW], BASE, served(), 100, None, **REQUESTS)) == [
        *("size_parameters", "flops", "here", "low", "high", "how")
    ]


def test_only_sizes_with_an_interval_count():
    machines = pd.DataFrame(
        {"flops": [2.0, 2.0, 2.0], "low": [1.0, 2.5, np.nan], "high": [3.0, 4.0, np.nan]}
    )
    assert not_proportional(machines) == (0.5, True)
    assert not_proportional(machines[:1]) == (0.0, False)
    assert not_proportional(machines[2:]) == (None, None)


def test_gain_of_the_first_layer_is_a_ratio_of_two_load_tests():
    loads = {"first_layer_optimised": (80.0, 70.0, 95.0), "naive": (10.0, 9.0, 12.0)}
    table = pd.DataFrame(
        [
            {"form": form, "size_parameters": size, "qps": qps, "qps_low": low, "qps_high": high}
            for form, (qps, low, high) in loads.items()
            for size in (BASE, SIZES[2])
        ]
    )
    gain = first_layer_gain(table, BASE)
    assert gain[0] == 8.0
    expected = machines_interval((80, 70, 95), 1, (10, 9, 12))
    assert gain == pytest.approx(tuple(map(float, expected)))
    assert gain[1] == pytest.approx(8 * np.exp(-np.hypot(np.log(80 / 70), np.log(12 / 10))))
    assert first_layer_gain(table[table.form == "naive"], BASE) is None
    assert first_layer_gain(table, NEW) is None
