import os
import subprocess
import sys
import time

import pytest

from lib.infra.child_process import in_child
from tests import ROOT
from tests.run.helpers import is_gone, text_of, until


@pytest.mark.skipif(not hasattr(os, "nice"), reason="a system without niceness")
def test_a_child_is_nicer_from_its_start():
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert in_child("niceness", os.getpriority, os.PRIO_PROCESS, 0, niceness=3) == own + 3
    assert in_child("niceness", os.getpriority, os.PRIO_PROCESS, 0) == own


def test_a_child_that_ends_is_said_by_name():
    with pytest.raises(RuntimeError, match="the process of a crash ended"):
        in_child("a crash", os._exit, 1)


def say_and_sleep(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_child_ends_with_the_process_that_waits_for_it(tmp_path):
    file = tmp_path / "pid"
    code = (
        "import sys; from lib.infra.child_process import in_child\n"
        "from tests.infra.test_child_process import say_and_sleep\n"
        "in_child('a sleep', say_and_sleep, sys.argv[1])"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(file)], cwd=ROOT)
    child = int(until(lambda: text_of(file)))
    parent.kill()
    parent.wait()
    until(lambda: is_gone(child), seconds=5)
