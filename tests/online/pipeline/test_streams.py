import subprocess

import pytest

from lib.online.pipeline import streams
from lib.online.pipeline.parameters import PipelineParameters
from lib.online.pipeline.streams import broker_command, open_stream, prepare_stream
from lib.online.stream.producers import Producer
from lib.online.stream.records import RecordSchema
from lib.online.stream.streams import StreamError
from tests.small_log import FEATURES, make_log

SCHEMA = RecordSchema.of(make_log().schema, FEATURES)


def write_and_read(parameters):
    with open_stream(parameters, writes=True) as stream:
        Producer(stream, "p").write(make_log(10))
        stream.flush()
        with open_stream(parameters) as other:
            assert other.partitions == parameters.partitions
            assert other.end(0) >= 1


def test_a_folder(tmp_path):
    parameters = PipelineParameters(folder=tmp_path, partitions=3)
    prepare_stream(parameters, SCHEMA)
    write_and_read(parameters)


def test_a_broker_of_its_own(tmp_path):
    pytest.importorskip("noida_db")
    parameters = PipelineParameters(folder=tmp_path, kafka="local")
    prepare_stream(parameters, SCHEMA)
    before = broker_command(parameters)
    prepare_stream(parameters, SCHEMA)
    assert broker_command(parameters) == before  # it keeps its port
    with open(tmp_path / "out", "wb") as out:
        broker = subprocess.Popen(before, stdout=out, stderr=out)
    try:
        write_and_read(parameters)
        open_stream(parameters, writes=True).close()  # the topic is there already
    finally:
        broker.kill()
        broker.wait()


def test_no_broker(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "_PATIENCE", 0.0)
    monkeypatch.setattr(
        streams, "KafkaStream", lambda *_: (_ for _ in ()).throw(StreamError("no broker answered"))
    )
    parameters = PipelineParameters(folder=tmp_path, kafka="127.0.0.1:1")
    prepare_stream(parameters, SCHEMA)
    with pytest.raises(StreamError, match="no broker answered"):
        open_stream(parameters)
