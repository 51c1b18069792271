"""Public click logs as click data: Criteo's (Display Advertising Challenge) and Avazu's.

Read in blocks, in bounded memory, text parsed by Arrow. A line that cannot be read is named by
file, line and column, or left out and counted if so asked. The data may not be redistributed, so
the user brings the files.

A number x becomes sign(x) log(1 + |x|): the few negative ones of Criteo stay below 0 and in
order. A missing number becomes 0, and 1 in a column of its own, such as I3_missing.
An id becomes one of 1 .. 2^31 - 2, a missing one 0: 8 hexadecimal digits, which are hashes
already, by their value modulo 2^31 - 2, whole numbers likewise. Of Criteo's 10^7 values of its
largest field, 0.2 % then share an id; a table of fewer rows folds far more.
"""

import collections
import contextlib
import datetime
import gzip
import hashlib
import re
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from lib.infra.grid import on_grid
from lib.infra.machine import cores
from lib.logs.click_data import MOST_VALUES, ClickData, Clicks, ClickWriter, prepared
from lib.logs.errors import InputError
from lib.models.click_size import Field

ENCODING = 1  # raised when the same file would become other arrays
BLOCK = 4 << 20  # bytes of text parsed at a time
LONGEST_LINE = 1 << 20

CRITEO_COUNTS = tuple(f"I{number}" for number in range(1, 14))
CRITEO_IDS = tuple(f"C{number}" for number in range(1, 27))
CRITEO = {
    "label": "label",
    **dict.fromkeys(CRITEO_COUNTS, "count"),
    **dict.fromkeys(CRITEO_IDS, "hash"),
}
AVAZU = {
    "id": "ignored",
    "click": "label",
    "hour": "hour",
    "C1": "integer",
    "banner_pos": "integer",
    **dict.fromkeys(("site_id", "site_domain", "site_category"), "hash"),
    **dict.fromkeys(("app_id", "app_domain", "app_category"), "hash"),
    **dict.fromkeys(("device_id", "device_ip", "device_model"), "hash"),
    **dict.fromkeys(("device_type", "device_conn_type"), "integer"),
    **dict.fromkeys((f"C{number}" for number in range(14, 22)), "integer"),
}

# What a column's text must be; where one is not, all are held against the pattern.
PATTERNS = {
    "label": ("^[01]$", "0 or 1"),
    "count": ("^-?[0-9]{1,18}$", "a whole number, or nothing"),
    "integer": ("^-?[0-9]{1,18}$", "a whole number, or nothing"),
    "hash": ("^[0-9a-fA-F]{8}$", "8 hexadecimal digits, or nothing"),
    "hour": ("^[0-9]{8}$", "an hour as YYMMDDHH"),
}

Malformed = Literal["raise", "skip"]


def criteo(
    source,
    folder,
    *,
    missing_indicators: bool = True,
    malformed: Malformed = "raise",
    progress: bool = True,
    name: str = "criteo",
) -> ClickData:
    """Criteo's click log as click data: 13 numbers, 26 fields of hashed ids, in the file's order.

    Args:
      source: train.txt or train.txt.gz as Criteo hands it out (label, I1 .. I13, C1 .. C26
        between tabs, no header, nothing for a missing value), or a Parquet file of these columns,
        of which some of C1 .. C26 may be absent; or a list of such files, read one after another,
        as the days of the terabyte log.
      folder: of the click data; if it was made from the same files before, nothing is done.
      missing_indicators: whether to add a column of 0 and 1 for each number. Without it a missing
        number cannot be told from a 0 but the model reads 13 numbers, as in published set-ups.
      malformed: "raise", or "skip" to leave bad lines out; a warning says how many, and so does
        `ClickData.skipped`.
      progress: whether to show a bar.
      name: of the data set.

    Raises: InputError naming file, line, column, value and what was expected.
    """
    options = {"missing_indicators": missing_indicators, "malformed": malformed}
    return _convert(source, folder, name, CRITEO, options, "\t", header=False, progress=progress)


def avazu(
    source, folder, *, malformed: Malformed = "raise", progress: bool = True, name: str = "avazu"
) -> ClickData:
    """Avazu's click log (Kaggle 2014) as click data: 23 fields of ids, in the file's order.

    `hour` becomes two fields, hour_of_day (0 .. 23) and weekday (0 is Monday); `id` is left out.
    A -1, as in C20, is a value like others.

    Args:
      source: train.csv or train.csv.gz, with its header.
      folder, malformed, progress, name: as for `criteo`.

    Raises: as `criteo`.
    """
    options = {"missing_indicators": False, "malformed": malformed}
    return _convert(source, folder, name, AVAZU, options, ",", header=True, progress=progress)


def hashed_ids(values) -> np.ndarray:
    """Whole numbers as ids 1 .. 2^31 - 2, int32; 0 is left for a missing one.

    >>> hashed_ids([0, 5, 2**31, -1]).tolist()
    [1, 6, 3, 2147483646]
    """
    values = np.asarray(values)
    if values.dtype.kind != "u":
        values = values.astype(np.int64)
    return (values % (MOST_VALUES - 1) + 1).astype(np.int32)


def text_ids(texts) -> np.ndarray:
    """Texts as ids 1 .. 2^31 - 2 by their CRC-32, the same everywhere; "" is missing, so 0.

    >>> text_ids(["480", "", "480"]).tolist()
    [1835341836, 0, 1835341836]
    """
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    words = encoded.dictionary.to_pylist()
    crc = np.array([zlib.crc32(word.encode()) for word in words], np.uint32)
    ids = np.where(np.array(words, object) == "", 0, hashed_ids(crc))
    return ids[encoded.indices.to_numpy()].astype(np.int32)


# ---- a source, whatever its columns ---------------------------------------


def _convert(source, folder, name, kinds, options, delimiter, header, progress):
    if options["malformed"] not in ("raise", "skip"):
        raise ValueError(f"malformed must be 'raise' or 'skip'; got {options['malformed']!r}")
    listed = isinstance(source, list | tuple)
    files = [Path(file) for file in (source if listed else [source])]
    if not files:
        raise InputError(f"{name}: no file is named; expected one or more")
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file; expected a log of {name}")
    origin = {"files": [file_identity(file) for file in files], **options, "encoding": ENCODING}
    done = prepared(folder, name, origin)
    if done is not None:
        return done
    readers = [
        _parquet(file, kinds)
        if file.suffix == ".parquet"
        else _text(file, kinds, delimiter, header)
        for file in files
    ]
    kinds = _common_columns(files, [reader.columns for reader in readers], kinds)
    encoder = _Encoder(kinds, options["missing_indicators"], delimiter)
    size = sum(file.stat().st_size for file in files)
    with (
        tqdm(
            total=size, unit="B", unit_scale=True, desc=name, leave=False, disable=not progress
        ) as bar,
        ClickWriter(folder, name, encoder.fields, encoder.dense, origin=origin) as writer,
    ):
        first = None
        for reader in readers:
            for clicks, bad, read in _in_order(encoder, reader):
                if bad and options["malformed"] == "raise":
                    raise InputError(bad[0])
                first = first or next(iter(bad), None)
                writer.write(clicks)
                writer.skipped += len(bad)
                bar.update(read)
        if not writer.rows:
            raise InputError(first or f"{files[0]}: the log holds no rows; expected one or more")
    if first:
        warnings.warn(
            f"{name}: {writer.skipped:,} of {writer.rows + writer.skipped:,} lines were left out "
            f"as malformed; the first: {first}",
            stacklevel=3,
        )
    return ClickData.open(folder)


def file_identity(file):
    """What tells a file from another without reading all of it: bytes, and digest of its ends."""
    with open(file, "rb") as opened:
        digest = hashlib.sha256(opened.read(1 << 20))
        opened.seek(max(0, file.stat().st_size - (1 << 20)))
        digest.update(opened.read())
    return {"name": file.name, "bytes": file.stat().st_size, "sha256_of_ends": digest.hexdigest()}


def _common_columns(files, columns, kinds):
    """The kinds of the columns that the files have, the same ones in all of them."""
    for file, names in zip(files, columns, strict=True):
        if names != columns[0]:
            raise InputError(
                f"{file}: other columns than in {files[0]}; expected {', '.join(columns[0])}"
            )
    return {name: kinds[name] for name in columns[0]}


def _in_order(encoder, reader):
    """Yield (Clicks, messages on bad rows, bytes read), blocks encoded side by side.

    Arrow and NumPy let go of Python's lock; few blocks are held at a time.
    """
    workers = cores()
    with ThreadPoolExecutor(workers) as pool:
        waiting = collections.deque()
        try:
            for block, read in reader.blocks():
                waiting.append((pool.submit(encoder, reader, block), read))
                if len(waiting) > workers:
                    future, read = waiting.popleft()
                    yield *future.result(), read
            while waiting:
                future, read = waiting.popleft()
                yield *future.result(), read
        finally:
            for future, _ in waiting:
                future.cancel()


class _Block(NamedTuple):
    """Rows of a source: where they begin (the first is 1), and what they hold."""

    row: int
    content: bytes | pa.RecordBatch


class _Reader(NamedTuple):
    """An opened file: its columns, its blocks and their tables.

    blocks()      yields (_Block, bytes of the file read for it)
    table(block)  -> (table, row of each of its rows, {row: message} of rows of other widths)
    """

    file: Path
    place: str  # what a row is called: "line" or "row"
    columns: list
    blocks: object
    table: object


# ---- text -----------------------------------------------------------------


def _text(file, kinds, delimiter, header):
    columns = list(kinds)
    if header:
        columns = _header(file, kinds, delimiter)

    def blocks() -> Iterator:
        with open(file, "rb") as raw:
            opened = gzip.open(raw) if file.suffix == ".gz" else raw
            at, line, rest = 0, 1, b""
            while True:
                try:
                    read = opened.read(BLOCK)
                except (OSError, EOFError, zlib.error) as error:
                    raise InputError(
                        f"{file}: damaged after line {line - 1}; expected a gzip file that can be "
                        f"read to its end: {error}"
                    ) from None
                end = read.rfind(b"\n") + 1
                content = rest + read[:end] if end else b""
                rest = read[end:] if end else rest + read
                if len(rest) > LONGEST_LINE and not content:
                    raise InputError(
                        f"{file}: line {line}: found more than {len(rest):,} bytes without an end "
                        f"of the line, expected at most {LONGEST_LINE:,}"
                    )
                if not read:
                    content, rest = rest, b""
                lines = content.count(b"\n")
                if header and line == 1 and content:
                    content = content[content.find(b"\n") + 1 or len(content) :]
                    line, lines = 2, lines - 1
                if content:
                    yield _Block(line, content), raw.tell() - at
                    at, line = raw.tell(), line + lines
                if not read:
                    return

    def table(block):
        bad = {}

        def other_width(row):
            bad[row.number] = f"found {row.actual_columns} columns, expected {row.expected_columns}"
            return "skip"

        read = pyarrow.csv.read_csv(
            pa.BufferReader(block.content),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, column_names=columns, block_size=len(block.content) + 1
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                quote_char=False,
                ignore_empty_lines=False,
                invalid_row_handler=other_width,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=[name for name in columns if kinds[name] != "ignored"],
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        rows = np.arange(len(read) + len(bad))
        lines = block.content.count(b"\n") + (not block.content.endswith(b"\n"))
        if len(rows) != lines:
            raise InputError(
                f"{file}: lines {block.row} .. {block.row + lines - 1}: found a carriage return "
                "inside a line, expected lines that end with a line feed"
            )
        return (
            read,
            np.delete(rows, [number - 1 for number in bad]) + block.row,
            {number - 1 + block.row: message for number, message in bad.items()},
        )

    return _Reader(file, "line", columns, blocks, table)


def _header(file, kinds, delimiter):
    with open(file, "rb") as raw, contextlib.suppress(EOFError, zlib.error, gzip.BadGzipFile):
        opened = gzip.open(raw) if file.suffix == ".gz" else raw
        names = opened.readline(LONGEST_LINE).decode("utf-8-sig", "backslashreplace").strip()
        names = names.split(delimiter)
        for name in kinds:
            if names.count(name) != 1:
                raise InputError(
                    f"{file}: line 1: found {names.count(name)} columns called {name!r}, expected "
                    f"a header with {', '.join(kinds)}"
                )
        for name in names:
            if name not in kinds:
                raise InputError(f"{file}: line 1: found the column {name!r}, which is not known")
        return names
    raise InputError(f"{file}: line 1: not readable as gzip")


# ---- Parquet --------------------------------------------------------------


def _parquet(file, kinds):
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: not a Parquet file: {' '.join(str(error).split())}") from None
    columns = [name for name in kinds if name in schema.names]
    types = pa.types
    allowed = {
        "label": (types.is_integer, "whole numbers"),
        "count": (lambda kind: types.is_integer(kind) or types.is_floating(kind), "numbers"),
        "hash": (lambda kind: types.is_string(kind) or types.is_large_string(kind), "texts"),
    }
    for name, kind in kinds.items():
        if name not in columns and kind != "hash":
            raise InputError(
                f"{file}: column {name!r} is missing; the file has {', '.join(schema.names)}"
            )
        if name in columns and not allowed[kind][0](schema.field(name).type):
            raise InputError(
                f"{file}: column {name!r} must hold {allowed[kind][1]}; it is "
                f"{schema.field(name).type}"
            )

    def blocks():
        row, size = 1, file.stat().st_size
        opened = pq.ParquetFile(file, pre_buffer=False)
        rows = max(1, opened.metadata.num_rows)
        try:
            for batch in opened.iter_batches(1 << 15, columns=columns):
                yield _Block(row, batch), size * len(batch) / rows
                row += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{file}: damaged after row {row - 1}: {' '.join(str(error).split())}"
            ) from None

    def table(block):
        return (
            pa.Table.from_batches([block.content]),
            np.arange(len(block.content)) + block.row,
            {},
        )

    return _Reader(file, "row", columns, blocks, table)


# ---- rows as arrays -------------------------------------------------------


class _Encoder:
    """Blocks of a source as `Clicks`."""

    def __init__(self, kinds, missing_indicators, delimiter):
        self.kinds, self.missing_indicators = kinds, missing_indicators
        self.counts = [name for name, kind in kinds.items() if kind == "count"]
        self.fields = []
        for name, kind in kinds.items():
            if kind == "hour":
                self.fields += [Field("hour_of_day", 24), Field("weekday", 7)]
            elif kind in ("hash", "integer"):
                self.fields.append(Field(name, MOST_VALUES))
        self.dense = list(self.counts)
        if missing_indicators:
            self.dense += [f"{name}_missing" for name in self.counts]

    def __call__(self, reader, block):
        """(Clicks, messages on rows left out, in their order)."""
        table, rows, bad = reader.table(block)
        labels = np.zeros(len(table), np.uint8)
        ids = np.zeros((len(table), len(self.fields)), np.int32)
        dense = np.zeros((len(table), len(self.dense)), np.float32)
        slot = place = 0
        for name, kind in self.kinds.items():
            if kind == "ignored":
                continue
            values, missing, wrong = CONVERTERS[kind](table.column(name).combine_chunks())
            for index in np.flatnonzero(wrong) if wrong is not None else ():
                bad.setdefault(
                    int(rows[index]),
                    f"column {name!r}: found {_shown(table.column(name)[index])}, "
                    f"expected {PATTERNS[kind][1]}",
                )
            if kind == "label":
                labels = values
            elif kind == "count":
                dense[:, place] = values
                if missing is not None and self.missing_indicators:
                    dense[:, len(self.counts) + place] = missing
                place += 1
            else:
                width = values.shape[1] if values.ndim == 2 else 1
                ids[:, slot : slot + width] = values.reshape(-1, width)
                slot += width
        clicks = Clicks(labels, ids, dense)
        if bad:
            good = ~np.isin(rows, list(bad))
            clicks = Clicks(*(part[good] for part in clicks[:3]))
        return clicks, [f"{reader.file}: {reader.place} {row}: {bad[row]}" for row in sorted(bad)]


def _shown(value):
    if not value.is_valid:
        return "nothing"
    if isinstance(value, pa.StringScalar | pa.LargeStringScalar):
        text = value.as_buffer().to_pybytes().decode("utf-8", "backslashreplace")
        return repr(text if len(text) <= 40 else f"{text[:37]}...")
    return repr(value.as_py())


# A column of one kind as (values, where missing or None, where wrong or None); the values of
# missing and wrong ones are 0.


def _numbers(column, kind):
    missing = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    wrong = None
    if column.type == pa.string():
        column, wrong = _whole_numbers(column, kind)
    if column.null_count:
        column = column.fill_null(0)
    return column.to_numpy(zero_copy_only=False), missing, wrong


def _whole_numbers(column, kind):
    """The numbers that texts are, and where they are none."""
    text = column.buffers()[2]
    try:
        if text is None or not (np.frombuffer(text, np.uint8) | 32 == ord("x")).any():
            return column.cast(pa.int64()), None  # 0x10 would be 16
    except pa.ArrowInvalid:
        pass
    wrong = _not_like(column, kind)
    good = pc.if_else(pa.array(wrong), pa.scalar(None, pa.string()), column)
    return good.cast(pa.int64()), wrong


def _not_like(column, kind):
    fits = pc.match_substring_regex(column, PATTERNS[kind][0]).fill_null(True)
    return ~fits.to_numpy(zero_copy_only=False)


def _label(column):
    values, missing, wrong = _numbers(column, "label")
    for other in (missing, (values != 0) & (values != 1)):
        if other is not None and other.any():
            wrong = other if wrong is None else wrong | other
    return values.astype(np.uint8), None, wrong


def _count(column):
    values, missing, wrong = _numbers(column, "count")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        nan = np.isnan(values)  # as pandas marks a missing one
        missing, wrong = nan if missing is None else nan | missing, np.isinf(values)
        values = np.where(np.isfinite(values), values, 0)
    # On a grid, so that inputs and trained weights are the same on every processor.
    return on_grid(np.copysign(np.log1p(np.abs(values)), values), 16), missing, wrong


def _integer(column):
    values, missing, wrong = _numbers(column, "integer")
    ids = hashed_ids(values)
    return (ids if missing is None else np.where(missing, 0, ids)), missing, wrong


def _hex_pairs():
    """Value of two hexadecimal digits by their two bytes as a little-endian number, or -1."""
    digits = np.full(256, -1, np.int16)
    for value, letter in enumerate("0123456789abcdef"):
        digits[ord(letter)] = digits[ord(letter.upper())] = value
    first, second = digits[np.arange(65536) & 255], digits[np.arange(65536) >> 8]
    return np.where((first < 0) | (second < 0), -1, first * 16 + second).astype(np.int16)


HEX_PAIRS = _hex_pairs()


def _hash(column):
    column = column.cast(pa.string())
    wrong, kept = None, column.drop_null()
    values = _hex_values(kept)
    if values is None:
        wrong = _not_like(column, "hash")
        kept = column.filter(pa.array(~wrong)).drop_null()
        values = _hex_values(kept)
    ids = hashed_ids(values)
    if len(kept) == len(column):
        return ids, None, wrong
    real = column.is_valid().to_numpy(zero_copy_only=False)
    placed = np.zeros(len(column), np.int32)
    placed[real if wrong is None else real & ~wrong] = ids
    return placed, ~real, wrong


def _hex_values(texts):
    """uint32 of texts of 8 hexadecimal digits; None where one is something else."""
    ends = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    if not len(texts):
        return np.zeros(0, np.uint32)
    if (np.diff(ends) != 8).any():
        return None
    pairs = np.frombuffer(texts.buffers()[2], np.uint8)[ends[0] : ends[-1]].view("<u2")
    values = HEX_PAIRS[pairs]
    return None if values.min() < 0 else values.astype(np.uint8).view(">u4").astype(np.uint32)


def _hour(column):
    """Values [rows, 2], hour of the day and weekday; there are few distinct texts."""
    encoded = column.fill_null("").dictionary_encode()
    hours = [_hour_and_weekday(text.as_buffer().to_pybytes()) for text in encoded.dictionary]
    values = np.array(hours, np.int32).reshape(-1, 2)[encoded.indices.to_numpy()]
    wrong = values[:, 0] < 0
    return np.maximum(values, 0), None, wrong if wrong.any() else None


def _hour_and_weekday(text):
    """Of YYMMDDHH; (-1, -1) for what is no hour."""
    if re.fullmatch(b"[0-9]{8}", text):
        with contextlib.suppress(ValueError):
            time = datetime.datetime.strptime(text.decode(), "%y%m%d%H")
            return time.hour, time.weekday()
    return -1, -1


CONVERTERS = {"label": _label, "count": _count, "integer": _integer, "hash": _hash, "hour": _hour}
