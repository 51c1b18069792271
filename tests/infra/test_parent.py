"""Processes end with the one that started them, whatever ended that."""

import os
import signal
import subprocess
import sys

import pytest

from tests import ROOT
from tests.run.helpers import is_gone, until

CHILD = (
    "import os, pathlib, sys, time\n"
    "from lib.infra.parent import end_with_parent\n"
    "end_with_parent(int(sys.argv[1]), grace=float(sys.argv[3]), "
    "leaving=lambda: pathlib.Path(sys.argv[2] + '.left').touch())\n"
    "pathlib.Path(sys.argv[2]).write_text(str(os.getpid()))\n"
    "time.sleep(60)"
)
PARENT = (
    "import os, subprocess, sys, time\n"
    f"subprocess.Popen([sys.executable, '-c', {CHILD!r}, str(os.getpid()), *sys.argv[1:]])\n"
    "time.sleep(60)"
)


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
@pytest.mark.parametrize("grace", ["0", "5"])
def test_a_child_ends_when_its_parent_is_killed(tmp_path, grace):
    file = tmp_path / "child"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(file), grace], cwd=ROOT)
    until(lambda: file.exists() and file.read_text())
    child = int(file.read_text())
    assert not is_gone(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: is_gone(child), seconds=3)  # a SIGTERM ends it well before its grace
    assert (tmp_path / "child.left").exists()


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_child_whose_parent_has_ended_already_ends(tmp_path):
    over = subprocess.Popen([sys.executable, "-c", ""])
    over.wait()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(over.pid), str(tmp_path / "child"), "0"],
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert child.returncode == 1
