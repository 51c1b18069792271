"""A table's file, CSV or Parquet, read and held against a schema: one kind of error for all.

A schema is pandera's; the `description` of a column says in words what its values must be and
stands in the error. Texts stay as they are written: a model called 1, NA or 007 keeps its name.
"""

import json
import math
import re
import warnings
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
        if not infinite:
            rule &= np.isfinite(numbers)
        return rule & (numbers == np.floor(numbers)) if whole else rule

    kind = "a whole number" if whole else "a number" if infinite else "a finite number"
    bounds = [f"> {gt}"] * (gt > -math.inf) + [f">= {ge}"] * (ge > -math.inf)
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
    if column.dtype.kind in "iuf":
        return column
    numbers = _numbers(column)
    return numbers if numbers.notna().equals(column.notna()) else column


def _numbers(column):
    """The numbers of a column; NaN for texts of none, dates, truth values, lists."""
    if column.dtype.kind in "iuf":
        return column
    values = [value if isinstance(value, NUMERIC) else None for value in column]
    values = [None if isinstance(value, bool) else value for value in values]
    return pd.to_numeric(pd.Series(values, column.index, dtype=object), errors="coerce")


def _as_texts(column):
    return pd.Series([_as_text(value) for value in column], column.index, dtype="str")


def _as_text(value):
    if _is_missing(value) or not pd.api.types.is_scalar(value):
        return ""  # a list is no name
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
    except (ValueError, TypeError, OverflowError):
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
    texts = [column for column, rule in schema.columns.items() if (rule.metadata or {}).get("text")]
    table = read_file(path, texts, name=name)
    known = [column for column in need if column in schema.columns]
    schema = schema.update_columns(
        {column: {"required": True, "nullable": False} for column in known}
    ).add_columns({column: number() for column in need if column not in known})
    for column, rule in schema.columns.items():
        if rule.required and not rule.regex and column not in table:
            raise _missing(path, table, column)
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
        model = f" (model {shown(_as_text(table['model'][row]))})"
    return TableError(
        f"{path}: column {column!r}, row {row}{model}: found {shown(found)}, expected {expected}"
    )


def shown(value):
    """A cell as an error shows it."""
    if _is_missing(value):
        return "no value"
    text = repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _first_failure(path, table, schema, failures):
    """The error of the topmost row at fault, there of the column that the schema names first."""
    names = list(schema.columns)

    def place(column):
        return next(
            place
            for place, name in enumerate(names)
            if name == column or (schema.columns[name].regex and re.match(name, column))
        )

    cases = [
        (row, place(column), column)
        for row, column in zip(failures["index"], failures["column"], strict=True)
    ]
    row, rule, column = min(cases)
    expected = schema.columns[names[rule]].description
    return _cell_error(path, table, row, column, table[column][row], expected)


def _missing(path, table, column):
    def plain(name):
        return re.sub(r"[\W_]", "", str(name)).casefold()

    alike = [name for name in table if plain(name) == plain(column)]
    hint = f" (it has {alike[0]!r})" if alike else ""
    if any(re.search(r"[;\t|]", str(name)) for name in table):
        hint = " (expected columns separated by commas)"
    return TableError(
        f"{path}: column {column!r} is missing{hint}; "
        f"the file has {', '.join(map(str, table.columns))}"
    )


def read_file(path, texts=(), *, name="table"):
    """The rows of a .csv or .parquet file; columns of `texts` in a CSV file stay as written.

    Raises: TableError for what is no such file, or has two columns of one name.
    """
    if not str(path):
        raise TableError(f"{name}: no file is named; expected the path of a .csv or .parquet file")
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise TableError(f"{path}: found {path.suffix or 'no suffix'}, expected .csv or .parquet")
    if not path.is_file():
        raise TableError(f"{path}: no such file; expected a table of {name}")
    return _read_csv(path, texts) if path.suffix == ".csv" else _read_parquet(path)


def _read_csv(path, texts):
    options = {"encoding": "utf-8-sig", "keep_default_na": False, "index_col": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row of too many fields
            header = pd.read_csv(path, header=None, nrows=1, dtype=str, **options).iloc[0]
            _check_names(path, [name for name in header if name])
            return pd.read_csv(
                path,
                dtype={name: str for name in header if name in texts},
                na_values={name: list(NO_VALUE) for name in header if name not in texts},
                low_memory=False,
                **options,
            )
    except pd.errors.EmptyDataError:
        raise TableError(f"{path}: the file is empty; expected a line of column names") from None
    except UnicodeDecodeError as problem:
        byte = problem.object[problem.start]
        raise TableError(f"{path}: found the byte {byte:#04x}, expected text in UTF-8") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as problem:
        raise TableError(
            f"{path}: expected as many fields in each row as columns in the first line, "
            f"separated by commas; {_line(problem)}"
        ) from None


def _read_parquet(path):
    try:
        table = pq.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError) as problem:
        raise TableError(f"{path}: not readable as Parquet: {_line(problem)}") from None
    _check_names(path, table.column_names)
    # Without pandas' notes: an index that it wrote is a column like the others.
    frame = table.to_pandas(ignore_metadata=True)
    return frame.drop(columns=[name for name in frame if name.startswith("__index_level_")])


def _line(problem):
    return " ".join(str(problem).split())


def _check_names(path, names):
    twice = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if twice:
        raise TableError(
            f"{path}: two columns are called {twice[0]!r}; expected every name once; "
            f"the file has {', '.join(names)}"
        )
