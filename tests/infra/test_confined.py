"""What a child process without rights can do, and what it cannot."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lib.infra.confined import run_confined, within

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's rights")


def run(name, *arguments, seconds=30, gigabytes=1):
    with tempfile.TemporaryDirectory() as folder:
        return run_confined(
            f"{__name__}:{name}", *arguments, folder=folder, seconds=seconds, gigabytes=gigabytes
        )


def echo(value):
    return {"value": value, "folder": os.getcwd(), "files": os.listdir()}


def test_what_goes_in_comes_out():
    result = run("echo", [1, "two", None])
    assert result["value"] == [1, "two", None]
    assert not Path(result["folder"]).exists()  # a folder of its own, gone afterwards


def attempts(place):
    """Name -> what came of it, of all that is not allowed."""
    victim = Path(place, "victim")

    def connect():
        return socket.create_connection(("127.0.0.1", 9), timeout=1)

    tried = {
        "write": lambda: Path(place, "canary").write_text("x"),
        "overwrite": lambda: victim.write_text("x"),
        "truncate": lambda: os.truncate(victim, 0),
        "remove": victim.unlink,
        "move": lambda: victim.rename(victim.with_name("moved")),
        "take": lambda: victim.rename("mine"),
        "folder": lambda: Path(place, "folder").mkdir(),
        "link": lambda: Path(place, "link").symlink_to(victim),
        "program": lambda: subprocess.run(["/bin/true"], check=True),
        "connect": connect,
    }
    results = {}
    for name, attempt in tried.items():
        try:
            attempt()
            results[name] = "done"
        except ConnectionRefusedError:
            results[name] = "done"
        except OSError as error:
            results[name] = type(error).__name__
    Path("own.txt").write_text("its own folder is another matter")
    return results | {"read": victim.read_text()}


@linux
def test_it_can_read_and_nothing_else(tmp_path):
    if not _kernel_has_landlock():
        pytest.skip("a kernel without Landlock")
    (tmp_path / "victim").write_text("as it was")
    results = run("attempts", str(tmp_path))
    assert results.pop("read") == "as it was"
    assert "done" not in results.values(), results
    assert os.listdir(tmp_path) == ["victim"]
    assert (tmp_path / "victim").read_text() == "as it was"


def _kernel_has_landlock():
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(ctypes.c_long(444), None, ctypes.c_long(0), ctypes.c_long(1)) >= 1


def loop():
    while True:
        pass


def loop_within():
    within(0.2, "the second part")
    loop()


def large():
    return len(bytearray(3 * 10**9))


def raises(kind):
    raise {"ValueError": ValueError, "KeyError": KeyError}[kind]("line one\nline two")


def ends():
    print("the last words", flush=True)
    os._exit(3)


@linux
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loop", "what was to be done takes longer than 1 s and was ended"),
        ("loop_within", "the second part takes longer than 0.2 s and was ended"),
        ("large", "needs more memory than the 1 GB that it may take"),
        ("ends", r"the process that looked at it ended \(3\).*the last words"),
    ],
)
def test_limits(name, message):
    start = time.monotonic()
    with pytest.raises(ValueError, match=message):
        run(name, seconds=1 if name == "loop" else 30)
    assert time.monotonic() - start < 25


def test_what_the_function_raises_is_one_line():
    with pytest.raises(ValueError) as error:
        run("raises", "ValueError")
    assert str(error.value) == "line one line two"
    with pytest.raises(ValueError) as error:
        run("raises", "KeyError")
    assert str(error.value).startswith("KeyError: ")
