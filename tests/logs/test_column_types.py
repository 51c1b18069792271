"""A log in the types that people's tools write: read by value, alike in training and in use."""

import datetime
import decimal
import functools
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.logs.column_types import as_types, common_types
from lib.logs.encoding import encode
from lib.logs.errors import LogError
from lib.logs.features import Features
from lib.logs.reader import check, count, longest_list, read
from tests.small_log import FEATURES, assert_same, make_log, write_parts

TAGGED = Features(
    features=[
        {"name": "user", "side": "user", "kind": "sparse", "buckets": 97},
        {"name": "tags", "side": "ad", "kind": "multi_valued", "buckets": 50, "length": 3},
    ]
)
USER, TAGS = TAGGED.features


def log_of(users, tags, first=0):
    """A log of one ad an impression: a user and a list of tags each, as Arrow arrays."""
    rows = len(users)
    times = pa.array(range(first, first + rows), pa.timestamp("s", "UTC"))
    return pa.table(
        {
            "impression_id": range(first, first + rows),
            "timestamp": times,
            "v": [1.0] * rows,
            "ecpm": [1.0] * rows,
            "user": users,
            "tags": tags,
        }
    )


def padded(lists, empty=-1):
    """Lists of one length, filled up with the mark of an empty place."""
    longest = max(1, *map(len, lists), 0)
    return [[*ids, *[empty] * (longest - len(ids))] for ids in lists]


# ---- ids: what is trained on is what is deployed --------------------------------

INTEGERS = {"int8": 7, "uint8": 8, "int16": 15, "int32": 31, "uint32": 32, "int64": 63}


@st.composite
def id_lists(draw):
    """(Arrow type of ids, lists of them) as a log may hold them, -1 or "" for an empty place."""
    if draw(st.booleans()):
        kind = draw(st.sampled_from([*INTEGERS, "uint64"]))
        bits = INTEGERS.get(kind, 64)
        low = 0 if kind.startswith("u") else -(2**bits)
        ids, kind = st.integers(low, 2**bits - 1), pa.type_for_alias(kind)
    else:
        ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
        kinds = [pa.string(), pa.large_string(), pa.string_view()]
        kind = draw(st.sampled_from([*kinds, pa.dictionary(pa.int8(), pa.string())]))
    return kind, draw(st.lists(st.lists(ids, max_size=5), min_size=1, max_size=6))


@settings(deadline=None, max_examples=60)
@given(id_lists(), st.sampled_from([pa.list_, pa.large_list, "fixed"]))
def test_lists_of_a_log_read_as_encode_reads_them(drawn, wrapped):
    kind, lists = drawn
    empty = -1 if pa.types.is_integer(kind) else ""
    if wrapped == "fixed":  # without a sign there is no mark of an empty place
        lists = padded(lists, 0 if pa.types.is_unsigned_integer(kind) else empty)
        wrapped = functools.partial(pa.list_, list_size=len(lists[0]))
    # pyarrow makes no list of a dictionary from Python, but casts to one.
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    tags = pa.array(lists, wrapped(plain)).cast(wrapped(kind))
    wide = np.array(padded(lists, empty), object)
    users = pa.array(np.arange(len(lists)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.parquet")
        pq.write_table(log_of(users, tags), path)
        check(path, TAGGED)
        np.testing.assert_array_equal(read(path, TAGGED).ad["tags"][:, 0], encode(TAGS, wide))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5),
)
def test_ids_as_int64_in_one_file_and_uint64_in_the_next(signed, unsigned):
    lists = [[i, -1] for i in signed], [[i] for i in unsigned]
    first = log_of(pa.array(signed, pa.int64()), pa.array(lists[0], pa.list_(pa.int64())))
    last = log_of(
        pa.array(unsigned, pa.uint64()),
        pa.array(lists[1], pa.list_(pa.uint64())),
        first=len(signed),
    )
    with tempfile.TemporaryDirectory() as folder:
        write_parts(folder, first, last)
        check(folder, TAGGED)
        got = read(folder, TAGGED)
    assert got.user["user"].tolist() == [i % 97 for i in [*signed, *unsigned]]
    expected = encode(TAGS, np.array(padded([*lists[0], *lists[1]]), object))
    np.testing.assert_array_equal(got.ad["tags"][:, 0], expected)


def test_text_that_is_not_utf8_is_named(tmp_path):
    latin = pa.array([b"a", "Größe".encode("latin-1")])
    text = pa.Array.from_buffers(pa.string(), 2, latin.buffers())
    lists = pa.ListArray.from_arrays([0, 1, 2], text)
    ids = pa.array([[1], [2]])
    for users, tags, column in ((text, ids, "user"), (pa.array([1, 2]), lists, "tags")):
        path = tmp_path / f"{column}.parquet"
        pq.write_table(log_of(users, tags), path)
        for use in (check, read):
            with pytest.raises(LogError) as error:
                use(path, TAGGED)
            message = f"{path}: column {column!r}, row 1: found "
            assert str(error.value).startswith(message)
            assert "xf6" in str(error.value) and "expected text in UTF-8" in str(error.value)


# ---- the whole log in other types -------------------------------------------


def cast(column, kind):
    def change(table):
        place = table.schema.get_field_index(column)
        return table.set_column(place, column, table[column].cast(kind))

    return change


def decimals(column, digits):
    """The column as decimals, exact: of values that have so many digits."""

    def change(table):
        exact = [decimal.Decimal(repr(x)) for x in table[column].to_pylist()]
        kind = pa.decimal128(38, digits)
        place = table.schema.get_field_index(column)
        return table.set_column(place, column, pa.array(exact, kind))

    return change


def other_dictionary(table):
    """The brands with a dictionary in the order in which they come from behind."""
    back = table["brand"].cast(pa.string()).combine_chunks()[::-1].dictionary_encode()
    return table.set_column(8, "brand", back[::-1])


def required(table):
    """Columns, and elements of lists, that the schema says are never null."""
    place = table.schema.get_field_index("recent")
    element = pa.field("element", pa.int32(), nullable=False)
    table = table.set_column(place, "recent", table["recent"].cast(pa.list_(element)))
    return table.cast(pa.schema([field.with_nullable(False) for field in table.schema]))


OTHER_TYPES = {
    "required": required,
    "timestamps in ns": cast("timestamp", pa.timestamp("ns", "UTC")),
    "timestamps in us": cast("timestamp", pa.timestamp("us", "UTC")),
    "timestamps without a zone": cast("timestamp", pa.timestamp("s")),
    "timestamps in a zone": cast("timestamp", pa.timestamp("ms", "America/New_York")),
    "ids in 16 bits": cast("ad_id", pa.int16()),
    "ids without a sign": cast("ad_id", pa.uint64()),
    "ids as decimals": cast("ad_id", pa.decimal128(20, 0)),
    "ids with a dictionary": lambda t: t.set_column(7, "ad_id", t["ad_id"].dictionary_encode()),
    "texts": cast("brand", pa.string()),
    "large texts": cast("brand", pa.large_string()),
    "views of texts": lambda t: cast("brand", pa.string_view())(cast("brand", pa.string())(t)),
    "another dictionary": other_dictionary,
    "lists of 64 bits": cast("recent", pa.large_list(pa.int64())),
    "v as integers": cast("v", pa.uint8()),
    "v as decimals": cast("v", pa.decimal128(12, 2)),
    "bids as decimals": decimals("bid", 30),
    "impressions without a sign": cast("impression_id", pa.uint32()),
}


@pytest.mark.parametrize("name", OTHER_TYPES)
def test_another_type_changes_no_value(tmp_path, log, name):
    """Of the whole log, and of one of two files, whichever comes first."""
    table, change = make_log(), OTHER_TYPES[name]
    halves = table.slice(0, 700), table.slice(700)
    for parts in ((change(table),), (change(halves[0]), halves[1]), (halves[0], change(halves[1]))):
        for file in tmp_path.iterdir():
            file.unlink()
        write_parts(tmp_path, *parts)
        check(tmp_path, FEATURES)
        assert_same(read(tmp_path, FEATURES), read(log, FEATURES))


def test_days_are_timestamps(tmp_path):
    table = make_log()
    days = [datetime.date(2026, 11, 1) + datetime.timedelta(d) for d in (0, 1)]
    column = pa.array([days[i >= 700] for i in range(len(table))])
    path = tmp_path / "log.parquet"
    pq.write_table(table.slice(0, 1400).set_column(2, "timestamp", column[:1400]), path)
    starts = read(path, FEATURES, stop=2).timestamp
    assert starts.tolist() == 2 * [datetime.datetime(2026, 11, 1)]


def test_impression_ids_beyond_int64_stay_apart(tmp_path):
    table = make_log(count=4, fewest=2, most=2)
    high = [2**64 - 1 - i // 2 for i in range(4)]
    first = table.slice(0, 4).set_column(0, "impression_id", pa.array(high, pa.uint64()))
    folder = write_parts(tmp_path, first, table.slice(4))
    assert check(folder, FEATURES).impressions == 4
    assert (count(folder, FEATURES), longest_list(folder, FEATURES)) == (4, 2)
    assert read(folder, FEATURES).impression_id.dtype == np.int64


def test_types_that_nothing_joins_are_refused(tmp_path):
    table = make_log(count=6)
    for column, kind in (("ad_id", pa.string()), ("recent", pa.list_(pa.string()))):
        with pytest.raises(LogError, match=rf"part_001.*column '{column}' is .*string"):
            check(write_parts(tmp_path, table, cast(column, kind)(table)), FEATURES)


def test_types_in_common_by_hand():
    kinds = [pa.int8(), pa.uint64(), pa.decimal128(3, 0)]
    schemas = [pa.schema([("user", kind)]) for kind in kinds]
    common = common_types(["user"], schemas, ["a", "b", "c"], TAGGED)
    assert common.types == [pa.decimal128(20, 0)]
    table = as_types(pa.table({"user": pa.array([2**64 - 1], pa.uint64()), "x": [1]}), common)
    assert table.to_pydict() == {"user": [decimal.Decimal(2**64 - 1)]}
