"""One process at a time, and no longer than it lives."""

import os
import signal
import subprocess
import sys

import pytest

from lib.infra import locks
from lib.infra.locks import InUseError, hold, holding, release
from tests import ROOT

pytestmark = pytest.mark.skipif(locks.fcntl is None, reason="a system without such locks")
HOLDER = (
    "import sys, time; from lib.infra.locks import hold\n"
    "hold(sys.argv[1], 'x'); print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".lock"


@pytest.fixture
def holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_another_process_is_kept_out_and_told_by_whom(path, holder):
    said = rf"02_law: outputs/quick: process {holder.pid} on .*, since 20.*, is at work there"
    with pytest.raises(InUseError, match=said):
        hold(path, "02_law: outputs/quick")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert path.exists()  # which locks nobody out
    with holding(path, "02_law"):
        assert f"process {os.getpid()} on" in path.read_text()
    assert not path.exists()


def test_the_holder_may_ask_again_and_lets_others_in(path):
    hold(path, "x")
    hold(path, "x")
    release(path)
    assert not path.exists()
    release(path)  # of what it does not hold
    assert not path.exists()


def test_an_error_lets_others_in(path):
    with pytest.raises(KeyError), holding(path, "x"):
        raise KeyError
    assert not path.exists()


def test_a_file_system_without_locks_keeps_nobody_out(path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with holding(path, "x"):
        pass


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        hold(tmp_path / "absent/.lock", "x")
