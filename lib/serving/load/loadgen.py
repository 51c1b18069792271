"""MLPerf LoadGen around an engine: its three scenarios as functions of one request server.

    single_stream   a request at a time: the latency of an idle machine
    offline         all requests at once: the throughput of a busy one
    server          Poisson arrivals; latency counts from the scheduled arrival

A server run passes where LoadGen can say with 99 % confidence that 99 % of requests stay
within the limit (its early stopping): of 459 requests none may be late, of 662 one, of
838 two.
"""

import collections
import functools
import importlib
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from lib.serving.graphs.batching import merge_requests

PERCENTILE = 0.99
LEAST_QUERIES = 459  # 0.99 ** 459 < 1 - 0.99: the fewest that can show 99 % with 99 %


@functools.cache
def mlperf_loadgen():
    """The library, imported where a load test starts: it is packaged for Linux only.

    Raises: ModuleNotFoundError elsewhere.
    """
    try:
        return importlib.import_module("mlperf_loadgen")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "a load test needs MLPerf LoadGen (mlcommons-loadgen), which is packaged for Linux "
            "only; elsewhere give notebook 03 costs that were measured on Linux (-p costs FILE)"
        ) from None


class ServerRun(NamedTuple):
    """One run of the server scenario."""

    qps: float  # asked for
    scheduled_qps: float  # offered: LoadGen draws the arrivals, of a short run up to 13 % apart
    completed_qps: float
    passed: bool
    queries: int
    late: int  # requests over the limit
    p50_ms: float  # latency from the scheduled arrival
    p95_ms: float
    p99_ms: float


class SingleStream(NamedTuple):
    """Latency of requests that never wait."""

    p50_ms: float
    p90_ms: float
    p99_ms: float


class Offline(NamedTuple):
    """Throughput where requests always wait."""

    qps: float
    service_ms: float  # median time of a request, or of a batch, itself


class RequestServer:
    """An engine behind a queue of requests.

    Args:
      engine: see `lib.serving.engines.Engine`.
      inputs: list of requests, sent in random order.
      workers: threads that take requests from the queue.
      batch_requests: most waiting requests that a worker runs as one
        (`lib.serving.graphs.batching.merge_requests`).
    """

    def __init__(self, engine, inputs, *, workers=1, batch_requests=1):
        self.engine, self.inputs, self.workers = engine, inputs, workers
        self.batch_requests = batch_requests
        # The same threads for all runs: engines keep memory and more for each.
        self._pool = ThreadPoolExecutor(workers)

    def warm_up(self):
        """Runs batches of every size, and every request once a worker, all workers busy."""
        batches = [self.inputs[:size] for size in range(1, self.batch_requests + 1)]
        batches += [[request] for request in self.inputs] * self.workers
        list(self._pool.map(lambda batch: self.engine.run(merge_requests(batch)), batches))

    def single_stream(self, queries, seed=0):
        """Latency of `queries` requests, each sent when the one before it is done."""
        settings = _settings("SingleStream", seed)
        settings.min_query_count = settings.max_query_count = queries
        results, _ = self._run(settings)
        return SingleStream(*(_latency_ms(results, p) for p in (50, 90, 99)))

    def offline(self, queries, seed=0):
        """Throughput over `queries` requests that wait from the start."""
        settings = _settings("Offline", seed)
        # LoadGen sends so many, or the throughput it is told to expect over the duration.
        settings.min_query_count, settings.offline_expected_qps = queries, 0
        results, seconds = self._run(settings)
        return Offline(results["result_samples_per_second"], 1000 * float(np.median(seconds)))

    def server(self, qps, latency_limit_ms, *, min_queries, min_seconds=0.0, seed=0):
        """One run at an offered load, of min_queries and min_seconds at least."""
        settings = _settings("Server", seed)
        settings.server_target_qps = qps
        settings.server_target_latency_ns = round(latency_limit_ms * 1e6)
        settings.server_target_latency_percentile = PERCENTILE
        settings.min_query_count = min_queries
        settings.min_duration_ms = math.ceil(1000 * min_seconds)
        results, _ = self._run(settings)
        return ServerRun(
            qps=float(qps),
            scheduled_qps=results["result_scheduled_samples_per_sec"],
            completed_qps=results["result_completed_samples_per_sec"],
            passed=results["result_validity"] == "VALID",
            queries=results["result_query_count"],
            late=results["result_overlatency_query_count"],
            **{f"p{p}_ms": _latency_ms(results, p) for p in (50, 95, 99)},
        )

    def _run(self, settings):
        """(LoadGen's results, seconds that each run of the engine took)."""
        loadgen, waiting, seconds = mlperf_loadgen(), collections.deque(), []

        def serve():
            batch = _take(waiting, self.batch_requests)
            if not batch:  # another worker has taken this request into its batch
                return
            start = time.perf_counter()
            try:
                self.engine.run(merge_requests([self.inputs[sample.index] for sample in batch]))
            finally:  # else LoadGen would wait forever
                seconds.append(time.perf_counter() - start)
                loadgen.QuerySamplesComplete(
                    [loadgen.QuerySampleResponse(sample.id, 0, 0) for sample in batch]
                )

        def issue(samples):
            waiting.extend(samples)
            served.extend(self._pool.submit(serve) for _ in samples)

        served = []
        with TemporaryDirectory() as folder:
            _start(issue, len(self.inputs), settings, folder)
            results = _results(folder)
        for request in served:
            request.result()  # raises what the engine raised
        return results, seconds


def _take(waiting, most):
    """Up to `most` requests off the queue; several threads do this at a time."""
    batch = []
    while len(batch) < most:
        try:
            batch.append(waiting.popleft())
        except IndexError:
            break
    return batch


def _settings(scenario, seed):
    loadgen = mlperf_loadgen()
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = 0
    seeds = np.random.SeedSequence(seed).generate_state(3)
    (settings.schedule_rng_seed, settings.sample_index_rng_seed, settings.qsl_rng_seed) = map(
        int, seeds
    )
    return settings


def _start(issue, samples, settings, folder):
    """Runs the test; LoadGen writes its logs into `folder`."""
    loadgen = mlperf_loadgen()
    logs = loadgen.LogSettings()
    logs.log_output.outdir = folder
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = False
    system = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(samples, samples, lambda _: None, lambda _: None)
    try:
        loadgen.StartTestWithLogSettings(system, library, settings, logs)
    finally:
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)


def _results(folder):
    """LoadGen's result values by key."""
    lines = (Path(folder) / "mlperf_log_detail.txt").read_text().splitlines()
    entries = [json.loads(line.removeprefix(":::MLLOG")) for line in lines]
    return {entry["key"]: entry["value"] for entry in entries}


def _latency_ms(results, percentile):
    return results[f"result_{percentile}.00_percentile_latency_ns"] / 1e6
