"""Those who write impressions to a stream: a running simulated system, or a log replayed.

Record number k holds impressions k n to (k + 1) n - 1 of what is written and goes to partition
k mod P; the number stands in the record, so that a producer that was killed finds in the stream
itself where it is to go on, and readers know what they had before. A partition that has no record
for some time gets a mark of it, so that no window waits for it.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa

from lib.logs.features import Features
from lib.logs.log_files import LogFiles, timestamps
from lib.online.stream.records import (
    END,
    MARK,
    Record,
    RecordError,
    RecordSchema,
    decode,
    encode,
    mark,
)
from lib.online.stream.streams import Stream
from lib.simulation.cascade import System
from lib.simulation.logs import START, sample_logs

FLUSH_SECONDS = 0.5  # what is appended becomes safe and visible at least so often


class Producer:
    """Writes tables of impressions as numbered records, each once, whatever ended it before.

    Args:
      stream: a `Stream`.
      name: of the producer; another begins at number 0 again.
      mark_seconds: of event time between the marks that the other partitions get.
      compression: as in `lib.online.stream.records.encode`.

    Attributes:
      next_record: the number that `write` gives next. After a restart it is that of the first
        record that is missing in a partition.
      finished: whether the stream says that nothing comes any more.
      records, impressions: written by this instance.
    """

    def __init__(
        self,
        stream: Stream,
        name: str,
        *,
        mark_seconds: float = 10.0,
        compression: str | None = None,
    ):
        if not name or not mark_seconds > 0:
            raise ValueError(
                "Producer: name must not be empty and mark_seconds must be > 0; "
                f"got name = {name!r}, mark_seconds = {mark_seconds}"
            )
        self.stream, self.name, self.compression = stream, name, compression
        self.mark_microseconds = round(mark_seconds * 1e6)
        tails = [_tail(stream, partition, name) for partition in range(stream.partitions)]
        self._last = [
            partition - stream.partitions if sequence is None else sequence
            for partition, (sequence, _) in enumerate(tails)
        ]
        self.next_record = min(self._last) + stream.partitions
        self.finished = all(ended for _, ended in tails)
        self.records = self.impressions = 0
        self._marked = None
        self._flushed = time.monotonic()

    def write(self, table: pa.Table) -> int:
        """Append whole impressions, rows of a log in time order, as the next record.

        Returns: the time of the last, microseconds.
        Raises: StreamError where the stream cannot take them: write the same table again.
        """
        batch = self.stream.schema.nested(table)
        number = self.next_record
        partition = number % self.stream.partitions
        last = int(np.max(batch.column("timestamp").cast(pa.int64()).to_numpy()))
        # After a restart some partitions may have more than the one that decides where to go on.
        if number > self._last[partition]:
            record = encode(
                self.stream.schema,
                batch,
                producer=self.name,
                sequence=number,
                compression=self.compression,
            )
            self.stream.append(partition, [record])
            self._last[partition] = number
            self.records += 1
            self.impressions += batch.num_rows
        if self._marked != (period := last // self.mark_microseconds):
            self.mark(last, but=partition)
            self._marked = period
        self.next_record = number + 1
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()
        return last

    def mark(self, moment: int, *, but: int | None = None) -> None:
        """Say that nothing earlier than `moment`, in microseconds, follows in any partition."""
        record = mark(self.stream.schema, moment, producer=self.name)
        for partition in range(self.stream.partitions):
            if partition != but:
                self.stream.append(partition, [record])

    def flush(self) -> None:
        self.stream.flush()
        self._flushed = time.monotonic()

    def finish(self) -> None:
        """Say that nothing comes any more: readers end, windows that wait are complete."""
        self.mark(END)
        self.flush()
        self.finished = True


@dataclasses.dataclass(frozen=True)
class Produced:
    """What a producer wrote in one call.

    records, impressions, seconds
    next_record  where another call goes on
    """

    records: int
    impressions: int
    seconds: float
    next_record: int


def replay(
    stream: Stream,
    log,
    features: Features,
    *,
    extra=(),
    name: str = "replay",
    impressions_per_record: int = 256,
    speed: float | None = None,
    stop: int | None = None,
    finish: bool = True,
    mark_seconds: float = 10.0,
    compression: str | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> Produced:
    """Write a Parquet log to a stream, at its own timestamps' speed or at any other.

    Args:
      log, features, extra: as in `lib.logs.reader.stream`.
      name, mark_seconds, compression: as in `Producer`.
      impressions_per_record: n of the module's first sentence; the same after a restart.
      speed: seconds of the log in a second; 1: as it was; None: as fast as it goes.
      stop: impression to end before, a multiple of impressions_per_record; None: all.
      finish: whether nothing comes behind the last one.
      ended: asked before each record; True ends the call.

    Raises: LogError for a malformed log.
    """
    files = LogFiles(log, features, extra)
    if stop is not None:
        check_multiple("replay", "stop", stop, impressions_per_record)

    def tables(first):
        for number, (_, table, _) in enumerate(files.blocks(impressions_per_record, stop)):
            if number >= first:
                yield table

    return _produce(
        Producer(stream, name, mark_seconds=mark_seconds, compression=compression),
        tables,
        speed,
        finish,
        ended,
    )


def expose(
    stream: Stream,
    system: System,
    *,
    seed: int,
    stop: int | None = None,
    name: str = "exposures",
    impressions_per_record: int = 256,
    impressions_per_second: float = 100.0,
    start: datetime.datetime = START,
    counts=None,
    speed: float | None = 1.0,
    finish: bool = False,
    mark_seconds: float = 10.0,
    compression: str | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> Produced:
    """Write what a simulated system exposes, as it happens.

    Args:
      system, seed, impressions_per_second, start, counts: as in `sample_logs`, whose impression 0
        is the stream's first.
      stop: impression to end before, a multiple of impressions_per_record; None: endless.
      others: as in `replay`. A system that changes with time is written by one call after the
        other under one name, each with a later `stop`.
    """
    if stop is not None:
        check_multiple("expose", "stop", stop, impressions_per_record)

    def tables(first):
        begin = first * impressions_per_record
        remaining = (10**15 if stop is None else stop) - begin
        if remaining > 0:
            yield from sample_logs(
                system,
                remaining,
                seed=seed,
                counts=counts,
                first_impression=begin,
                start=start,
                impressions_per_second=impressions_per_second,
                impressions_per_table=impressions_per_record,
            )

    return _produce(
        Producer(stream, name, mark_seconds=mark_seconds, compression=compression),
        tables,
        speed,
        finish,
        ended,
    )


def log_schema(features: Features, system: System) -> RecordSchema:
    """The schema of what `expose` writes."""
    log = next(sample_logs(system, 1, seed=0))
    return RecordSchema.of(log.schema, features)


def check_multiple(function, name, value, size):
    if value < 0 or value % size:
        raise ValueError(
            f"{function}: {name} must be a multiple of impressions_per_record = {size}; "
            f"got {name} = {value}"
        )


def _produce(producer, tables: Callable[[int], Iterable[pa.Table]], speed, finish, ended):
    if speed is not None and not speed > 0:
        raise ValueError(f"producer {producer.name!r}: speed must be > 0 or None; got {speed}")
    begun, origin = time.monotonic(), None
    whole = True
    if not producer.finished:
        for table in tables(producer.next_record):
            if speed is not None:
                times = timestamps(table).astype(np.int64)
                first, last = int(times[0]), int(times[-1])
                origin = first if origin is None else origin
                whole = _wait(begun + (last - origin) / 1e6 / speed, ended)
            if not whole or ended():
                whole = False
                break
            producer.write(table)
        producer.flush()
        if finish and whole:
            producer.finish()
    return Produced(
        producer.records, producer.impressions, time.monotonic() - begun, producer.next_record
    )


def _wait(moment, ended):
    """Sleep until a moment of the monotonic clock; False where `ended` said so before."""
    while (remaining := moment - time.monotonic()) > 0:
        if ended():
            return False
        time.sleep(min(remaining, 0.05))
    return True


def _tail(stream, partition, name) -> tuple[int | None, bool]:
    """Number of a producer's last record in a partition, and whether its end mark is there."""
    first, end = stream.first(partition), stream.end(partition)
    ended, size = False, 16
    begin = end
    while begin > first:
        begin = max(first, end - size)
        last = None
        for record in _records(stream, partition, begin, end):
            if record.producer == name:
                ended |= record.kind == MARK and record.last == END
                last = last if record.kind == MARK else record.sequence
        if last is not None:
            return last, ended
        size *= 8
    return None, ended


def _records(stream, partition, begin, end) -> Iterable[Record]:
    while begin < end:
        found = stream.read(partition, begin, timeout=10.0)
        if not found:
            raise TimeoutError(f"partition {partition}: no record from offset {begin} on in 10 s")
        for offset, payload in found:
            if offset < end:
                try:
                    yield decode(stream.schema, payload)
                except RecordError:
                    continue
        begin = found[-1][0] + 1
