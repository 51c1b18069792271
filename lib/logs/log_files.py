"""The files of a log, opened, and their rows in blocks of whole impressions, checked.

Only a block is held at a time. What a block says of the features is checked where it becomes
arrays (`lib.logs.columns`).
"""

import decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.logs.column_types import as_types, check_schema, column_names, common_types, is_list
from lib.logs.encoding import beyond_float32
from lib.logs.errors import LogError
from lib.logs.features import short_repr
from lib.logs.log_folder import files_of, in_time_order, partition_columns, partition_of, span

VALUES = {
    "v": "a finite number >= 0, <= 3.4e38 (float32); of v = -position add the list's length",
    "ecpm": "a finite number >= 0, <= 3.4e38 (float32)",
}
DAMAGED = (pa.ArrowException, OSError)  # what Arrow raises for a file that it cannot read


class LogFiles:
    """The files of a log, opened once: schema checked, rows counted.

    Args:
      path: of a Parquet file, or of a folder of them (`lib.logs.log_folder`): read in the order of
        their first timestamps, as far as their footers tell, and then of their paths.
      features: a `Features` declaration.
      extra: further columns that are to be there.

    Attributes:
      files: with rows, in the order in which they are read; ends: rows up to the end of each.
      schema: the columns that are read, with the types that they are read as.
      partitions: column -> its value in each of the files, of what folders are named by.
      unread: columns of the first file, and of folders' names, that nothing asks for.

    Raises: LogError for what is no log of these columns.
    """

    def __init__(self, path, features, extra=()):
        self.features, self.extra = features, tuple(extra)
        self.columns = list(dict.fromkeys(column_names(features, extra)))
        opened = [(file, _open(file)) for file in files_of(path)]
        # A file without rows may be without types, too.
        held = [(file, reader) for file, reader in opened if reader.metadata.num_rows]
        if not held:
            raise LogError(f"{path}: the log holds no rows")
        spans = [span(reader) for _, reader in held]
        # Names may lie about the order. Where files overlap in time, reading refuses the first row.
        order = in_time_order(spans)
        self.spans = [spans[i] for i in order]
        self.files, readers = zip(*(held[i] for i in order), strict=True)
        partitions = partition_columns([partition_of(file, path) for file in self.files])
        self.partitions = {n: values for n, values in partitions.items() if n in self.columns}
        schemas = [reader.schema_arrow for reader in readers]
        self._in_file = [[n for n in self.columns if n in schema.names] for schema in schemas]
        whole = [_with_partitions(schema, self.partitions) for schema in schemas]
        for file, schema in zip(self.files, whole, strict=True):
            check_schema(file, schema, features, extra)
        self.schema = common_types(self.columns, whole, self.files, features)
        names = [*schemas[0].names, *partitions]
        self.unread = [n for n in dict.fromkeys(names) if n not in self.columns]
        self.ends = np.cumsum([reader.metadata.num_rows for reader in readers])

    def error(self, row, column, found, expected) -> LogError:
        """A LogError naming file, column and row (counted from 0 in its file)."""
        file = int(np.searchsorted(self.ends, row, side="right"))
        row -= int(self.ends[file - 1]) if file else 0
        return LogError(
            f"{self.files[file]}: column {column!r}, row {row}: "
            f"found {short_repr(found)}, expected {expected}"
        )

    def refuse(self, row, bad, column, table, expected):
        """Raise for the first True of `bad`.

        `row` is where `table` begins in the log, or where each of its rows lies.
        """
        if bad.any():
            place = int(np.argmax(bad))
            row = int(row + place if np.ndim(row) == 0 else row[place])
            raise self.error(row, column, found_value(table.column(column)[place]), expected)

    def list_lengths(self) -> tuple[int, int, int]:
        """(impressions, ads of the shortest list, of the longest), from the ids alone."""
        count, shortest, longest, run, last = 0, None, 0, 0, None
        for ids in self._id_blocks():
            starts = np.flatnonzero(np.diff(ids, prepend=ids[0] if last is None else last))
            if starts.size:
                # Of the lists that end in this block; the first began before it.
                lengths = np.diff(starts, prepend=-run)
                count += len(lengths)
                shortest = min(lengths.min(), shortest or lengths.min())
                longest = max(lengths.max(), longest)
                run = len(ids) - starts[-1]
            else:
                run += len(ids)
            last = ids[-1]
        return count + 1, int(min(run, shortest or run)), int(max(run, longest))

    def _id_blocks(self):
        for file in self.files:
            for batch in _record_batches(file, 1 << 20, ["impression_id"]):
                yield numpy_values(batch.column(0)).astype(np.int64, copy=False)

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
            table = pa.concat_tables(pending)
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
            table = pa.concat_tables(pending)
            yield table, impression_starts(table)

    def _batches(self, count):
        rows = int(np.clip(count * 16, 1 << 10, 1 << 18))
        for i, (file, names) in enumerate(zip(self.files, self._in_file, strict=True)):
            for batch in _record_batches(file, rows, names):
                table = pa.Table.from_batches([batch])
                for name, values in self.partitions.items():
                    if name not in names:
                        value = pa.scalar(values[i], self.schema.field(name).type)
                        table = table.append_column(name, pa.repeat(value, len(table)))
                yield as_types(table, self.schema)

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
            log.refuse(row, bad, name, table, VALUES[name])


def _open(file):
    try:
        return pq.ParquetFile(file)
    except DAMAGED as error:
        raise LogError(f"{file}: not a Parquet file: {_one_line(error)}") from None


def _with_partitions(schema, partitions):
    """A file's schema, and the columns of its folders' names that it does not hold itself."""
    for name, values in partitions.items():
        if name not in schema.names:
            whole = any(isinstance(value, int) for value in values)
            schema = schema.append(pa.field(name, pa.int64() if whole else pa.string()))
    return schema


def _record_batches(file, rows, columns):
    """Batches of a file that was checked when it was opened; LogError where it is damaged."""
    try:
        # Read ahead, PyArrow would hold the whole file until its end.
        reader = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
        yield from reader.iter_batches(rows, columns=columns)
    except DAMAGED as error:
        raise LogError(
            f"{file}: damaged; expected a Parquet file that can be read to its end: "
            f"{_one_line(error)}"
        ) from None


def _one_line(error):
    return " ".join(str(error).split())


def found_value(cell):
    """The value of an Arrow scalar as a message shows it, whatever its bytes are."""
    if isinstance(cell, pa.DictionaryScalar):
        cell = cell.value
    try:
        found = cell.as_py()
    except UnicodeDecodeError:
        if is_list(cell.type):
            return [found_value(element) for element in cell.values]
        return cell.as_buffer().to_pybytes()
    except (ValueError, OverflowError):  # a moment that Python has no word for
        return str(cell)
    if isinstance(found, list):
        return [int(x) if isinstance(x, decimal.Decimal) else x for x in found]
    return int(found) if isinstance(found, decimal.Decimal) else found


def numpy_values(column):
    """The values of an Arrow array, chunked or not."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.to_numpy(zero_copy_only=False)


def timestamps(table):
    """The timestamps of a table's rows, datetime64[us], UTC."""
    return numpy_values(table.column("timestamp")).astype("datetime64[us]")


def impression_starts(table):
    """Where each impression begins among the rows of a table, [impressions]."""
    ids = numpy_values(table.column("impression_id"))
    return np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1])
