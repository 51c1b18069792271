"""A table's file, CSV or Parquet, read and held against a schema: one kind of error for all.

A schema is pandera's; the `description` of a column says in words what its values must be and
stands in the error. Texts stay as they are written: a model called 1, NA or 007 keeps its name.

A CSV file is UTF-8, with or without a byte order mark. Its columns may be separated by commas,
semicolons, tabs or vertical bars, as its first line says. Where they are not separated by commas,
a column of numbers may have decimal commas; what could be read in two ways is refused.
"""

import csv
import io
import json
import math
import os
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet as pq

from lib.logs.errors import TableError

# What stands for no value in a column of numbers of a CSV file, as in pandas.
NO_VALUE = (
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)
NUMERIC = (str, int, float, Decimal, np.number)
LARGEST_SIZE = 10**8  # of a layer: FLOPs of such layers still fit 64 bits
LARGEST = 1e30  # of any finite number: joint draws are kept as float32, which ends at 3e38
MOST_NAMES = 30  # of columns that an error lists

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# How files begin that are no text in UTF-8, whatever their name says.
OTHER_FORMATS = {
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a zip archive, as Excel writes",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"\x1f\x8b": "a gzip archive",
}
POINT = re.compile(r"[+-]?\d+\.\d+([eE][+-]?\d+)?")
COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
COMMA_OR_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # 1,500: in some countries 1500


# ---- columns --------------------------------------------------------------


def number(
    *, gt=-math.inf, ge=-math.inf, le=math.inf, whole=False, infinite=False, expected="", **options
):
    """A column of numbers: finite unless `infinite`, > gt, >= ge, <= le, whole if so asked.

    Args:
      expected: the rule in words; by default from the bounds.
      options: of pandera's Column (required, nullable, regex).
    """

    def good(column):
        numbers = _numbers(column).astype(float)
        rule = (numbers > gt) & (numbers >= ge) & (numbers <= le)
        rule &= (numbers.abs() <= LARGEST) | (np.isinf(numbers) & infinite)
        return rule & (numbers == np.floor(numbers)) if whole else rule

    kind = "a whole number" if whole else "a number" if infinite else "a finite number"
    bounds = [
        f"{sign} {bound:,}"
        for sign, bound in ((">", gt), (">=", ge), ("<=", le))
        if math.isfinite(bound)
    ]
    description = expected or " ".join([kind, *bounds])
    return pa.Column(
        parsers=pa.Parser(_as_numbers),
        checks=pa.Check(good, error=description),
        description=description,
        **options,
    )


def text(*, blank=False, among=(), **options):
    """A column of names, not blank unless so said; `among` lists the ones there are."""
    if among:
        description = f"one of {', '.join(among)}"
        rule = pa.Check(lambda column: column.isin(among), error=description)
    else:
        description = "text" if blank else "a name that is not blank"
        rule = pa.Check(lambda column: blank | (column.str.strip() != ""), error=description)
    return pa.Column(
        parsers=pa.Parser(_as_texts),
        checks=rule,
        description=description,
        metadata={"text": True},
        **options,
    )


def sizes(*, nullable=False, **options):
    """A column of size parameters: lists of Parquet, or a CSV's "[3328, 1024, 1]"."""
    description = (
        f"a list of two or more whole numbers of 1 .. {LARGEST_SIZE:,}, as [3328, 1024, 1]"
    )
    rule = pa.Check(lambda column: column.map(_is_size), error=description)
    return pa.Column(
        parsers=pa.Parser(lambda column: column.map(_as_size)),
        checks=rule,
        description=description,
        nullable=nullable,
        **options,
    )


def _as_numbers(column):
    """Texts of numbers as numbers; where one is not a number, the column as it is."""
    if column.dtype == np.float16:
        return column.astype(float)  # whose sums and words would overflow
    if column.dtype.kind in "iuf":
        return column
    numbers = _numbers(column)
    return numbers if numbers.notna().equals(column.notna()) else column


def _numbers(column):
    """The numbers of a column; NaN for texts of none, dates, truth values, lists."""
    if column.dtype.kind in "iuf":
        return column
    values = [_plain_number(value) for value in column]
    return pd.to_numeric(pd.Series(values, column.index, dtype=object), errors="coerce")


def _plain_number(value):
    """What `pandas.to_numeric` can be given."""
    if isinstance(value, bool) or not isinstance(value, NUMERIC):
        return None
    if isinstance(value, int) and abs(value) >= 2**63:
        return float(value) if abs(value) <= LARGEST else math.inf if value > 0 else -math.inf
    return value


def _as_texts(column):
    return pd.Series([text_of(value) for value in column], column.index, dtype="str")


def text_of(value) -> str:
    """A cell as a text, "" for no value.

    >>> text_of("007"), text_of(7.0), text_of(None)
    ('007', '7', '')
    """
    if _is_missing(value) or not pd.api.types.is_scalar(value):
        return ""  # a list is no name
    if isinstance(value, bytes):  # Parquet of some writers does not say that bytes are text
        return value.decode(errors="backslashreplace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a column of whole numbers with a gap is one of floats
    return str(value)


def _is_missing(value):
    return pd.api.types.is_scalar(value) and pd.isna(value)


def _as_size(value):
    """A list of int; None for no value; what is neither, as it is."""
    try:
        values = json.loads(value) if isinstance(value, str) else list(value)
        if any(isinstance(size, bool | np.bool_) or size != int(size) for size in values):
            return value
        return [int(size) for size in values]
    except (ValueError, TypeError, OverflowError, RecursionError):
        blank = value is None or (isinstance(value, str) and not value.strip())
        return None if blank else value


def _is_size(value):
    return (
        isinstance(value, list)
        and len(value) >= 2
        and all(isinstance(size, int) and 1 <= size <= LARGEST_SIZE for size in value)
    )


# ---- a file ---------------------------------------------------------------


def read_table(path, schema, *, need=(), name="table", leave_out=None):
    """The table of a file, checked: columns of `schema`, and whatever further ones it has.

    Args:
      path: a .csv or .parquet file.
      schema: pandera.DataFrameSchema made of `number`, `text` and `sizes`.
      need: columns that must be there beyond what the schema requires, with a value in all
        rows; those that the schema does not know hold finite numbers.
      name: of the table, for the error where no file is named.
      leave_out: a column that says why a row is to be left out, unchecked, unless it is blank.

    Returns: DataFrame; its `attrs["path"]` holds the path.
    Raises: TableError for the first bad row.
    """
    known = [column for column in need if column in schema.columns]
    schema = schema.update_columns(
        {column: {"required": True, "nullable": False} for column in known}
    ).add_columns({column: number() for column in need if column not in known})
    table = read_file(path, schema, name=name)
    for column, rule in schema.columns.items():
        if rule.required and not rule.regex and column not in table:
            raise _missing(path, table, column, rule.description)
    if leave_out in table:
        table = table[_as_texts(table[leave_out]) == ""]
    if table.empty:
        raise TableError(
            f"{path}: the table has no rows"
            + (f" with a blank {leave_out!r}" if leave_out in table else "")
            + "; expected one or more"
        )
    try:
        table = schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        raise _first_failure(path, table, schema, errors.failure_cases) from None
    table.attrs["path"] = str(path)
    return table


def check_once(table, keys):
    """TableError if two rows of a table agree in all columns of `keys`."""
    repeated = table.duplicated(keys)
    if repeated.any():
        row = repeated.idxmax()
        values = table.loc[[row], keys]
        first = table[keys].reset_index(names="row").merge(values, on=keys)["row"].min()
        found = ", ".join(f"{key} = {shown(values[key][row])}" for key in keys)
        raise TableError(
            f"{path_of(table)}: row {row}: found {found}, as in row {first}; "
            f"expected no two rows alike in {', '.join(keys)}"
        )


def path_of(table, name="table"):
    """The file that a table was read from; `name` for one of another origin."""
    return table.attrs.get("path", name)


def cell_error(table, row, column, found, expected) -> TableError:
    """What is said of a cell of a table that was read."""
    return _cell_error(path_of(table), table, row, column, found, expected)


def _cell_error(path, table, row, column, found, expected):
    model = ""
    if "model" in table and column != "model":
        model = f" (model {shown(text_of(table['model'][row]))})"
    return TableError(
        f"{path}: column {column!r}, row {row}{model}: found {shown(found)}, expected {expected}"
        f"{_hint(found)}"
    )


def _hint(found):
    """What else is to be said of a cell that is nearly a number."""
    if isinstance(found, str) and re.search(r"\d\s*%\s*$", found):
        return ", without a percent sign"
    if isinstance(found, str) and re.fullmatch(r"\s*[+-]?[\d.,' ]*\d,\d+\s*", found):
        return ", with a decimal point and without thousands separators"
    if isinstance(found, float | np.floating) and LARGEST < abs(float(found)) < math.inf:
        return f", up to {LARGEST:g}"
    return ""


def shown(value):
    """A cell as an error shows it: on one line, at most 80 characters.

    >>> shown("a\\nb"), shown(float("nan"))
    ("'a\\\\nb'", 'no value')
    """
    if _is_missing(value):
        return "no value"
    text = repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _first_failure(path, table, schema, failures):
    """The error of the topmost row at fault, there of the column that the schema names first."""
    names = list(schema.columns)
    cases = [
        (row, names.index(_rule(schema, column)), column)
        for row, column in zip(failures["index"], failures["column"], strict=True)
    ]
    row, rule, column = min(cases)
    expected = schema.columns[names[rule]].description
    return _cell_error(path, table, row, column, table[column][row], expected)


def _rule(schema, column):
    """The name under which a schema knows a column; None where it does not."""
    for name, rule in schema.columns.items():
        if name == column or (rule.regex and re.match(name, column)):
            return name
    return None


def _missing(path, table, column, expected):
    alike = [name for name in table if plain(name) == plain(column)]
    hint = f" (it has {alike[0]!r})" if alike else ""
    if any(re.search(r"[;\t|]", str(name)) for name in table):
        hint = " (expected columns separated by one sign throughout)"
    return TableError(
        f"{path}: column {column!r} is missing{hint}; the file has {_listed(table.columns)}; "
        f"expected {expected}"
    )


def plain(name):
    """A name without what is easily mistaken: case, blanks and marks.

    >>> plain(" Revenue-Lift ") == plain("revenue_lift")
    True
    """
    return re.sub(r"[\W_]", "", str(name)).casefold()


def _listed(names):
    """Names on one line, the first of many."""
    written = [str(name) if str(name).isprintable() else repr(name) for name in names]
    more = len(written) - MOST_NAMES
    return ", ".join(written[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def read_file(path, schema, *, name="table"):
    """The rows of a .csv or .parquet file; texts of a CSV file, by its schema, stay as written.

    Raises: TableError for what is no such file, or has two columns of one name.
    """
    if not str(path):
        raise TableError(f"{name}: no file is named; expected the path of a .csv or .parquet file")
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise TableError(f"{path}: found {path.suffix or 'no suffix'}, expected .csv or .parquet")
    if not os.path.isfile(path):  # unlike Path's, of any text
        raise TableError(f"{path}: no such file; expected a table of {name}")
    try:
        return _read_csv(path, schema) if kind == ".csv" else _read_parquet(path)
    except OSError as problem:
        raise TableError(f"{path}: not readable: {_line(problem)}") from None


def _read_csv(path, schema):
    text = _decoded(path)
    header, rows, separator = _rows(path, text)
    _check_names(path, [name for name in header if name])
    rules = [_rule(schema, name) for name in header]
    is_text = [
        rule is not None and bool((schema.columns[rule].metadata or {}).get("text"))
        for rule in rules
    ]
    if separator != ",":
        numbers = [j for j, name in enumerate(header) if name and not is_text[j]]
        known = [j for j in numbers if rules[j] is not None]
        _use_points(path, header, rows, numbers, known)
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows([header, *rows])
        text = lines.getvalue()
    texts = [name for name, kept in zip(header, is_text, strict=True) if kept]
    try:
        return pd.read_csv(
            io.StringIO(text),
            dtype={name: str for name in texts},
            na_values={name: list(NO_VALUE) for name in header if name and name not in texts},
            keep_default_na=False,
            index_col=False,
            low_memory=False,
        )
    except (pd.errors.ParserError, ValueError) as problem:
        raise TableError(f"{path}: not readable as CSV: {_line(problem)}") from None


def _decoded(path):
    """The text of a CSV file."""
    data = path.read_bytes()
    other = next((name for start, name in OTHER_FORMATS.items() if data.startswith(start)), None)
    if other is None and b"\0" in data:
        other = "bytes of 0, as of UTF-16"
    if other:
        raise TableError(f"{path}: found {other}, expected comma-separated text in UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise TableError(
            f"{path}: line {line}: found the byte {data[problem.start]:#04x}, as of Latin-1 or "
            "Windows-1252, expected text in UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _rows(path, text):
    """(header, rows, separator) of the text of a CSV file; TableError for ragged rows.

    Rows are only kept where they are not separated by commas.
    """
    first = next((line for line in text.split("\n") if line.strip()), None)
    if first is None:
        raise TableError(f"{path}: the file is empty; expected a line of column names")
    first = re.sub(r'"[^"]*"', "", first)
    separator = max(SEPARATORS, key=first.count)  # of two alike the comma
    header, rows, row = None, [], 0
    try:
        for fields in csv.reader(io.StringIO(text), delimiter=separator, strict=True):
            if not fields or (len(fields) == 1 != len(header or ()) and not fields[0].strip()):
                continue  # a blank line, which pandas leaves out as well
            if header is None:
                header = fields
            elif len(fields) != len(header):
                raise TableError(
                    f"{path}: row {row}: found {len(fields)} fields, {shown(fields)}, "
                    f"expected as many fields as the first line has, {len(header)}, separated by "
                    f"{SEPARATORS[separator]}; a field that holds one stands in double quotes"
                )
            else:
                row += 1
                if separator != ",":
                    rows.append(fields)
    except csv.Error as problem:
        raise TableError(
            f"{path}: row {row}: found a field that does not end, {_line(problem)}; "
            f"expected as many fields as columns, separated by {SEPARATORS[separator]}"
        ) from None
    return header, rows, separator


def _use_points(path, header, rows, numbers, known):
    """Write decimal commas as points, in place.

    Args:
      numbers: columns that may hold numbers, by index; known: those that must.

    Raises: TableError for cells that could be read in two ways: 1,500 where nothing in the column
      says that its comma is a decimal one, and 1.500 in a file of decimal commas.
    """
    cells = {j: [fields[j].strip() for fields in rows] for j in numbers}
    commas = {j: [cell for cell in cells[j] if COMMA.fullmatch(cell)] for j in numbers}
    for j in filter(commas.get, known):
        if all(map(COMMA_OR_THOUSANDS.fullmatch, commas[j])):
            raise _two_ways(path, header[j], cells[j], COMMA, "no thousands separators")
    if not any(commas[j] for j in known):
        return
    for j in known:
        if any(map(POINT.fullmatch, cells[j])):
            expected = "a decimal comma, as elsewhere in the file, and no thousands separators"
            raise _two_ways(path, header[j], cells[j], POINT, expected)
    for j in filter(commas.get, numbers):
        for fields, cell in zip(rows, cells[j], strict=True):
            if COMMA.fullmatch(cell):
                fields[j] = cell.replace(",", ".")


def _two_ways(path, column, cells, pattern, expected):
    row = next(row for row, cell in enumerate(cells) if pattern.fullmatch(cell))
    return TableError(
        f"{path}: column {column!r}, row {row}: found {cells[row]!r}, which may mean two numbers; "
        f"expected {expected}"
    )


def _read_parquet(path):
    try:
        table = pq.ParquetFile(path).read()
        _check_names(path, table.column_names)
        # Without pandas' notes: an index that it wrote is a column like the others.
        frame = table.to_pandas(ignore_metadata=True)
    except (pyarrow.ArrowException, OSError) as problem:
        raise TableError(f"{path}: not readable as Parquet: {_line(problem)}") from None
    return frame.drop(columns=[name for name in frame if name.startswith("__index_level_")])


def _line(problem):
    return " ".join(str(problem).split())


def _check_names(path, names):
    twice = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if twice:
        raise TableError(
            f"{path}: two columns are called {twice[0]!r}; expected every name once; "
            f"the file has {_listed(names)}"
        )
