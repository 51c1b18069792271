"""One partition as a reader of event time sees it: which window each impression belongs to.

All follows from the partition's content alone. Its clock, at a record, is the latest timestamp of
the usable impressions and marks before it. A record arrives in the window of that clock. An
impression of an earlier window joins the window its record arrives in if it is at most the allowed
lateness too late for that, and is a dead letter otherwise.
"""

from __future__ import annotations

import collections
import dataclasses

import numpy as np

from lib.logs.impressions import Impressions
from lib.online.stream.dead_letters import DeadLetters
from lib.online.stream.edge import Edge
from lib.online.stream.records import END, MARK, RecordError, batch_of, decode, encode
from lib.online.stream.streams import Stream

BEFORE = np.iinfo(np.int64).min  # of all times and windows


@dataclasses.dataclass
class Position:
    """A place between two records of a partition.

    Attributes:
      offset: of the record behind it.
      clock: microseconds; BEFORE where no impression and no mark came yet.
      sequences: producer -> its last record's number.
    """

    offset: int
    clock: int
    sequences: dict[str, int]

    def plain(self) -> dict:
        """As JSON holds it."""
        return dataclasses.asdict(self) | {"sequences": dict(self.sequences)}


@dataclasses.dataclass(frozen=True)
class _Behind:
    """A record that was read: the position behind it, and the last window that it matters to."""

    offset: int
    clock: int
    producer: str
    sequence: int
    window: int


class Partition:
    """Reads a partition on from a position and sorts its impressions into windows.

    Args:
      stream, number: the partition.
      position: where to begin.
      edge, dead_letters: what is checked, and where goes what fails.
      window, lateness: microseconds.
      earliest: impressions of windows before this number were dealt with already.

    Attributes:
      pending: window -> list of Impressions, in the partition's order.
      counts: window -> Counter, of what arrived in it.
      read_to: the next offset to read; clock: behind the last record that was read.
    """

    def __init__(
        self,
        stream: Stream,
        number: int,
        position: Position,
        *,
        edge: Edge,
        dead_letters: DeadLetters,
        window: int,
        lateness: int,
        earliest: int = BEFORE,
    ):
        self.stream, self.number = stream, number
        self.edge, self.dead_letters = edge, dead_letters
        self.window, self.lateness, self.earliest = window, lateness, earliest
        self.base = dataclasses.replace(position, sequences=dict(position.sequences))
        self.read_to, self.clock = position.offset, position.clock
        self._sequences = dict(position.sequences)
        self._behind: collections.deque[_Behind] = collections.deque()
        self.pending: dict[int, list[Impressions]] = collections.defaultdict(list)
        self.counts: dict[int, collections.Counter] = collections.defaultdict(collections.Counter)

    def fetch(self, most_bytes: int, timeout: float) -> bool:
        """Read some records, decoded together; whether there were any within `timeout`."""
        found = self.stream.read(self.number, self.read_to, most_bytes=most_bytes, timeout=timeout)
        if not found:
            return False
        self._add(found)
        self.read_to = found[-1][0] + 1
        return True

    def position(self, window: int) -> Position:
        """From which all of window number `window` and of later ones is read again."""
        while self._behind and self._behind[0].window < window:
            record = self._behind.popleft()
            self.base.offset, self.base.clock = record.offset + 1, record.clock
            if record.producer:
                self.base.sequences[record.producer] = record.sequence
        return dataclasses.replace(self.base, sequences=dict(self.base.sequences))

    def behind(self, window: int) -> int:
        """Offset of the first record that matters to windows after number `window`."""
        later = (record.offset for record in self._behind if record.window > window)
        return next(later, self.read_to)

    def _add(self, found):
        taken = self._decoded(found)
        impressions, owner, times = taken.impressions, taken.owner, taken.times
        # The clock behind each record, and before it: the window that it arrives in.
        np.maximum.at(taken.latest, owner, times)
        behind = np.maximum.accumulate(np.maximum(taken.latest, self.clock))
        before = np.concatenate([[self.clock], behind[:-1]])
        arrival = np.where(before == BEFORE, BEFORE, before // self.window)
        begin = np.where(before == BEFORE, BEFORE + self.lateness, arrival * self.window)[owner]
        own = times // self.window
        dead = times < begin - self.lateness
        for i in np.flatnonzero(dead):
            self._too_late(found, taken, i)
        window = np.maximum(own, arrival[owner])
        moved = ~dead & (own < window)
        disordered = ~dead & ~moved & (times < _highest_before(times, before[owner]))
        for name, which in (("late", moved), ("out of order", disordered), ("dead late", dead)):
            for number, count in zip(*np.unique(owner[which], return_counts=True), strict=True):
                taken.counts[number][f"{name} impressions"] += int(count)
        for number, (offset, _) in enumerate(found):
            matters = window[(owner == number) & ~dead].max(initial=arrival[number])
            producer, sequence = taken.numbered[number]
            self._behind.append(
                _Behind(offset, int(behind[number]), producer, sequence, int(matters))
            )
            if arrival[number] >= self.earliest:
                self.counts[int(arrival[number])] += taken.counts[number]
        self.clock = int(behind[-1])
        for value in np.unique(window[~dead]):
            if value >= self.earliest:
                which = np.flatnonzero((window == value) & ~dead)
                if which[-1] - which[0] == len(which) - 1:  # as a rule: then nothing is copied
                    which = slice(which[0], which[-1] + 1)
                self.pending[int(value)].append(impressions.take(which))

    def _decoded(self, found):
        taken = _Taken(len(found))
        batches, owners = [], []
        for number, (offset, payload) in enumerate(found):
            try:
                taken.counts[number]["records"] += 1
                record = decode(self.edge.schema, payload)
                if record.kind == MARK:
                    taken.latest[number] = self._mark(record)
                elif self._repeated(record):
                    taken.counts[number]["repeated records"] += 1
                else:
                    batches.append(batch_of(self.edge.schema, record))
                    owners.append(number)
                    taken.written[number] = record.written
                    if record.producer:
                        self._sequences[record.producer] = record.sequence
                        taken.numbered[number] = record.producer, record.sequence
            except RecordError as error:
                reason, detail = error.reason, str(error)
                self.dead_letters.put(self.number, offset, None, reason, detail, payload)
                taken.counts[number][f"dead {reason} records"] += 1

        def set_aside(batch, place, reason, detail, row):
            self._set_aside(found, taken, owners[batch], place, reason, detail, row)
            taken.counts[owners[batch]][f"dead {reason} impressions"] += 1

        if batches:
            written = [taken.written[number] for number in owners]
            impressions, owner, taken.place = self.edge.impressions(batches, written, set_aside)
            taken.owner = np.array(owners)[owner]
            taken.batches = dict(zip(owners, batches, strict=True))
            if impressions is not None:
                taken.impressions = impressions
                taken.times = impressions.timestamp.astype(np.int64)
        return taken

    def _mark(self, record):
        if record.last != END and record.last > record.written + self.edge.ahead:
            raise RecordError("ahead", f"a mark of {record.last}, written at {record.written}")
        return record.last

    def _repeated(self, record):
        return bool(record.producer) and (
            record.sequence <= self._sequences.get(record.producer, -1)
        )

    def _too_late(self, found, taken, i):
        number, place = int(taken.owner[i]), int(taken.place[i])
        detail = (
            f"column 'timestamp': found {taken.impressions.timestamp[i]}, expected no earlier than "
            f"{self.lateness / 1e6:g} s before the window that the record arrives in"
        )
        row = taken.batches[number].slice(place, 1)
        self._set_aside(found, taken, number, place, "late", detail, row)

    def _set_aside(self, found, taken, number, place, reason, detail, row):
        raw = encode(self.edge.schema, row, written=taken.written[number])
        self.dead_letters.put(self.number, found[number][0], place, reason, detail, raw)


class _Taken:
    """Some records, decoded: of each record, and of each impression in them that can be used."""

    def __init__(self, count):
        self.latest = np.full(count, BEFORE)  # of each record's mark or impressions
        self.counts = [collections.Counter() for _ in range(count)]
        self.written = [0] * count
        self.numbered = [("", -1)] * count  # producer, sequence
        self.batches = {}
        self.impressions = None
        self.owner = self.place = self.times = np.zeros(0, int)


def _highest_before(times, clock):
    """The latest time before each impression: of the clock, or of one before it here."""
    earlier = np.concatenate([[BEFORE], np.maximum.accumulate(times)[:-1]])
    return np.maximum(clock, earlier[: len(times)])
