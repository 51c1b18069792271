"""The folder of a sweep, which workers on other machines see as well.

Supported is a folder of a file system, of this machine or shared by all (NFS, Lustre, a mounted
volume), mounted at the same path: as a path or as file:// URL. A result is written beside its place
and moved there in one step, and tasks leave files of their own beside it, which later tasks open by
their paths. Object stores and the other file systems of fsspec do neither: they are refused.
"""

import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

MOST_SECONDS = 90.0  # until another machine's file is seen: NFS remembers for 60 that it was absent


def local(folder: str | os.PathLike) -> Path:
    """The path of a folder given as path or file:// URL.

    Raises: ValueError for any other URL.

    >>> local("file:///data/my%20study"), local("outputs/quick")
    (PosixPath('/data/my study'), PosixPath('outputs/quick'))
    """
    text = os.fspath(folder)
    if "://" not in text:
        return Path(text)
    url = urlsplit(text)
    if url.scheme == "file" and url.netloc in ("", "localhost"):
        return Path(unquote(url.path))
    raise ValueError(
        f"folder: found {text!r}, expected a path or a file:// URL of a folder that is mounted on "
        "all machines: tasks open each other's files by path, which an object store cannot give "
        "(mount it, or copy the folder before and after)"
    )


def check_seen(folder: Path, place: str) -> None:
    """Refuse a worker that does not see the sweep's folder and the caller's working directory.

    Raises: RuntimeError naming the machine and the folder.
    """
    for path in (folder, Path(place)):
        if not path.is_dir():
            raise RuntimeError(
                f"the worker on {platform.node()} does not see {path}; expected a folder that all "
                "machines share, mounted at the same path"
            )


def wait_for(files: Iterable[Path], seconds: float = MOST_SECONDS) -> None:
    """Wait until files that workers have written are seen here, too.

    Raises: RuntimeError naming the first that is not, after so many seconds in all.
    """
    end = time.monotonic() + seconds
    for file in files:
        while not file.exists():
            if time.monotonic() > end:
                raise RuntimeError(
                    f"{file}: a worker has written it, but it is not seen here; expected a folder "
                    "that all machines share, mounted at the same path"
                )
            os.listdir(file.parent)  # makes NFS ask again
            time.sleep(0.1)
