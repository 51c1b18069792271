"""What a reader of a stream could not use: one file, nothing lost and nothing twice."""

import base64
import collections
import contextlib
import fcntl
import json
import os
from pathlib import Path

from lib.online.stream.streams import StreamError


class DeadLetters:
    """A file of JSON lines, one for each record or impression that was set aside.

    A line has partition, offset, impression (its place in the record; null: the whole record),
    reason (one word), detail (a sentence) and raw (the bytes, base64). After a restart a reader
    comes by the same places again: what is in the file is not written again, and a last line that
    an end of the process tore is cut off.

    Args:
      path: of the file (.jsonl); made where it is not there. One writer at a time.

    Raises: ValueError for a file that another process writes, or that holds other lines.

    >>> import tempfile
    >>> with DeadLetters(Path(tempfile.mkdtemp()) / "dead.jsonl") as letters:
    ...     for _ in range(2):
    ...         letters.put(0, 17, None, "damaged", "another checksum", b"bytes")
    ...     dict(letters.counts)
    {'damaged': 1}
    """

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._dirty = open(self.path, "a+b"), False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._known = self._read()
        except BlockingIOError:
            self._file.close()
            raise ValueError(f"{self.path}: another process writes these dead letters") from None
        except BaseException:
            self._file.close()
            raise

    def _read(self):
        self.counts: collections.Counter[str] = collections.Counter()
        known, whole = set(), 0
        self._file.seek(0)
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                letter = json.loads(line)
                known.add((letter["partition"], letter["offset"], letter["impression"]))
                self.counts[letter["reason"]] += 1
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{self.path}: line {number} is no dead letter") from None
            whole += len(line)
        self._file.truncate(whole)
        return known

    def put(self, partition, offset, impression, reason, detail, raw) -> None:
        """Set a record (impression None) or one of its impressions aside, unless it is known."""
        key = (partition, offset, impression)
        if key in self._known:
            return
        letter = {
            "partition": partition,
            "offset": offset,
            "impression": impression,
            "reason": reason,
            "detail": detail,
            "raw": base64.b64encode(raw).decode(),
        }
        self._file.write(json.dumps(letter).encode() + b"\n")
        self._known.add(key)
        self.counts[reason] += 1
        self._dirty = True

    def flush(self) -> None:
        """On the disk when this returns: before anybody's offset moves on.

        Raises: StreamError where the disk takes no more.
        """
        if self._dirty:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise StreamError(
                    error.errno,
                    f"{self.path}: cannot write dead letters: {error.strerror}; the reader's "
                    "offset did not move: make room and begin again",
                ) from None
            self._dirty = False

    def close(self) -> None:
        """Flush, and let another process write."""
        try:
            self.flush()
        finally:
            with contextlib.suppress(OSError):  # `flush` has said it
                self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
