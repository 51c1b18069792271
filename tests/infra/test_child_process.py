import os

import pytest

from lib.infra.child_process import in_child


@pytest.mark.skipif(not hasattr(os, "nice"), reason="a system without niceness")
def test_a_child_is_nicer_from_its_start():
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert in_child("niceness", os.getpriority, os.PRIO_PROCESS, 0, niceness=3) == own + 3
    assert in_child("niceness", os.getpriority, os.PRIO_PROCESS, 0) == own


def test_a_child_that_ends_is_said_by_name():
    with pytest.raises(RuntimeError, match="the process of a crash ended"):
        in_child("a crash", os._exit, 1)
