"""The files of a log, opened, and their rows in blocks of whole impressions, checked.

Only a block is held at a time. What a block says of the features is checked where it becomes
arrays (`lib.logs.columns`).
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.logs.errors import LogError
from lib.logs.features import LOG_COLUMNS

DAMAGED = (pa.ArrowException, OSError)  # what Arrow raises for a file that it cannot read
FLOAT32 = "a finite number within ±3.4e38 (float32)"


class LogFiles:
    """The files of a log, opened once: schema checked, rows counted.

    Args:
      path: of a Parquet file, or of a folder of them, read in the order of their names.
      features: a `Features` declaration.
      extra: further columns that are to be there.

    Raises: LogError for what is no log of these columns.
    """

    def __init__(self, path, features, extra=()):
        if not str(path):
            raise LogError("logs: no file is named; expected a Parquet file, or a folder of them")
        path = Path(path)
        # Hidden files are not part of a log: one may be a file being written.
        self.files = sorted(path.glob("[!.]*.parquet")) if path.is_dir() else [path]
        if not self.files or not self.files[0].exists():
            raise LogError(f"{path}: no such log (a Parquet file, or a folder of them)")
        self.features, self.extra = features, tuple(extra)
        self.columns = column_names(features, extra)
        readers = [self._open(file) for file in self.files]
        self._check_same_types([reader.schema_arrow for reader in readers])
        self.ends = np.cumsum([reader.metadata.num_rows for reader in readers])
        if self.ends[-1] == 0:
            raise LogError(f"{path}: the log holds no rows")

    def _open(self, file):
        try:
            reader = pq.ParquetFile(file)
        except DAMAGED as error:
            raise LogError(f"{file}: not a Parquet file: {_one_line(error)}") from None
        check_schema(file, reader.schema_arrow, self.features, self.extra)
        return reader

    def _check_same_types(self, schemas):
        """Refuse files whose columns cannot be joined, such as text and numbers."""
        schemas = [
            pa.schema([schema.field(name) for name in dict.fromkeys(self.columns)])
            for schema in schemas
        ]
        for file, schema in zip(self.files, schemas, strict=True):
            try:
                pa.unify_schemas([schemas[0], schema], promote_options="permissive")
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise LogError(
                    f"{file}: a column has another type than in {self.files[0]}: {_one_line(error)}"
                ) from None

    def error(self, row, column, found, expected) -> LogError:
        """A LogError naming file, column and row (counted from 0 in its file)."""
        file = int(np.searchsorted(self.ends, row, side="right"))
        row -= int(self.ends[file - 1]) if file else 0
        return LogError(
            f"{self.files[file]}: column {column!r}, row {row}: "
            f"found {found!r}, expected {expected}"
        )

    def refuse(self, row, bad, column, table, expected):
        """Raise for the first True of `bad`.

        `row` is where `table` begins in the log, or where each of its rows lies.
        """
        if bad.any():
            place = int(np.argmax(bad))
            row = int(row + place if np.ndim(row) == 0 else row[place])
            raise self.error(row, column, table.column(column)[place].as_py(), expected)

    def longest_list(self) -> int:
        """Ads in the longest list, from the ids alone."""
        longest, run, last = 0, 0, None
        for ids in self._id_blocks():
            starts = np.flatnonzero(np.diff(ids)) + 1
            head = starts[0] if starts.size else len(ids)
            run = head + (run if last == ids[0] else 0)
            longest = max(longest, run)
            if starts.size:
                longest = max(longest, int(np.diff(starts, append=len(ids)).max()))
                run = len(ids) - starts[-1]
            last = ids[-1]
        return int(longest)

    def impressions(self) -> int:
        """Impressions in the log, from the ids alone."""
        count, last = 0, None
        for ids in self._id_blocks():
            count += int(np.count_nonzero(np.diff(ids))) + (last is None or last != ids[0])
            last = ids[-1]
        return count

    def _id_blocks(self):
        for file in self.files:
            for batch in _record_batches(file, 1 << 20, ["impression_id"]):
                yield numpy_values(batch.column(0))

    def blocks(self, count, stop=None):
        """Yield (row, table, starts): the next `count` impressions, checked.

        `row` is where the table begins in the log, `starts` [count] where each
        impression begins in the table; `stop` ends the last block.
        """
        row, impressions, time = 0, 0, None
        for table, starts in self._cut(count):
            if stop is not None and impressions + len(starts) > stop:
                remaining = stop - impressions
                if remaining < len(starts):
                    table = table.slice(0, int(starts[remaining]))
                starts = starts[:remaining]
            if len(starts):
                time = self._check_block(row, table, starts, time)
                yield row, table, starts
            row, impressions = row + len(table), impressions + len(starts)
            if stop is not None and impressions >= stop:
                return

    def _cut(self, count):
        """(table, starts) of `count` impressions each, whatever the files' own cuts."""
        pending, rows = [], 0
        for batch in self._batches(count):
            pending.append(batch)
            rows += len(batch)
            # Cheap lower bound before the ids are looked at: an impression has a row.
            if rows <= count:
                continue
            table = pa.concat_tables(pending, promote_options="permissive")
            starts = impression_starts(table)
            first = 0
            # The last impression may go on in the next batch.
            while len(starts) - 1 - first >= count:
                low, high = int(starts[first]), int(starts[first + count])
                yield table.slice(low, high - low), starts[first : first + count] - low
                first += count
            table = table.slice(int(starts[first]))
            pending, rows = [table], len(table)
        if rows:
            table = pa.concat_tables(pending, promote_options="permissive")
            yield table, impression_starts(table)

    def _batches(self, count):
        rows = int(np.clip(count * 16, 1 << 10, 1 << 18))
        for file in self.files:
            for batch in _record_batches(file, rows, self.columns):
                yield pa.Table.from_batches([batch])

    def _check_block(self, row, table, starts, time):
        """Refuse a bad row; `time` is the row before the block's, returns the block's last."""
        check_values(self, row, table, self.columns)
        times = timestamps(table)
        owner = np.repeat(starts, np.diff(starts, append=len(table)))
        self.refuse(
            row,
            times != times[owner],
            "timestamp",
            table,
            "one timestamp for all rows of an impression",
        )
        before = np.concatenate([[times[0] if time is None else time], times[:-1]])
        backwards = times < before
        self.refuse(
            row,
            backwards,
            "timestamp",
            table,
            f"time order (the row before has {before[np.argmax(backwards)]})",
        )
        return times[-1]


def column_names(features, extra=()) -> list[str]:
    """The columns of a log that are read: its own, the features, and what is asked for beside."""
    return [*LOG_COLUMNS, *(feature.name for feature in features.features), *extra]


def check_schema(where, schema, features, extra=()):
    """LogError, naming `where`, unless a log of this Arrow schema can be read."""
    for name in column_names(features, extra):
        if name not in schema.names:
            raise LogError(
                f"{where}: column {name!r} is missing; the file has {', '.join(schema.names)}"
            )
        if schema.names.count(name) > 1:
            raise LogError(
                f"{where}: {schema.names.count(name)} columns are called {name!r}; expected one"
            )
    for name, (accepts, expected) in _column_types(features).items():
        if not accepts(schema.field(name).type):
            raise LogError(
                f"{where}: column {name!r} must be {expected}; it is {schema.field(name).type}"
            )


def check_values(log, row, table, columns):
    """Refuse rows in which one of `columns` has no value, or v or ecpm cannot be one.

    `log` refuses, as `LogFiles.refuse` does; `row` is where `table` begins, or where each of its
    rows lies.
    """
    for name in columns:
        if table.column(name).null_count:
            bad = pc.is_null(table.column(name)).to_numpy(zero_copy_only=False)
            log.refuse(row, bad, name, table, "a value")
        if name in ("v", "ecpm"):  # v < 0 is padding to the loss, and no gain of NDCG
            values = numpy_values(table.column(name))
            bad = beyond_float32(values) | (values < 0)
            log.refuse(row, bad, name, table, "a finite number >= 0, <= 3.4e38 (float32)")


def _column_types(features):
    """Column -> (whether a type of Arrow will do, the expected type in words)."""
    types = pa.types

    def number(kind):
        return types.is_integer(kind) or types.is_floating(kind)

    def identifier(kind):
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)

    def list_of(element):
        return lambda kind: (
            (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
            and element(kind.value_type)
        )

    columns = {
        "impression_id": (types.is_integer, "an integer"),
        "timestamp": (types.is_timestamp, "a timestamp"),
        "v": (number, "a number"),
        "ecpm": (number, "a number"),
    }
    for feature in features.features:
        columns[feature.name] = {
            "sparse": (identifier, "an integer or a string"),
            "multi_valued": (list_of(identifier), "a list of integers or strings"),
            "statistical": (number, "a number"),
            "dense": (number, "a number")
            if feature.width == 1
            else (list_of(number), f"a list of {feature.width} numbers"),
        }[feature.kind]
    return columns


def _record_batches(file, rows, columns):
    """Batches of a file that was checked when it was opened; LogError where it is damaged."""
    try:
        # Read ahead, PyArrow would hold the whole file until its end.
        yield from pq.ParquetFile(file, pre_buffer=False).iter_batches(rows, columns=columns)
    except DAMAGED as error:
        raise LogError(
            f"{file}: damaged; expected a Parquet file that can be read to its end: "
            f"{_one_line(error)}"
        ) from None


def _one_line(error):
    return " ".join(str(error).split())


def numpy_values(column):
    """The values of an Arrow array, chunked or not."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.to_numpy(zero_copy_only=False)


def timestamps(table):
    """The timestamps of a table's rows, datetime64[us], UTC."""
    return numpy_values(table.column("timestamp")).astype("datetime64[us]")


def beyond_float32(values):
    """Where numbers are not finite as float32, in which models read them; bool, same shape.

    >>> beyond_float32(np.array([1.0, 1e39, np.nan])).tolist()
    [False, True, True]
    """
    with np.errstate(over="ignore"):
        return ~np.isfinite(values.astype(np.float32))


def impression_starts(table):
    """Where each impression begins among the rows of a table, [impressions]."""
    ids = numpy_values(table.column("impression_id"))
    return np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1])
