"""A record as bytes: there and back, and whatever is no record."""

import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest

from lib.logs.errors import LogError
from lib.online.stream import records
from lib.online.stream.records import RecordError, RecordSchema, batch_of, decode, encode, mark
from tests.online.stream.small_stream import SCHEMA, record, table_of
from tests.small_log import FEATURES, make_log

LOG = make_log(count=50)
LOG_SCHEMA = RecordSchema.of(LOG.schema, FEATURES)


def test_nested_by_hand():
    batch = SCHEMA.nested(table_of([(7, 1.5), (9, 2.0)]))
    assert batch.select(["impression_id", "v", "user", "ad"]).to_pylist() == [
        {"impression_id": 7, "v": [0.0, 1.0], "user": 2, "ad": [0, 1]},
        {"impression_id": 9, "v": [0.0, 1.0], "user": 4, "ad": [2, 3]},
    ]


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_there_and_back(compression):
    payload = encode(
        LOG_SCHEMA,
        LOG_SCHEMA.nested(LOG),
        producer="replay é",
        sequence=12,
        written=34,
        compression=compression,
    )
    got = decode(LOG_SCHEMA, payload)
    assert (got.kind, got.producer, got.sequence) == (records.IMPRESSIONS, "replay é", 12)
    assert (got.first, got.last, got.written, got.impressions) == (0, 490_000_000, 34, 50)
    batch = batch_of(LOG_SCHEMA, got)
    flat = pa.table({name: batch.column(name).flatten() for name in ("ad_id", "brand", "bid", "v")})
    assert flat.to_pydict() == LOG.select(flat.column_names).to_pydict()
    starts = np.cumsum([0, *pa.compute.list_value_length(batch.column("v")).to_pylist()])[:-1]
    for name in ("user_id", "recent", "user_vector", "timestamp"):
        assert batch.column(name).to_pylist() == LOG[name].take(starts).to_pylist()


@pytest.mark.parametrize("place", [0, 5, 9, 20, 60, 71, 200, -1])
def test_any_changed_byte_is_found(place):
    payload = bytearray(record((1, 1), (2, 2), sequence=3))
    payload[place] ^= 0x10
    with pytest.raises(RecordError) as error:
        decode(SCHEMA, bytes(payload))
    assert error.value.reason == "damaged"


@pytest.mark.parametrize("length", [0, 3, 40, 100, -1])
def test_a_torn_record_is_found(length):
    with pytest.raises(RecordError) as error:
        decode(SCHEMA, record((1, 1))[:length])
    assert error.value.reason == "damaged"


def test_a_record_of_another_schema_is_told_from_a_damaged_one():
    with pytest.raises(RecordError, match="expected " + SCHEMA.fingerprint.hex()) as error:
        decode(SCHEMA, mark(LOG_SCHEMA, 0))
    assert error.value.reason == "schema"


def test_bytes_that_only_look_sound_never_reach_arrow_s_kernels():
    """A right checksum over list offsets that lead out of the buffer: they must not be followed."""
    payload = bytearray(record((1, 1), (2, 2)))
    begin = payload.find(struct.pack("<3i", 0, 2, 4))
    payload[begin : begin + 12] = struct.pack("<3i", 0, 2, 1 << 30)
    payload[4:8] = struct.pack("<I", zlib.crc32(payload[8:]))
    with pytest.raises(RecordError, match="no Arrow record batch") as error:
        batch_of(SCHEMA, decode(SCHEMA, bytes(payload)))
    assert error.value.reason == "damaged"


def test_a_schema_is_saved_and_loaded(tmp_path):
    LOG_SCHEMA.save(tmp_path / "schema.arrow")
    got = RecordSchema.load(tmp_path / "schema.arrow")
    assert got == LOG_SCHEMA and got.fingerprint == LOG_SCHEMA.fingerprint
    assert got.fingerprint != SCHEMA.fingerprint
    (tmp_path / "text").write_text("schema")
    with pytest.raises(ValueError, match="text: not a saved RecordSchema"):
        RecordSchema.load(tmp_path / "text")


def test_a_schema_of_no_log_is_refused():
    with pytest.raises(LogError, match="column 'bid' is missing"):
        RecordSchema.of(LOG.drop(["bid"]).schema, FEATURES)
