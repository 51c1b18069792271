"""How long a step takes on N workers: a model of computation and communication.

A step is one batch. Three terms: what workers share among them, what none does (the source is
read and batches are handed out by one process), and what goes over the network, counted in bytes
and messages and priced by a measured link. The first two are found from times at two numbers of
workers, which leaves nothing to test them with: beyond these the model extrapolates.
"""

import dataclasses
import socket
import threading
import time

import numpy as np
from scipy.optimize import nnls

WAYS = ("synchronous", "asynchronous", "hybrid")


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What a step has to send: bytes of the dense part and of the rows touched, messages."""

    dense_bytes: int
    row_bytes: int
    messages: int

    @classmethod
    def of(cls, scorer, batch, messages: int) -> "Traffic":
        """Of a `lib.models.scorer.Scorer` on a batch of Impressions; a row takes its id too."""
        tables = {id(table.embeddings) for table in scorer.tables.values()}
        dense = [v for v in scorer.trainable_variables if id(v) not in tables]
        rows = 0
        for width in scorer.tables:
            ids = [
                np.ravel(getattr(batch, side)[f.name]).astype(np.int64) + scorer.first_row[f.name]
                for side in ("user", "ad")
                for f in scorer.features.side(side)
                if f.buckets and f.width == width
            ]
            rows += 4 * (width + 1) * len(np.unique(np.concatenate(ids)))
        return cls(4 * sum(int(np.prod(v.shape)) for v in dense), rows, messages)


@dataclasses.dataclass(frozen=True)
class Link:
    """A network connection: seconds of a message one way, bytes/s of long ones."""

    latency: float
    bandwidth: float


def loopback(repeats: int = 200, megabytes: int = 64) -> Link:
    """This machine's loopback: medians of round trips of a byte, and of long messages."""
    message = bytes(megabytes * 1_000_000 // 8)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for size in [1] * repeats + [len(message)] * 8:
                    while size:
                        size -= len(connection.recv(min(size, 1 << 20)))
                    connection.sendall(b"x")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with socket.create_connection(server.getsockname()) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            times = []
            for sent in [b"x"] * repeats + [message] * 8:
                begin = time.perf_counter()
                client.sendall(sent)
                client.recv(1)
                times.append(time.perf_counter() - begin)
        thread.join()
    latency = float(np.median(times[:repeats])) / 2
    return Link(latency, len(message) / (float(np.median(times[repeats:])) - 2 * latency))


@dataclasses.dataclass(frozen=True)
class SpeedModel:
    """Seconds of a step on N workers: shared / N + alone + communication(N).

    Attributes:
      way: "synchronous", "asynchronous" or "hybrid".
      traffic, link: what travels, over what.
      shared: s of a step that workers share; alone: s that they do not.
      measured: numbers of workers that it was fitted at.

    >>> model = SpeedModel("asynchronous", Traffic(0, 0, 0), Link(0, 1e9), 0.03, 0.01, (1, 2))
    >>> model.seconds(np.array([1, 3])).round(6).tolist()
    [0.04, 0.02]
    """

    way: str
    traffic: Traffic
    link: Link
    shared: float
    alone: float
    measured: tuple

    @classmethod
    def fit(cls, way: str, traffic: Traffic, link: Link, seconds: dict) -> "SpeedModel":
        """From the seconds of a step at two or more numbers of workers.

        Raises: ValueError for another way, and for fewer than two numbers.
        """
        if way not in WAYS:
            raise ValueError(f"SpeedModel: way must be one of {', '.join(WAYS)}; got {way!r}")
        if len(seconds) < 2:
            raise ValueError(f"SpeedModel: needs two numbers of workers; got {list(seconds)}")
        workers = np.array(sorted(seconds), float)
        rest = [seconds[int(n)] - communication(way, traffic, link, n) for n in workers]
        (shared, alone), _ = nnls(np.column_stack([1 / workers, np.ones(len(workers))]), rest)
        return cls(way, traffic, link, float(shared), float(alone), tuple(sorted(seconds)))

    def seconds(self, workers, servers: int = 1):
        """Of a step on so many workers; beyond `measured` an extrapolation."""
        workers = np.asarray(workers, float)
        sent = communication(self.way, self.traffic, self.link, workers, servers)
        return self.shared / workers + self.alone + sent

    def speedup(self, workers, servers: int = 1):
        """How many times as fast as one worker."""
        return self.seconds(1, servers) / self.seconds(workers, servers)


def communication(way, traffic, link, workers, servers: int = 1):
    """Seconds a step that the network takes, of `workers` (any shape).

    synchronous: rings, in which each message goes 2 (N - 1) times and each worker sends
    2 (N - 1) / N of the dense gradient and (N - 1) / N of the rows. asynchronous: workers wait for
    their messages side by side; the first server's link carries each step's dense part and its
    share of the rows, to and fro. hybrid: a round waits for its messages, and the first server's
    link carries the dense part of every worker.
    """
    dense = traffic.dense_bytes / link.bandwidth
    rows = traffic.row_bytes / link.bandwidth
    waiting = traffic.messages * link.latency
    if way == "synchronous":
        others = workers - 1
        return 2 * others * waiting + others / workers * (2 * dense + rows)
    if way == "asynchronous":
        return waiting / workers + 2 * (dense + rows / servers)
    return waiting + 2 * (workers * dense + rows / servers)
