"""What a stream is to those who write and read it, whatever keeps its records."""

from typing import Protocol

from lib.online.stream.records import RecordSchema


class Stream(Protocol):
    """Records in partitions, each numbered by offsets in the order of writing.

    An instance serves one thread; `reopen` gives another its own.

    Attributes:
      partitions: how many.
      schema: of all records.
    """

    partitions: int
    schema: RecordSchema

    def append(self, partition: int, payloads: list[bytes]) -> None:
        """Add records at the end of a partition; see `flush`.

        Raises: StreamError where they cannot be kept; what was kept before stays readable.
        """

    def flush(self) -> None:
        """Return when all that was appended is kept as safely as the stream was told to."""

    def read(
        self, partition: int, offset: int, *, most_bytes: int = 4 << 20, timeout: float = 0.0
    ) -> list[tuple[int, bytes]]:
        """(offset, record) of the next records from `offset` on, at least one if there is one.

        Waits up to `timeout` seconds for the first.
        Raises: StreamError where `offset` was removed by retention.
        """

    def first(self, partition: int) -> int:
        """The first offset that is kept."""

    def end(self, partition: int) -> int:
        """The offset that the next record will get."""

    def reopen(self) -> "Stream":
        """Another instance of the same stream."""

    def close(self) -> None:
        """Give back files and connections."""

    def description(self) -> dict:
        """What tells this stream from others, for a checkpoint of offsets."""


class StreamError(OSError):
    """A stream that cannot do what it was asked to; the message names the stream and why."""


def check_partition(name, partition, partitions):
    """ValueError unless `partition` is one of the stream's."""
    if not 0 <= partition < partitions:
        raise ValueError(
            f"{name}: partition must lie in 0..{partitions - 1}; got partition = {partition}"
        )
