"""A record of a stream: a micro-batch of whole impressions, or a mark of time, as bytes.

    magic  crc32  kind  length of the producer's name  schema  sequence  first  last  written
    impressions | producer | an Arrow record batch without its schema

An impression is one row: what is its own or its user's stands once, what is an ad's stands as a
list. Both ends know the schema; a record holds the schema's fingerprint. The checksum is of all
that follows it. Little endian throughout.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import struct
import time
import zlib

import numpy as np
import pyarrow as pa

from lib.logs.column_types import check_schema, column_names
from lib.logs.features import Features
from lib.logs.log_files import impression_starts

IMPRESSIONS, MARK = 1, 2
END = np.iinfo(np.int64).max  # a mark of this time: nothing comes any more
MAGIC = b"IMP1"
# magic, crc32, kind, length of the producer's name, schema, sequence, first, last, written, count
HEADER = struct.Struct("<4sIHH8sqqqqI")
CHECKED = 8  # bytes before what the checksum is of
MICROSECONDS = pa.timestamp("us", "UTC")


class RecordError(ValueError):
    """Bytes that are no record of this stream; `reason` is one word, for counting."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Record:
    """What a record says before its impressions are looked at.

    Attributes:
      kind: IMPRESSIONS, or MARK: nothing earlier than `last` follows in this partition.
      producer, sequence: who wrote it and the number of the record among those of that producer;
        "" and -1 where records are not numbered.
      first, last: timestamps of its impressions, microseconds since 1970, UTC.
      written: when it was made, likewise.
      impressions: how many.
      body: the Arrow record batch.
    """

    kind: int
    producer: str
    sequence: int
    first: int
    last: int
    written: int
    impressions: int
    body: memoryview


@dataclasses.dataclass(frozen=True)
class RecordSchema:
    """The columns of a stream's records.

    Attributes:
      features: the declaration.
      extra: further columns of the ads.
      arrow: schema of a record's batch, a row an impression.

    >>> features = Features(features=[
    ...     {"name": "user", "side": "user", "kind": "sparse", "buckets": 9},
    ...     {"name": "bid", "side": "ad", "kind": "statistical"}])
    >>> log = pa.table({"impression_id": [7, 7], "timestamp": pa.array([0, 0], MICROSECONDS),
    ...     "v": [1.0, 0.0], "ecpm": [2.5, 0.0], "user": [3, 3], "bid": [0.5, 0.25]})
    >>> schema = RecordSchema.of(log.schema, features)
    >>> schema.nested(log).to_pylist()[0]["bid"]
    [0.5, 0.25]
    """

    features: Features
    extra: tuple[str, ...]
    arrow: pa.Schema

    @classmethod
    def of(cls, log: pa.Schema, features: Features, extra=()) -> RecordSchema:
        """The schema of records of a log's rows; LogError for a schema that is no log's."""
        extra = tuple(extra)
        check_schema("RecordSchema", log, features, extra)
        types = {name: _plain(log.field(name).type) for name in column_names(features, extra)}
        types |= {"impression_id": pa.int64(), "timestamp": MICROSECONDS}
        of_impression = {"impression_id", "timestamp", *(f.name for f in features.side("user"))}
        return cls(
            features,
            extra,
            pa.schema(
                [
                    (name, kind if name in of_impression else pa.list_(kind))
                    for name, kind in types.items()
                ]
            ),
        )

    @functools.cached_property
    def of_impression(self) -> list[str]:
        """The columns with one value an impression."""
        return ["impression_id", "timestamp", *(f.name for f in self.features.side("user"))]

    @functools.cached_property
    def of_ads(self) -> list[str]:
        """The columns with one value an ad."""
        return [name for name in self.arrow.names if name not in self.of_impression]

    @functools.cached_property
    def fingerprint(self) -> bytes:
        """8 bytes that name columns and types; what a record is compared by."""
        columns = [[field.name, str(field.type)] for field in self.arrow]
        return hashlib.sha256(json.dumps(columns).encode()).digest()[:8]

    def nested(self, log: pa.Table) -> pa.RecordBatch:
        """Rows of a log, an ad each, as rows of impressions. Impressions are to be whole."""
        log = log.select(self.arrow.names).combine_chunks()
        starts = impression_starts(log)
        offsets = pa.array(np.append(starts, len(log)).astype(np.int32))
        first_rows = log.select(self.of_impression).take(starts)
        columns = []
        for field in self.arrow:
            if field.name in self.of_impression:
                columns.append(_array(first_rows[field.name], field.type))
            else:
                values = _array(log[field.name], field.type.value_type)
                columns.append(pa.ListArray.from_arrays(offsets, values, type=field.type))
        return pa.record_batch(columns, schema=self.arrow)

    def save(self, path):
        """Write the schema to a file that `load` reads: what the two ends of a stream share."""
        about = {"features": self.features.model_dump_json(), "extra": json.dumps(self.extra)}
        with pa.OSFile(str(path), "wb") as file:
            file.write(self.arrow.with_metadata(about).serialize())

    @classmethod
    def load(cls, path) -> RecordSchema:
        """A schema that `save` wrote; ValueError for another file."""
        try:
            with pa.OSFile(str(path), "rb") as file:
                schema = pa.ipc.read_schema(pa.py_buffer(file.read()))
            about = {name.decode(): value.decode() for name, value in schema.metadata.items()}
            features = Features.model_validate_json(about["features"])
            extra = tuple(json.loads(about["extra"]))
        except (pa.ArrowException, OSError, AttributeError, KeyError, ValueError) as error:
            raise ValueError(f"{path}: not a saved RecordSchema: {error}") from None
        return cls(features, extra, schema.remove_metadata())


def encode(
    schema: RecordSchema,
    batch: pa.RecordBatch,
    *,
    producer: str = "",
    sequence: int = -1,
    written: int | None = None,
    compression: str | None = None,
) -> bytes:
    """A record of impressions.

    Args:
      batch: of `schema.arrow`, as `RecordSchema.nested` gives it, at least one row.
      producer, sequence, written: as in `Record`; default of `written`: now.
      compression: of the columns, "lz4" or "zstd"; None: none.
    """
    times = batch.column("timestamp").cast(pa.int64()).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):  # a null, which the reader's edge is to find
        first, last = int(times.min()), int(times.max())
    body = _body(batch, compression)
    return _record(
        schema, IMPRESSIONS, producer, sequence, first, last, written, batch.num_rows, body
    )


def mark(schema: RecordSchema, moment: int, *, producer: str = "", written=None) -> bytes:
    """A record that says: nothing earlier than `moment` (microseconds; or END) follows."""
    return _record(schema, MARK, producer, -1, moment, moment, written, 0, b"")


def decode(schema: RecordSchema, payload) -> Record:
    """The record that `payload` holds.

    Raises: RecordError, "damaged" for what is no whole record, "schema" for one of another schema.

    >>> features = Features(features=[
    ...     {"name": "user", "side": "user", "kind": "sparse", "buckets": 9},
    ...     {"name": "bid", "side": "ad", "kind": "statistical"}])
    >>> schema = RecordSchema.of(pa.schema([("impression_id", pa.int64()),
    ...     ("timestamp", MICROSECONDS), ("v", pa.float32()), ("ecpm", pa.float32()),
    ...     ("user", pa.int32()), ("bid", pa.float32())]), features)
    >>> decode(schema, mark(schema, 5, producer="a")).last
    5
    """
    if len(payload) < HEADER.size or payload[:4] != MAGIC:
        raise RecordError("damaged", f"{len(payload)} bytes that begin with no record's header")
    _, crc, kind, length, fingerprint, sequence, first, last, written, impressions = (
        HEADER.unpack_from(payload)
    )
    view = memoryview(payload)
    if zlib.crc32(view[CHECKED:]) != crc:
        raise RecordError("damaged", "another checksum than the record's own")
    if fingerprint != schema.fingerprint:
        raise RecordError(
            "schema",
            f"a record of the schema {fingerprint.hex()}; expected {schema.fingerprint.hex()}",
        )
    try:
        producer = bytes(view[HEADER.size : HEADER.size + length]).decode()
    except UnicodeDecodeError:
        raise RecordError("damaged", "the producer's name is not UTF-8") from None
    if kind not in (IMPRESSIONS, MARK):
        raise RecordError("damaged", f"a record of the unknown kind {kind}")
    body = view[_body_start(length) :]
    return Record(kind, producer, sequence, first, last, written, impressions, body)


def batch_of(schema: RecordSchema, record: Record) -> pa.RecordBatch:
    """The impressions of a record; RecordError "damaged" where Arrow cannot read them."""
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(record.body), schema.arrow)
        # The bytes may come from anybody: offsets beyond a buffer would end the process later.
        batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        message = " ".join(str(error).split())
        raise RecordError("damaged", f"no Arrow record batch: {message}") from None
    return batch


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def _record(schema, kind, producer, sequence, first, last, written, impressions, body):
    name = producer.encode()
    written = now() if written is None else written
    header = HEADER.pack(
        MAGIC, 0, kind, len(name), schema.fingerprint, sequence, first, last, written, impressions
    )
    record = bytearray(header + name)
    record.extend(bytes(_body_start(len(name)) - len(record)))
    record += body
    struct.pack_into("<I", record, 4, zlib.crc32(memoryview(record)[CHECKED:]))
    return bytes(record)


def _body(batch, compression):
    if compression is None:
        return batch.serialize()
    # `serialize` compresses nothing; the batch is the second message of a stream, after the schema.
    options = pa.ipc.IpcWriteOptions(compression=compression)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    messages = pa.ipc.MessageReader.open_stream(sink.getvalue())
    messages.read_next_message()
    return messages.read_next_message().serialize()


def _body_start(length):
    """Where the body begins behind a name of `length` bytes: Arrow wants multiples of 8."""
    return -(-(HEADER.size + length) // 8) * 8


def _plain(kind):
    """A type without dictionaries, which a record batch alone could not bring along."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain(kind.value_type))
    return kind


def _array(column, kind):
    column = column.combine_chunks()
    # Nanoseconds lose what is less than a microsecond.
    return column if column.type == kind else column.cast(kind, safe=kind != MICROSECONDS)
