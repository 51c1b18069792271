"""Producers: every impression once, whatever ended them; at the speed they are told."""

import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

from lib.logs import reader
from lib.logs.features import Features
from lib.online.stream.producers import Producer, expose, log_schema, replay
from lib.online.stream.records import END, MARK, RecordSchema, decode
from lib.online.stream.segments import SegmentStream
from lib.online.stream.source import StreamSource
from lib.simulation import match, oracle_system
from lib.simulation.logs import sample_logs
from lib.simulation.parameters import world_parameters
from lib.simulation.world import World
from tests import ROOT
from tests.online.stream.small_stream import SCHEMA, ListStream, table_of
from tests.small_log import FEATURES, make_log


def records_of(stream, partition=None):
    partitions = range(stream.partitions) if partition is None else [partition]
    for number in partitions:
        offset = stream.first(number)
        while got := stream.read(number, offset):
            yield from (decode(stream.schema, payload) for _, payload in got)
            offset = got[-1][0] + 1


def sequences(stream, partition):
    return [record.sequence for record in records_of(stream, partition) if record.kind != MARK]


def tables(count):
    return [table_of([(2 * i, i), (2 * i + 1, i + 0.5)]) for i in range(count)]


def test_records_go_round_and_marks_to_the_others():
    stream = ListStream([], [], [])
    producer = Producer(stream, "p", mark_seconds=3)
    for table in tables(5):
        producer.write(table)
    assert [sequences(stream, p) for p in range(3)] == [[0, 3], [1, 4], [2]]
    marks = [[r.last for r in records_of(stream, p) if r.kind == MARK] for p in range(3)]
    # At 0.5 s, the first, and at 3.5 s, the first in the next three seconds.
    assert marks == [[], [500_000, 3_500_000], [500_000, 3_500_000]]
    producer.finish()
    assert [list(records_of(stream, p))[-1].last for p in range(3)] == [END] * 3
    assert (producer.records, producer.impressions) == (5, 10)


@pytest.mark.parametrize("missing", [(0,), (1,), (0, 1), (2, 2), (0, 1, 2, 2)])
def test_a_producer_goes_on_at_the_first_record_that_is_missing(missing):
    """The machine's end may take the last of some partitions and not of others."""
    stream = ListStream([], [], [])
    whole = ListStream([], [], [])
    for each in (stream, whole):
        producer = Producer(each, "p", mark_seconds=1000)
        for table in tables(11):
            producer.write(table)
    for partition in missing:
        stream.payloads[partition].pop()
    again = Producer(stream, "p", mark_seconds=1000)
    for table in tables(11)[again.next_record :]:
        again.write(table)
    assert again.records == len(missing)
    assert [sequences(stream, p) for p in range(3)] == [sequences(whole, p) for p in range(3)]
    assert Producer(stream, "other").next_record == 0


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    table = make_log(count=2000)
    reader.write_logs(path, [table])
    return path, RecordSchema.of(table.schema, FEATURES)


REPLAY = """
import sys
from lib.logs.features import load_features
from lib.online.stream.producers import replay
from lib.online.stream.segments import SegmentStream
stream = SegmentStream(sys.argv[1])
print("ready", flush=True)
replay(stream, sys.argv[2], stream.schema.features, impressions_per_record=4, speed=5e3)
"""


def test_a_producer_killed_again_and_again_loses_and_repeats_nothing(log, tmp_path):
    path, schema = log
    stream = SegmentStream(tmp_path / "s", schema, 2)
    command = [sys.executable, "-c", REPLAY, str(stream.folder), str(path)]
    for more in (5, 23, 1):
        least = stream.end(0) + more
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == b"ready\n"
            deadline = time.monotonic() + 20
            while stream.end(0) < least:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            process.stdout.close()
    before = stream.end(0)
    assert 0 < before < 300
    done = replay(stream, path, FEATURES, impressions_per_record=4)
    assert 0 < done.records < 500 and done.next_record == 500
    assert sequences(stream, 0) == list(range(0, 500, 2))
    assert sequences(stream, 1) == list(range(1, 500, 2))
    source = StreamSource(stream, tmp_path / "dead.jsonl", ads=7, window_seconds=1000)
    ids = np.concatenate([batch.impression_id for batch, _ in source.batches()])
    assert sorted(ids) == list(range(1000, 3000))
    assert source.counts.keys() == {"records", "impressions"}
    # Finished is finished.
    assert replay(stream, path, FEATURES, impressions_per_record=4).records == 0
    stream.close()


def test_a_log_at_a_speed(log, tmp_path):
    path, schema = log
    with SegmentStream(tmp_path / "s", schema, 1) as stream:
        done = replay(
            stream, path, FEATURES, impressions_per_record=20, stop=100, speed=1000, finish=False
        )
    assert done.impressions == 100 and 0.95 < done.seconds < 3  # 990 s of the log
    with SegmentStream(tmp_path / "t", schema, 1) as stream:
        calls = iter([False] * 4 + [True] * 100)
        done = replay(stream, path, FEATURES, impressions_per_record=20, ended=lambda: next(calls))
        assert done.records == 4 and not Producer(stream, "replay").finished
        with pytest.raises(ValueError, match="speed must be > 0 or None; got 0"):
            replay(stream, path, FEATURES, impressions_per_record=20, speed=0)
        with pytest.raises(ValueError, match=r"stop must be a multiple .* = 20; got stop = 30"):
            replay(stream, path, FEATURES, impressions_per_record=20, stop=30)


@pytest.fixture(scope="module")
def system():
    changes = {"users": 200, "ads": 2000, "matching_ads": 100, "pre_ranking_ads": 20}
    return oracle_system(match(World(world_parameters("A", **changes))))


def test_exposures_are_the_system_s_log_also_after_a_restart(system, tmp_path):
    features = Features(features=system.matched.world.features)
    with SegmentStream(tmp_path / "s", log_schema(features, system), 2) as stream:
        options = {"seed": 3, "impressions_per_record": 32, "speed": None}
        assert expose(stream, system, stop=96, **options).impressions == 96
        assert expose(stream, system, stop=192, finish=True, **options).impressions == 96
        source = StreamSource(
            stream, tmp_path / "dead.jsonl", ads=14, batch_impressions=64, window_seconds=0.5
        )
        got = [batch for batch, _ in source.batches()]
    reader.write_logs(tmp_path / "log.parquet", sample_logs(system, 192, seed=3))
    want = reader.read(tmp_path / "log.parquet", features, ads=14)
    ids = np.concatenate([batch.impression_id for batch in got])
    order = np.argsort(ids)
    assert ids[order].tolist() == want.impression_id.tolist()
    v = np.concatenate([batch.v for batch in got])
    np.testing.assert_array_equal(v[order], want.v)


def test_a_producer_needs_a_name():
    with pytest.raises(ValueError, match="name must not be empty"):
        Producer(ListStream([]), "")


def test_schemas_agree():
    assert RecordSchema.of(pa.concat_tables(tables(2)).schema, SCHEMA.features) == SCHEMA
