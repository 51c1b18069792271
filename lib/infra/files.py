"""Files that are whole or absent: written under a temporary name, then moved."""

import contextlib
import hashlib
import json
import os
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; move it there when the block ends well.

    An error or an interrupt leaves what stood at `path` as it was.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("done")
    >>> [file.name for file in folder.iterdir()]
    ['a.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value, allow_nan=False):
    """Write `value` as indented JSON, whole or not at all.

    allow_nan: whether NaN and infinity, which only Python reads back, may stand in it.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=allow_nan) + "\n")


def fingerprint(path):
    """SHA-256 of a file's bytes: names what a result was computed from.

    Of a folder: of the names and digests of the files in it that are not hidden.
    """
    path = Path(path)
    if path.is_dir():
        parts = [f"{file.name} {fingerprint(file)}\n" for file in sorted(path.glob("[!.]*"))]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
