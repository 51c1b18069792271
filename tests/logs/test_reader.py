"""A log read in any cut of its files and in any order, and written."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.logs import reader
from lib.logs.errors import LogError
from lib.logs.impressions import concatenate
from lib.logs.reader import check, read, stream
from tests.small_log import FEATURES, assert_same, make_log, write_parts

# ---- reading in any cut ---------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_files_and_blocks_cut_impressions_anywhere(data):
    table = make_log(count=25, seed=1)
    ends = sorted(data.draw(st.lists(st.integers(0, len(table)), max_size=3), label="files"))
    parts = [
        table.slice(low, high - low)
        for low, high in zip([0, *ends], [*ends, len(table)], strict=True)
    ]
    rows = data.draw(st.integers(1, 40), label="rows a read")
    size = data.draw(st.integers(1, 30), label="impressions a batch")
    with tempfile.TemporaryDirectory() as folder:
        whole = read(write_parts(folder, table, name="whole") / "whole_000.parquet", FEATURES)
        Path(folder, "whole_000.parquet").unlink()
        batches = list(stream(write_parts(folder, *parts, row_group_size=rows), FEATURES, size))
        summary = check(folder, FEATURES, block=size)
        assert reader.count(folder, FEATURES) == summary.impressions == 25
        assert reader.longest_list(folder, FEATURES) == summary.longest
    assert [len(batch) for batch in batches] == [min(size, 25 - i) for i in range(0, 25, size)]
    assert_same(concatenate(batches), whole)
    assert summary.ads == len(table)
    assert summary.shortest == whole.mask.sum(axis=1).min()
    assert summary.ranked_share == np.mean(whole.ecpm[whole.mask] > 0)
    assert (summary.first, summary.last) == (whole.timestamp[0], whole.timestamp[-1])


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.set_column(4, "user_id", t["user_id"].cast(pa.int64())),
        lambda t: t.set_column(1, "v", t["v"].cast(pa.float32())),
        lambda t: t.set_column(2, "timestamp", t["timestamp"].cast(pa.timestamp("us", "UTC"))),
        lambda t: t.set_column(6, "user_vector", t["user_vector"].cast(pa.list_(pa.float32()))),
        lambda t: t.select(sorted(t.column_names)),
        lambda t: t.slice(0, 0),
    ],
)
def test_files_may_differ_in_what_changes_no_value(tmp_path, log, change):
    table = make_log()
    first, last = table.slice(0, 700), table.slice(700)
    parts = [first, change(last), *([last] if len(change(last)) == 0 else [])]
    assert_same(read(write_parts(tmp_path, *parts), FEATURES), read(log, FEATURES))


def test_a_file_that_is_being_written_is_not_part_of_the_log(tmp_path, log):
    folder = write_parts(tmp_path, make_log())
    (folder / ".part_001.123.part.parquet").write_bytes(b"half a file")
    assert_same(read(folder, FEATURES), read(log, FEATURES))


def test_memory_does_not_grow_with_the_log(tmp_path):
    part = make_log(count=2000)

    def later(i):
        return part.set_column(
            0, "impression_id", pa.array(part["impression_id"].to_numpy() + 2000 * i)
        ).set_column(
            2,
            "timestamp",
            pa.array(part["timestamp"].to_numpy() + 20_000 * i, pa.timestamp("ms", "UTC")),
        )

    def most_held(parts):
        path = tmp_path / f"{parts}.parquet"
        reader.write_logs(path, map(later, range(parts)))
        before = pa.total_allocated_bytes()
        batches = stream(path, FEATURES, 64, window=256, ads=7)
        return max(pa.total_allocated_bytes() - before for _ in batches)

    assert most_held(12) < 1.2 * most_held(3)


def test_what_comes_later_is_not_read_before_it_is_asked_for(tmp_path):
    table = make_log()
    v = table["v"].to_numpy().copy()
    v[-1] = np.nan
    batches = stream(write_parts(tmp_path, table.set_column(1, "v", pa.array(v))), FEATURES, 16)
    assert next(batches).impression_id[0] == 1000
    with pytest.raises(LogError, match="column 'v'"):
        list(batches)


# ---- order ----------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "window"), [(10, 50), (16, 64), (7, 7), (50, 100)])
def test_windows_shuffle_whole_impressions_among_themselves(log, batch_size, window):
    plain = read(log, FEATURES)
    batches = list(stream(log, FEATURES, batch_size, window=window, seed=3))
    shuffled = concatenate(batches)
    order = shuffled.impression_id - 1000
    assert_same(shuffled, plain.take(order))  # whole impressions, none lost or changed
    for low in range(0, 300, window):
        within = order[low : low + window]
        assert sorted(within) == list(range(low, min(low + window, 300)))
        assert within.tolist() != sorted(within)
    assert max(map(len, batches)) == batch_size


def test_the_seed_decides_the_order(log):
    def order(seed):
        batches = stream(log, FEATURES, 32, window=96, seed=seed)
        return concatenate(list(batches)).impression_id.tolist()

    assert order(0) == order(0) != order(1)
    window = np.array(order(0))
    assert (window[:96] - window[0] != window[96:192] - window[96]).any()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 320), st.integers(0, 320), st.sampled_from([0, 20, 60]))
def test_start_and_stop_are_a_slice(log, start, stop, window):
    everything = read(log, FEATURES)
    if start < min(stop, 300):
        assert_same(
            read(log, FEATURES, start=start, stop=stop), everything.take(slice(start, stop))
        )
    else:
        with pytest.raises(ValueError, match=r"start|no impression from number"):
            read(log, FEATURES, start=start, stop=stop)
    first = start - start % 60
    parts = list(stream(log, FEATURES, 20, window=window, seed=1, start=first, stop=stop))
    got = [i for part in parts for i in part.impression_id]
    assert sorted(got) == everything.impression_id[first:stop].tolist()
    # Windows that lie wholly inside the slice keep the order that the whole stream has.
    step = window or 20
    whole = [
        i for part in stream(log, FEATURES, 20, window=window, seed=1) for i in part.impression_id
    ]
    full = (min(stop, 300) - first) // step * step
    assert got[: max(full, 0)] == whole[first : max(first + full, first)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_impressions": 0},
        {"batch_impressions": 10, "window": 15},
        {"batch_impressions": 10, "start": 5},
        {"batch_impressions": 10, "window": 20, "start": 10},
        {"batch_impressions": 10, "start": -10},
        {"batch_impressions": 10, "window": -10},
    ],
)
def test_arguments_that_fit_no_stream_are_refused(log, arguments):
    with pytest.raises(ValueError, match="batch_impressions must be >= 1"):
        next(stream(log, FEATURES, **arguments))


def test_longer_lists_than_asked_for_are_refused(log):
    with pytest.raises(LogError, match=r"found 'a list of \d ads', expected at most 4"):
        read(log, FEATURES, ads=4)


# ---- writing --------------------------------------------------------------


def test_a_log_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "log.parquet"

    def breaks():
        yield make_log(count=3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reader.write_logs(path, breaks())
    assert list(tmp_path.iterdir()) == []
    reader.write_logs(path, [make_log(count=3)])
    with pytest.raises(KeyboardInterrupt):
        reader.write_logs(path, breaks())
    assert list(tmp_path.iterdir()) == [path]
    assert reader.count(path, FEATURES) == 3
    with pytest.raises(ValueError, match="at least one table"):
        reader.write_logs(path, [])
