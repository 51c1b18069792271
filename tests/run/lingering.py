"""A task that workers of a sweep are busy with; it imports little."""

import os
import time

from lib.infra.files import replacing


def linger(task, path):
    """A task of a sweep that writes at a file for a minute, of which it says its process."""
    with replacing(path.with_suffix(".npz")) as temporary:
        temporary.touch()
        path.with_suffix(".pid").write_text(str(os.getpid()))
        time.sleep(60)
    return {}
