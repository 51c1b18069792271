"""One process at a time at a folder, by a lock that ends with the process that holds it."""

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without: nobody is kept out
    fcntl = None

_held: dict[Path, int] = {}  # file -> its descriptor, which is the lock


class InUseError(RuntimeError):
    """Another process is at work there; the message says which."""


def hold(path: str | os.PathLike, what: str) -> None:
    """Keep other processes out until `release`, or until this process ends in whatever way.

    A process that holds the lock already keeps it. A file that a killed process left locks
    nobody out. Where the file system knows no locks there is none.

    Args:
      path: of the lock's file, in a folder that exists; it says who holds it.
      what: names what is locked, in the error message.

    Raises: InUseError where another process holds it.
    """
    path = Path(path).absolute()
    if fcntl is None or path in _held:
        return
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise InUseError(f"{what}: {holder} is at work there; wait for it or stop it") from None
        except OSError:  # no locks on this file system
            os.close(descriptor)
            return
        if _is_at(descriptor, path):
            break
        os.close(descriptor)  # removed by its last holder while this process waited
    _held[path] = descriptor
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    text = f"process {os.getpid()} on {platform.node()}, since {since},"
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def release(path: str | os.PathLike) -> None:
    """Let others in; without effect where this process does not hold the lock."""
    path = Path(path).absolute()
    descriptor = _held.pop(path, None)
    if descriptor is not None:
        path.unlink(missing_ok=True)  # before the lock ends, so that nobody holds a removed file
        os.close(descriptor)


@contextlib.contextmanager
def holding(path: str | os.PathLike, what: str) -> Iterator[None]:
    """`hold` for the time of a block.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), ".lock")
    >>> with holding(path, "the folder"):
    ...     path.exists()
    True
    >>> path.exists()
    False
    """
    hold(path, what)
    try:
        yield
    finally:
        release(path)


def _is_at(descriptor, path):
    """Whether the open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
