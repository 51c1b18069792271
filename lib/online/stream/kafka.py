"""A Kafka topic as a stream, through librdkafka.

Any broker that speaks Kafka's protocol will do; nothing of it is started here. Make a topic with as
many partitions as are wanted, and with a retention longer than a reader may be away:

    kafka-topics.sh --bootstrap-server broker-1:9092 --create --topic exposures \\
        --partitions 16 --replication-factor 3 \\
        --config retention.ms=86400000 --config max.message.bytes=4194304

and name any of its brokers: `KafkaStream("broker-1:9092,broker-2:9092", "exposures", schema)`. What
else librdkafka needs, such as `{"security.protocol": "SASL_SSL", ...}`, goes into `settings`.

The reader's offsets are in its checkpoint, together with the weights; no consumer group is joined
and nothing is committed to the broker. The producer is idempotent: what it sends again after a
broken connection stands in the topic once, in its order.
"""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from lib.online.stream.records import RecordSchema
from lib.online.stream.streams import StreamError, check_partition

MESSAGES = 64  # that one read hands out at most, besides its bytes
# Long enough for a broker that starts again; then the producer is told.
DELIVERY_SECONDS = 120


class KafkaStream:
    """A topic as a `Stream`.

    Args:
      bootstrap: host:port, or several with commas between.
      topic: its name; it is there already.
      schema: of its records, which both ends know (`RecordSchema.save`, `RecordSchema.load`).
      settings: further settings of librdkafka, for reading and writing.
      timeout: seconds to wait for an answer of the broker's.

    Raises: StreamError where no broker answers, or there is no such topic.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        schema: RecordSchema,
        *,
        settings: dict | None = None,
        timeout: float = 10.0,
    ):
        self.bootstrap, self.topic, self.schema = bootstrap, topic, schema
        self.settings, self.timeout = dict(settings or {}), timeout
        self._common = {"bootstrap.servers": bootstrap, "log_level": 0, **self.settings}
        self._producer: Producer | None = None
        self._failed: list[str] = []
        self._consumers: dict[int, Consumer] = {}
        self._next: dict[int, int] = {}
        self._monitor = self._consumer()
        try:
            found = self._monitor.list_topics(topic, timeout=timeout).topics[topic]
        except KafkaException as error:
            self.close()
            raise StreamError(f"{self}: no broker answered: {error.args[0].str()}") from None
        if found.error or not found.partitions:
            self.close()
            raise StreamError(f"{self}: no such topic")
        self.partitions = len(found.partitions)

    def __str__(self):
        return f"topic {self.topic!r} of {self.bootstrap}"

    def append(self, partition: int, payloads: list[bytes]) -> None:
        check_partition(self, partition, self.partitions)
        if self._producer is None:
            own = {
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": DELIVERY_SECONDS * 1000,
                "message.max.bytes": 16 << 20,  # the topic's own limit decides
            }
            self._producer = Producer({**own, **self._common})
        for payload in payloads:
            while True:
                try:
                    self._producer.produce(
                        self.topic, payload, partition=partition, on_delivery=self._delivered
                    )
                    break
                except BufferError:  # librdkafka's queue is full: wait for the broker
                    self._producer.poll(0.1)
                except KafkaException as error:
                    raise StreamError(f"{self}: cannot append: {error.args[0].str()}") from None
            self._producer.poll(0)
        self._check_delivered()

    def flush(self) -> None:
        if self._producer is not None:
            waiting = self._producer.flush(DELIVERY_SECONDS + self.timeout)
            self._check_delivered()
            if waiting:
                raise StreamError(f"{self}: the broker took {waiting} records not yet")

    def _delivered(self, error, _message):
        if error is not None:
            self._failed.append(error.str())

    def _check_delivered(self):
        if self._failed:
            failed, self._failed = self._failed, []
            raise StreamError(
                f"{self}: {len(failed)} records were not taken, first: {failed[0]}; begin again "
                "with a new producer, which finds what is there"
            )

    def read(
        self, partition: int, offset: int, *, most_bytes: int = 4 << 20, timeout: float = 0.0
    ) -> list[tuple[int, bytes]]:
        check_partition(self, partition, self.partitions)
        consumer = self._at(partition, offset)
        found, size, deadline = [], 0, time.monotonic() + timeout
        while size < most_bytes and len(found) < MESSAGES:
            # The first is waited for; of the others, what is here already is taken.
            wait = 0.0 if found else max(deadline - time.monotonic(), 0.0)
            messages = consumer.consume(MESSAGES - len(found) if found else 1, wait)
            if not messages:
                break
            for message in messages:
                if message.error():
                    self._check_read(message.error(), partition, offset)
                elif message.offset() >= offset:
                    found.append((message.offset(), message.value() or b""))
                    size += len(found[-1][1])
        if found:
            self._next[partition] = found[-1][0] + 1
        return found

    def first(self, partition: int) -> int:
        return self._ends(partition)[0]

    def end(self, partition: int) -> int:
        return self._ends(partition)[1]

    def reopen(self) -> KafkaStream:
        return KafkaStream(
            self.bootstrap, self.topic, self.schema, settings=self.settings, timeout=self.timeout
        )

    def close(self) -> None:
        """Ends reading; what `flush` did not wait for may be lost."""
        for consumer in (*self._consumers.values(), self._monitor):
            consumer.close()
        self._consumers, self._next, self._producer = {}, {}, None

    def description(self) -> dict:
        return {"stream": f"topic {self.topic}"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _consumer(self):
        own = {
            "group.id": "unused",  # asked for by librdkafka; nothing is committed
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 100,
            "fetch.message.max.bytes": 16 << 20,
            "queued.max.messages.kbytes": 16 << 10,
            "check.crcs": True,
        }
        return Consumer({**own, **self._common})

    def _at(self, partition, offset):
        """The partition's consumer, about to read `offset`."""
        if partition not in self._consumers:
            self._consumers[partition] = self._consumer()
        if self._next.get(partition) != offset:
            self._consumers[partition].assign([TopicPartition(self.topic, partition, offset)])
            self._next[partition] = offset
        return self._consumers[partition]

    def _check_read(self, error, partition, offset):
        gone = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)
        if error.code() in gone:
            first, end = self._ends(partition)
            raise StreamError(
                f"{self}: partition {partition} keeps the offsets {first} to {end - 1}; "
                f"got offset {offset} (retention?)"
            )
        if error.code() == KafkaError._PARTITION_EOF or error.retriable():
            return
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
            return  # librdkafka goes on trying, and so does the reader
        raise StreamError(f"{self}: partition {partition}: {error.str()}")

    def _ends(self, partition):
        check_partition(self, partition, self.partitions)
        place = TopicPartition(self.topic, partition)
        try:
            return self._monitor.get_watermark_offsets(place, timeout=self.timeout)
        except KafkaException as error:
            raise StreamError(f"{self}: no broker answered: {error.args[0].str()}") from None
