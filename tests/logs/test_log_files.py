"""Every malformed log is refused, naming file, column and row."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.logs import reader
from lib.logs.errors import LogError
from lib.logs.reader import check
from tests.small_log import FEATURES, make_log, write_parts


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
        *(
            (of_type("timestamp", kind), "timestamp", None, f'unit="s")); it is {kind}')
            for kind in (pa.int64(), pa.string(), pa.float64())
        ),
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
        check(write_parts(tmp_path, good, bad), FEATURES)


def test_files_of_unlike_types_are_refused(tmp_path):
    table = make_log(count=6)
    other = table.set_column(7, "ad_id", table["ad_id"].cast(pa.string()))
    with pytest.raises(LogError, match=r"part_001\.parquet: .*part_000\.parquet: .*ad_id"):
        check(write_parts(tmp_path, table, other), FEATURES)


def test_what_is_no_log_is_refused(tmp_path):
    text = tmp_path / "text.parquet"
    text.write_text("impression_id,timestamp")
    empty = write_parts(tmp_path, make_log().slice(0, 0)) / "part_000.parquet"
    (tmp_path / "folder").mkdir()
    for path, match in [
        (tmp_path / "none.parquet", "no such log"),
        (text, "not a Parquet file"),
        (tmp_path / "folder", "no such log"),
        (empty, "holds no rows"),
    ]:
        with pytest.raises(LogError, match=f"{path}: .*{match}"):
            check(path, FEATURES)


def test_no_log_is_named():
    with pytest.raises(LogError, match="logs: no file is named; expected a Parquet file"):
        check("", FEATURES)


def test_a_damaged_page_is_refused_naming_the_file(tmp_path):
    """The footer is whole, so that the file opens; what it points to cannot be read."""
    table = make_log(count=2000)
    path = write_parts(tmp_path, table, table, compression="snappy") / "part_001.parquet"
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(1)  # v
    content = bytearray(path.read_bytes())
    for place in range(chunk.data_page_offset + 30, chunk.data_page_offset + 400):
        content[place] ^= 0xFF
    path.write_bytes(content)
    for use in (check, reader.read):
        with pytest.raises(LogError) as error:
            use(path, FEATURES)
        assert str(error.value).startswith(f"{path}: damaged; expected a Parquet file that can be")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 4, 100, -1, -9])
def test_a_file_cut_short_is_refused(tmp_path, keep):
    path = write_parts(tmp_path, make_log()) / "part_000.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(LogError, match=r"part_000\.parquet: not a Parquet file: [^\n]*$"):
        check(path, FEATURES)


@pytest.mark.parametrize("name", ["v", "impression_id", "brand"])
def test_two_columns_of_one_name_are_refused(tmp_path, name):
    table = make_log(count=6)
    path = tmp_path / "double.parquet"
    pq.write_table(table.append_column(name, table[name]), path)
    with pytest.raises(LogError, match=f"{path}: 2 columns are called '{name}'; expected one"):
        check(path, FEATURES)


def test_a_column_that_nobody_reads_may_be_there_twice(tmp_path):
    table = make_log(count=6)
    note = pa.array(["x"] * len(table))
    path = tmp_path / "double.parquet"
    pq.write_table(table.append_column("note", note).append_column("note", note), path)
    assert check(path, FEATURES).impressions == 6
