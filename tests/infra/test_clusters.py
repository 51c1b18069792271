"""Sweeps on a cluster of Dask or Ray, here of two workers: a worker's death loses nothing."""

import contextlib
import importlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import yaml

from lib.infra import code_digest, sweep
from lib.infra.clusters import BACKEND, answers, asked_for
from tests import ROOT
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
def test_without_a_cluster(name, package, tmp_path, monkeypatch):
    pytest.importorskip(package, reason=f"needs {package}")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(RuntimeError, match=f"backend='{name}' needs a cluster: "):
        sweep.run(draw, tasks(1), tmp_path, backend=name, progress=False)


def test_other_backends_are_refused(tmp_path):
    with pytest.raises(ValueError, match="backend must be loky, dask or ray; got 'threading'"):
        sweep.run(draw, tasks(1), tmp_path, backend="threading", progress=False)
    with pytest.raises(ValueError, match="backend must be one of dask, ray; got 'loky'"):
        answers("loky", draw, {})


def test_the_environment_names_a_cluster(monkeypatch, tmp_path):
    assert asked_for("loky") == "loky"
    monkeypatch.setenv(BACKEND, "dask")
    assert [asked_for(name) for name in ("loky", "ray", "sequential")] == [
        *("dask", "ray", "sequential")
    ]
    # One at a time is in this process, as of measurements that hang on a clock.
    rows = sweep.run(draw, tasks(1, 2), tmp_path, n_jobs=1, progress=False)
    assert [row["seed"] for row in rows] == [1, 2]
    monkeypatch.setenv(BACKEND, "slurm")
    with pytest.raises(ValueError, match=f"{BACKEND} must be loky, dask or ray; got 'slurm'"):
        sweep.run(draw, tasks(3), tmp_path, progress=False)


# ---- a cluster of processes of their own, as on many machines -------------

SOURCE = """
import os
from lib.infra import sweep

def inner(task, path):
    return {"process": os.getpid()}

def outer(task, path):
    path.with_suffix(".txt").write_text(os.getcwd())
    rows = sweep.run(inner, [{"i": i} for i in range(2)], f"{path}.inner", progress=False)
    return {"process": os.getpid(), "place": os.getcwd(), "inner": [r["process"] for r in rows]}
"""


@contextlib.contextmanager
def dask_processes(folder, *, workers=1, path=""):
    """A scheduler and workers started by Dask's own commands; yields the scheduler's process."""
    pytest.importorskip("distributed", reason="needs dask[distributed]")
    file = folder / "scheduler.json"
    paths = os.pathsep.join(filter(None, [str(ROOT), path]))
    environment = {**os.environ, "PYTHONPATH": paths, BACKEND: "dask"}
    common = {"env": environment, "cwd": folder, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", "dask"]
    options = ["--scheduler-file", str(file), "--no-dashboard"]
    at = ["--host", "127.0.0.1", "--port", "0"]
    processes = [subprocess.Popen([*command, "scheduler", *options, *at], **common)]
    try:
        for _ in range(workers):
            more = ["--nthreads", "1", "--local-directory", str(folder)]
            processes.append(subprocess.Popen([*command, "worker", *options, *more], **common))
        yield file, processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


@pytest.fixture
def reachable(monkeypatch):
    """Name a scheduler as the environment does before dask is imported."""
    dask = pytest.importorskip("dask", reason="needs dask[distributed]")

    def name(**values):
        monkeypatch.setenv(BACKEND, "dask")
        return dask.config.set({f"scheduler-{key}": value for key, value in values.items()})

    return name


def test_the_environment_s_scheduler_carries_out_a_sweep(tmp_path, monkeypatch, reachable):
    """Tasks run where the caller stands, whatever folder workers were started in; a sweep inside
    a task stays in the task's process."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/outer_and_inner.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    # By a text: what a module imports is looked for once, and this one was not there before.
    outer = importlib.import_module("outer_and_inner").outer
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with (
        dask_processes(tmp_path, path=str(tmp_path / "code")) as (file, _),
        _waited_for(file),
        reachable(file=str(file)),
    ):
        given = [{"i": i} for i in range(3)]
        rows = sweep.run(outer, given, "cache", progress=False)
        assert {row["place"] for row in rows} == {str(tmp_path / "here")}
        assert os.getpid() not in {row["process"] for row in rows}
        assert all(set(row["inner"]) == {row["process"]} for row in rows)
        # Other code than the worker's, which has imported it, is not carried out in its name.
        (tmp_path / "code/outer_and_inner.py").write_text(SOURCE.replace("range(2)", "range(3)"))
        code_digest_forgets()
        with pytest.raises(RuntimeError, match="has other code or libraries than this process"):
            sweep.run(outer, given, "cache", progress=False)


def test_a_scheduler_that_ends_is_said_and_what_was_finished_is_kept(tmp_path, reachable):
    with (
        dask_processes(tmp_path) as (file, (scheduler, _)),
        _waited_for(file),
        reachable(file=str(file)),
    ):
        given = [{"number": i, "file": str(tmp_path / "begun")} for i in range(4)]
        killer = threading.Thread(target=_kill_when, args=(tmp_path / "begun", scheduler))
        killer.start()
        with pytest.raises(RuntimeError, match="connection to Dask's scheduler was lost; what was"):
            sweep.run(slow_second, given, tmp_path / "cache", progress=False)
        killer.join()
    assert numbers(tmp_path / "cache") == [0]
    rows = sweep.run(slow_second, given, tmp_path / "cache", n_jobs=1, progress=False)
    assert [row["number"] for row in rows] == [0, 1, 2, 3]


def slow_second(task, path):
    """All but the first wait on a cluster until its scheduler is gone."""
    if task["number"] == 1 and not os.path.exists(task["file"]):
        Path(task["file"]).touch()
        time.sleep(60)
    return {"number": task["number"]}


def _kill_when(file, process):
    while not file.exists():
        time.sleep(0.1)
    process.kill()


@contextlib.contextmanager
def _waited_for(file):
    for _ in range(600):
        if file.exists():
            break
        time.sleep(0.1)
    yield


def code_digest_forgets():
    for name in ("_closure", "_source", "_tree", "_imports"):
        getattr(code_digest, name).cache_clear()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"file": "no.json"}, "DASK_SCHEDULER_FILE: no.json is not there; is the scheduler"),
        ({"address": "tcp://127.0.0.1:9"}, "no scheduler of Dask at tcp://127.0.0.1:9: "),
        ({"address": "nonsense://a"}, "no scheduler of Dask at nonsense://a: "),
    ],
)
def test_a_scheduler_that_is_not_there_is_named(tmp_path, monkeypatch, reachable, named, message):
    dask = pytest.importorskip("dask", reason="needs dask[distributed]")
    monkeypatch.chdir(tmp_path)
    with (
        reachable(**named),
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(RuntimeError, match=message),
    ):
        sweep.run(draw, tasks(1), tmp_path, progress=False)


# ---- the commands of docs/many_machines.md --------------------------------

PAGE = (ROOT / "docs/many_machines.md").read_text()
STUDY = """
import os
from lib.infra import sweep
from study_task import work

rows = sweep.run(work, [{"i": i} for i in range(4)], "cache", progress=False)
print(os.getpid(), *sorted({row["process"] for row in rows}))
"""


def block(heading, kind="bash"):
    """The first block of code below a heading of the page."""
    return re.search(rf"^## {heading}.*?^```{kind}\n(.*?)^```", PAGE, flags=re.M | re.S)[1]


@pytest.fixture
def checkout(tmp_path):
    """A folder in which the page's commands run: its `lib run` carries out a small sweep."""
    pytest.importorskip("distributed", reason="needs dask[distributed]")
    work = "import os\n\ndef work(task, path):\n    return {'process': os.getpid()}\n"
    (tmp_path / "study_task.py").write_text(work)
    (tmp_path / "study.py").write_text(STUDY)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    commands = {"dask": '-m dask "$@"', "python": "study.py"}
    for name, arguments in commands.items():
        written(tmp_path / ".venv/bin" / name, f"exec {sys.executable} {arguments}")
    written(tmp_path / "bin/srun", 'exec "$@"')
    return tmp_path


def written(file, text):
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def environment(checkout, **values):
    paths = {
        "PATH": f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{checkout}",
    }
    return {**os.environ, **paths, **values}


def assert_spread(printed):
    own, *processes = printed.split()
    assert processes and own not in processes


@pytest.mark.parametrize("heading", ["On one machine", "SLURM"])
def test_the_scripts_of_the_page(checkout, heading):
    (checkout / "script.sh").write_text(block(heading))
    done = subprocess.run(
        ["bash", "script.sh"],
        cwd=checkout,
        env=environment(checkout, SLURM_SUBMIT_DIR=str(checkout), SLURM_JOB_ID="1"),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.stdout, done.stderr
    assert_spread(done.stdout)


def test_the_pods_of_the_page(checkout):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    documents = list(yaml.safe_load_all(block("Kubernetes", "yaml")))
    pods = [one["spec"].get("template", one)["spec"] for one in documents[1:]]
    containers = [pod["containers"][0] for pod in pods]
    for pod, container in zip(pods, containers, strict=True):
        assert {one["name"] for one in pod["volumes"]} == {
            one["name"] for one in container["volumeMounts"]
        }
    given = {one["name"]: here(one["value"], port) for one in containers[-1]["env"]}
    running = []
    try:
        for container in containers[:-1]:
            command = [here(text, port) for text in container["command"]]
            running.append(
                subprocess.Popen(
                    command, cwd=checkout, env=environment(checkout), stderr=subprocess.DEVNULL
                )
            )
        done = subprocess.run(
            containers[-1]["command"],
            cwd=checkout,
            env=environment(checkout, **given),
            capture_output=True,
            text=True,
            timeout=240,
        )
    finally:
        for process in running:
            process.terminate()
            process.wait(30)
    assert done.stdout, done.stderr
    assert_spread(done.stdout)


def here(text, port):
    return text.replace("//scheduler:", "//127.0.0.1:").replace("8786", port)


# ---- Ray -----------------------------------------------------------------


class FakeRay:
    """As much of ray as a sweep takes, in this process: what we call, and how it answers."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            pass

    def __init__(self, dies=()):
        self.began, self.ended, self.dies, self.given = [], 0, list(dies), []

    def is_initialized(self):
        return False

    def init(self, address, **_):
        if address == "nowhere":
            raise ConnectionError("could not be reached")
        self.began.append(address)

    def shutdown(self):
        self.ended += 1

    def remote(self, function):
        ray = self

        class Remote:
            def options(self, **options):
                assert options == {"num_cpus": 1, "max_retries": 0}
                return self

            def remote(self, *arguments):
                ray.given.append((function, arguments))
                return len(ray.given) - 1

        return Remote()

    def wait(self, references):
        return references[:1], references[1:]

    def get(self, reference):
        function, arguments = self.given[reference]
        if arguments[4] in self.dies:
            self.dies.remove(arguments[4])
            raise self.exceptions.RayError("worker died")
        return function(*arguments)

    def cancel(self, reference, force):
        pass


def test_ray_of_the_environment(tmp_path, monkeypatch):
    """A stand-in for Ray: where this environment has none, what is asked of it is tested."""
    given = [{"number": i} for i in range(4)]
    names = [sweep.task_digest(number, task) for task in given]
    ray = FakeRay(dies=[names[1], names[1], names[2]])
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setenv(BACKEND, "ray")
    with pytest.raises(RuntimeError, match="a worker process ended twice in the task") as raised:
        sweep.run(number, given, tmp_path, progress=False)
    assert "{'number': 1}" in str(raised.value)
    assert numbers(tmp_path) == [0, 2, 3]
    assert set(ray.began) == {"head:6379"} and len(ray.began) == ray.ended
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(RuntimeError, match="no cluster of Ray at RAY_ADDRESS = nowhere: could not"):
        sweep.run(number, given, tmp_path, progress=False)


def number(task, path):
    return {"number": task["number"]}


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
