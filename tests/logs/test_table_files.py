"""A campaign: every reader meets every way in which a good table's file can be spoiled.

Whatever is wrong ends in one TableError on one line; what is right in another dialect or type is
read as if it were plain.
"""

import io
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.logs.errors import TableError
from lib.logs.table_files import read_table
from lib.logs.tables import load_costs, load_measurements
from tests.logs.made_tables import EVERY_READER, SCHEMAS, fault, measurements, written

EVERY = pytest.mark.parametrize("name", EVERY_READER)
WIDE = pytest.mark.parametrize("name", [name for name in EVERY_READER if name != "grid"])
PLAIN = settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def csv_text(name):
    return EVERY_READER[name][1]().to_csv(index=False)


def same(name, path, table=None):
    """The reader finds in a file what it finds in the good table."""
    load, make = EVERY_READER[name]
    good = path.with_name(f"good{path.suffix.lower()}")
    expected = load(written(good, make() if table is None else table))
    found = load(path)
    if isinstance(expected, list):
        assert found == expected
    else:
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)


# ---- other ways to write the same table -----------------------------------


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@WIDE
def test_columns_may_be_separated_otherwise(tmp_path, name, separator):
    EVERY_READER[name][1]().to_csv(tmp_path / "t.csv", index=False, sep=separator)
    same(name, tmp_path / "t.csv")


@pytest.mark.parametrize("separator", [";", "\t"])
@WIDE
def test_decimal_commas(tmp_path, name, separator):
    EVERY_READER[name][1]().to_csv(tmp_path / "t.csv", index=False, sep=separator, decimal=",")
    same(name, tmp_path / "t.csv")


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n\n", "\n  \n"])
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig"])
@EVERY
def test_endings_of_lines_and_marks(tmp_path, name, ending, mark):
    text = csv_text(name).replace("\n", ending)
    (tmp_path / "t.CSV").write_bytes(text.encode(mark))
    same(name, tmp_path / "t.CSV")


def test_commas_within_quotes_are_no_decimal_ones(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('model;flops;r_over_r_star;note\n"a;1";10;0,5;x,y\nb,2;20;0,75;"1,5"\n')
    table = load_measurements(path)
    assert table.model.tolist() == ["a;1", "b,2"]
    assert table.flops.tolist() == [10, 20] and table.r_over_r_star.tolist() == [0.5, 0.75]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model;flops\na;1,500\nb;2,000\n", ("row 0: found '1,500'", "thousands")),
        ("model;flops;ndcg\na;1.500;0,5\n", ("row 0: found '1.500'", "decimal comma")),
        ("model;flops;ndcg\na;1;0,5\nb;2;0.5\n", ("row 1: found '0.5'", "decimal comma")),
        ("model;flops\na;1.500.000\n", ("row 0", "found '1.500.000'", "a finite number")),
        ("model;flops\na;1.234,5\n", ("row 0", "found '1.234,5'", "a decimal point")),
        ('model,flops\na,"0,5"\n', ("row 0", "found '0,5'", "a decimal point")),
        ("model,flops\na,7 %\n", ("row 0", "found '7 %'", "without a percent sign")),
        ("model,flops\na,1e40\n", ("row 0", "found 1e+40", "up to 1e+30")),
    ],
)
def test_numbers_that_could_be_two(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    fault(load_measurements, tmp_path / "t.csv", "column ", "expected", *words)


def test_one_clear_decimal_comma_settles_a_column(tmp_path):
    (tmp_path / "t.csv").write_text("model;flops\na;1,500\nb;2,25\n")
    assert load_measurements(tmp_path / "t.csv").flops.tolist() == [1.5, 2.25]


# ---- files that are none --------------------------------------------------


FILES = {
    "empty": (b"", "the file is empty"),
    "blank lines": (b"\n \n\n", "the file is empty"),
    "Latin-1": ("model,note\na,Köln\n".encode("latin-1"), "line 2: found the byte 0xf6"),
    "UTF-16": ("model\na\n".encode("utf-16"), "found text in UTF-16, expected"),
    "UTF-16 without a mark": ("model\na\n".encode("utf-16-le"), "UTF-16"),
    "Excel": (b"PK\x03\x04....", "Excel"),
    "gzip": (b"\x1f\x8b....", "gzip"),
    "an open quote": (b'model,flops\na,"1\nb,2\n', "row 0: found a field that does not end"),
    "a long row": (b"a,b\n1,2,3\n", "row 0: found 3 fields"),
    "a short row": (b"a,b\n1,2\n1\n", "row 1: found 1 fields"),
    "a list without quotes": (b"size_parameters\n[4, 2, 1]\n", "row 0: found 3 fields"),
    "columns twice": (b"model,flops,model\na,1,b\n", "two columns are called 'model'"),
    "no names": (b",,\n1,2,3\n", "is missing"),
    "another table": (b"colour\nred\n", "; the file has colour"),
    "columns by blanks": (b"model flops\na 1\n", "; the file has model flops"),
    "a name on two lines": (b'"co\nlour",b\n1,2\n', r"; the file has 'co\nlour', b"),
}


@pytest.mark.parametrize("kind", FILES)
@EVERY
def test_files_that_are_no_table(tmp_path, name, kind):
    content, words = FILES[kind]
    (tmp_path / "t.csv").write_bytes(content)
    fault(EVERY_READER[name][0], tmp_path / "t.csv", words)


@EVERY
def test_files_under_another_name(tmp_path, name):
    load, make = EVERY_READER[name]
    written(tmp_path / "t.csv", make()).rename(tmp_path / "t.parquet")
    fault(load, tmp_path / "t.parquet", "not readable as Parquet")
    written(tmp_path / "u.parquet", make()).rename(tmp_path / "u.csv")
    fault(load, tmp_path / "u.csv", "found Parquet, expected comma-separated text")
    long = tmp_path / ("x" * 300 + ".csv")
    with pytest.raises(TableError, match="no such file"):
        load(long)


def test_many_columns_are_no_wall_of_text(tmp_path):
    path = written(tmp_path / "t.csv", pd.DataFrame({f"c{i}": [1] for i in range(1000)}))
    assert len(fault(load_measurements, path, "c29 and 970 more")) < 400 + len(str(path))


# ---- cells ----------------------------------------------------------------


def columns(name, kind):
    """Columns of a good table that its schema knows, by the kind of their rule."""
    schema, table = SCHEMAS[name], EVERY_READER[name][1]()

    def of(column):
        rule = schema.columns[column]
        if (rule.metadata or {}).get("text"):
            return "text"
        return "size" if "list" in rule.description else "number"

    return [(name, column) for column in table if column in schema.columns and of(column) == kind]


def every(kind):
    return [place for name in EVERY_READER for place in columns(name, kind)]


NO_NUMBERS = ["abc", "0.85%", "1,000", "$ 3", "--", "2026-01-01", "1e300", "-1e300", "[1]", "0x10"]
NO_SIZES = [
    "",
    "8-4-1",
    "[8]",
    "[]",
    "[8, -4]",
    "[8.5, 1]",
    "{}",
    "null",
    "[8, [4]]",
    "1e9",
    "[" * 999,
]


def some(places, values):
    """Every place with one value, and every value at one place."""
    count = max(len(places), len(values))
    return [(*places[i % len(places)], values[i % len(values)]) for i in range(count)]


@pytest.mark.parametrize(("name", "column", "value"), some(every("number"), NO_NUMBERS))
def test_what_is_no_number(tmp_path, name, column, value):
    message = spoiled(tmp_path, name, column, value)
    assert repr(value) in message or "e+300" in message


@pytest.mark.parametrize(("name", "column", "value"), some(every("size"), NO_SIZES))
def test_what_is_no_size(tmp_path, name, column, value):
    assert "a list of two or more whole numbers" in spoiled(tmp_path, name, column, value)


NAMES = [place for place in every("text") if place[1] not in ("world", "dial", "set", "kind")]


@pytest.mark.parametrize(("name", "column", "value"), some(NAMES, ["", "   "]))
def test_what_is_no_name(tmp_path, name, column, value):
    spoiled(tmp_path, name, column, value)


def spoiled(folder, name, column, value):
    """What the reader says of a good table with one other cell in row 1."""
    load, make = EVERY_READER[name]
    table = make()
    values = table[column].tolist()
    values[1] = value
    path = written(folder / "t.csv", table.assign(**{column: pd.Series(values, dtype=object)}))
    return fault(load, path, f"column {column!r}, row 1", "found", "expected")


CELLS = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from([*NO_NUMBERS, *NO_SIZES, "inf", "-inf", "nan", "1" * 400, "\x00", "\u202em"]),
)


@EVERY
@PLAIN
@given(data=st.data())
def test_any_cell_is_read_or_refused(tmp_path, name, data):
    load, make = EVERY_READER[name]
    table = make().astype(object).map(lambda value: "" if value is None else str(value))
    row = data.draw(st.integers(0, len(table) - 1))
    table.iat[row, data.draw(st.integers(0, table.shape[1] - 1))] = data.draw(CELLS)
    separator = data.draw(st.sampled_from(",;\t|"))
    table.to_csv(tmp_path / "t.csv", index=False, sep=separator)
    read_or_refused(load, tmp_path / "t.csv")


@EVERY
@PLAIN
@given(data=st.data())
def test_any_text_is_read_or_refused(tmp_path, name, data):
    text = csv_text(name)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 5)))
    text = text[:start] + data.draw(CELLS | st.sampled_from(list('",;\t|\r\n'))) + text[end:]
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", errors="replace", newline="")
    read_or_refused(EVERY_READER[name][0], tmp_path / "t.csv")


@PLAIN
@given(content=st.binary(max_size=200), suffix=st.sampled_from(["csv", "parquet"]))
def test_any_bytes_are_read_or_refused(tmp_path, content, suffix):
    (tmp_path / f"t.{suffix}").write_bytes(content)
    for load, _ in EVERY_READER.values():
        read_or_refused(load, tmp_path / f"t.{suffix}")


def read_or_refused(load, path):
    try:
        load(path)
    except TableError as problem:
        message = str(problem)
        assert "\n" not in message and len(message) < 1500 + len(str(path))
        assert path.name in message or "worlds.csv" in message


# ---- Parquet's types ------------------------------------------------------

NUMBERS = [
    *(pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64()),
    *(pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(20, 4), pa.decimal256(40, 4)),
]


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("name", ["measurements", "costs"])
def test_numbers_of_any_type(tmp_path, name, kind, dictionary):
    """Whole numbers as any type of Parquet that holds them, also as a dictionary."""
    _, make = EVERY_READER[name]
    table, good = pa.Table.from_pandas(make(), preserve_index=False), make()
    for _, column in columns(name, "number"):
        values = good[column]
        if values.isna().any() or not (values == values.round()).all() or values.max() > 120:
            continue
        values = [Decimal(int(x)) if pa.types.is_decimal(kind) else int(x) for x in values]
        array = pa.array(values, kind)
        if dictionary and not pa.types.is_decimal(kind):
            array = array.dictionary_encode()
        table = table.set_column(table.column_names.index(column), column, array)
    pq.write_table(table, tmp_path / "t.parquet")
    same(name, tmp_path / "t.parquet", make())


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.list_(kind) for kind in (pa.int16(), pa.uint16(), pa.int32(), pa.int64())),
        *(pa.list_(kind) for kind in (pa.float32(), pa.float64(), pa.decimal128(12, 2))),
        *(pa.large_list(pa.int32()), pa.list_(pa.int32(), 3), pa.large_list(pa.uint16())),
        *(pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())),
    ],
    ids=str,
)
def test_sizes_of_any_type(tmp_path, kind):
    lists = [[3328, 1024, 1], [30000, 2048, 1]]
    texts = pa.types.is_dictionary(kind) or not pa.types.is_nested(kind)
    values = [json.dumps(size) for size in lists] if texts else lists
    if "decimal" in str(kind):
        values = [[Decimal(size) for size in sizes] for sizes in lists]
    table = pa.Table.from_pandas(EVERY_READER["costs"][1](), preserve_index=False)
    place = table.column_names.index("size_parameters")
    table = table.set_column(place, "size_parameters", pa.array(values, kind))
    pq.write_table(table, tmp_path / "t.parquet")
    read = load_costs(tmp_path / "t.parquet")
    assert read.size_parameters.tolist() == lists
    assert read.flops.tolist() == [2 * (3328 * 1024 + 1024), 2 * (30000 * 2048 + 2048)]


@pytest.mark.parametrize(
    "kind",
    [pa.large_string(), pa.binary(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
def test_names_of_any_type(tmp_path, kind):
    table = pa.Table.from_pandas(measurements(), preserve_index=False)
    names = [b"a", b"b", b"c", b"d", b"\xc3\xa4"] if pa.types.is_binary(kind) else list("abcdä")
    pq.write_table(table.set_column(0, "model", pa.array(names, kind)), tmp_path / "t.parquet")
    assert load_measurements(tmp_path / "t.parquet").model.tolist() == list("abcdä")


STRANGE = {
    "null": lambda n: pa.nulls(n),
    "bool": lambda n: pa.array([True] * n),
    "date": lambda n: pa.array([1] * n, pa.date32()),
    "timestamp": lambda n: pa.array([2**50] * n, pa.timestamp("s")),
    "duration": lambda n: pa.array([1] * n, pa.duration("ns")),
    "struct": lambda n: pa.array([{"a": 1}] * n),
    "map": lambda n: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int8())),
    "list of lists": lambda n: pa.array([[[1], [2]]] * n),
    "list of texts": lambda n: pa.array([["4", "2"]] * n),
    "list with gaps": lambda n: pa.array([[4, None]] * n),
    "no lists": lambda n: pa.array([None] * n, pa.list_(pa.int64())),
    "bytes": lambda n: pa.array([b"\xff\x00"] * n),
    "half": lambda n: pa.array(np.full(n, np.nan, np.float16)),
    "huge": lambda n: pa.array([Decimal("9" * 70)] * n, pa.decimal256(76, 0)),
}


@pytest.mark.parametrize("kind", STRANGE)
@EVERY
def test_any_type_is_read_or_refused(tmp_path, name, kind):
    load, make = EVERY_READER[name]
    good = pa.Table.from_pandas(make(), preserve_index=False)
    for place, column in enumerate(good.column_names):
        table = good.set_column(place, column, STRANGE[kind](len(good)))
        pq.write_table(table, tmp_path / "t.parquet")
        read_or_refused(load, tmp_path / "t.parquet")
    if kind in ("date", "timestamp", "duration", "struct", "list of lists", "huge"):
        for _, column in [*columns(name, "number"), *columns(name, "size")]:
            place = good.column_names.index(column)
            table = good.set_column(place, column, STRANGE[kind](len(good)))
            pq.write_table(table, tmp_path / "t.parquet")
            fault(load, tmp_path / "t.parquet", f"column {column!r}, row 0", "found", "expected")


def test_a_damaged_page_of_parquet(tmp_path):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"model": [f"m{i}" * 9 for i in range(999)]}), buffer)
    data = bytearray(buffer.getvalue())
    data[30:600] = b"\xff" * 570
    (tmp_path / "t.parquet").write_bytes(data)
    fault(load_measurements, tmp_path / "t.parquet", "not readable as Parquet")


def test_a_table_of_another_schema_with_a_needed_column(tmp_path):
    """What a caller needs and the schema does not know is a column of finite numbers."""
    path = written(tmp_path / "t.csv", measurements().assign(auc=[0.1, 0.2, np.inf, 0.4, 0.5]))
    fault(lambda p: read_table(p, SCHEMAS["measurements"], need=["auc"]), path, "'auc', row 2")
