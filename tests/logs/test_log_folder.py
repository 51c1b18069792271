"""A log in many files, as other tools leave them behind."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.logs.errors import LogError
from lib.logs.features import Feature, Features
from lib.logs.log_files import LogFiles
from lib.logs.log_folder import files_of, partition_columns, partition_of
from lib.logs.reader import check, count, longest_list, read
from tests.small_log import FEATURES, assert_same, make_log

CUTS = 0, 333, 700, 1545  # of the log's rows; 333 lies inside an impression


def lay_out(root, names, table=None):
    """The log in files of these names, in that order."""
    table = make_log() if table is None else table
    for name, low, high in zip(names, CUTS, CUTS[1:], strict=False):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(low, high - low), path)
    return root


LAYOUTS = {
    "partitions": [f"date=2026-11-0{day}/part-0.parquet" for day in (1, 2, 3)],
    "partitions in partitions": [f"date=x/hour={hour}/p.parquet" for hour in ("08", "09", "10")],
    "names out of order": ["c.parquet", "a.parquet", "b.parquet"],
    "numbers without zeros": ["part-9.parquet", "part-10.parquet", "part-11.parquet"],
    "other suffixes": ["a.snappy.parquet", "b.parq", "c.PARQUET"],
    "no suffix": ["000000_0", "000001_0", "000002_0"],
}


def test_the_cuts_hold_an_impression_in_two_files():
    ids = make_log()["impression_id"].to_pylist()
    assert len(ids) == CUTS[-1] and ids[CUTS[1] - 1] == ids[CUTS[1]]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_changes_nothing(tmp_path, log, name):
    lay_out(tmp_path, LAYOUTS[name])
    check(tmp_path, FEATURES)
    assert (count(tmp_path, FEATURES), longest_list(tmp_path, FEATURES)) == (300, 7)
    assert_same(read(tmp_path, FEATURES), read(log, FEATURES))


def test_what_other_tools_leave_beside_a_log_is_not_read(tmp_path, log):
    lay_out(tmp_path, LAYOUTS["partitions"])
    for name in (
        *("_SUCCESS", "_metadata", "_committed_17", "date=2026-11-01/.part-0.parquet.crc"),
        *("_temporary/0/part.parquet", ".ipynb_checkpoints/part.parquet", "README.md"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no log")
    (tmp_path / "date=2026-11-04").mkdir()
    assert_same(read(tmp_path, FEATURES), read(log, FEATURES))


def test_files_without_rows_are_no_part(tmp_path, log):
    lay_out(tmp_path, LAYOUTS["partitions"])
    empty = make_log().slice(0, 0)
    nothing = pa.table({name: pa.nulls(0) for name in empty.column_names})  # as pandas writes it
    pq.write_table(nothing, tmp_path / "a.parquet")
    pq.write_table(empty, tmp_path / "date=2026-11-02/part-1.parquet")
    assert_same(read(tmp_path, FEATURES), read(log, FEATURES))
    assert len(LogFiles(tmp_path, FEATURES).files) == 3


def test_no_files_say_what_is_there(tmp_path):
    (tmp_path / "days").mkdir()
    with pytest.raises(LogError, match=rf"{tmp_path}: no such log .a Parquet .*them\)$"):
        files_of(tmp_path)
    (tmp_path / "days/monday.csv").write_text("v")
    with pytest.raises(LogError, match=r"no such log .*; it holds days/monday\.csv"):
        files_of(tmp_path)


def test_a_file_of_no_bytes_is_named(tmp_path):
    lay_out(tmp_path, LAYOUTS["partitions"])
    (tmp_path / "date=2026-11-02/part-1.parquet").touch()
    with pytest.raises(LogError, match=r"2026-11-02/part-1\.parquet: not a Parquet file"):
        check(tmp_path, FEATURES)


def test_files_that_overlap_in_time_are_refused(tmp_path):
    table = make_log()
    pq.write_table(table.slice(0, 900), tmp_path / "a.parquet")
    pq.write_table(table.slice(700), tmp_path / "b.parquet")
    with pytest.raises(LogError, match=r"b\.parquet: column 'timestamp', row 0: .*time order"):
        check(tmp_path, FEATURES)


def test_one_moment_over_many_files_goes_by_their_names(tmp_path):
    table = make_log(count=9)
    still = table.set_column(2, "timestamp", pa.repeat(table["timestamp"][0], len(table)))
    for name, low in (("a", 0), ("b", 20), ("c", 40)):
        pq.write_table(still.slice(low, 20), tmp_path / f"{name}.parquet")
    assert read(tmp_path, FEATURES).impression_id.tolist() == list(range(1000, 1009))


def test_files_whose_footers_say_no_time_go_by_their_names(tmp_path, log):
    lay_out(tmp_path, ["a.parquet", "b.parquet", "c.parquet"])
    for file in tmp_path.iterdir():
        table = pq.read_table(file)
        pq.write_table(table, file, use_deprecated_int96_timestamps=True)  # as Spark does
    assert LogFiles(tmp_path, FEATURES).spans == [None] * 3
    assert_same(read(tmp_path, FEATURES), read(log, FEATURES))


# ---- values that stand in the names of folders --------------------------------

COUNTRY = Feature(name="country", side="user", kind="sparse", buckets=11)


def with_feature(*more):
    return Features(features=[*FEATURES.features, *more])


def test_a_declared_partition_is_a_column(tmp_path):
    names = [f"country={value}/date=2026-11-0{i}/p.parquet" for i, value in enumerate("abc", 1)]
    lay_out(tmp_path, names)
    got = read(tmp_path, with_feature(COUNTRY), extra=["date"])
    written = make_log().append_column(
        "country", pa.array(list(np.repeat(["a", "b", "c"], np.diff(CUTS))))
    )
    # An impression in two files is of the country of its first row.
    pq.write_table(written, tmp_path / "whole.parquet")
    whole = read(tmp_path / "whole.parquet", with_feature(COUNTRY))
    np.testing.assert_array_equal(got.user["country"], whole.user["country"])
    assert set(got.extra["date"][got.mask]) == {"2026-11-01", "2026-11-02", "2026-11-03"}


def test_a_partition_of_numbers_is_read_by_value(tmp_path):
    lay_out(tmp_path, [f"hour={hour}/p.parquet" for hour in (8, 9, 10)])
    hour = Feature(name="hour", side="ad", kind="statistical")
    got = read(tmp_path, with_feature(hour)).ad["hour"]
    assert sorted(set(np.expm1(got[got > 0]).round(3))) == [8, 9, 10]


def test_a_column_of_the_file_goes_before_the_folder_s_name(tmp_path):
    lay_out(tmp_path, [f"ad_id={i}/p.parquet" for i in range(3)])
    assert LogFiles(tmp_path, FEATURES).unread == []
    got = read(tmp_path, FEATURES).ad["ad_id"]
    assert len(np.unique(got)) > 3


def test_a_partition_that_nobody_asks_for_is_said_to_be_unread(tmp_path):
    lay_out(tmp_path, LAYOUTS["partitions"], make_log().append_column("note", pa.nulls(1545)))
    assert LogFiles(tmp_path, FEATURES).unread == ["note", "date"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["country=a/p.parquet", "p.parquet"], "p.parquet: column 'country' is missing"),
        (["country=a/p.parquet", "country=__HIVE_DEFAULT_PARTITION__/p.parquet"], "found None"),
    ],
)
def test_a_partition_without_a_value_is_refused(tmp_path, names, message):
    with pytest.raises(LogError, match=message):
        check(lay_out(tmp_path, names), with_feature(COUNTRY))


def test_partitions_by_hand(tmp_path):
    root = tmp_path / "a=b"  # above the log: not one of its own
    assert partition_of(root / "x=1/y=a%20b=c/f.parquet", root) == {"x": "1", "y": "a b=c"}
    assert partition_of(root, root) == {}
    assert partition_columns([{"x": "08"}, {"x": "9"}]) == {"x": ["08", "9"]}
    assert partition_columns([{"x": "8"}, {"x": None}]) == {"x": [8, None]}
    assert partition_columns([{"x": str(2**63)}]) == {"x": [str(2**63)]}


def test_a_link_to_a_log_is_followed(tmp_path, log):
    lay_out(tmp_path / "there", LAYOUTS["partitions"])
    (tmp_path / "here").symlink_to(tmp_path / "there")
    assert_same(read(tmp_path / "here", FEATURES), read(log, FEATURES))
    shutil.rmtree(tmp_path / "there")
    with pytest.raises(LogError, match="no such log"):
        read(tmp_path / "here", FEATURES)
