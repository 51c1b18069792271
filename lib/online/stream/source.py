"""A stream as a training's source: windows of event time, shuffled, cut into batches.

A window of the stream is complete when every partition's clock is behind it
(`lib.online.stream.partition`). Its impressions, partition after partition, are freed of repeats,
shuffled by the window's number and cut into full batches, whose rest goes with the next window.
Nothing of this depends on when records arrive, on how many are read together or on how often the
reader was killed.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import queue
import threading
from collections.abc import Iterator

import numpy as np

from lib.logs.impressions import Impressions, concatenate
from lib.online.stream.dead_letters import DeadLetters
from lib.online.stream.edge import Edge
from lib.online.stream.partition import BEFORE, Partition, Position
from lib.online.stream.records import END, RecordError, decode
from lib.online.stream.streams import Stream
from lib.training.source import Offset

POLL_SECONDS = 0.1  # a reader that waits looks so often whether it was told to end


@dataclasses.dataclass(frozen=True)
class Lag:
    """How far a reader is behind its stream.

    records  that are in the stream and not yet in a batch that was handed out
    seconds  of event time between the last complete window and the newest record
    """

    records: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class _Window:
    """A complete window.

    number       of it, from 1970; END: what came behind the last one
    impressions  shuffled, None where there are none
    start        from which a reader begins that is to go on within this window
    before       counts up to it; counts: with it
    behind       offset of each partition's first record that matters to later windows
    """

    number: int
    impressions: Impressions | None
    start: dict
    before: dict
    counts: dict
    behind: list[int]


class StreamSource:
    """A `BatchSource` over a stream, endless or up to `stop`.

    Repeats: a record whose number its producer has passed in the partition is dropped; so is an
    impression whose id stands in the same window or in one of the last `horizon_seconds`.

    Args:
      stream: a `Stream`.
      dead_letters: path of the file for what cannot be used.
      ads: every list is padded to this many; longer ones are dead letters.
      batch_impressions: impressions a batch.
      window_seconds: of a window; impressions are shuffled within.
      allowed_lateness_seconds: see `lib.online.stream.partition`.
      horizon_seconds: how far back ids are remembered. A restart reads as much again, so that the
        stream's retention is to be longer.
      ahead_seconds: an impression so much later than its record was written is a dead letter:
        one wrong clock would make all that follows late.
      seed: of the shuffle.
      stop: datetime64 (UTC), to end before the window of that time; or an offset, to end at; None:
        until the stream's own end.
      prefetch_windows: windows that are read ahead of the training, in a thread; 0: none.
      most_bytes: of a partition that are read and decoded together.

    Attributes:
      counts: of what was handed out so far and of all on the way to it: impressions, records, and
        what was late, repeated, out of order or dead, by reason.
      offset: behind the last batch that was handed out.

    Raises: ValueError for a value out of its range.
    """

    steps = None

    def __init__(
        self,
        stream: Stream,
        dead_letters,
        *,
        ads: int,
        batch_impressions: int = 256,
        window_seconds: float = 60.0,
        allowed_lateness_seconds: float = 60.0,
        horizon_seconds: float = 600.0,
        ahead_seconds: float = 3600.0,
        seed: int = 0,
        stop: np.datetime64 | Offset | None = None,
        prefetch_windows: int = 2,
        most_bytes: int = 4 << 20,
    ):
        for name, value, least in [
            ("ads", ads, 1),
            ("batch_impressions", batch_impressions, 1),
            ("window_seconds", window_seconds, 1e-6),
            ("allowed_lateness_seconds", allowed_lateness_seconds, 0),
            ("horizon_seconds", horizon_seconds, 0),
            ("ahead_seconds", ahead_seconds, 0),
            ("prefetch_windows", prefetch_windows, 0),
            ("most_bytes", most_bytes, 1),
        ]:
            if not value >= least:
                raise ValueError(f"StreamSource: {name} must be >= {least}; got {value}")
        self.stream, self.dead_letters = stream, dead_letters
        self.ads, self.batch_impressions, self.full_batch = (
            ads,
            batch_impressions,
            batch_impressions,
        )
        self.window_seconds = window_seconds
        self.allowed_lateness_seconds = allowed_lateness_seconds
        self.horizon_seconds, self.ahead_seconds = horizon_seconds, ahead_seconds
        self.seed, self.stop = seed, stop
        self.prefetch_windows, self.most_bytes = prefetch_windows, most_bytes
        self._window = round(window_seconds * 1e6)
        self._horizon = -(-round(horizon_seconds * 1e6) // self._window)
        self.counts: collections.Counter[str] = collections.Counter()
        self.offset: Offset | None = None
        self._last: _Window | None = None
        self._monitor: Stream | None = None

    def description(self) -> dict:
        names = (
            "ads",
            "batch_impressions",
            "window_seconds",
            "allowed_lateness_seconds",
            "horizon_seconds",
            "ahead_seconds",
            "seed",
        )
        return {
            **self.stream.description(),
            "partitions": self.stream.partitions,
            "schema": self.stream.schema.fingerprint.hex(),
            **{name: getattr(self, name) for name in names},
        }

    def batches(self, offset: Offset | None = None) -> Iterator[tuple[Impressions, Offset]]:
        """As `BatchSource.batches`; one iterator of a source at a time."""
        carried: collections.deque = collections.deque()  # (window, impressions of it, taken)
        waiting, ended = 0, False
        with contextlib.closing(self._ahead(offset)) as windows:
            while not ended:
                window = next(windows, None)
                ended = window is None or window.number == END
                if window:
                    first, last, stopped = self._stretch(window, offset)
                    ended = ended or stopped
                    carried.append((window, first, last))
                    waiting += last - first
                while waiting >= self.batch_impressions or (ended and waiting):
                    count = min(self.batch_impressions, waiting)
                    waiting -= count
                    yield self._cut(carried, count)
            if window and window.number == END:
                self._note(window)

    def _stretch(self, window, offset):
        """Of a window's impressions: first and last of those to hand out; whether it ends there."""
        size = len(window.impressions) if window.impressions else 0
        first = offset["taken"] if offset and offset["window"] == window.number else 0
        if not isinstance(self.stop, dict) or window.number < self.stop["window"]:
            return first, size, False
        last = self.stop["taken"] if window.number == self.stop["window"] else 0
        return first, max(first, last), True

    def _cut(self, carried, count):
        """A batch of the next `count` impressions, and the offset behind it."""
        parts = []
        while count:
            window, first, last = carried.popleft()
            taken = min(last, first + count)
            if taken > first:
                parts.append(window.impressions.take(slice(first, taken)))
            if taken < last:
                carried.appendleft((window, taken, last))
            count -= taken - first
        self._note(window)
        self.offset = {
            "window": window.number,
            "taken": taken,
            "counts": window.before,
            "start": window.start,
        }
        return concatenate(parts) if len(parts) > 1 else parts[0], self.offset

    def _note(self, window):
        self.counts, self._last = collections.Counter(window.counts), window

    def lag(self) -> Lag:
        """How far what was handed out is behind the stream; NaN seconds before the first batch."""
        self._monitor = self._monitor or self.stream.reopen()
        partitions = range(self.stream.partitions)
        ends = [self._monitor.end(p) for p in partitions]
        last = self._last
        behind = last.behind if last else [self._monitor.first(p) for p in partitions]
        records = sum(max(end - offset, 0) for end, offset in zip(ends, behind, strict=True))
        if last is None or last.number == END:
            return Lag(records, np.nan if last is None else 0.0)
        complete = (last.number + 1) * self._window
        newest = max([self._newest(p, end) for p, end in enumerate(ends)] + [complete])
        return Lag(records, (newest - complete) / 1e6)

    def _newest(self, partition, end):
        """Time of the last record of a partition, BEFORE where it says none."""
        if end <= self._monitor.first(partition):
            return BEFORE
        for _, payload in self._monitor.read(partition, end - 1, timeout=1.0)[:1]:
            with contextlib.suppress(RecordError):
                last = decode(self.stream.schema, payload).last
                return last if last != END else BEFORE
        return BEFORE

    def _ahead(self, offset):
        """The windows, read ahead by a thread."""
        ended = threading.Event()
        if not self.prefetch_windows:
            yield from self._windows(offset, ended)
            return
        ready: queue.Queue = queue.Queue(self.prefetch_windows)

        def put(item):
            while not ended.is_set():
                with contextlib.suppress(queue.Full):
                    return ready.put(item, timeout=POLL_SECONDS)

        def work():
            try:
                for window in self._windows(offset, ended):
                    put((window, None))
                put((None, None))
            except BaseException as error:  # handed to the reader, who raises it
                put((None, error))

        thread = threading.Thread(target=work, name="stream windows", daemon=True)
        thread.start()
        try:
            while (item := ready.get())[0] is not None:
                yield item[0]
            if item[1] is not None:
                raise item[1]
        finally:
            ended.set()
            thread.join()

    def _windows(self, offset, ended) -> Iterator[_Window]:
        """Complete windows with the offset's one first; `ended` is set when nobody needs more."""
        streams = range(self.stream.partitions)
        start = offset["start"] if offset else None
        if start is None:
            position = [Position(self.stream.first(p), BEFORE, {}) for p in streams]
            start = {"behind": None, "partitions": [each.plain() for each in position]}
        counts = collections.Counter(offset["counts"] if offset else {})
        target = offset["window"] if offset else BEFORE
        behind = start["behind"]  # number of the last window before
        starts: collections.deque = collections.deque()  # of the horizon: (number, start, ids)
        with DeadLetters(self.dead_letters) as letters:
            partitions = [
                Partition(
                    self.stream,
                    number,
                    Position(**position),
                    edge=Edge(self.stream.schema, self.ads, self.ahead_seconds),
                    dead_letters=letters,
                    window=self._window,
                    lateness=round(self.allowed_lateness_seconds * 1e6),
                    earliest=BEFORE if behind is None else behind + 1,
                )
                for number, position in enumerate(start["partitions"])
            ]
            while (number := self._complete(partitions, ended)) is not None:
                if behind is not None:
                    places = [partition.position(behind + 1).plain() for partition in partitions]
                    start = {"behind": behind, "partitions": places}
                behind = number
                while starts and starts[0][0] < number - self._horizon:
                    starts.popleft()
                parts = [part for each in partitions for part in each.pending.pop(number, [])]
                ids = np.concatenate([part.impression_id for part in parts])
                starts.append((number, start, ids))
                new = _first_seen([ids for *_, ids in starts])
                arrived = _counts(partitions, number)
                arrived["repeated impressions"] += len(ids) - len(new)
                arrived["impressions"] += len(new)
                if number < target:
                    continue
                before, counts = counts, counts + arrived
                shuffle = np.random.default_rng([self.seed, number % 2**63])
                letters.flush()
                yield _Window(
                    number,
                    _ordered(parts, shuffle.permutation(new)),
                    starts[0][1],
                    dict(before),
                    dict(counts),
                    [partition.behind(number) for partition in partitions],
                )
            if all(partition.clock == END for partition in partitions):
                counts = counts + _counts(partitions, END)
                letters.flush()
                places = [partition.read_to for partition in partitions]
                yield _Window(END, None, start, {}, dict(counts), places)

    def _complete(self, partitions, ended) -> int | None:
        """Number of the next window that holds impressions, once it is complete; None: no more."""
        stop = END
        if self.stop is not None and not isinstance(self.stop, dict):
            stop = int(np.datetime64(self.stop, "us").astype(np.int64)) // self._window
        while not ended.is_set():
            number = min((w for each in partitions for w in each.pending), default=stop)
            number = min(number, stop)
            end = END if number == END else (number + (number < stop)) * self._window
            behind = [partition for partition in partitions if partition.clock < end]
            if not behind:
                return number if number < stop else None
            for partition in behind:
                partition.fetch(self.most_bytes, POLL_SECONDS)
        return None


def _first_seen(ids):
    """Places in the last of some arrays of ids of those that stand there first, ascending."""
    last = ids[-1]
    _, first = np.unique(last, return_index=True)
    first.sort()
    if len(ids) == 1:
        return first
    return first[~np.isin(last[first], np.concatenate(ids[:-1]))]


def _ordered(parts, order) -> Impressions:
    """concatenate(parts).take(order), where no place stands twice in `order`; one copy less."""
    ends = np.cumsum([len(part) for part in parts])
    places = np.full(ends[-1], len(order))
    places[order] = np.arange(len(order))
    places = np.split(places, ends[:-1])

    def ordered(values):
        # What is in no place of the order goes behind its end.
        result = np.empty((len(order) + 1, *values[0].shape[1:]), values[0].dtype)
        for place, value in zip(places, values, strict=True):
            result[place] = value
        return result[:-1]

    def both(values):
        if isinstance(values[0], dict):
            return {name: ordered([value[name] for value in values]) for name in values[0]}
        return ordered(values)

    names = [field.name for field in dataclasses.fields(Impressions)]
    return Impressions(*(both([getattr(part, name) for part in parts]) for name in names))


def _counts(partitions, number):
    """What arrived up to a window and was not counted yet."""
    total: collections.Counter = collections.Counter()
    for partition in partitions:
        for window in [window for window in partition.counts if window <= number]:
            total += partition.counts.pop(window)
    return total
