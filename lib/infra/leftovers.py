"""What killed processes leave behind: half-written files, temporary folders."""

import contextlib
import os
import platform
import re
import shutil
import tempfile
import time
from pathlib import Path

import psutil

_PART = re.compile(r"\..*\.(?P<process>\d+)\.part(\..*)?")  # `lib.infra.files.replacing`
_SCRATCH = "retrieval-scaling-scratch"
_FOLDER = re.compile(r"(\..+|retrieval-scaling-scratch)-(?P<host>[^-]*)-(?P<process>\d+)-[^-]*")


def temporary_name(kind: str) -> str:
    """The beginning of a temporary folder's name, by which one that was left behind is known.

    >>> temporary_name(".begun").startswith(".begun-")
    True
    """
    return f"{kind}-{_host()}-{os.getpid()}-"


def remove_leftovers(folder: str | os.PathLike, unchanged: float = 0.0) -> None:
    """Remove what processes that run no more have left in a folder and below it.

    These are the half-written files of `lib.infra.files.replacing`, and temporary folders of
    `temporary_name` made on this machine.

    Args:
      unchanged: seconds for which a half-written file must have been. On a folder that several
        machines share, its process may be another one's.
    """
    for place, folders, files in os.walk(folder):
        for name in list(folders):
            match = _FOLDER.fullmatch(name)
            if match and match["host"] == _host() and _is_over(match["process"]):
                shutil.rmtree(Path(place, name), ignore_errors=True)
                folders.remove(name)
        for name in files:
            match = _PART.fullmatch(name)
            with contextlib.suppress(OSError):  # removed by another, or not ours to remove
                path = Path(place, name)
                if (
                    match
                    and _is_over(match["process"])
                    and time.time() - path.stat().st_mtime >= unchanged
                ):
                    path.unlink()


@contextlib.contextmanager
def scratch():
    """Yield a folder for temporary files, removed at the end with all that is in it.

    Those that killed processes of this user have left are removed as well.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}-*"):
        match = _FOLDER.fullmatch(path.name)
        if match and match["host"] == _host() and _is_over(match["process"]):
            shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=temporary_name(_SCRATCH), ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def remove_own_scratch() -> None:
    """Remove this process's folder for temporary files, if it is one of `scratch`."""
    folder = Path(tempfile.gettempdir())
    if folder.name.startswith(f"{_SCRATCH}-"):
        shutil.rmtree(folder, ignore_errors=True)


def _host():
    return re.sub(r"\W", "", platform.node())


def _is_over(process):
    try:
        return psutil.Process(int(process)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
