"""Every malformed log is refused, naming file, column and row."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from lib.logs import preview, reader
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
        (with_cells("v", -1.0, 5), "v", 5, "of v = -position add the list's length"),
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


# ---- a campaign: what people bring in the place of a log ----------------------
# One line names the file and the column, what was found and what was expected, whichever function
# reads the log first.

TABLE = make_log(count=200)
USES = {"check": check, "read": reader.read, "preview": preview}


def column_of(name, value, kind=None):
    """The log with one value in all rows of a column."""
    rows = pa.array([value] * len(TABLE), kind)
    return TABLE.set_column(TABLE.schema.get_field_index(name), name, rows)


STRUCT = pa.struct([("id", pa.int64())])
TYPES = {
    "impression_id": [
        (column_of("impression_id", 1.5), "an integer; it is double"),
        (column_of("impression_id", "5f0e"), "an integer; it is string"),
        (column_of("impression_id", None, pa.null()), "an integer; it is null"),
    ],
    "timestamp": [
        (column_of("timestamp", 1_700_000_000), "it is int64"),
        (column_of("timestamp", "2026-11-01T00:00:00Z"), "it is string"),
        (column_of("timestamp", 5, pa.time32("s")), "it is time32"),
        (column_of("timestamp", 5, pa.duration("s")), "it is duration[s]"),
    ],
    "v": [
        (column_of("v", "1"), "a number; it is string"),
        (column_of("v", True), "a number; it is bool"),
        (column_of("v", [1.0]), "a number; it is list<element: double>"),
    ],
    "user_id": [
        (column_of("user_id", 5.0), "an integer or a string; it is double"),
        (column_of("user_id", b"5"), "an integer or a string; it is binary"),
        (column_of("user_id", {"id": 5}, STRUCT), "an integer or a string; it is struct"),
        (column_of("user_id", [5]), "an integer or a string; it is list"),
    ],
    "recent": [
        (column_of("recent", "1|2|3"), "a list of integers or strings; it is string"),
        (column_of("recent", [1.0]), "a list of integers or strings; it is list<element: double>"),
        (column_of("recent", [[1]]), "a list of integers or strings; it is list<element: list"),
        (column_of("recent", [{"id": 5}], pa.list_(STRUCT)), "it is list<element: struct"),
    ],
    "user_vector": [
        (column_of("user_vector", ["a"]), "a list of 3 numbers; it is list<element: string>"),
        (column_of("user_vector", [1.0, 2.0]), "row 0: found [1.0, 2.0], expected a list of 3"),
        (column_of("user_vector", [1.0] * 5000), "row 0: found [1.0, "),
    ],
    "bid": [
        (column_of("bid", None, pa.float64()), "row 0: found None, expected a value"),
        (column_of("bid", 1.7976931348623157e308), "found 1.797693"),
        (column_of("bid", -999.0), "row 0: found -999.0, expected a number >= 0"),
        (column_of("bid", 10**40, pa.decimal256(50, 2)), "found 1e+40, expected a finite"),
    ],
}
CASES = [(name, table, words) for name, cases in TYPES.items() for table, words in cases]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("column", "table", "words"), CASES, ids=[f"{c[0]} {c[2]}" for c in CASES])
def test_a_column_of_another_kind(tmp_path, use, column, table, words):
    path = tmp_path / "log.parquet"
    pq.write_table(table, path)
    with pytest.raises(LogError) as error:
        USES[use](path, FEATURES)
    message = str(error.value)
    assert message.startswith(f"{path}: column {column!r}") and words in message
    assert "\n" not in message and len(message) < 400


def wrong_files(folder):
    frame = TABLE.select(["impression_id", "v", "ecpm"]).to_pandas()
    frame.to_csv(folder / "csv.parquet")
    frame.to_json(folder / "json.parquet", orient="records", lines=True)
    frame.to_pickle(folder / "pickle.parquet")
    pyarrow.feather.write_feather(frame, folder / "feather.parquet")
    pd.DataFrame({"PAR1": ["PAR1"]}).to_csv(folder / "almost.parquet", index=False)
    (folder / "zeros.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    (folder / "long.parquet").write_bytes(b"PAR1" + b"\xff" * 100 + b"PAR1")
    pq.write_table(TABLE, folder / "whole.parquet")
    whole = (folder / "whole.parquet").read_bytes()
    (folder / "half.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "twice.parquet").write_bytes(whole[:-50] + whole[-40:])
    (folder / "whole.parquet").unlink()
    return sorted(folder.glob("*.parquet"))


@pytest.mark.parametrize("use", USES)
def test_another_file(tmp_path, use):
    for path in wrong_files(tmp_path):
        with pytest.raises(LogError) as error:
            USES[use](path, FEATURES)
        assert str(error.value).startswith(f"{path}: not a Parquet file: ")
        assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize("column", ["impression_id", "v", "recent", "brand"])
def test_a_damaged_page(tmp_path, column, compression):
    path = tmp_path / "log.parquet"
    pq.write_table(make_log(count=2000), path, compression=compression, write_page_checksum=True)
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunk = next(
        group.column(i)
        for i in range(group.num_columns)
        if group.column(i).path_in_schema.split(".")[0] == column
    )
    content, page = bytearray(path.read_bytes()), chunk.data_page_offset
    middle = page + max(40, chunk.total_compressed_size // 2)
    content[middle] ^= 0xFF
    path.write_bytes(content)
    for use in (check, reader.read):
        with pytest.raises(LogError) as error:
            use(path, FEATURES)
        assert str(error.value).startswith(f"{path}: damaged; expected ")
        assert "\n" not in str(error.value)


def test_thousands_of_columns_are_not_all_named(tmp_path):
    wide = pa.table({f"column_{i}": [i] for i in range(3000)})
    pq.write_table(wide, tmp_path / "log.parquet")
    with pytest.raises(LogError, match=r"column 'impression_id' is missing; .* and 2970 more"):
        check(tmp_path / "log.parquet", FEATURES)


def test_the_ecpm_of_a_log_without_money_is_asked_for(tmp_path):
    pq.write_table(TABLE.drop_columns(["ecpm"]), tmp_path / "log.parquet")
    with pytest.raises(LogError, match=r"'ecpm' is missing; .* money has ecpm 0 in every row"):
        check(tmp_path / "log.parquet", FEATURES)


def test_one_id_for_many_impressions(tmp_path):
    """A list of 9,000 ads takes no more memory than it holds, and is said."""
    table = make_log(count=2000)
    times = pa.repeat(table["timestamp"][0], len(table))
    ids = np.where(np.arange(len(table)) < 9000, 7, table["impression_id"].to_numpy())
    table = table.set_column(2, "timestamp", times).set_column(0, "impression_id", pa.array(ids))
    pq.write_table(table, tmp_path / "log.parquet")
    notes = preview(tmp_path / "log.parquet", FEATURES)["notes"]
    assert any(note.startswith("the longest list holds 9,000 ads") for note in notes)
    with pytest.raises(LogError, match=r"column 'user_id', row .*: .*the same value in all rows"):
        check(tmp_path / "log.parquet", FEATURES)
