"""LoadGen's scenarios around engines of known speed, and what is said where it is missing."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy import stats

from lib.serving.load import loadgen
from lib.serving.load.load_tests import load_test_task, measure_size
from lib.serving.load.loadgen import LEAST_QUERIES, RequestServer, mlperf_loadgen
from lib.serving.load.service_time import service_time_task
from tests import ROOT
from tests.serving.load.sleeper import Sleeper
from tests.serving.load.test_load_tests import SHORT
from tests.serving.load.test_service_time import TIMED


@pytest.mark.parametrize(("late", "queries"), [(0, LEAST_QUERIES), (1, 662), (2, 838)])
def test_early_stopping_as_documented(late, queries):
    """Fewest queries of which so many may be late: 99 % sure of at most 1 % late."""

    def chance(n):
        return stats.binom.cdf(late, n, 0.01)

    assert chance(queries) <= 0.01 < chance(queries - 1)


def test_scenarios_of_a_known_engine():
    server = RequestServer(Sleeper(2.0), [{"user": np.zeros((1, 1))}] * 3, workers=2)
    server.warm_up()
    single = server.single_stream(20)
    assert 2 <= single.p50_ms <= single.p90_ms <= single.p99_ms
    offline = server.offline(40)
    assert len(server.engine.ran) == 3 * 2 + 1 + 20 + 40
    assert offline.service_ms >= 2
    assert offline.qps <= 1000  # two workers, 2 ms


@pytest.mark.parametrize(("waiting", "batches"), [(1, [1]), (3, [3]), (8, [3, 3, 2])])
def test_waiting_requests_run_as_one(monkeypatch, waiting, batches):
    """A worker that cannot start before all requests wait takes as many as it may."""
    server = RequestServer(Sleeper(0.0), [{"user": np.zeros((1, 1))}], batch_requests=3)
    all_wait, start = threading.Event(), loadgen._start
    server._pool.submit(all_wait.wait)  # the only worker

    def start_and_tell(issue, *arguments):
        start(lambda samples: (issue(samples), all_wait.set()), *arguments)

    monkeypatch.setattr(loadgen, "_start", start_and_tell)
    server.offline(waiting)
    assert [len(inputs["user"]) for inputs in server.engine.ran] == batches


@pytest.fixture
def no_loadgen(monkeypatch):
    """A system that LoadGen is not packaged for."""
    mlperf_loadgen.cache_clear()
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    yield
    mlperf_loadgen.cache_clear()


@pytest.mark.parametrize(
    "load_test",
    [
        lambda: measure_size([64, 16, 8, 1], **SHORT),
        lambda: load_test_task({**SHORT, "size_parameters": [64, 16, 8, 1]}, None),
        lambda: service_time_task(TIMED, None),
        lambda: RequestServer(Sleeper(1.0), [{}]).offline(3),
    ],
)
def test_a_load_test_says_that_loadgen_is_missing(no_loadgen, load_test):
    """Not as a size that fails: it would be missing for every size."""
    with pytest.raises(ModuleNotFoundError, match=r"needs MLPerf LoadGen .* packaged for Linux"):
        load_test()


@pytest.mark.slow
def test_all_of_lib_imports_without_loadgen():
    code = (
        "import importlib, pkgutil, sys; sys.modules['mlperf_loadgen'] = None\n"
        "import lib.serving, lib.cost, lib.design\n"
        "for package in (lib.serving, lib.cost, lib.design):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "print(lib.serving.load.loadgen.LEAST_QUERIES)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["459"], done.stderr
