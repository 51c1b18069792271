"""Processes that end when the one that started them does, however that ended."""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable

import psutil

_SECONDS = 0.5  # between two looks, where the system does not wake who waits for a process
_watching: list[int] = []  # the process watched, once one is
_leaving: list[Callable] = []


def end_with_parent(
    parent: int | None = None, *, grace: float = 0.0, leaving: Callable[[], None] | None = None
) -> None:
    """Let this process end when another one does, a kill -9 of that one included.

    A daemon thread waits for it. Further calls only replace `leaving`.

    Args:
      parent: number of the process, as it knows it itself; by default that of this one's parent,
        which is another's where the parent has ended already.
      grace: seconds that this process has to end by itself after a SIGTERM; 0: it ends at once.
      leaving: called before that, such as to remove files that nobody would miss.
    """
    _leaving[:] = [leaving] if leaving else []
    if not _watching:
        _watching.append(parent or os.getppid())
        threading.Thread(target=_end_after, args=(_watching[0], grace), daemon=True).start()


def _end_after(process, grace):
    _wait_for(process)
    for call in _leaving:
        with contextlib.suppress(Exception):  # whatever it is, this process is to end
            call()
    if grace:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
    os._exit(1)


def _wait_for(process):
    """Return once the process has ended."""
    is_parent = os.getppid() == process
    with contextlib.suppress(OSError, AttributeError):  # not every system has them
        descriptor = os.pidfd_open(process)
        try:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            waiting.poll()  # takes no time of the processor, unlike looking again and again
        finally:
            os.close(descriptor)
    # Of a parent that has ended, but that its own parent has not asked for yet, the number is
    # still taken.
    while os.getppid() == process if is_parent else psutil.pid_exists(process):
        time.sleep(_SECONDS)
