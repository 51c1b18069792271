"""The pipeline's stream: a folder, a Kafka's topic, or a broker for tests that it starts itself."""

import json
import socket
import time
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from lib.infra.files import write_json
from lib.online.pipeline.parameters import LOCAL_BROKER, PipelineParameters
from lib.online.stream.kafka import KafkaStream
from lib.online.stream.records import RecordSchema
from lib.online.stream.segments import SegmentStream
from lib.online.stream.source import StreamSource
from lib.online.stream.streams import Stream, StreamError

TOPIC = "exposures"
_ANY = 1e9  # seconds: simulated time is not this machine's
_PATIENCE = 60.0  # seconds that a broker may take to answer


def prepare_stream(parameters: PipelineParameters, schema: RecordSchema) -> None:
    """Keep the schema, and choose a port for a broker of one's own."""
    if parameters.kafka is None:
        SegmentStream(parameters.stream, schema, parameters.partitions).close()
        return
    parameters.stream.mkdir(parents=True, exist_ok=True)
    schema.save(parameters.stream / "schema.arrow")
    if parameters.kafka == LOCAL_BROKER and not _broker_file(parameters).exists():
        with socket.create_server(("127.0.0.1", 0)) as free:
            write_json(_broker_file(parameters), {"port": free.getsockname()[1]})


def open_stream(parameters: PipelineParameters, *, writes: bool = False) -> Stream:
    """The stream that `prepare_stream` prepared; waits for a broker to answer.

    Args: writes: whether to make a topic that is not there.

    Raises: StreamError where no broker answers, or there is no topic.
    """
    if parameters.kafka is None:
        return SegmentStream(parameters.stream)
    schema = RecordSchema.load(parameters.stream / "schema.arrow")
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if writes:
                _make_topic(parameters)
            return KafkaStream(_address(parameters), TOPIC, schema)
        except StreamError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def source_of(parameters: PipelineParameters, stream: Stream, dead_letters, stop=None):
    """What the trainer reads of the stream, a `StreamSource`; stop: as there."""
    return StreamSource(
        stream,
        dead_letters,
        ads=parameters.ads_a_list,
        batch_impressions=parameters.batch_impressions,
        window_seconds=parameters.window_seconds,
        allowed_lateness_seconds=parameters.window_seconds,
        ahead_seconds=_ANY,
        seed=parameters.seed,
        stop=stop,
    )


def broker_command(parameters: PipelineParameters) -> list[str]:
    """Arguments of the broker for tests.

    Raises: ValueError where the package is not there.
    """
    try:
        from noida_db import __file__ as package
    except ImportError:
        raise ValueError(
            'kafka "local" needs the package noida-db (pip install noida-db); or give the address '
            "of a Kafka of your own"
        ) from None
    port = _address(parameters).rpartition(":")[2]
    data = parameters.stream / "broker"
    program = Path(package).parent / "noida-db"
    options = ["--only", "kafka", "--kafka-port", port, "--data-dir", str(data)]
    return [str(program), "start", *options]


def _address(parameters):
    if parameters.kafka != LOCAL_BROKER:
        return parameters.kafka
    port = json.loads(_broker_file(parameters).read_text())["port"]
    return f"127.0.0.1:{port}"


def _broker_file(parameters):
    return parameters.stream / "broker.json"


def _make_topic(parameters):
    admin = AdminClient({"bootstrap.servers": _address(parameters), "log_level": 0})
    topic = NewTopic(TOPIC, parameters.partitions, 1)
    try:
        admin.create_topics([topic], request_timeout=10)[TOPIC].result(20)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise StreamError(f"topic {TOPIC!r}: {error.args[0].str()}") from None
