"""Small records, streams of them in memory, and a slow reading of a stream to compare with."""

import numpy as np
import pyarrow as pa

from lib.logs.features import Features
from lib.online.stream import records
from lib.online.stream.records import RecordSchema
from lib.online.stream.streams import StreamError

FEATURES = Features(
    features=[
        {"name": "user", "side": "user", "kind": "sparse", "buckets": 97},
        {"name": "ad", "side": "ad", "kind": "sparse", "buckets": 11},
        {"name": "bid", "side": "ad", "kind": "statistical"},
    ]
)
SECOND = 1_000_000


def table_of(impressions, ads=2):
    """Rows of a log; impressions: pairs of id and time in seconds."""
    ids = np.repeat([i for i, _ in impressions], ads)
    times = np.repeat([round(t * SECOND) for _, t in impressions], ads)
    return pa.table(
        {
            "impression_id": pa.array(ids, pa.int64()),
            "timestamp": pa.array(times, pa.int64()).cast(records.MICROSECONDS),
            "v": pa.array(np.tile(np.arange(ads), len(impressions)), pa.float32()),
            "ecpm": pa.array(np.ones(len(ids)), pa.float32()),
            "user": pa.array(ids % 5, pa.int32()),
            "ad": pa.array(np.arange(len(ids)), pa.int32()),
            "bid": pa.array(ids / 8, pa.float32()),
        }
    )


SCHEMA = RecordSchema.of(table_of([(0, 0)]).schema, FEATURES)


def record(*impressions, sequence=-1, producer="p", written=10**15):
    """A record of pairs (id, seconds); one that counts where it has a sequence."""
    # One by one: of two neighbours with one id, `nested` would make one.
    batches = [SCHEMA.nested(table_of([impression])) for impression in impressions]
    return records.encode(
        SCHEMA,
        pa.concat_batches(batches),
        producer=producer if sequence >= 0 else "",
        sequence=sequence,
        written=written,
    )


def mark(seconds):
    return records.mark(SCHEMA, round(seconds * SECOND), written=10**15)


END = records.mark(SCHEMA, records.END)


class ListStream:
    """A stream in memory that hands out `chunk` records at a time, each in its own chunk size."""

    def __init__(self, *partitions, chunk=3):
        self.payloads = [list(partition) for partition in partitions]
        self.partitions, self.schema, self.chunk = len(partitions), SCHEMA, chunk
        self.reads = 0

    def append(self, partition, payloads):
        self.payloads[partition] += payloads

    def flush(self):
        pass

    def read(self, partition, offset, *, most_bytes=0, timeout=0.0):
        self.reads += 1
        content = self.payloads[partition]
        if offset > len(content):
            raise StreamError(f"offset {offset} is not written yet")
        stop = min(offset + self.chunk, len(content))
        return [(place, content[place]) for place in range(offset, stop)]

    def first(self, partition):
        return 0

    def end(self, partition):
        return len(self.payloads[partition])

    def reopen(self):
        return self

    def close(self):
        pass

    def description(self):
        return {"stream": "list"}


def slow_windows(partitions, window, lateness, horizon):
    """Window -> ids in order before the shuffle, and what was dropped; an impression at a time.

    partitions: lists of (sequence or None, [(id, seconds)]) or ("mark", seconds).
    """
    assigned, dropped = {}, {"late": [], "records": 0, "ids": []}
    for number, content in enumerate(partitions):
        clock, last = None, -1
        for place, (sequence, impressions) in enumerate(content):
            if sequence == "mark":
                clock = impressions if clock is None else max(clock, impressions)
                continue
            if sequence is not None:
                if sequence <= last:
                    dropped["records"] += 1
                    continue
                last = sequence
            arrival = None if clock is None else clock // window
            for position, (i, t) in enumerate(impressions):
                own = t // window
                if arrival is not None and t < arrival * window - lateness:
                    dropped["late"].append((number, place, position))
                    continue
                own = own if arrival is None else max(own, arrival)
                assigned.setdefault(own, []).append((number, place, position, i))
            for _, t in impressions:
                clock = t if clock is None else max(clock, t)
    result, seen = {}, {}
    for number in sorted(assigned):
        ids = [i for *_, i in sorted(assigned[number])]
        before = {i for w, each in seen.items() if number - horizon <= w < number for i in each}
        new = []
        for i in ids:
            if i in before or i in new:
                dropped["ids"].append(i)
            else:
                new.append(i)
        result[number], seen[number] = new, ids
    return result, dropped
