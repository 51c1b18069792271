"""The time of a request as a row of the costs table."""

import numpy as np
import pytest

from lib.models.flop_count import matrix_flops
from lib.serving.load.service_time import service_time_task

TIMED = {
    "size_parameters": [64, 16, 8, 1],
    "form": "first_layer_optimised",
    "candidates": 20,
    "engine": "onnxruntime",
    "workers": 2,
    "seed": 0,
    "seconds": 0.02,
    "latency_limit_ms": 50.0,
    "repeat": 2,
    "on": {},
}


def test_a_timed_size_is_a_row_of_costs():
    row = service_time_task(TIMED, None)
    assert row["service_ms"] > 0 and row["offline_qps"] > 0 and row["failure"] == ""
    assert (row["repeat"], row["workers"], row["latency_limit_ms"]) == (2, 2, 50.0)
    assert row["flops"] == matrix_flops(TIMED["size_parameters"])
    assert np.isnan(row["qps"])


def test_a_size_that_fails_when_timed_gives_the_reason(monkeypatch):
    def out_of_memory(*_):
        raise MemoryError("no room")

    monkeypatch.setattr("lib.serving.load.service_time.random_graph", out_of_memory)
    row = service_time_task(TIMED, None)
    assert np.isnan(row["service_ms"]) and row["failure"] == "MemoryError: no room"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "other"}, "form must be one of naive"),
        ({"candidates": 0}, "candidates must be a whole number >= 1; got 0"),
    ],
)
def test_timing_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        service_time_task({**TIMED, **change}, None)
