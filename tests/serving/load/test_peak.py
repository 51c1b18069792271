"""The peak of engines of known speed, in a process of its own."""

from types import SimpleNamespace

import pytest

from lib.serving.load.load_tests import peak_qps
from tests.serving.load.sleeper import Sleeper


def test_peak_of_a_known_engine():
    """The limit is long beside 459 requests' time, so that overload shows late."""
    found = peak_qps(
        Sleeper(1.0), [{}], latency_limit_ms=100, min_queries=459, resolution=1.3, repeats=2
    )
    assert 0 < found.qps_low <= found.qps < found.qps_high
    assert found.qps < 1000  # one worker, a thousandth of a second a request
    assert 1 <= found.offline.service_ms < 100
    assert found.p50_ms <= found.p95_ms <= found.p99_ms <= 100
    assert found.memory_mb > 0
    assert found.peak_flops > 0
    passed = {run.scheduled_qps: run for run in found.runs if run.passed}
    peak = passed[found.qps]  # what was offered, and not what LoadGen was asked for
    assert peak.qps == found.target_qps
    assert found.qps == pytest.approx(found.target_qps, rel=0.2) and found.qps != found.target_qps
    # Of 459 queries or more the last to be sent tells how long the schedule was.
    assert all(run.scheduled_qps >= run.completed_qps for run in found.runs)
    assert all(run.queries >= 459 for run in found.runs)


def test_a_request_slower_than_the_limit():
    found = peak_qps(Sleeper(8.0), [{}], latency_limit_ms=5)
    assert (found.qps, found.qps_low, found.brackets) == (0, 0, [])
    assert found.single_stream.p50_ms >= 8


def test_an_engine_that_raises():
    with pytest.raises(ArithmeticError, match="cucumber"):
        peak_qps(Sleeper(1.0, fault="raise"), [{}], latency_limit_ms=60)


def test_a_crash_is_a_clear_error():
    with pytest.raises(RuntimeError, match=r"process of peak_qps \(engine sleeper.*ended"):
        peak_qps(Sleeper(1.0, fault="exit"), [{}], latency_limit_ms=60)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": []}, "at least one request"),
        ({"latency_limit_ms": 0}, "latency_limit_ms must be > 0; got 0"),
        ({"min_queries": 100}, "min_queries must be at least 459.*got 100"),
        ({"workers": 0}, "workers must be >= 1; got 0"),
        ({"batch_requests": 0}, "batch_requests must be >= 1; got 0"),
        ({"repeats": 0}, "repeats must be >= 1; got 0"),
        ({"resolution": 1.0}, "resolution must be > 1; got 1.0"),
        ({"max_seconds": 0}, "max_seconds must be > 0; got 0"),
    ],
)
def test_peak_qps_refuses(change, message):
    case = {"inputs": [{}], "latency_limit_ms": 50} | change
    with pytest.raises(ValueError, match=message):
        peak_qps(SimpleNamespace(name="none"), **case)


def test_peak_qps_refuses_an_unknown_parameter():
    with pytest.raises(TypeError, match="unknown parameter 'min_query'; a search has min_queries"):
        peak_qps(SimpleNamespace(name="none"), [{}], 50, min_query=700)
