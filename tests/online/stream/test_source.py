"""A stream as batches: by hand, by a slow reading, from any offset, whatever arrives when."""

import itertools
import json
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.logs import reader
from lib.logs.impressions import concatenate
from lib.online.stream import records
from lib.online.stream.producers import replay
from lib.online.stream.records import RecordSchema
from lib.online.stream.segments import SegmentStream
from lib.online.stream.source import StreamSource
from lib.training.source import BatchSource
from tests.online.stream import small_stream
from tests.online.stream.small_stream import END, ListStream, mark, record, slow_windows
from tests.small_log import FEATURES, assert_same, make_log


def make_source(stream, folder, **changes):
    options = {
        "ads": 3,
        "batch_impressions": 4,
        "window_seconds": 10,
        "allowed_lateness_seconds": 5,
        "horizon_seconds": 20,
        "prefetch_windows": 0,
    }
    return StreamSource(stream, folder / "dead.jsonl", **options | changes)


def ids_of(batches):
    return [batch.impression_id.tolist() for batch, _ in batches]


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


def letters(folder):
    return [json.loads(line) for line in (folder / "dead.jsonl").read_text().splitlines()]


def shuffled(ids, number, seed=0):
    order = np.random.default_rng([seed, number]).permutation(len(ids))
    return [ids[i] for i in order]


def test_windows_by_hand(tmp_path):
    """Windows of 10 s, up to 5 s late, ids remembered for 20 s."""
    first = [
        record((1, 1), (2, 8), sequence=0),
        record((3, 9), (4, 12), sequence=1),  # the first of the next window ends the first
        record((5, 7), (6, 4), sequence=2),  # 3 s late: joins; 6 s late: dead
        record((3, 9), (4, 12), sequence=1),  # a repeated record
        record((7, 19)),
        END,
    ]
    second = [
        record((11, 2)),
        mark(10),
        record((12, 15), (2, 16)),  # 2 stood in the window before: a repeat
        record((13, 41)),
        record((2, 42)),  # its horizon is over
        END,
    ]
    source = make_source(ListStream(first, second), tmp_path)
    got = list(source.batches())
    windows = [shuffled([1, 2, 3, 11], 0), shuffled([4, 5, 7, 12], 1), shuffled([13, 2], 4)]
    assert ids_of(got) == [windows[0], windows[1], windows[2]]
    assert source.counts == {
        "records": 12,
        "impressions": 10,
        "late impressions": 1,
        "dead late impressions": 1,
        "repeated records": 1,
        "repeated impressions": 1,
    }
    (letter,) = letters(tmp_path)
    assert [letter[name] for name in ("partition", "offset", "impression", "reason")] == [
        0,
        2,
        1,
        "late",
    ]
    assert got[0][0].mask.tolist() == [[True, True, False]] * 4


def test_the_rest_of_a_window_goes_with_the_next(tmp_path):
    content = [record(*[(i, i) for i in range(first, first + 7)]) for first in (0, 7, 14)]
    got = list(make_source(ListStream([*content, END]), tmp_path).batches())
    order = shuffled(list(range(10)), 0) + shuffled(list(range(10, 20)), 1) + [20]
    assert ids_of(got) == [order[i : i + 4] for i in range(0, 21, 4)]
    assert [(offset["window"], offset["taken"]) for _, offset in got] == [
        (0, 4),
        (0, 8),
        (1, 2),
        (1, 6),
        (1, 10),
        (2, 1),
    ]


# ---- any content, any kill, any chunks -------------------------------------


@st.composite
def contents(draw):
    """Two partitions of records in rough order, with repeats, marks and numbered records."""
    partitions, numbers = [], itertools.count()
    for _ in range(2):
        content, clock, sequence = [], 0, 0
        for _ in range(draw(st.integers(1, 8))):
            clock += draw(st.integers(0, 25))
            kind = draw(st.sampled_from(["record", "record", "numbered", "mark"]))
            if kind == "mark":
                content.append(("mark", clock))
                continue
            times = draw(st.lists(st.integers(-12, 12), min_size=1, max_size=5))
            ids = [
                draw(st.integers(0, 9)) * 1000 if draw(st.integers(0, 5)) == 0 else None
                for _ in times
            ]
            impressions = [
                (next(numbers) if i is None else i, max(clock + t, 0))
                for i, t in zip(ids, times, strict=True)
            ]
            if kind == "numbered":
                sequence += draw(st.integers(-1, 2))
                content.append((max(sequence, 0), impressions))
            else:
                content.append((None, impressions))
        partitions.append(content)
    return partitions


def payloads(content):
    for sequence, value in content:
        if sequence == "mark":
            yield mark(value)
        else:
            yield record(*value, sequence=-1 if sequence is None else sequence)
    yield END


@settings(max_examples=40, deadline=None)
@given(content=contents(), data=st.data())
def test_batches_are_those_of_a_slow_reading_from_any_offset(tmp_path_factory, content, data):
    folder = tmp_path_factory.mktemp("dead")
    stream = ListStream(*map(payloads, content), chunk=data.draw(st.integers(1, 6)))
    source = make_source(stream, folder)
    every = list(source.batches())
    windows, dropped = slow_windows(content, 10, 5, 2)
    order = [i for number, ids in windows.items() for i in shuffled(ids, number)]
    assert ids_of(every) == [order[i : i + 4] for i in range(0, len(order), 4)]
    counts = source.counts
    assert counts["impressions"] == len(order)
    assert counts["repeated records"] == dropped["records"]
    assert counts["repeated impressions"] == len(dropped["ids"])
    places = [(each["partition"], each["offset"], each["impression"]) for each in letters(folder)]
    assert sorted(places) == sorted(dropped["late"])
    assert len(set(places)) == counts["dead late impressions"]

    # Killed anywhere, another reader with other chunks goes on the same, down to the counts.
    if every:
        steps = data.draw(st.integers(1, len(every)))
        offset = json.loads(json.dumps(every[steps - 1][1]))
        stream.chunk = data.draw(st.integers(1, 6))
        again = make_source(stream, folder, prefetch_windows=data.draw(st.integers(0, 2)))
        rest = list(again.batches(offset))
        assert [end for _, end in rest] == [end for _, end in every[steps:]]
        for (batch, _), (expected, _) in zip(rest, every[steps:], strict=True):
            assert_same(batch, expected)
        assert again.counts == counts
        assert letters(folder) == letters(folder) and len(letters(folder)) == len(places)
        # And one that is told to stop there hands out what comes before.
        until = make_source(stream, folder, stop=offset)
        got = ids_of(until.batches())
        assert flat(got) == flat(ids_of(every[:steps]))


# ---- a log through the embedded stream -------------------------------------


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replayed")
    log = make_log(count=700)
    reader.write_logs(folder / "log.parquet", [log])
    stream = SegmentStream(folder / "stream", RecordSchema.of(log.schema, FEATURES), 3)
    replay(stream, folder / "log.parquet", FEATURES, impressions_per_record=16)
    yield folder, stream
    stream.close()


def test_a_replayed_log_is_what_a_reader_of_the_log_sees(replayed, tmp_path):
    folder, stream = replayed
    source = make_source(stream, tmp_path, ads=7, window_seconds=500, batch_impressions=32)
    got = concatenate([batch for batch, _ in source.batches()])
    want = reader.read(folder / "log.parquet", FEATURES)
    assert_same(got.take(np.argsort(got.impression_id)), want)
    assert (got.impression_id[:-1] > got.impression_id[1:]).any()  # shuffled
    within = got.timestamp.astype(np.int64) // 500_000_000
    assert (np.diff(within) >= 0).all()  # but only within a window
    assert source.counts == {"impressions": 700, "records": stream_records(stream)}
    assert source.lag().records == 0


def stream_records(stream):
    return sum(stream.end(partition) for partition in range(stream.partitions))


def test_it_is_a_source(replayed, tmp_path):
    _, stream = replayed
    source: BatchSource = make_source(stream, tmp_path, ads=7)
    assert source.steps is None and source.full_batch == 4 and source.ads == 7
    descriptions = {
        json.dumps(make_source(stream, tmp_path, **change).description())
        for change in ({}, {"seed": 1}, {"window_seconds": 20}, {"ads": 8}, {"horizon_seconds": 3})
    }
    assert len(descriptions) == 5
    assert make_source(
        stream, tmp_path, stop=np.datetime64("1970-01-02"), most_bytes=9
    ).description() == (make_source(stream, tmp_path).description())


def test_it_stops_at_a_time_and_goes_on_from_there(replayed, tmp_path):
    _, stream = replayed
    stop = np.datetime64("1970-01-01T00:50")
    until = make_source(stream, tmp_path, ads=7, window_seconds=500, stop=stop)
    first = list(until.batches())
    assert {batch.timestamp.max() < stop for batch, _ in first} == {True}
    ids = np.concatenate([batch.impression_id for batch, _ in first])
    assert sorted(ids) == list(range(1000, 1300))  # one each 10 s
    rest = make_source(stream, tmp_path, ads=7, window_seconds=500).batches(first[-1][1])
    assert sorted(flat(ids_of(rest))) == list(range(1300, 1700))


# ---- live -------------------------------------------------------------------


def test_a_window_is_handed_out_when_all_partitions_are_behind_it(tmp_path):
    stream = SegmentStream(tmp_path / "s", small_stream.SCHEMA, 2)
    source = make_source(stream.reopen(), tmp_path, batch_impressions=2, prefetch_windows=1)
    found, done = [], threading.Event()

    def read():
        for batch, _ in source.batches():
            found.append(batch.impression_id.tolist())
        done.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    stream.append(0, [record((1, 1), (2, 2), (3, 11))])
    time.sleep(0.4)
    assert not found  # the other partition may still bring some
    stream.append(1, [mark(12)])
    wait_for(lambda: found)
    assert sorted(found[0]) == [1, 2]
    lag = source.lag()
    assert lag.records == 1 and lag.seconds == pytest.approx(2.0)  # the record of 3; 12 s - 10 s
    stream.append(0, [END])
    stream.append(1, [END])
    wait_for(done.is_set)
    assert found[1:] == [[3]]
    thread.join()
    stream.close()


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_reads_no_more_than_some_windows_ahead(tmp_path):
    stream = ListStream([record((i, 10 * i)) for i in range(200)] + [END], chunk=1)
    source = make_source(stream, tmp_path, batch_impressions=1, prefetch_windows=3)
    batches = source.batches()
    next(batches)
    time.sleep(0.3)
    assert stream.reads < 12
    batches.close()
    assert not [t for t in threading.enumerate() if t.name == "stream windows"]


def test_an_error_of_the_stream_reaches_the_reader(tmp_path):
    class Broken(ListStream):
        def read(self, *_, **__):
            raise records.RecordError("x", "no stream")

    for prefetch in (0, 2):
        with pytest.raises(records.RecordError, match="no stream"):
            list(make_source(Broken([]), tmp_path, prefetch_windows=prefetch).batches())


@pytest.mark.parametrize(
    "change", [{"ads": 0}, {"batch_impressions": 0}, {"window_seconds": 0}, {"horizon_seconds": -1}]
)
def test_values_out_of_range_are_refused(tmp_path, change):
    with pytest.raises(ValueError, match=f"StreamSource: {next(iter(change))} must be >= "):
        make_source(ListStream([]), tmp_path, **change)
