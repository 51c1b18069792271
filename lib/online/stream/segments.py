"""The embedded stream: a folder with append-only files, no server.

    stream.json, schema.arrow
    partition-0/00000000000000000000.segment   named by the first offset in it
    partition-0/lock                           held by the partition's one writer

A segment is a row of frames: magic, offset, length, the payload's crc32, the header's own crc32,
then the payload. A writer that was killed leaves at most a torn last frame, which the next one cuts
off; readers do not hand it out. Where bytes went bad in the middle, readers go on at the next
sound frame and hand out what lies between as it is, an offset for an offset.
"""

from __future__ import annotations

import bisect
import fcntl
import json
import os
import struct
import time
import uuid
import zlib
from pathlib import Path

from lib.infra.files import replacing, write_json
from lib.online.stream.records import RecordSchema
from lib.online.stream.streams import StreamError, check_partition

MAGIC = b"SEGF"
HEADER = struct.Struct("<4sQIII")  # magic, offset, length, crc32 of payload, crc32 of the rest
UNSIGNED = struct.Struct("<I")


class SegmentStream:
    """A stream in a folder of a local file system, for many processes of one machine.

    Each partition has one writing process at a time, from its first `append` to `close`; any
    number of processes read.

    Args:
      folder: of the stream; made where it is not there.
      schema, partitions: of a stream to be made; of one that is there they are read, and refused
        where they differ.
      segment_bytes: a file that has as many is followed by a new one.
      fsync_seconds: append waits for the disk if so long has passed since it last did; 0: always;
        None: never. What was appended survives the end of the process in any case; this is about
        the machine's.
      retention_bytes: of a partition; the oldest segments beyond go.
      retention_seconds: segments go that were last written longer ago. Both act when a segment is
        begun, and by `retain`; the newest segment stays.

    Raises: ValueError for what is no such stream, StreamError where a partition has a writer.
    """

    def __init__(
        self,
        folder,
        schema: RecordSchema | None = None,
        partitions: int | None = None,
        *,
        segment_bytes: int = 64 << 20,
        fsync_seconds: float | None = 1.0,
        retention_bytes: int | None = None,
        retention_seconds: float | None = None,
    ):
        self.folder = Path(folder)
        about = self.folder / "stream.json"
        if not about.exists():
            _make(self.folder, about, schema, partitions)
        try:
            read = json.loads(about.read_text())
            self.partitions, self.id = int(read["partitions"]), str(read["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{about}: not a stream: {error}") from None
        self.schema = RecordSchema.load(self.folder / "schema.arrow")
        if partitions not in (None, self.partitions):
            raise ValueError(
                f"{self.folder}: the stream has {self.partitions} partitions; "
                f"got partitions = {partitions}"
            )
        if schema is not None and schema.fingerprint != self.schema.fingerprint:
            raise ValueError(f"{self.folder}: the stream has another schema than the one given")
        self._settings = {
            "segment_bytes": segment_bytes,
            "fsync_seconds": fsync_seconds,
            "retention_bytes": retention_bytes,
            "retention_seconds": retention_seconds,
        }
        self._writers: dict[int, _Writer] = {}
        self._readers: dict[int, _Reader] = {}
        self._ends: dict[int, _Reader] = {}

    def append(self, partition: int, payloads: list[bytes]) -> None:
        check_partition(self.folder, partition, self.partitions)
        if partition not in self._writers:
            self._writers[partition] = _Writer(self._path(partition), **self._settings)
        self._writers[partition].append(payloads)

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.sync()

    def read(
        self, partition: int, offset: int, *, most_bytes: int = 4 << 20, timeout: float = 0.0
    ) -> list[tuple[int, bytes]]:
        check_partition(self.folder, partition, self.partitions)
        reader = self._readers.get(partition)
        if reader is None or reader.offset != offset:
            if reader:
                reader.close()
            reader = self._readers[partition] = _Reader(self._path(partition), offset)
        deadline, pause = time.monotonic() + timeout, 0.001
        while not (found := reader.read(most_bytes)):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return []
            time.sleep(min(pause, remaining))
            pause = min(2 * pause, 0.05)
        return found

    def first(self, partition: int) -> int:
        check_partition(self.folder, partition, self.partitions)
        segments = _segments(self._path(partition))
        return segments[0] if segments else 0

    def end(self, partition: int) -> int:
        check_partition(self.folder, partition, self.partitions)
        segments = _segments(self._path(partition))
        if not segments:
            return 0
        reader = self._ends.get(partition)
        if reader is None or reader.offset < segments[-1]:
            if reader:
                reader.close()
            reader = self._ends[partition] = _Reader(self._path(partition), segments[-1])
        reader.to_end()
        return reader.offset

    def retain(self) -> None:
        """Remove what retention no longer keeps, of the partitions that this instance writes."""
        for writer in self._writers.values():
            writer.retain()

    def reopen(self) -> SegmentStream:
        return SegmentStream(self.folder, **self._settings)

    def close(self) -> None:
        for each in (*self._writers.values(), *self._readers.values(), *self._ends.values()):
            each.close()
        self._writers, self._readers, self._ends = {}, {}, {}

    def description(self) -> dict:
        return {"stream": f"segments {self.id}"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _path(self, partition):
        return self.folder / f"partition-{partition}"


def _make(folder, about, schema, partitions):
    if schema is None or partitions is None or partitions < 1:
        raise ValueError(
            f"{folder}: no stream is there; to make one, give schema and partitions >= 1; "
            f"got schema = {schema}, partitions = {partitions}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two that make it at once, one does
        if about.exists():
            return
        for partition in range(partitions):
            (folder / f"partition-{partition}").mkdir(exist_ok=True)
        with replacing(folder / "schema.arrow") as temporary:
            schema.save(temporary)
        write_json(about, {"partitions": partitions, "id": uuid.uuid4().hex, "format": 1})


def _segments(path):
    """First offsets of the segments of a partition, ascending."""
    return sorted(int(file.stem) for file in path.glob("*.segment"))


def _file(path, first):
    return path / f"{first:020}.segment"


def _frame(offset, payload):
    header = HEADER.pack(MAGIC, offset, len(payload), zlib.crc32(payload), 0)
    return header[:-4] + UNSIGNED.pack(zlib.crc32(header[:-4])), payload


def _header(content, place):
    """(offset, length, crc32 of the payload) of a header at `place` of bytes, None for none."""
    if content[place : place + 4] != MAGIC or place + HEADER.size > len(content):
        return None
    _, offset, length, crc, own = HEADER.unpack_from(content, place)
    sound = zlib.crc32(content[place : place + HEADER.size - 4]) == own
    return (offset, length, crc) if sound else None


def _end_of_sound(content, place, expected):
    """Where the frame at `place` ends, if it is whole and of the offset `expected`; or None."""
    header = _header(content, place)
    if header is None or header[0] != expected:
        return None
    begin, end = place + HEADER.size, place + HEADER.size + header[1]
    whole = end <= len(content) and zlib.crc32(memoryview(content)[begin:end]) == header[2]
    return end if whole else None


def _damaged(content, expected, following):
    """(frames, bytes they take) where no sound frame begins; [] where it may yet be written.

    What lies before the next sound frame is handed out as it is, an offset for an offset.

    Args:
      content: the rest of a segment.
      expected: the offset that is due.
      following: the first offset of the next segment; None: this one is still written.
    """
    place, follower = len(content), following
    found = content.find(MAGIC)
    while found >= 0:
        header = _header(content, found)
        if header and header[0] > expected and _end_of_sound(content, found, header[0]):
            place, follower = found, header[0]
            break
        found = content.find(MAGIC, found + 1)
    if follower is None:
        return [], 0
    garbage = content[:place]
    header = _header(content, 0)
    if header and header[0] == expected:
        garbage = garbage[HEADER.size :]
    return [
        (offset, garbage if offset == expected else b"") for offset in range(expected, follower)
    ], place


class _Writer:
    """The one writer of a partition."""

    def __init__(self, path, segment_bytes, fsync_seconds, retention_bytes, retention_seconds):
        self.path, self.segment_bytes, self.fsync_seconds = path, segment_bytes, fsync_seconds
        self.retention_bytes, self.retention_seconds = retention_bytes, retention_seconds
        path.mkdir(parents=True, exist_ok=True)
        self._lock = open(path / "lock", "ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise StreamError(f"{path}: another writer has this partition") from None
        self._synced, self._dirty = time.monotonic(), False
        segments = _segments(path)
        self._open(segments[-1] if segments else 0)
        self._cut_torn_tail()

    def _open(self, first):
        file = _file(self.path, first)
        new = not file.exists()
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.offset, self.size, self.begun = first, os.fstat(self._descriptor).st_size, first
        if new:
            folder = os.open(self.path, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def _cut_torn_tail(self):
        content = _file(self.path, self.begun).read_bytes()
        place = 0
        while place < len(content):
            if end := _end_of_sound(content, place, self.offset):
                place, self.offset = end, self.offset + 1
                continue
            bad, taken = _damaged(content[place:], self.offset, None)
            if not bad:
                break
            place, self.offset = place + taken, bad[-1][0] + 1
        if place < self.size:
            os.ftruncate(self._descriptor, place)
            os.fsync(self._descriptor)
            self.size = place

    def append(self, payloads):
        if self.size >= self.segment_bytes:
            self._roll()
        parts = [
            part
            for number, payload in enumerate(payloads)
            for part in _frame(self.offset + number, payload)
        ]
        content = b"".join(parts)
        try:
            written = 0
            while written < len(content):
                written += os.write(self._descriptor, memoryview(content)[written:])
        except OSError as error:
            # Nothing of it stays: the partition ends with its last whole record.
            os.ftruncate(self._descriptor, self.size)
            raise StreamError(
                error.errno,
                f"{self.path}: cannot append: {error.strerror}; all records before offset "
                f"{self.offset} are kept and can be read; make room and append again",
            ) from None
        self.size += len(content)
        self.offset += len(payloads)
        self._dirty = True
        since = time.monotonic() - self._synced
        if self.fsync_seconds is not None and since >= self.fsync_seconds:
            self.sync()

    def sync(self):
        if self._dirty and self.fsync_seconds is not None:
            os.fdatasync(self._descriptor)
            self._dirty = False
        self._synced = time.monotonic()

    def _roll(self):
        self.sync()
        os.close(self._descriptor)
        self._open(self.offset)
        self.retain()

    def retain(self):
        old = _segments(self.path)[:-1]
        about = [os.stat(_file(self.path, first)) for first in old]
        kept = sum(stat.st_size for stat in about) + self.size
        for first, stat in zip(old, about, strict=True):
            many = self.retention_bytes is not None and kept > self.retention_bytes
            aged = (
                self.retention_seconds is not None
                and time.time() - stat.st_mtime > self.retention_seconds
            )
            if not (many or aged):
                break
            _file(self.path, first).unlink()
            kept -= stat.st_size

    def close(self):
        self.sync()
        os.close(self._descriptor)
        self._lock.close()


class _Reader:
    """A place in a partition: the next offset, and where its frame begins."""

    def __init__(self, path, offset):
        self.path, self.offset = path, offset
        self._descriptor, self._segment, self._place = None, None, 0
        self._sought = False

    def read(self, most_bytes):
        """(offset, payload) from here on, up to about most_bytes; [] where there is nothing."""
        if not self._sought and not self._seek():
            return []
        while True:
            # Looked for first: a segment that has a follower is not written any more.
            following = self._following()
            found = self._take(most_bytes, following)
            if found or following is None:
                return found
            self._open(following)

    def _take(self, most_bytes, following):
        remaining = os.fstat(self._descriptor).st_size - self._place
        content = os.pread(
            self._descriptor, min(max(most_bytes, HEADER.size), remaining), self._place
        )
        header = _header(content, 0)
        if header and HEADER.size + header[1] > len(content):
            size = min(HEADER.size + header[1], remaining)
            content = os.pread(self._descriptor, size, self._place)
        found, place, expected = [], 0, self.offset
        while end := _end_of_sound(content, place, expected):
            found.append((expected, content[place + HEADER.size : end]))
            place, expected = end, expected + 1
        if not found and (remaining or following is not None):
            content = os.pread(self._descriptor, remaining, self._place)
            found, place = _damaged(content, expected, following)
            expected += len(found)
        self._place, self.offset = self._place + place, expected
        return found

    def to_end(self):
        """Pass over all whole records; only their headers are read."""
        if not self._sought and not self._seek():
            return
        while True:
            header = self._header_at(self._place)
            while header and header[0] == self.offset:
                end = self._place + HEADER.size + header[1]
                header = self._header_at(end)
                if header and header[0] == self.offset + 1:
                    self._place, self.offset = end, self.offset + 1
            # The last may be torn, or bytes bad: `read` looks at the checksums.
            if not self.read(1):
                return

    def _header_at(self, place):
        return _header(os.pread(self._descriptor, HEADER.size, place), 0)

    def _seek(self):
        segments = _segments(self.path)
        if not segments:
            if self.offset:
                raise self._gone(0)
            return False
        if self.offset < segments[0]:
            raise self._gone(segments[0])
        wanted = self.offset
        self._open(segments[bisect.bisect_right(segments, wanted) - 1])
        self._sought = True
        self.offset = self._segment
        while self.offset < wanted:
            header = self._header_at(self._place)
            if header and header[0] == self.offset:
                self.offset, self._place = (self.offset + 1, self._place + HEADER.size + header[1])
            elif not self.read(1):
                raise StreamError(
                    f"{self.path}: offset {wanted} is not written yet; the partition ends "
                    f"before offset {self.offset}"
                )
        self.offset = wanted
        return True

    def _gone(self, first):
        return StreamError(
            f"{self.path}: offset {self.offset} is not kept any more (retention); the first that "
            f"is, is {first}"
        )

    def _open(self, first):
        try:
            descriptor = os.open(_file(self.path, first), os.O_RDONLY)
        except FileNotFoundError:  # retention came between
            segments = _segments(self.path)
            raise self._gone(segments[0] if segments else 0) from None
        self.close()
        self._descriptor, self._segment, self._place = descriptor, first, 0

    def _following(self):
        """First offset of the segment behind the open one, None at the newest."""
        return min((first for first in _segments(self.path) if first > self._segment), default=None)

    def close(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
