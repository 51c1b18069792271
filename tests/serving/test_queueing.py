"""Loads at a latency limit, against a simulated queue."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.serving.queueing import load_at_limit, time_at_load


@given(st.floats(0.01, 60.0), st.integers(1, 8))
def test_time_at_load_is_the_inverse(service_ms, workers):
    qps = load_at_limit(service_ms, 100.0, workers=workers)
    assert time_at_load(qps, 100.0, workers=workers) == pytest.approx(service_ms, rel=1e-3)


def test_load_at_limit_falls_with_a_tighter_limit():
    loads = [float(load_at_limit(10.0, limit)) for limit in (1000, 100, 20, 11, 10, 5)]
    assert loads == sorted(loads, reverse=True)
    assert loads[0] < 100
    assert loads[-2:] == [0, 0]


@pytest.mark.parametrize("limit_ms", [30.0, 100.0, 400.0])
def test_load_at_limit_against_a_simulated_queue(limit_ms):
    """Poisson arrivals, 10 ms of service, one worker: p99 is the limit, or a little less."""
    qps = float(load_at_limit(10.0, limit_ms))
    gaps = np.random.default_rng(0).exponential(1000 / qps, 400_000)
    walk = np.append(0.0, np.cumsum(10.0 - gaps))  # Lindley's recursion, unrolled
    waiting = walk - np.minimum.accumulate(walk)
    assert 0.85 * limit_ms <= np.quantile(waiting + 10.0, 0.99) <= limit_ms
