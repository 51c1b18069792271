"""The highest load (QPS) whose p99 latency stays within a limit, and its interval."""

import functools
import math
import time
from typing import NamedTuple

from lib.infra import machine
from lib.infra.child_process import in_child
from lib.serving.load.bracketing import Bracket, Search, best, qps_interval, staircase
from lib.serving.load.loadgen import (
    LEAST_QUERIES,
    Offline,
    RequestServer,
    ServerRun,
    SingleStream,
    mlperf_loadgen,
)
from lib.serving.queueing import load_at_limit


class PeakQps(NamedTuple):
    """The highest load that passed, its interval, and what else was measured."""

    qps: float  # a load that was offered and passed, median of the search's brackets; 0: none can
    qps_low: float  # the interval, see `lib.serving.load.bracketing`
    qps_high: float
    p50_ms: float  # latencies of the run at `qps`
    p95_ms: float
    p99_ms: float
    target_qps: float  # what LoadGen was asked for at the peak; the search steps in these
    single_stream: SingleStream
    offline: Offline
    memory_mb: float  # peak resident memory of the load test's process
    peak_flops: float  # FLOP/s of a large matrix product on as many cores
    brackets: list[Bracket]
    runs: list[ServerRun]


def peak_qps(
    engine, inputs, latency_limit_ms, *, arrivals=0, workers=1, batch_requests=1, **search
):
    """Highest QPS of `engine` whose p99 latency is at most latency_limit_ms.

    The search (`lib.serving.load.bracketing`) starts at the load that queueing theory gives for the
    offline throughput (`lib.serving.queueing.load_at_limit`). All runs are in a child process.

    All runs meet the same arrivals, only faster or slower (common random numbers, as MLPerf's
    rules fix the seeds), so that a size measured again differs by the machine's noise alone. How
    closely the requests of the worst moment follow each other decides what passes: with other
    arrivals, 459 queries move the result by an eighth to a quarter (standard deviation in a
    simulated queue), and not by the same factor for a size of another service time. To compare
    sizes closely, take more queries, or the offline throughput.

    Args:
      engine: see `lib.serving.engines.Engine`.
      inputs: list of requests, sent in random order.
      arrivals: seed of the arrival times and of that order.
      workers: threads that take requests from the queue, each running one at a time.
      batch_requests: most waiting requests that a worker runs as one; above 1, the graph
        must take several (`lib.serving.graphs.batching`).
      min_queries: requests of a run, at least 459 (the default); it also lasts long enough
        for a load above capacity to show.
      resolution: smallest step of the search, a ratio of loads > 1 (1.1).
      repeats: brackets as narrow as that, fewer where time runs out (5).
      max_seconds: for all of it (60); three times that where no load has passed yet.

    Returns: `PeakQps`; qps is 0 where a request itself takes longer than the limit, alone and
      with all workers busy (medians).
    Raises: ValueError for a bad parameter; RuntimeError where no load passed or
      the child process ended; whatever the engine raises.
    """
    search = check_search(inputs, latency_limit_ms, workers, batch_requests, search)
    mlperf_loadgen()  # its absence is said here, not in a child process
    server = functools.partial(
        RequestServer, engine, inputs, workers=workers, batch_requests=batch_requests
    )
    return in_child(
        f"peak_qps (engine {engine.name}, {engine.threads} threads, {workers} workers)",
        _load_test,
        server,
        latency_limit_ms,
        arrivals,
        search,
    )


def check_search(inputs, latency_limit_ms, workers, batch_requests, search):
    """The parameters of `peak_qps` as a `Search`; ValueError or TypeError for a bad one."""
    unknown = set(search) - set(Search._fields)
    if unknown:
        raise TypeError(
            f"peak_qps: unknown parameter {min(unknown)!r}; "
            f"a search has {', '.join(Search._fields)}"
        )
    search = Search(**search)
    if not len(inputs):
        raise ValueError("peak_qps: inputs must hold at least one request")
    if search.min_queries < LEAST_QUERIES:
        raise ValueError(
            f"peak_qps: min_queries must be at least {LEAST_QUERIES}, or no run "
            f"can pass (LoadGen's early stopping); got {search.min_queries}"
        )
    if not search.resolution > 1:
        raise ValueError(f"peak_qps: resolution must be > 1; got {search.resolution}")
    for name, value in (
        ("latency_limit_ms", latency_limit_ms),
        ("max_seconds", search.max_seconds),
    ):
        if not value > 0:
            raise ValueError(f"peak_qps: {name} must be > 0; got {value}")
    for name, value in (
        ("workers", workers),
        ("batch_requests", batch_requests),
        ("repeats", search.repeats),
    ):
        if value < 1:
            raise ValueError(f"peak_qps: {name} must be >= 1; got {value}")
    return search


def _load_test(server, latency_limit_ms, arrivals, search):
    """Runs in the child process."""
    end = time.monotonic() + search.max_seconds
    server = server()
    cores = min(server.engine.threads * server.workers, machine.cores())
    peak_flops = machine.matrix_product_peak(cores)
    server.warm_up()
    begin = time.perf_counter()
    server.engine.run(server.inputs[0])
    in_a_second = int(1 / (time.perf_counter() - begin))
    single = server.single_stream(min(1000, max(10, in_a_second)), arrivals)
    offline = server.offline(server.workers * min(300, max(3, in_a_second)), arrivals)
    known = single, offline, machine.peak_memory_mb(), peak_flops
    if min(single.p50_ms, offline.service_ms) > latency_limit_ms:
        return PeakQps(0.0, 0.0, offline.qps, *4 * [math.nan], *known, [], [])
    loads = _Loads(server, latency_limit_ms, arrivals, search)
    brackets, runs = staircase(loads, offline.qps, search, end)
    peak = best(brackets, search)
    # The search steps in what LoadGen is asked for; a result is what it then offered.
    points = [(run.scheduled_qps, run.passed) for run in runs]
    low, high = qps_interval(points, search.resolution)
    return PeakQps(
        peak.scheduled_qps,
        min(low, peak.scheduled_qps),
        max(high, peak.scheduled_qps),
        peak.p50_ms,
        peak.p95_ms,
        peak.p99_ms,
        peak.qps,
        *known,
        brackets,
        runs,
    )


class _Loads:
    """Runs of one server at one load after another."""

    def __init__(self, server, latency_limit_ms, arrivals, search):
        self.server, self.latency_limit_ms, self.arrivals = server, latency_limit_ms, arrivals
        self.min_queries, self.workers = search.min_queries, server.workers
        # In a run so long, a load `resolution` above what the engine can do builds up a queue
        # of twice the limit. A shorter one could end before any request is late, at any load.
        self.min_seconds = 2e-3 * latency_limit_ms / (search.resolution - 1)

    def run(self, qps):
        return self.server.server(
            qps,
            self.latency_limit_ms,
            min_queries=self.min_queries,
            min_seconds=self.min_seconds,
            seed=self.arrivals,
        )

    def seconds(self, qps):
        return max(self.min_seconds, self.min_queries / qps)

    def start(self, offline_qps, max_seconds):
        """Where the search begins.

        Early stopping lets about one request of the shortest run be late. A start so low that
        the first run took a quarter of the time would leave none for a search; what takes
        so long at half of the throughput needs more max_seconds.
        """
        service_ms = 1000 * self.workers / offline_qps
        load = load_at_limit(
            service_ms, self.latency_limit_ms, workers=self.workers, late=1 / self.min_queries
        )
        return max(float(load), min(4 * self.min_queries / max_seconds, offline_qps / 2))
