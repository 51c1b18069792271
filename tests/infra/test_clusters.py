"""Sweeps on a cluster of Dask or Ray, here of two workers: a worker's death loses nothing."""

import contextlib
import json
import logging
import os
import time
import warnings

import pytest

from lib.infra import sweep
from lib.infra.clusters import answers
from tests.infra.test_sweep import draw, end, endings, numbers, tasks

pytestmark = pytest.mark.slow


def overlap(task, path):
    """Whether another task ran in this process at the same time."""
    others = path.with_name("running")
    alone = not others.exists()
    others.touch()
    time.sleep(0.05)
    others.unlink(missing_ok=True)
    return {"alone": alone}


def test_workers_of_several_threads_carry_out_one_task_at_a_time(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs dask[distributed]")
    with distributed.Client(
        processes=False, n_workers=1, threads_per_worker=4, dashboard_address=":0"
    ):
        rows = sweep.run(
            overlap, [{"i": i} for i in range(6)], tmp_path, backend="dask", progress=False
        )
    assert [row["alone"] for row in rows] == [True] * 6


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_without_a_cluster(name, package, tmp_path):
    pytest.importorskip(package, reason=f"needs {package}")
    with pytest.raises(RuntimeError, match=f"backend='{name}' needs a cluster: "):
        sweep.run(draw, tasks(1), tmp_path, backend=name, progress=False)


def test_other_backends_are_refused(tmp_path):
    with pytest.raises(ValueError, match="backend must be loky, dask or ray; got 'threading'"):
        sweep.run(draw, tasks(1), tmp_path, backend="threading", progress=False)
    with pytest.raises(ValueError, match="backend must be one of dask, ray; got 'loky'"):
        answers("loky", draw, {})


# ---- with a cluster for all tests that follow -----------------------------


@contextlib.contextmanager
def on_dask():
    dask = pytest.importorskip("dask", reason="needs dask[distributed]")
    distributed = pytest.importorskip("distributed", reason="needs dask[distributed]")
    options = {
        # Dask would try a task on four workers before it gives up, each started anew.
        "distributed.scheduler.allowed-failures": 0,
        # A worker that is slow to start anew, on a busy machine, is not given up.
        "distributed.deploy.lost-worker-timeout": "300s",
    }
    with (
        dask.config.set(options),
        distributed.Client(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
        ),
    ):
        yield


@contextlib.contextmanager
def on_ray():
    # It would tell its makers of the tests, and leave a token in the home folder.
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    ray = pytest.importorskip("ray", reason="needs ray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture(scope="module", params=["dask", "ray"])
def backend(request):
    with {"dask": on_dask, "ray": on_ray}[request.param]():
        yield request.param


def test_a_cluster_gives_what_this_machine_gives(backend, tmp_path):
    given = tasks(*range(6))
    here = sweep.run(draw, given, tmp_path / "here", n_jobs=1, progress=False)
    for n_jobs in (None, 1):
        folder = tmp_path / f"there{n_jobs}"
        there = sweep.run(draw, given, folder, n_jobs=n_jobs, backend=backend, progress=False)
        assert there == here
        names = {file.name for file in (tmp_path / "here").iterdir()}
        assert {file.name for file in folder.iterdir()} == names


def test_a_failed_task_does_not_take_others_with_it(backend, tmp_path):
    given = tasks(0, 1, 2, 3, bad=[1, 2])
    with pytest.raises(ValueError, match=r"seed [12] is bad") as error:
        sweep.run(draw, given, tmp_path, backend=backend, progress=False)
    assert "in the task {'seed':" in error.value.__notes__[0]
    kept = [json.loads(file.read_text())["result"]["seed"] for file in tmp_path.glob("*.json")]
    assert sorted(kept) == [0, 3]


@pytest.mark.parametrize("how", ["signal", "_exit"])
def test_a_task_whose_worker_dies_is_named_and_all_others_are_kept(backend, tmp_path, how):
    with pytest.raises(RuntimeError, match="a worker process ended twice in the task") as raised:
        sweep.run(end, endings(task_1=how), tmp_path, backend=backend, progress=False)
    assert f"{{'number': 1, 'how': '{how}'}}" in str(raised.value)
    assert numbers(tmp_path) == [0, 2, 3, 4, 5, 6, 7]


def test_a_task_whose_worker_dies_once_is_carried_out_again(backend, tmp_path):
    rows = sweep.run(end, endings(task_2="once"), tmp_path, backend=backend, progress=False)
    assert [row["number"] for row in rows] == list(range(8))


def fail():
    raise OSError("no disk")


def test_what_a_call_raises_is_raised_here(backend):
    with pytest.raises(OSError, match="no disk"):
        list(answers(backend, fail, {"a": (), "b": ()}, at_once=1))


def echo(value):
    return value


def test_every_call_is_answered_once_whatever_runs_at_a_time(backend):
    calls = {f"call {value}": (value % 2,) for value in range(20)}  # of few different values
    for at_once in (1, 3, None):
        got = list(answers(backend, echo, calls, at_once))
        assert sorted(got) == sorted((name, *value, None) for name, value in calls.items())
