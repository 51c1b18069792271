"""A log's rows as arrays: by hand, and by a loop over the rows."""

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.logs import reader
from lib.logs.encoding import encode, fold
from lib.logs.errors import LogError
from lib.logs.features import Features
from lib.logs.reader import check, read
from tests.small_log import FEATURES

LOG_GRID = 2.0**-17  # logarithms are rounded to multiples of 2^-16
TIME = pd.Timestamp("2024-05-01", tz="UTC")


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
    np.testing.assert_allclose(got.ad["shows"], [[0, 1], [np.log(10), 0]], atol=LOG_GRID)
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
            got.ad["bid"][i, :n], [np.log1p(r["bid"]) for r in group], atol=LOG_GRID
        )
        assert not got.v[i, n:].any() and not got.ad["bid"][i, n:].any()


# ---- lists of ids ---------------------------------------------------------

TAGS = Features(
    features=[
        {"name": "user", "side": "user", "kind": "sparse", "buckets": 9, "width": 2},
        {
            "name": "tags",
            "side": "ad",
            "kind": "multi_valued",
            "buckets": 50,
            "width": 2,
            "length": 3,
        },
    ]
)


def log_of(path, **columns):
    """A log of one impression of two ads, with the columns given."""
    rows = {
        "impression_id": [0, 0],
        "timestamp": pa.array([0, 0], pa.timestamp("s", "UTC")),
        "v": [1.0, 0.0],
        "ecpm": [1.0, 0.0],
        "user": [1, 1],
    }
    pq.write_table(pa.table(rows | columns), path)
    return path


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.int64(), 3), pa.list_(pa.int64()), pa.large_list(pa.int8()), pa.list_(pa.int32())],
    ids=str,
)
@pytest.mark.parametrize(
    "ids", [[5, -1, -1], [-1, 5, 7], [-1, -1, -1], [0, 0, 0], [120, 50, 49], [-7, -9, 3]], ids=str
)
def test_padded_lists_read_as_encode_reads_them(tmp_path, kind, ids):
    path = log_of(tmp_path / "log.parquet", tags=pa.array([ids, ids], kind))
    check(path, TAGS)
    encoded = encode(TAGS.features[1], np.array([ids]))[0]
    assert read(path, TAGS).ad["tags"][0].tolist() == 2 * [encoded.tolist()]
    assert (encoded == 0).tolist() == [i == -1 for i in ids]


def test_empty_texts_read_as_encode_reads_them(tmp_path):
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        tags = pa.array([["", "a"], ["b"]], pa.list_(kind))
        encoded = encode(TAGS.features[1], np.array([["", "a"], ["b", ""]]))
        got = read(log_of(tmp_path / "log.parquet", tags=tags), TAGS).ad["tags"][0]
        assert got.tolist() == encoded.tolist()
        assert (got == 0).tolist() == [[True, False, True], [False, True, True]]


# ---- numbers that float32 does not hold -----------------------------------

NUMBERS = Features(
    features=[
        {"name": "user", "side": "user", "kind": "sparse", "buckets": 9, "width": 2},
        {"name": "x", "side": "ad", "kind": "dense"},
        {"name": "bid", "side": "ad", "kind": "statistical"},
        {"name": "vector", "side": "ad", "kind": "dense", "width": 2},
    ]
)


@pytest.mark.parametrize("value", [1.7976931348623157e308, -1e300, 3.5e38, np.inf, np.nan])
@pytest.mark.parametrize("column", ["x", "bid", "vector", "v", "ecpm"])
def test_a_number_that_float32_does_not_hold_is_refused(tmp_path, column, value):
    good = {"x": 0.5, "bid": 2.0, "vector": [0.5, 3.4e38], "v": 1.0, "ecpm": 1.0}
    bad = [value, 1.0] if column == "vector" else value
    columns = {name: [cell, bad if name == column else cell] for name, cell in good.items()}
    path = log_of(tmp_path / "log.parquet", **columns)
    for use in (check, read):
        with pytest.raises(LogError) as error:
            use(path, NUMBERS)
        message = str(error.value)
        assert f"{path}: column {column!r}, row 1: found {bad!r}, expected " in message
        assert "3.4e38 (float32)" in message


def test_the_largest_number_of_float32_is_read(tmp_path):
    largest = float(np.finfo("float32").max)
    columns = {name: [largest, 0.0] for name in ("x", "bid", "v", "ecpm")}
    path = log_of(tmp_path / "log.parquet", vector=[[largest, -largest], [0.0, 0.0]], **columns)
    check(path, NUMBERS)
    assert read(path, NUMBERS).ad["x"][0, 0] == np.float32(largest)
