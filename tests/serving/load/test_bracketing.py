"""The search for a load, on machines whose capacity is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.serving.load import bracketing
from lib.serving.load.bracketing import Search, best, qps_interval, staircase
from lib.serving.load.loadgen import ServerRun
from lib.serving.load.peak import _Loads
from lib.serving.queueing import load_at_limit


def test_interval_of_a_machine_with_a_sharp_limit():
    """Only drift and the last step are left: 5 % of speed, and up to 2 % below the limit of 100."""
    runs = [(100 * 1.02**i, i < 0) for i in range(-3, 4)] * 6
    low, high = qps_interval(runs, resolution=1.02)
    middle = (math.log(low) + math.log(high)) / 2
    assert middle == pytest.approx(math.log(100) - math.log(1.02), abs=0.003)
    assert math.log(high / low) == pytest.approx(2 * 1.645 * 0.05, rel=0.1)


@given(
    st.lists(st.tuples(st.floats(0.5, 2.0), st.booleans()), min_size=2, max_size=20).filter(
        lambda runs: len({passed for _, passed in runs}) == 2
    ),
    st.floats(1e-3, 1e5),
)
@settings(deadline=None)
def test_interval_does_not_know_units(runs, unit):
    low, high = qps_interval(runs, 1.1)
    assert 0 < low < high
    assert qps_interval([(unit * qps, passed) for qps, passed in runs], 1.1) == pytest.approx(
        (unit * low, unit * high), rel=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.02, 0.1, 0.2])
def test_interval_covers_another_search(width):
    """Whether a load passes is chance, over a width of 2 to 20 %, and the speed drifts by 5 %."""

    class Chance(FakeLoads):
        def __init__(self, rng):
            super().__init__(peak=70.0 * math.exp(rng.normal(0, 0.05)))
            self.rng, self.limit = rng, self.peak

        def run(self, qps):
            self.peak = self.limit * math.exp(self.rng.normal(0, width))
            return super().run(qps)

    rng = np.random.default_rng(0)
    found = [search(Chance(rng), resolution=1.1, repeats=5) for _ in range(60)]
    bounds = np.array(
        [qps_interval([(run.qps, run.passed) for run in runs], 1.1) for _, _, runs in found]
    )
    qps = np.array([one[0] for one in found])
    held = (bounds[:, :1] <= qps) & (qps <= bounds[:, 1:])
    assert held.mean() >= 0.88
    # Beside 4.7 standard deviations, were the centre and the width known as well as the result.
    assert np.log(bounds[:, 1] / bounds[:, 0]).mean() < 10 * np.log(qps).std()


class FakeLoads(_Loads):
    """A machine that carries exactly `peak` QPS; every hiccup-th run fails."""

    latency_limit_ms, workers, min_queries, min_seconds = 100.0, 1, 662, 1.0

    def __init__(self, peak, hiccup=10**9):
        self.peak, self.hiccup, self.loads = peak, hiccup, []

    def run(self, qps):
        self.loads.append(qps)
        slips = len(self.loads) % self.hiccup == 0
        passed = qps <= self.peak and not slips
        return ServerRun(
            qps, qps, min(qps, self.peak), passed, 662, 0 if passed else 9, 1.0, 2.0, 3.0
        )


def search(loads, *, offline_qps=100.0, max_seconds=1000, **settings):
    settings = Search(max_seconds=max_seconds, **settings)
    brackets, runs = staircase(
        loads, offline_qps, settings, bracketing.time.monotonic() + max_seconds
    )
    return best(brackets, settings).qps, brackets, runs


@pytest.mark.parametrize("peak", [95.0, 73.0, 60.0, 41.0])
@pytest.mark.parametrize("resolution", [1.05, 1.1, 1.3])
def test_search_brackets_the_peak_in_few_runs(peak, resolution):
    loads = FakeLoads(peak)
    qps, brackets, runs = search(loads, resolution=resolution, repeats=3)
    assert qps <= peak < resolution * qps * (1 + 1e-9)
    assert all(b.passed.qps <= peak < b.failed_qps for b in brackets)
    assert loads.loads[0] == load_at_limit(10.0, 100.0, late=1 / 662)  # 100 QPS: 10 ms each
    assert loads.loads == [run.qps for run in runs]
    assert len(runs) <= 11


def test_search_survives_a_run_that_fails_by_accident():
    """One run in five slips; the median is still a load near the peak."""
    qps, _, runs = search(FakeLoads(70.0, hiccup=5), repeats=7)
    assert 70 / 1.1**2 < qps <= 70
    low, high = qps_interval([(run.qps, run.passed) for run in runs], 1.1)
    assert low <= 70 <= high


def test_search_ends_in_time(monkeypatch):
    def in_time(peak, max_seconds, repeats=1):
        loads = FakeLoads(peak)
        clock = SimpleNamespace(monotonic=lambda: sum(662 / min(x, peak) for x in loads.loads))
        monkeypatch.setattr(bracketing, "time", clock)
        found = search(loads, resolution=1.001, max_seconds=max_seconds, repeats=repeats)
        return found, clock.monotonic()

    (qps, brackets, _), seconds = in_time(peak=70.0, max_seconds=60, repeats=20)
    assert qps <= 70 < brackets[-1].failed_qps
    assert seconds <= 60
    with pytest.raises(RuntimeError, match=r"no load passed in 3 x max_seconds = 60.*machine busy"):
        in_time(peak=2.0, max_seconds=60)  # 331 s for 662 requests
    loads = FakeLoads(1e300)
    clock = SimpleNamespace(monotonic=lambda: 10 * len(loads.loads))
    monkeypatch.setattr(bracketing, "time", clock)
    with pytest.raises(RuntimeError, match="no load failed in 3 x max_seconds = 60"):
        search(loads, max_seconds=60)
