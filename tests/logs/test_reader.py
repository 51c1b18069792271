"""The log format: encodings by hand, any cut of the files, every malformed log."""

import dataclasses
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.logs import reader
from lib.logs.encoding import encode, fold
from lib.logs.errors import LogError
from lib.logs.features import Features, load_features, save_features
from lib.logs.reader import check, read, stream
from tests.small_log import FEATURES, make_log

TIME = pd.Timestamp("2024-05-01", tz="UTC")


def same(one, other):
    """Impressions are equal to the last bit."""
    for field in dataclasses.fields(reader.Impressions):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, dict):
            assert list(a) == list(b)
        for x, y in zip(a.values(), b.values(), strict=True) if isinstance(a, dict) else [(a, b)]:
            np.testing.assert_array_equal(x, y)
            assert x.dtype == y.dtype


def write(folder, *tables, name="part", **options):
    """A folder of Parquet files, one a table."""
    folder = Path(folder)
    for i, table in enumerate(tables):
        pq.write_table(table, folder / f"{name}_{i:03}.parquet", **options)
    return folder


# ---- encodings ------------------------------------------------------------


def test_encodings_by_hand(tmp_path):
    features = Features(
        features=[
            {"name": "user", "side": "user", "kind": "sparse", "buckets": 10},
            {"name": "clicks", "side": "user", "kind": "multi_valued", "buckets": 5, "length": 2},
            {"name": "vector", "side": "user", "kind": "dense", "width": 2},
            {"name": "age", "side": "user", "kind": "dense"},
            {"name": "ad", "side": "ad", "kind": "sparse", "buckets": 7},
            {"name": "shows", "side": "ad", "kind": "statistical"},
        ]
    )
    path = tmp_path / "log.parquet"
    reader.write_logs(
        path,
        [
            pd.DataFrame(
                {
                    "impression_id": [8, 8, 3],
                    "timestamp": [TIME, TIME, TIME + pd.Timedelta("1s")],
                    "v": [1, 2, 1],
                    "ecpm": [0.0, 2.5, 1.0],
                    "user": [23, 23, -1],
                    "clicks": [[6, 0, 3], [6, 0, 3], []],
                    "vector": [[1.0, 2.0]] * 3,
                    "age": [30, 30, 40],
                    "ad": [15, 6, 7],
                    "shows": [0, np.e - 1, 9],
                    "stage": ["a", "b", "c"],
                }
            )
        ],
    )
    got = read(path, features, extra=["stage"])
    assert got.impression_id.tolist() == [8, 3]
    assert got.timestamp.tolist() == [
        TIME.to_pydatetime().replace(tzinfo=None, second=s) for s in (0, 1)
    ]
    assert got.user["user"].tolist() == [23 % 10, -1 % 10]
    assert got.user["clicks"].tolist() == [[1 + 6 % 5, 1 + 0], [0, 0]]  # 0 is an empty place
    assert got.user["vector"].tolist() == [[1, 2], [1, 2]]
    assert got.user["age"].tolist() == [30, 40]
    assert got.ad["ad"].tolist() == [[15 % 7, 6], [0, 0]]
    np.testing.assert_allclose(got.ad["shows"], [[0, 1], [np.log(10), 0]], rtol=1e-6)
    assert got.v.tolist() == [[1, 2], [1, 0]]
    assert got.ecpm.tolist() == [[0, 2.5], [1, 0]]
    assert got.mask.tolist() == [[True, True], [True, False]]
    assert got.extra["stage"].tolist() == [["a", "b"], ["c", None]]


def test_equals_a_loop_over_the_rows(log):
    got = read(log, FEATURES)
    rows = sorted(pq.read_table(log).to_pylist(), key=lambda row: row["impression_id"])
    groups = [list(group) for _, group in itertools.groupby(rows, lambda r: r["impression_id"])]
    assert len(got) == len(groups) == 300
    for i, group in enumerate(groups):
        n, recent = len(group), group[0]["recent"][:3]
        assert got.mask[i].tolist() == [j < n for j in range(7)]
        assert got.v[i, :n].tolist() == [row["v"] for row in group]
        assert got.ecpm[i, :n].tolist() == [row["ecpm"] for row in group]
        assert got.user["user_id"][i] == group[0]["user_id"] % 50
        assert got.user["recent"][i].tolist() == [1 + r % 9 for r in recent] + [0] * (
            3 - len(recent)
        )
        np.testing.assert_array_equal(
            got.user["user_vector"][i], np.float32(group[0]["user_vector"])
        )
        assert got.ad["brand"][i, :n].tolist() == [
            fold(np.array([row["brand"]]), 8)[0] for row in group
        ]
        np.testing.assert_allclose(
            got.ad["bid"][i, :n], [np.log1p(r["bid"]) for r in group], rtol=1e-6
        )
        assert not got.v[i, n:].any() and not got.ad["bid"][i, n:].any()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_integers_fold_by_their_value_whatever_their_type(dtype):
    assert fold(np.array([0, 3, 127], dtype), 100).tolist() == [0, 3, 27]
    assert fold(np.array([0, 3, 127], dtype), 1000).tolist() == [0, 3, 127]


def test_strings_fold_the_same_in_every_version():
    # Trained embeddings belong to these places: another hash would shuffle them.
    names = np.array(["brand 1", "brand 2", "", "Größe"])
    assert fold(names, 1000).tolist() == [963, 987, 774, 173]
    assert fold(names.astype(object), 1000).tolist() == [963, 987, 774, 173]


def test_encode_agrees_with_a_log(batch, log):
    """Raw arrays, as a simulated world has them, encode as the log's rows do."""
    rows = pq.read_table(log).to_pandas().groupby("impression_id", sort=False).first().iloc[:32]
    raw = {
        "user_id": rows.user_id.to_numpy(),
        "user_vector": np.stack(rows.user_vector),
        "recent": np.array([[*ids, *[-1] * (4 - len(ids))] for ids in rows.recent]),
    }
    for feature in FEATURES.side("user"):
        np.testing.assert_array_equal(encode(feature, raw[feature.name]), batch.user[feature.name])
    clicks = FEATURES.side("user")[1]
    names = np.array([["a", "b"], ["b", ""]])
    got = encode(clicks, names)
    assert got.shape == (2, 3)
    assert got[0, 1] == got[1, 0] > 0 == got[1, 1] == got[0, 2]


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
        whole = read(write(folder, table, name="whole") / "whole_000.parquet", FEATURES)
        Path(folder, "whole_000.parquet").unlink()
        batches = list(stream(write(folder, *parts, row_group_size=rows), FEATURES, size))
        summary = check(folder, FEATURES, block=size)
        assert reader.count(folder, FEATURES) == summary.impressions == 25
        assert reader.longest_list(folder, FEATURES) == summary.longest
    assert [len(batch) for batch in batches] == [min(size, 25 - i) for i in range(0, 25, size)]
    same(reader.concatenate(batches), whole)
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
    same(read(write(tmp_path, *parts), FEATURES), read(log, FEATURES))


def test_a_file_that_is_being_written_is_not_part_of_the_log(tmp_path, log):
    folder = write(tmp_path, make_log())
    (folder / ".part_001.123.part.parquet").write_bytes(b"half a file")
    same(read(folder, FEATURES), read(log, FEATURES))


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
    batches = stream(write(tmp_path, table.set_column(1, "v", pa.array(v))), FEATURES, 16)
    assert next(batches).impression_id[0] == 1000
    with pytest.raises(LogError, match="column 'v'"):
        list(batches)


# ---- order ----------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "window"), [(10, 50), (16, 64), (7, 7), (50, 100)])
def test_windows_shuffle_whole_impressions_among_themselves(log, batch_size, window):
    plain = read(log, FEATURES)
    batches = list(stream(log, FEATURES, batch_size, window=window, seed=3))
    shuffled = reader.concatenate(batches)
    order = shuffled.impression_id - 1000
    same(shuffled, plain.take(order))  # whole impressions, none lost or changed
    for low in range(0, 300, window):
        within = order[low : low + window]
        assert sorted(within) == list(range(low, min(low + window, 300)))
        assert within.tolist() != sorted(within)
    assert max(map(len, batches)) == batch_size


def test_the_seed_decides_the_order(log):
    def order(seed):
        batches = stream(log, FEATURES, 32, window=96, seed=seed)
        return reader.concatenate(list(batches)).impression_id.tolist()

    assert order(0) == order(0) != order(1)
    window = np.array(order(0))
    assert (window[:96] - window[0] != window[96:192] - window[96]).any()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 320), st.integers(0, 320), st.sampled_from([0, 20, 60]))
def test_start_and_stop_are_a_slice(log, start, stop, window):
    everything = read(log, FEATURES)
    if start < min(stop, 300):
        same(read(log, FEATURES, start=start, stop=stop), everything.take(slice(start, stop)))
    else:
        with pytest.raises(ValueError, match="start"):
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


# ---- what is refused ------------------------------------------------------


def with_cells(column, value, *rows):
    """The log of six impressions of three ads with one value changed at `rows`."""
    table = make_log(count=6, fewest=3, most=3)
    values = table[column].to_pylist()
    for row in rows:
        values[row] = value(values[row]) if callable(value) else value
    kind = table.schema.field(column).type
    kind = pa.list_(pa.float32()) if column == "user_vector" else kind
    changed = pa.array(values, kind)
    return table.set_column(table.schema.get_field_index(column), column, changed)


def of_type(column, kind):
    table = make_log(count=6, fewest=3, most=3)
    if pa.types.is_list(kind):
        values = pa.array([[1]] * len(table), kind)
    else:
        values = pa.array([1] * len(table)).cast(kind)
    return table.set_column(table.schema.get_field_index(column), column, values)


SECOND = pd.Timedelta("1s")


@pytest.mark.parametrize(
    ("table", "column", "row", "expected"),
    [
        *[
            (with_cells(name, None, 4), name, 4, "a value")
            for name in [
                "impression_id",
                "timestamp",
                "v",
                "ecpm",
                *(f.name for f in FEATURES.features),
            ]
        ],
        (with_cells("v", np.nan, 7, 9), "v", 7, "finite number"),
        (with_cells("v", -np.inf, 0), "v", 0, "finite number"),
        (with_cells("ecpm", -0.1, 5), "ecpm", 5, "finite number >= 0"),
        (with_cells("ecpm", np.inf, 5), "ecpm", 5, "finite number >= 0"),
        (
            with_cells("timestamp", lambda t: t - 35 * SECOND, 9, 10, 11),
            "timestamp",
            9,
            "time order",
        ),
        (with_cells("timestamp", lambda t: t + SECOND, 4), "timestamp", 4, "one timestamp"),
        (with_cells("impression_id", 1001, 12, 13, 14), "impression_id", 12, "adjacent"),
        (with_cells("user_id", lambda u: u + 1, 7), "user_id", 7, "same value in all rows"),
        (with_cells("recent", [7, 8], 8), "recent", 8, "same value in all rows"),
        (with_cells("user_vector", [0.5, 0.5, 0.5], 8), "user_vector", 8, "same value in all rows"),
        (with_cells("user_vector", [0.5, 0.5], 6, 7, 8), "user_vector", 6, "a list of 3 numbers"),
        (with_cells("user_vector", [0.5, np.nan, 1], 6), "user_vector", 6, "finite number"),
        (with_cells("user_vector", [0.5, None, 1], 6), "user_vector", 6, "finite number"),
        (with_cells("recent", [1, None], 6, 7, 8), "recent", 6, "ids without nulls"),
        (with_cells("bid", -1e-9, 17), "bid", 17, ">= 0"),
        (with_cells("bid", np.nan, 17), "bid", 17, "finite number"),
        (make_log(count=6).drop(["bid"]), "bid", None, "is missing; the file has impression_id"),
        (of_type("v", pa.string()), "v", None, "must be a number; it is string"),
        (of_type("ecpm", pa.bool_()), "ecpm", None, "must be a number; it is bool"),
        (of_type("impression_id", pa.float64()), "impression_id", None, "must be an integer"),
        (of_type("timestamp", pa.int64()), "timestamp", None, "must be a timestamp; it is int64"),
        (of_type("user_id", pa.float32()), "user_id", None, "must be an integer or a string"),
        (of_type("recent", pa.int32()), "recent", None, "must be a list of integers or strings"),
        (of_type("recent", pa.list_(pa.float32())), "recent", None, "must be a list of integers"),
        (of_type("user_vector", pa.float32()), "user_vector", None, "must be a list of 3 numbers"),
        (of_type("bid", pa.list_(pa.float32())), "bid", None, "must be a number"),
    ],
)
def test_a_malformed_log_is_refused(tmp_path, table, column, row, expected):
    path = tmp_path / "broken.parquet"
    pq.write_table(table, path)
    with pytest.raises(LogError) as error:
        check(path, FEATURES)
    message = str(error.value)
    assert message.startswith(f"{path}: column {column!r}")
    assert expected in message
    assert row is None or f"row {row}: found" in message


def test_the_row_is_counted_in_its_own_file(tmp_path):
    good = make_log(count=6, fewest=3, most=3)
    bad = make_log(count=7, fewest=3, most=3).slice(18)  # the seventh impression
    bad = bad.set_column(3, "ecpm", pa.array([1.0, -2.0, 0.0]))
    with pytest.raises(LogError, match=r"part_001\.parquet: column 'ecpm', row 1: found -2\.0"):
        check(write(tmp_path, good, bad), FEATURES)


def test_files_of_unlike_types_are_refused(tmp_path):
    table = make_log(count=6)
    other = table.set_column(7, "ad_id", table["ad_id"].cast(pa.string()))
    with pytest.raises(LogError, match=r"part_001\.parquet: .*part_000\.parquet: .*ad_id"):
        check(write(tmp_path, table, other), FEATURES)


def test_what_is_no_log_is_refused(tmp_path):
    text = tmp_path / "text.parquet"
    text.write_text("impression_id,timestamp")
    empty = write(tmp_path, make_log().slice(0, 0)) / "part_000.parquet"
    (tmp_path / "folder").mkdir()
    for path, match in [
        (tmp_path / "none.parquet", "no such log"),
        (text, "not a Parquet file"),
        (tmp_path / "folder", "no such log"),
        (empty, "holds no rows"),
    ]:
        with pytest.raises(LogError, match=f"{path}: .*{match}"):
            check(path, FEATURES)


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


# ---- the features file ----------------------------------------------------


def test_features_file_round_trip(tmp_path):
    save_features(tmp_path / "features.yaml", FEATURES)
    assert load_features(tmp_path / "features.yaml") == FEATURES


USER = "- {name: u, side: user, kind: dense}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("features: [", "not readable as YAML"),
        ("", "features: Input should be a valid dictionary"),
        ("columns: []", "features: Field required"),
        (
            "features:\n- {name: u, side: user, kind: dense, size: 3}",
            "features.0.size: Extra inputs",
        ),
        (
            "features:\n- {name: u, side: user, kind: text}",
            "'sparse', 'multi_valued', 'dense' or 'statistical'; got 'text'",
        ),
        (
            f"features:\n{USER}\n- {{name: a, side: advert, kind: dense}}",
            "features.1.side: Input should be 'user' or 'ad'; got 'advert'",
        ),
        (
            f"features:\n{USER}\n- {{name: u, side: ad, kind: dense}}",
            "feature names must be unique and not a log column; got ['u']",
        ),
        (f"features:\n{USER}\n- {{name: v, side: ad, kind: dense}}", "got ['v']"),
        (f"features:\n{USER}", "at least one feature of side 'ad' is needed"),
        ("features:\n- {name: u, side: user, kind: sparse}", "u is sparse, buckets = None"),
        ("features:\n- {name: u, side: user, kind: dense, buckets: 3}", "u is dense, buckets = 3"),
        (
            "features:\n- {name: u, side: user, kind: multi_valued, buckets: 3}",
            "u is multi_valued, length = None",
        ),
        ("features:\n- {name: u, side: user, kind: statistical, width: 2}", "u has width = 2"),
        (
            "features:\n- {name: u, side: user, kind: dense, width: 0}",
            "features.0.width: Input should be greater than 0; got 0",
        ),
    ],
)
def test_a_features_file_that_cannot_be_used_is_refused(tmp_path, text, message):
    path = tmp_path / "features.yaml"
    path.write_text(text)
    with pytest.raises(LogError) as error:
        load_features(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def test_a_missing_features_file_is_refused(tmp_path):
    with pytest.raises(LogError, match="no such features file"):
        load_features(tmp_path / "features.yaml")


def test_features_can_be_left_out():
    left = FEATURES.without(["brand", "recent"])
    assert [f.name for f in left.features] == ["user_id", "user_vector", "ad_id", "bid"]
    assert FEATURES.width("user") - left.width("user") == 2
    with pytest.raises(ValueError, match=r"not declared: \['brnad'\]"):
        FEATURES.without(["brnad"])
    with pytest.raises(ValueError, match="side 'user'"):
        FEATURES.without(["user_id", "recent", "user_vector"])


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
