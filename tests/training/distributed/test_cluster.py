"""Processes start, end and are missed together."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lib.training.distributed.cluster import Cluster, Plan, addresses, free_ports
from tests import ROOT
from tests.training.distributed.small_work import make_work


def plan_of(log, way="synchronous"):
    return Plan(way, make_work(log), addresses(way, 2, 1), {"parts": 2})


def test_hosts_take_turns():
    assert addresses("hybrid", 2, 2, ["a", "b"], 7000) == {
        "server": ["a:7000", "b:7001"],
        "worker": ["a:7002", "b:7003"],
        "coordinator": ["a:7004"],
    }
    assert len(set(free_ports(20))) == 20


def test_a_plan_goes_through_its_file(log, tmp_path):
    plan = plan_of(log, "hybrid")
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
    assert plan.chief == "coordinator_0" and plan_of(log).chief == "worker_0"


def test_a_host_starts_its_own_processes_alone(log, tmp_path):
    places = {"worker": ["here:1", "there:2"]}
    plan = Plan("synchronous", make_work(log), places, {"parts": 2})
    with Cluster(plan, tmp_path, host="there") as cluster:
        assert list(cluster.processes) == ["worker_1"]


def test_a_process_that_fails_is_quoted(log, tmp_path):
    plan = Plan("by pigeon", make_work(log), {"worker": ["127.0.0.1:1"]}, {})
    message = r"(?s)worker_0 ended with code 1; .*no way 'by pigeon'"
    with Cluster(plan, tmp_path) as cluster, pytest.raises(RuntimeError, match=message):
        cluster.wait(60)


def test_a_training_that_takes_too_long_is_given_up(log, tmp_path):
    with Cluster(plan_of(log), tmp_path) as cluster, pytest.raises(TimeoutError):
        cluster.wait(0.1)
    assert all(process.poll() is not None for process in cluster.processes.values())


def test_processes_die_with_their_parent(log, tmp_path):
    """Though the parent is killed and cannot say goodbye."""
    plan_of(log).write(tmp_path / "plan.json")
    code = (
        "import json, sys, time; from lib.training.distributed.cluster import Cluster, Plan\n"
        f"cluster = Cluster(Plan.read({str(tmp_path / 'plan.json')!r}), {str(tmp_path)!r})\n"
        "cluster.__enter__()\n"
        "print(json.dumps([p.pid for p in cluster.processes.values()]), flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        children = [psutil.Process(pid) for pid in json.loads(parent.stdout.readline())]
        time.sleep(0.5)
        parent.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
