"""A Kafka topic is the same stream as the embedded one, and survives its broker's end."""

import threading
import time

import pytest

from lib.logs import reader
from lib.logs.log_files import LogFiles
from lib.online.stream.kafka import KafkaStream
from lib.online.stream.producers import Producer, replay
from lib.online.stream.records import RecordSchema
from lib.online.stream.segments import SegmentStream
from lib.online.stream.source import StreamSource
from lib.online.stream.streams import StreamError
from tests.online.stream import small_stream
from tests.online.stream.small_stream import mark, record, table_of
from tests.small_log import FEATURES, assert_same, make_log


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    log = make_log(count=600)
    reader.write_logs(path, [log])
    return path, RecordSchema.of(log.schema, FEATURES)


def batches(stream, dead, offset=None, **options):
    source = StreamSource(
        stream, dead / "dead.jsonl", ads=7, batch_impressions=32, window_seconds=300, **options
    )
    return list(source.batches(offset))


def read_all(stream, partition, begin, count):
    found = []
    while len(found) < count:
        got = stream.read(partition, begin + len(found), timeout=10.0)
        assert got
        found += got
    return found


def test_records_come_back_as_they_were(broker):
    topic = broker.topic(2)
    with KafkaStream(broker.address, topic, small_stream.SCHEMA) as stream:
        payloads = [record((i, i)) for i in range(200)]
        for payload in payloads:
            stream.append(1, [payload])
        stream.append(0, [mark(1)])
        stream.flush()
        assert (stream.first(1), stream.end(1), stream.end(0)) == (0, 200, 1)
        assert read_all(stream, 1, 0, 200) == list(enumerate(payloads))
        assert read_all(stream, 1, 150, 50) == list(enumerate(payloads))[150:]  # sought
        assert stream.read(1, 200, timeout=0.2) == []
        assert stream.read(0, 0, timeout=5.0) == [(0, mark(1))]


def test_the_same_batches_as_of_the_embedded_stream(broker, log, tmp_path):
    path, schema = log
    with (
        KafkaStream(broker.address, broker.topic(3), schema) as topic,
        SegmentStream(tmp_path / "s", schema, 3) as segments,
    ):
        for stream in (topic, segments):
            replay(stream, path, FEATURES, impressions_per_record=16)
        ours, theirs = batches(segments, tmp_path / "a"), batches(topic, tmp_path / "b")
        assert len(ours) == len(theirs) == 19
        for (batch, offset), (other, place) in zip(ours, theirs, strict=True):
            assert_same(batch, other)
            assert offset == place
        # From an offset in the checkpoint, by seeking.
        rest = batches(topic.reopen(), tmp_path / "b", offset=theirs[6][1])
        for (batch, _), (other, _) in zip(rest, theirs[7:], strict=True):
            assert_same(batch, other)


def test_a_producer_finds_its_place_in_the_topic(broker):
    topic = broker.topic(3)
    tables = [table_of([(2 * i, i), (2 * i + 1, i)]) for i in range(20)]
    for stop in (7, 20):
        with KafkaStream(broker.address, topic, small_stream.SCHEMA) as stream:
            producer = Producer(stream, "p", mark_seconds=100)
            assert producer.next_record == (0 if stop == 7 else 7)
            for table in tables[producer.next_record : stop]:
                producer.write(table)
            producer.flush()
            assert producer.records == (7 if stop == 7 else 13)


def test_reader_and_producer_outlive_the_broker(broker, log, tmp_path):
    """Killed twice: with a producer that waits to deliver, and with a reader that waits to read.

    This broker writes what it acknowledged to its file within about a second, where Kafka hands it
    to the operating system at once; so it gets its second before each kill.
    """
    path, schema = log
    tables = [table for _, table, _ in LogFiles(path, FEATURES).blocks(8)]
    topic = broker.topic(2)
    with KafkaStream(broker.address, topic, schema) as stream, stream.reopen() as writing:
        source = StreamSource(
            stream, tmp_path / "dead.jsonl", ads=7, batch_impressions=32, window_seconds=300
        )
        reading = source.batches()
        producer = Producer(writing, "replay")
        found = []
        for first in (0, 25, 50):
            if first:
                time.sleep(2.0)
                broker.kill()
                again = threading.Timer(1.0, broker.start)
                again.start()
            for table in tables[first : first + 25]:
                producer.write(table)
            producer.flush()
            if first:
                again.join()
            found += [next(reading)[0] for _ in range(5)]
        producer.finish()
        found += [batch for batch, _ in reading]
        assert source.counts["impressions"] == 600 and "repeated records" not in source.counts
    with SegmentStream(tmp_path / "s", schema, 2) as segments:
        replay(segments, path, FEATURES, impressions_per_record=8)
        for batch, (other, _) in zip(found, batches(segments, tmp_path / "a"), strict=True):
            assert_same(batch, other)


def test_what_is_not_there_is_said(broker):
    schema = small_stream.SCHEMA
    with pytest.raises(StreamError, match=r"topic 'none' of 127\..*: no such topic"):
        KafkaStream(broker.address, "none", schema)
    with pytest.raises(StreamError, match=r"topic 'x' of 127\.0\.0\.1:1: no broker answered"):
        KafkaStream("127.0.0.1:1", "x", schema, timeout=0.5)
    with KafkaStream(broker.address, broker.topic(1), schema) as stream:
        with pytest.raises(ValueError, match=r"partition must lie in 0\.\.0; got partition = 1"):
            stream.append(1, [b""])
        with pytest.raises(
            StreamError, match="partition 0 keeps the offsets 0 to -1; got offset 9"
        ):
            stream.read(0, 9, timeout=5.0)
