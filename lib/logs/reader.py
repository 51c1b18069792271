"""The log format (Eq 1): read, check, stream and write impressions.

A log is Parquet, one row an ad in an impression; the rows of an impression are
adjacent and impressions are in time order. It may be one file or a folder of
files, read in the order of their names.

| column          | type      | meaning                                           |
| --------------- | --------- | ------------------------------------------------- |
| `impression_id` | integer   | one request                                       |
| `timestamp`     | timestamp | of the request, UTC                               |
| `v`             | number    | rank index in the system's queue, higher is better |
| `ecpm`          | number    | >= 0; 0 for an ad that never reached Ranking       |

and a column for each feature that the features file declares. Arrays made from
a log have impressions first and ads last but for a feature's own width; lists
shorter than the longest are padded and `mask` says which ads are real.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.infra.files import replacing
from lib.logs.encoding import encode, fold
from lib.logs.errors import LogError
from lib.logs.features import LOG_COLUMNS

# ---- impressions as arrays ------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Impressions:
    """A batch of B whole impressions of up to n ads.

    impression_id  [B] int64
    timestamp      [B] datetime64[us], UTC
    user           name -> [B], [B, length] or [B, width]
    ad             name -> [B, n], [B, n, length] or [B, n, width]
    v, ecpm        [B, n] float64, 0 where padded
    mask           [B, n] bool, True for a real ad
    extra          name -> [B, n], columns that were asked for beside the features
    """

    impression_id: np.ndarray
    timestamp: np.ndarray
    user: dict
    ad: dict
    v: np.ndarray
    ecpm: np.ndarray
    mask: np.ndarray
    extra: dict

    def __len__(self):
        return len(self.impression_id)

    def take(self, index):
        """The impressions at `index` (a slice or an array)."""
        return Impressions(
            *(
                {name: array[index] for name, array in value.items()}
                if isinstance(value, dict)
                else value[index]
                for value in (getattr(self, field.name) for field in dataclasses.fields(self))
            )
        )


@dataclasses.dataclass(frozen=True)
class LogSummary:
    """What a checked log holds."""

    impressions: int
    ads: int
    shortest: int
    longest: int
    first: np.datetime64
    last: np.datetime64
    ranked_share: float  # of ads with ecpm > 0


def stream(
    path, features, batch_impressions, *, window=0, seed=0, ads=None, start=0, stop=None, extra=()
) -> Iterator[Impressions]:
    """Batches of whole impressions in time order; memory is bounded by the window.

    Args:
      path: a Parquet file or a folder of them.
      features: a `Features` declaration; only its columns are read.
      batch_impressions: impressions a batch (the last one may have fewer).
      window: impressions among which the order is shuffled, "within a small time
        interval" (section 3.4); a multiple of `batch_impressions`, or 0 for none.
      seed: of the shuffle; the same seed gives the same order.
      ads: pad every list to this many ads; default: the longest list of the log.
      start, stop: impressions to begin and end with, as in a slice of the stream
        before shuffling; `start` a multiple of the window (of the batch without one).
      extra: further columns to hand out, such as "stage".

    Raises: LogError on the first malformed row, ValueError on bad arguments.
    """
    step = window or batch_impressions
    if (
        batch_impressions < 1
        or min(window, start) < 0
        or window % batch_impressions
        or (start % step)
    ):
        raise ValueError(
            "stream: batch_impressions must be >= 1, window a multiple of it and start a "
            f"multiple of the window; got batch_impressions = {batch_impressions}, "
            f"window = {window}, start = {start}"
        )
    log = _Log(path, features, extra)
    ads = ads or log.longest()
    for index, (row, table, starts) in enumerate(log.whole_impressions(step, stop)):
        if index * step < start:
            continue
        block = _to_arrays(log, row, table, starts, ads)
        if window:
            block = block.take(np.random.default_rng([seed, index]).permutation(len(block)))
        for first in range(0, len(block), batch_impressions):
            yield block.take(slice(first, first + batch_impressions))


def read(path, features, *, start=0, stop=None, ads=None, extra=()):
    """Impressions `start` to `stop` of the log at once, in order.

    Args and errors as in `stream`; ValueError where that stretch is empty.
    """
    block = 4096
    if start < 0 or (stop is not None and stop <= start):
        raise ValueError(f"read: needs 0 <= start < stop; got start = {start}, stop = {stop}")
    first = start - start % block
    parts = list(stream(path, features, block, ads=ads, start=first, stop=stop, extra=extra))
    if sum(map(len, parts)) <= start - first:
        raise ValueError(f"{path}: the log holds no impression from number {start} on")
    return concatenate(parts).take(slice(start - first, None))


def concatenate(parts):
    """Batches of one log, padded to one width, as one."""

    def join(values):
        if isinstance(values[0], dict):
            return {name: np.concatenate([value[name] for value in values]) for name in values[0]}
        return np.concatenate(values)

    return Impressions(
        *(
            join([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(Impressions)
        )
    )


def check(path, features, block=20_000):
    """Read the whole log once and return its LogSummary; raise LogError if malformed.

    Beyond what `stream` sees of a batch: an impression's rows are adjacent in the
    whole log (keeps 8 bytes an impression) and its user features agree in all rows.
    """
    log = _Log(path, features)
    ids, lengths, ranked, first, last = [], [], 0, None, None
    for row, table, starts in log.whole_impressions(block):
        ids.append(_column(table, "impression_id")[starts])
        lengths.append(np.diff(starts, append=len(table)))
        times = _times(table)[starts]
        first, last = times[0] if first is None else first, times[-1]
        ranked += np.count_nonzero(_column(table, "ecpm"))
        owner = np.repeat(starts, lengths[-1])
        for feature in features.features:
            values = _encode(log, row, table, feature)
            if feature.side == "user":
                same = (values == values[owner]).reshape(len(table), -1).all(axis=1)
                log.refuse(
                    row, ~same, feature.name, table, "the same value in all rows of an impression"
                )
    ids, lengths = np.concatenate(ids), np.concatenate(lengths)
    order = np.argsort(ids, kind="stable")
    again = order[1:][np.diff(ids[order]) == 0]
    if again.size:
        at = int(np.cumsum(lengths)[again.min() - 1])
        raise log.error(
            at, "impression_id", int(ids[again.min()]), "the rows of an impression to be adjacent"
        )
    return LogSummary(
        len(ids),
        int(lengths.sum()),
        int(lengths.min()),
        int(lengths.max()),
        first,
        last,
        float(ranked / lengths.sum()),
    )


def longest_list(path, features):
    """Ads in the longest list of a log, from the ids alone."""
    return _Log(path, features).longest()


def count(path, features):
    """Impressions in a log, from the ids alone."""
    return _Log(path, features).impressions()


def write_logs(path, tables):
    """Write pyarrow tables (or pandas frames), one after the other, as one log file."""
    writer = None
    with replacing(path) as temporary:
        try:
            for table in tables:
                table = (
                    table
                    if isinstance(table, pa.Table)
                    else pa.Table.from_pandas(table, preserve_index=False)
                )
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table)
        finally:
            if writer:
                writer.close()
        if writer is None:
            raise ValueError(f"{path}: a log needs at least one table of impressions")


# ---- reading --------------------------------------------------------------


class _Log:
    """The files of a log, opened once: schema checked, rows counted."""

    def __init__(self, path, features, extra=()):
        path = Path(path)
        # Hidden files are not part of a log: one may be a file being written.
        self.files = sorted(path.glob("[!.]*.parquet")) if path.is_dir() else [path]
        if not self.files or not self.files[0].exists():
            raise LogError(f"{path}: no such log (a Parquet file, or a folder of them)")
        self.features, self.extra = features, tuple(extra)
        self.columns = [*LOG_COLUMNS, *(f.name for f in features.features), *self.extra]
        readers = [self._open(file) for file in self.files]
        self._check_same_types([reader.schema_arrow for reader in readers])
        self.ends = np.cumsum([reader.metadata.num_rows for reader in readers])
        if self.ends[-1] == 0:
            raise LogError(f"{path}: the log holds no rows")

    def _open(self, file):
        try:
            reader = pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            raise LogError(f"{file}: not a Parquet file: {error}") from None
        schema = reader.schema_arrow
        missing = [name for name in self.columns if name not in schema.names]
        if missing:
            raise LogError(
                f"{file}: column {missing[0]!r} is missing; the file has {', '.join(schema.names)}"
            )
        for name, (accepts, wanted) in self._wanted().items():
            if not accepts(schema.field(name).type):
                raise LogError(
                    f"{file}: column {name!r} must be {wanted}; it is {schema.field(name).type}"
                )
        return reader

    def _check_same_types(self, schemas):
        """Refuse files whose columns cannot be joined, such as text and numbers."""
        kept = [
            pa.schema([schema.field(name) for name in dict.fromkeys(self.columns)])
            for schema in schemas
        ]
        for file, schema in zip(self.files, kept, strict=True):
            try:
                pa.unify_schemas([kept[0], schema], promote_options="permissive")
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise LogError(
                    f"{file}: a column has another type than in {self.files[0]}: {error}"
                ) from None

    def _wanted(self):
        types = pa.types

        def number(t):
            return types.is_integer(t) or types.is_floating(t)

        def identifier(t):
            t = t.value_type if types.is_dictionary(t) else t
            return types.is_integer(t) or types.is_string(t) or types.is_large_string(t)

        def listed(inner):
            return lambda t: (
                (types.is_list(t) or types.is_large_list(t) or types.is_fixed_size_list(t))
                and inner(t.value_type)
            )

        wanted = {
            "impression_id": (types.is_integer, "an integer"),
            "timestamp": (types.is_timestamp, "a timestamp"),
            "v": (number, "a number"),
            "ecpm": (number, "a number"),
        }
        for f in self.features.features:
            wanted[f.name] = {
                "sparse": (identifier, "an integer or a string"),
                "multi_valued": (listed(identifier), "a list of integers or strings"),
                "statistical": (number, "a number"),
                "dense": (number, "a number")
                if f.width == 1
                else (listed(number), f"a list of {f.width} numbers"),
            }[f.kind]
        return wanted

    def error(self, row, column, found, expected):
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
            at = int(np.argmax(bad))
            row = int(row + at if np.ndim(row) == 0 else row[at])
            raise self.error(row, column, table.column(column)[at].as_py(), expected)

    def _id_blocks(self):
        for file in self.files:
            for batch in _batches_of(file, 1 << 20, ["impression_id"]):
                yield _numpy(batch.column(0))

    def longest(self):
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

    def impressions(self):
        """Impressions in the log, from the ids alone."""
        count, last = 0, None
        for ids in self._id_blocks():
            count += int(np.count_nonzero(np.diff(ids))) + (last is None or last != ids[0])
            last = ids[-1]
        return count

    def whole_impressions(self, count, stop=None):
        """Yield (row, table, starts): the next `count` impressions, checked.

        `row` is where the table begins in the log, `starts` [count] where each
        impression begins in the table.
        """
        row, done, before = 0, 0, None
        for table, starts in self._cut(count):
            if stop is not None and done + len(starts) > stop:
                keep = stop - done
                table = table.slice(0, int(starts[keep])) if keep < len(starts) else table
                starts = starts[:keep]
            if len(starts):
                before = self._check_block(row, table, starts, before)
                yield row, table, starts
            row, done = row + len(table), done + len(starts)
            if stop is not None and done >= stop:
                return

    def _cut(self, count):
        pending, held = [], 0
        for batch in self._batches(count):
            pending.append(batch)
            held += len(batch)
            # Cheap lower bound before the ids are looked at: an impression has a row.
            if held <= count:
                continue
            table = pa.concat_tables(pending, promote_options="permissive")
            starts = _starts(_column(table, "impression_id"))
            at = 0
            # The last impression may go on in the next batch.
            while len(starts) - 1 - at >= count:
                low, high = int(starts[at]), int(starts[at + count])
                yield table.slice(low, high - low), starts[at : at + count] - low
                at += count
            table = table.slice(int(starts[at]))
            pending, held = [table], len(table)
        if held:
            table = pa.concat_tables(pending, promote_options="permissive")
            yield table, _starts(_column(table, "impression_id"))

    def _batches(self, count):
        rows = int(np.clip(count * 16, 1 << 10, 1 << 18))
        for file in self.files:
            for batch in _batches_of(file, rows, self.columns):
                yield pa.Table.from_batches([batch])

    def _check_block(self, row, table, starts, before):
        for name in self.columns:
            if table.column(name).null_count:
                bad = pc.is_null(table.column(name)).to_numpy(zero_copy_only=False)
                self.refuse(row, bad, name, table, "a value")
        self.refuse(row, ~np.isfinite(_column(table, "v")), "v", table, "a finite number")
        ecpm = _column(table, "ecpm")
        self.refuse(row, ~(np.isfinite(ecpm) & (ecpm >= 0)), "ecpm", table, "a finite number >= 0")
        times = _times(table)
        owner = np.repeat(starts, np.diff(starts, append=len(table)))
        self.refuse(
            row,
            times != times[owner],
            "timestamp",
            table,
            "one timestamp for all rows of an impression",
        )
        earlier = np.concatenate([[times[0] if before is None else before], times[:-1]])
        self.refuse(
            row,
            times < earlier,
            "timestamp",
            table,
            f"time order (the row before has {earlier[np.argmax(times < earlier)]})",
        )
        return times[-1]


def _batches_of(file, rows, columns):
    # Read ahead, PyArrow would hold the whole file until its end.
    return pq.ParquetFile(file, pre_buffer=False).iter_batches(rows, columns=columns)


def _numpy(column):
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.to_numpy(zero_copy_only=False)


def _column(table, name):
    return _numpy(table.column(name))


def _times(table):
    return _column(table, "timestamp").astype("datetime64[us]")


def _starts(ids):
    return np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1])


def _encode(log, row, table, feature):
    """One feature column of a block, [rows] or [rows, width], checked."""
    column = table.column(feature.name).combine_chunks()
    if feature.kind == "multi_valued":
        if column.flatten().null_count:
            bad = np.array([None in ids for ids in column.to_pylist()])
            log.refuse(row, bad, feature.name, table, "a list of ids without nulls")
        return _encode_lists(column, feature)
    if feature.kind == "sparse":
        if pa.types.is_dictionary(column.type):
            folded = fold(_numpy(column.dictionary), feature.buckets)
            return folded[_numpy(column.indices)]
        return fold(_numpy(column), feature.buckets)
    if feature.width > 1:
        lengths = _numpy(pc.list_value_length(column))
        log.refuse(
            row, lengths != feature.width, feature.name, table, f"a list of {feature.width} numbers"
        )
        values = _numpy(column.flatten()).reshape(len(column), feature.width)
    else:
        values = _numpy(column)
    bad = ~np.isfinite(values).reshape(len(column), -1).all(axis=1)
    log.refuse(row, bad, feature.name, table, "a finite number")
    if feature.kind == "statistical":
        log.refuse(row, values < 0, feature.name, table, "a number >= 0 (it gets log1p)")
    return encode(feature, values)


def _encode_lists(column, feature):
    """Lists of ids as [rows, length]; 0 is an empty place, ids begin at 1."""
    lengths = np.minimum(_numpy(pc.list_value_length(column)), feature.length)
    values = column.flatten()
    offsets = np.concatenate([[0], np.cumsum(_numpy(pc.list_value_length(column)))[:-1]])
    place = np.arange(feature.length)
    real = place < lengths[:, None]
    out = np.zeros((len(column), feature.length), np.int32)
    if len(values):
        out[real] = 1 + fold(_numpy(values), feature.buckets)[(offsets[:, None] + place)[real]]
    return out


def _to_arrays(log, row, table, starts, ads):
    lengths = np.diff(starts, append=len(table))
    if lengths.max() > ads:
        at = int(np.argmax(lengths > ads))
        raise log.error(
            row + int(starts[at]), "impression_id", f"a list of {lengths[at]} ads", f"at most {ads}"
        )
    mask = np.arange(ads) < lengths[:, None]
    place = np.where(mask, starts[:, None] + np.arange(ads), 0)

    def padded(values):
        values = values[place]
        values[~mask] = 0 if values.dtype.kind in "biuf" else None
        return values

    first_rows = table.take(starts)
    user = {
        feature.name: _encode(log, row + starts, first_rows, feature)
        for feature in log.features.side("user")
    }
    ad = {
        feature.name: padded(_encode(log, row, table, feature))
        for feature in log.features.side("ad")
    }
    return Impressions(
        _column(table, "impression_id")[starts],
        _times(table)[starts],
        user,
        ad,
        padded(_column(table, "v").astype(float)),
        padded(_column(table, "ecpm").astype(float)),
        mask,
        {name: padded(_column(table, name)) for name in log.extra},
    )
