import os
import subprocess
import sys
import time

import pytest

from lib.online.pipeline.supervisor import Supervisor, role_command
from tests import ROOT

STAYS = [sys.executable, "-c", "print('here', flush=True); import time; time.sleep(60)"]


def step_until(supervisor, condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, supervisor.status()
        supervisor.step()
        time.sleep(0.02)


@pytest.fixture
def run(tmp_path):
    made = []

    def make(**commands):
        made.append(Supervisor(commands, tmp_path, patience=3))
        made[-1].step()
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.stop()


def test_who_is_killed_is_started_again(run, tmp_path):
    supervisor = run(one=STAYS, two=STAYS)
    step_until(supervisor, lambda: (tmp_path / "one.log").read_text().count("here") == 1)
    before = supervisor.status()["two"]["process"]
    assert supervisor.kill("one")
    step_until(supervisor, lambda: (tmp_path / "one.log").read_text().count("here") == 2)
    status = supervisor.status()
    assert status["one"]["deaths"] == 1 and status["one"]["died"] == "ended by SIGKILL"
    assert status["two"]["process"] == before and status["two"]["deaths"] == 0
    assert [fault[1:] for fault in supervisor.faults] == [("one", "ended by SIGKILL")]


def test_who_is_ended_stays_so(run):
    supervisor = run(one=STAYS, two=STAYS)
    supervisor.end("one")
    for _ in range(20):
        supervisor.step()
        time.sleep(0.02)
    status = supervisor.status()
    assert not status["one"]["running"] and status["two"]["running"] and not supervisor.faults


def test_who_dies_at_once_is_started_less_and_less_often(run):
    supervisor = run(bad=[sys.executable, "-c", "raise SystemExit(3)"])
    begin = time.monotonic()
    step_until(supervisor, lambda: supervisor.children["bad"].starts == 4)
    assert time.monotonic() - begin > 0.4 + 0.8 + 1.6
    assert supervisor.status()["bad"]["died"] == "ended with status 3"


def test_stopped_in_reverse_order_and_not_started_again(run, tmp_path):
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(60)"
    )
    order = tmp_path / "order"
    commands = {name: [sys.executable, "-c", code, str(order), name] for name in "ab"}
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"  # noqa: E501
    supervisor = run(**commands, deaf=[sys.executable, "-c", deaf])
    step_until(
        supervisor, lambda: all("ready" in (tmp_path / f"{n}.log").read_text() for n in "ab")
    )
    step_until(supervisor, lambda: "ready" in (tmp_path / "deaf.log").read_text())
    begin = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - begin < 10
    assert sorted(order.read_text()) == ["a", "b"]
    assert not any(child.running for child in supervisor.children.values())
    supervisor.step()
    assert not any(child.running for child in supervisor.children.values())


def test_children_end_with_their_parent(tmp_path):
    """However the supervisor ends: here by SIGKILL."""
    child = (
        "import time; from lib.infra.parent import end_with_parent; "
        "end_with_parent(); print('ready', flush=True); time.sleep(60)"
    )
    code = (
        "import sys, time; from lib.online.pipeline.supervisor import Supervisor\n"
        f"s = Supervisor({{'a': [sys.executable, '-c', {child!r}]}}, sys.argv[1])\n"
        "s.run(lambda: print(s.children['a'].process and s.children['a'].process.pid, flush=True))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    process = None
    for line in parent.stdout:
        process = None if line.strip() == "None" else int(line)
        log = tmp_path / "a.log"
        if process and log.exists() and "ready" in log.read_text():
            break
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        with open(f"/proc/{process}/stat") as stat:
            if stat.read().split()[2] == "Z":
                return
        time.sleep(0.1)
    os.kill(process, 9)
    pytest.fail("the child outlived its parent")


def test_roles_are_modules():
    command = role_command("trainer", ROOT / "x.json", 2)
    assert command[1:3] == ["-m", "lib.online.pipeline.roles"] and command[3:] == [
        "trainer",
        str(ROOT / "x.json"),
        "2",
    ]
