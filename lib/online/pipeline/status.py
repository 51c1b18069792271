"""What a process says of itself: a small JSON file that it replaces at most twice a second."""

import json
import os
import time
from pathlib import Path

from lib.infra.files import write_json

_PAUSE = 0.5  # seconds between two writings


class Status:
    """A process's own file.

    Args: folder: of all of them; name: of the process.
    """

    def __init__(self, folder, name: str):
        self.path, self._written = Path(folder, f"{name}.json"), 0.0

    def tell(self, values: dict, *, now: bool = False) -> None:
        """Replace the file, unless that was done a moment ago. A full disk is no error here."""
        if not now and time.monotonic() - self._written < _PAUSE:
            return
        self._written = time.monotonic()
        try:
            write_json(self.path, {"process": os.getpid(), "at": time.time(), **values}, True)
        except OSError:
            pass  # it is only looked at


def read_all(folder) -> dict[str, dict]:
    """Name of the process -> what it last said.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> Status(folder, "trainer").tell({"steps": 3})
    >>> read_all(folder)["trainer"]["steps"]
    3
    """
    found = {}
    for path in sorted(Path(folder).glob("[!.]*.json")):
        try:
            found[path.stem] = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
    return found
