"""A function in a child process without rights, for what comes from a file of unknown origin.

    it may      read files, compute within a time and a memory, write into one folder
    it may not  write, move or remove a file elsewhere, start a program, open a connection

The kernel sees to it (Landlock, Linux 5.13 and later; a network of its own where that is
permitted). Other systems give the limits of time alone, or of time and memory: a caller must not
rest on this by itself, and first refuses what is not on a list of what only computes.

This module imports nothing but the standard library: threads that a library starts before the
rights are given up would keep them.
"""

import ctypes
import importlib
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

_RESULT, _DOING, _SAID = "result.json", "doing.json", "said.txt"
_GRACE = 10.0  # seconds beyond the child's own clock, after which the parent ends it
_LARGEST_FILE = 1 << 32
_NO_ROOM = ("MemoryError", "bad_alloc", "bad allocation", "allocate memory", "ResourceExhausted")


def run_confined(function, *arguments, folder, seconds, gigabytes):
    """`function(*arguments)` in a child process that has given up its rights.

    Args:
      function: "module:name", importable; it is called with `folder` as working directory.
      arguments: what JSON holds; paths must be absolute.
      folder: an empty folder, the one place that it can write to.
      seconds: of wall clock for all of it; see also `within`.
      gigabytes: of memory (private and written to, libraries apart).

    Returns: what the function returned, by JSON. Nothing of the child is unpickled.
    Raises: ValueError, in one line: what the function raised, or which limit it met.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_confined("math:factorial", 5, folder=folder, seconds=60, gigabytes=1)
    120
    """
    folder = Path(folder).resolve()
    task = {
        "function": function,
        "arguments": arguments,
        "folder": str(folder),
        "seconds": seconds,
        "gigabytes": gigabytes,
    }
    home = {name: str(folder) for name in ("HOME", "KERAS_HOME", "TMPDIR", "XDG_CACHE_HOME")}
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    environment = {**os.environ, **home, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""}
    with open(folder / _SAID, "wb") as said:
        try:
            done = subprocess.run(
                [sys.executable, "-c", "from lib.infra.confined import main; main()"],
                input=json.dumps(task).encode(),
                stdout=said,
                stderr=said,
                cwd=folder,
                env=environment,
                timeout=seconds + _GRACE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ValueError(_too_long(folder, seconds)) from None
    if done.returncode == -getattr(signal, "SIGALRM", 0) or done.returncode == -_signal("SIGXCPU"):
        raise ValueError(_too_long(folder, seconds))
    try:
        result = json.loads((folder / _RESULT).read_text())
    except (OSError, ValueError):
        said = (folder / _SAID).read_text(errors="replace").strip()
        if any(word in said for word in _NO_ROOM):
            raise ValueError(_too_large(gigabytes)) from None
        last = said.splitlines()[-1][:300] if said else "it said nothing"
        raise ValueError(
            f"the process that looked at it ended ({done.returncode}), by a crash in a library or "
            f"for want of memory (at most {gigabytes:g} GB): {last}"
        ) from None
    if "value" in result:
        return result["value"]
    text = " ".join(result["message"].split())
    if any(word in f"{result['error']} {text}" for word in _NO_ROOM):
        raise ValueError(_too_large(gigabytes))
    raise ValueError(text if result["error"] == "ValueError" else f"{result['error']}: {text}")


def within(seconds, doing):
    """In the child: from here on it has so many seconds, for what `doing` says."""
    Path(_DOING).write_text(json.dumps([doing, seconds]))
    if hasattr(signal, "setitimer"):
        # Without a handler the signal ends the process, whatever library code it is in.
        signal.setitimer(signal.ITIMER_REAL, seconds)


def main():
    """What the child process runs: a task from standard input, its result into a file."""
    task = json.load(sys.stdin)
    os.chdir(task["folder"])
    _give_up_rights(task["folder"])
    _limit(task["seconds"], task["gigabytes"])
    within(task["seconds"], "what was to be done")
    module, _, name = task["function"].partition(":")
    try:
        value = getattr(importlib.import_module(module), name)(*task["arguments"])
        result = {"value": value}
    except Exception as error:
        result = {"error": type(error).__name__, "message": str(error)}
    Path(_RESULT).write_text(json.dumps(result))


def _too_long(folder, seconds):
    try:
        doing, seconds = json.loads((folder / _DOING).read_text())
    except (OSError, ValueError):
        doing = "what was to be done"
    return f"{doing} takes longer than {seconds:g} s and was ended (a loop without end?)"


def _too_large(gigabytes):
    return f"it needs more memory than the {gigabytes:.3g} GB that it may take, and was ended"


def _signal(name):
    return int(getattr(signal, name, 0))


def _limit(seconds, gigabytes):
    try:
        import resource
    except ImportError:  # Windows
        return
    cores = os.cpu_count() or 1
    for name, value in (
        # Not RLIMIT_AS: libraries reserve many times what they use. Not RLIMIT_NPROC: it counts
        # the threads of all of the user's processes, and programs cannot be started anyway.
        ("RLIMIT_DATA", int(gigabytes * 1e9)),
        ("RLIMIT_FSIZE", _LARGEST_FILE),
        ("RLIMIT_CPU", cores * math.ceil(seconds + _GRACE)),
        ("RLIMIT_CORE", 0),
    ):
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


# ---- Linux ----------------------------------------------------------------

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, on every architecture
# Rights of linux/landlock.h: 0 execute, 1 write, 2 and 3 read, 4 to 12 remove and make,
# 13 move between folders (version 2), 14 truncate (version 3).
_EXECUTE, _WRITE, _MOVE, _TRUNCATE = 1 << 0, 1 << 1, 1 << 13, 1 << 14
_MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))


class _Beneath(ctypes.Structure):
    """struct landlock_path_beneath_attr"""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _give_up_rights(folder):
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a killed run leaves no child
    if libc.unshare(_CLONE_NEWNET):
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    version = libc.syscall(*_longs(_CREATE_RULESET, 0, 0, 1))
    if version < 1:  # an older kernel, or one without Landlock
        return
    rights = _EXECUTE | _WRITE | _MAKE_AND_REMOVE
    rights |= (_MOVE if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    handled = (ctypes.c_uint64 * 3)(
        rights,
        3 if version >= 4 else 0,  # listening, connecting
        3 if version >= 6 else 0,  # abstract sockets and signals, of other processes
    )
    ruleset = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), ctypes.byref(handled), *_longs(ctypes.sizeof(handled), 0)
    )
    for place, allowed in (
        (folder, rights & ~_EXECUTE),
        (os.devnull, rights & (_WRITE | _TRUNCATE)),
    ):
        rule = _Beneath(allowed, os.open(place, os.O_PATH | os.O_CLOEXEC))
        libc.syscall(*_longs(_ADD_RULE, ruleset, 1), ctypes.byref(rule), *_longs(0))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(*_longs(_RESTRICT_SELF, ruleset, 0)):
        raise OSError(ctypes.get_errno(), "the child process could not give up its rights")


def _longs(*values):
    return [ctypes.c_long(value) for value in values]
