"""Digests of files by their content, remembered while a file cannot have changed."""

import contextlib
import json
import os
import time
from pathlib import Path

from lib.infra.files import fingerprint, write_json

# A change within a clock tick of the last one leaves the same time behind: what is that young is
# read again.
_YOUNG_NS = 2_000_000_000


class Digests:
    """Digests of files, kept in a file between runs.

    A digest is believed while size, inode and the time of the last change of either content or
    metadata are those that it was made with; nobody can set that time back, as `touch` does with
    the other. Systems that do not know it read all files again.

    Args:
      path: of the file that keeps them. A damaged one is written anew.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._known, self._changed = _read(self.path), False

    def of(self, path: Path) -> str:
        """SHA-256 of a file's bytes. Raises: OSError where it cannot be read."""
        now, name, found = time.time_ns(), str(path), os.stat(path)
        state = [found.st_size, found.st_ino, found.st_dev, found.st_mtime_ns, found.st_ctime_ns]
        known = self._known.get(name)
        if known and known[:-1] == state:
            return known[-1]
        digest = fingerprint(path)
        if os.name == "posix" and now - found.st_ctime_ns > _YOUNG_NS:
            self._known[name], self._changed = [*state, digest], True
        return digest

    def save(self) -> None:
        """Keep them for the next run; a disk that takes nothing costs time and no more."""
        if self._changed:
            known = {name: one for name, one in self._known.items() if os.path.exists(name)}
            with contextlib.suppress(OSError):
                write_json(self.path, known)


def _read(path):
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: one for name, one in known.items() if isinstance(one, list) and len(one) == 6}
