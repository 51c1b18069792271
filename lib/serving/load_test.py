"""The load test of Algorithm 1: the highest QPS whose p99 latency stays within a limit.

MLPerf LoadGen's Server scenario sends requests at Poisson times and counts latency from
the time a request was due. A run passes where LoadGen can say with 99 % confidence that
99 % of requests stay within the limit (its early stopping): of 459 requests none may be
late, of 662 one, of 838 two.
"""
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from lib.cost import load_at_limit
from lib.machine import facts
from lib.serving.engines import OnnxRuntime
from lib.serving.export import FORMS, random_graph
from lib.sizes import matrix_flops

try:
    import mlperf_loadgen as loadgen
except ModuleNotFoundError:
    raise ModuleNotFoundError("lib.serving.load_test needs MLPerf LoadGen (mlcommons-loadgen), "
                              "which is packaged for Linux only") from None

_PERCENTILE = 0.99
_LEAST_QUERIES = 459  # 0.99 ** 459 < 1 - 0.99: the fewest that can show 99 % with 99 %
_STEP = 1.25          # between loads until one passes and one fails
_HICCUP = 0.05        # a run with a smaller share of late requests may fail by accident


class LoadRun(NamedTuple):
    """One LoadGen run."""
    qps: float            # offered
    completed_qps: float
    passed: bool
    queries: int
    late: int             # requests over the limit
    p50_ms: float         # latency from the due time
    p95_ms: float
    p99_ms: float


class PeakQps(NamedTuple):
    """The highest load that passed, and how it was found."""
    qps: float         # highest offered load that passed; 0 where none did
    qps_low: float     # the same
    qps_high: float    # lowest offered load that failed
    p50_ms: float      # latencies of the run at `qps`
    p95_ms: float
    p99_ms: float
    service_ms: float  # median time of a request itself, all workers busy
    runs: list[LoadRun]


def random_inputs(input_shapes, candidates, seed, requests=8):
    """Algorithm 1's "randomly initialized, fixed-length tensors", several requests' worth.

    Requests differ, so that they are read from memory and not from the processor's cache.
    Ad vectors (the twin tower) are the exception: the corpus is the same for all.

    Args:
      input_shapes: as an engine has them.
      candidates: ads in a request.

    Returns: list of `requests` dicts of float32 arrays.

    >>> inputs = random_inputs({"user": (1, 3), "ads": ("candidates", 2)}, 5, seed=0)
    >>> len(inputs), inputs[0]["ads"].shape
    (8, (5, 2))
    """
    rng = np.random.default_rng(seed)

    def draw(shape):
        shape = [candidates if isinstance(n, str) else n for n in shape]
        return rng.standard_normal(shape, np.float32)

    corpus = {name: draw(shape) for name, shape in input_shapes.items() if name == "ad_vectors"}
    return [{name: corpus[name] if name in corpus else draw(shape)
             for name, shape in input_shapes.items()} for _ in range(requests)]


def peak_qps(engine, inputs, latency_limit_ms, seed, *, min_queries=662, workers=1,
             resolution=1.06, max_seconds=120.0):
    """Highest QPS of `engine` whose p99 latency is at most latency_limit_ms.

    The search starts at the load that queueing theory gives for the time of a request
    itself (`lib.cost.load_at_limit`), goes up or down by steps of 1.25 or more to the first
    load that fails or passes, and halves that bracket (in logs) until it is as narrow as
    `resolution`. A load at which fewer than 5 % of requests were late gets a second run: one
    interruption on a shared machine delays a few requests. All runs are in a child process.

    Args:
      engine: see `lib.serving.engines.Engine`.
      inputs: list of requests, sent in random order.
      seed: of the arrival times and that order.
      min_queries: requests of a run, at least 459; it also lasts long enough for a load
        above capacity to show.
      workers: threads that take requests from the queue, each running one at a time.
      resolution: ratio of qps_high to qps_low at which the search ends, > 1.
      max_seconds: once a load has failed, no run starts that would end later than this; the
        bracket is then wider.

    Returns: `PeakQps`; qps is 0 where a request itself takes longer than the limit.
    Raises: ValueError for a bad parameter; RuntimeError where no load passed or
      the child process ended; whatever the engine raises.
    """
    _check(inputs, latency_limit_ms, min_queries, workers, resolution, max_seconds)
    # In a run so long, a load `resolution` above what the engine can do builds up a queue of
    # twice the limit. A shorter run could end before anybody is late, at whatever load.
    min_seconds = 2e-3 * latency_limit_ms / (resolution - 1)
    test = _LoadTest(engine, inputs, latency_limit_ms, seed, min_queries, min_seconds, workers)
    pool = ProcessPoolExecutor(max_workers=1)
    try:
        return pool.submit(_search, test, resolution, max_seconds).result()
    except BrokenProcessPool as error:
        raise RuntimeError(f"peak_qps: the load test's process ended (engine {engine.name}, "
                           f"{engine.threads} threads, {workers} workers); out of memory, or a "
                           f"crash in the engine or in LoadGen") from error
    finally:
        pool.shutdown(kill_workers=True)


def measure_size(size_parameters, *, candidates, latency_limit_ms, seed,
                 form="first_layer_optimised", user_width=None, engine=OnnxRuntime, threads=1,
                 **search):
    """Algorithm 1's lines 6 to 8 for one size: build it at random, find its peak QPS.

    Args:
      size_parameters: [a_0, ..., a_L]; of a twin tower, a_1 ... a_L of both towers.
      candidates: ads in a request.
      form: a graph of `lib.serving.export.FORMS`.
      user_width: how many of the a_0 inputs belong to the user; half by default.
      engine: a class of `lib.serving.engines`; `threads` share one run of it.
      search: workers, min_queries, resolution of `peak_qps`.

    Returns: dict, a row of the costs table without the columns machines and cost_per_hour,
      which `lib.cost.priced` adds; and candidates, form, user_width, threads, workers,
      p50_ms, p95_ms, p99_ms, service_ms, flops of a user-ad pair, cpu, cores.
    """
    user_width = size_parameters[0] // 2 if user_width is None else user_width
    engine = engine(random_graph(form, size_parameters, seed, user_width), threads)
    inputs = random_inputs(engine.input_shapes, candidates, seed)
    peak = peak_qps(engine, inputs, latency_limit_ms, seed, **search)
    family, machine = FORMS[form], facts()
    return {"family": family, "size_parameters": list(size_parameters), "engine": engine.name,
            "precision": engine.precision, "machine": f"{machine['cpu']}, {machine['cores']} cores",
            "candidates": candidates, "latency_limit_ms": latency_limit_ms,
            "qps": peak.qps, "qps_low": peak.qps_low, "qps_high": peak.qps_high,
            "form": form, "user_width": user_width, "threads": threads,
            "workers": search.get("workers", 1),
            "p50_ms": peak.p50_ms, "p95_ms": peak.p95_ms, "p99_ms": peak.p99_ms,
            "service_ms": peak.service_ms, "flops": int(matrix_flops(size_parameters, family)),
            "cpu": machine["cpu"], "cores": machine["cores"]}


def measured(task, path):
    """`measure_size` as a task of `lib.sweep`.

    Args:
      task: dict of `measure_size`'s arguments; and `on`, `lib.machine.facts()`, so that a
        result of another machine is another task's.
      path: not used; a load test leaves no files.
    """
    return measure_size(**{name: value for name, value in task.items() if name != "on"})


def _search(test, resolution, max_seconds):
    """Runs in the child process."""
    end = time.monotonic() + max_seconds
    last_end = end + 2 * max_seconds  # on a busy machine, until any load passes
    limit_ms, service_ms = test.latency_limit_ms, test.service_ms()
    if service_ms > limit_ms:
        return PeakQps(0.0, 0.0, 1000 / service_ms, *3 * [math.nan], service_ms, [])
    # Early stopping lets about one request of the shortest run be late. A start so low that
    # the first run took a quarter of the time would leave none for a search.
    load = max(float(load_at_limit(service_ms, limit_ms, workers=test.workers,
                                   late=1 / test.min_queries)),
               4 * test.min_queries / max_seconds)
    runs, low, high = [], None, math.inf  # best run that passed, lowest load that failed
    while low is None or high > resolution * low.qps:
        seconds = max(test.min_seconds, test.min_queries / load)
        if high < math.inf and time.monotonic() + seconds > (end if low else last_end):
            break
        run = test.run(load)
        runs.append(run)
        if (not run.passed and run.late < _HICCUP * run.queries
                and time.monotonic() + seconds < end):
            run = test.run(load)
            runs.append(run)
        if run.passed:
            low = run
            load = math.sqrt(load * high) if high < math.inf else load * _STEP
        else:
            high = load
            # An engine out of breath shows what it can do at most.
            load = math.sqrt(low.qps * load) if low else min(load / _STEP, run.completed_qps)
    if low is None:
        raise RuntimeError(f"peak_qps: no load passed in 3 x max_seconds = {max_seconds:g}; the "
                           f"lowest tried, {high:.3g} QPS, had a p99 of {run.p99_ms:.3g} ms "
                           f"against latency_limit_ms = {limit_ms:g} (a request itself takes "
                           f"{service_ms:.3g} ms); is the machine busy?")
    return PeakQps(low.qps, low.qps, high, low.p50_ms, low.p95_ms, low.p99_ms, service_ms, runs)


class _LoadTest:
    """An engine under LoadGen at one load after another."""

    def __init__(self, engine, inputs, latency_limit_ms, seed, min_queries, min_seconds,
                 workers):
        self.engine, self.inputs, self.latency_limit_ms = engine, inputs, latency_limit_ms
        self.seed, self.workers = seed, workers
        self.min_queries, self.min_seconds = min_queries, min_seconds

    def service_ms(self, seconds=1.0):
        """Median time of a request itself, all workers busy, after one that warms up."""
        def timed(i):
            start = time.perf_counter()
            self.engine.run(self.inputs[i % len(self.inputs)])
            return time.perf_counter() - start

        timed(0)
        each = min(300, max(3, int(seconds / timed(0))))
        with ThreadPoolExecutor(self.workers) as pool:
            return 1000 * float(np.median([*pool.map(timed, range(each * self.workers))]))

    def run(self, qps):
        """One LoadGen run at an offered load."""
        served = []

        def serve(sample):
            try:
                self.engine.run(self.inputs[sample.index])
            finally:  # else LoadGen would wait for ever
                loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])

        with ThreadPoolExecutor(self.workers) as pool, TemporaryDirectory() as folder:
            _loadgen(lambda samples: served.extend(pool.submit(serve, x) for x in samples),
                     len(self.inputs), self._settings(qps), folder)
            results = _results(folder)
        for request in served:
            request.result()  # raises what the engine raised
        return LoadRun(
            qps=float(qps),
            completed_qps=results["result_completed_samples_per_sec"],
            passed=results["result_validity"] == "VALID",
            queries=results["result_query_count"],
            late=results["result_overlatency_query_count"],
            **{f"p{p}_ms": results[f"result_{p}.00_percentile_latency_ns"] / 1e6
               for p in (50, 95, 99)})

    def _settings(self, qps):
        settings = loadgen.TestSettings()
        settings.scenario = loadgen.TestScenario.Server
        settings.mode = loadgen.TestMode.PerformanceOnly
        settings.server_target_qps = qps
        settings.server_target_latency_ns = round(self.latency_limit_ms * 1e6)
        settings.server_target_latency_percentile = _PERCENTILE
        settings.min_query_count = self.min_queries
        settings.min_duration_ms = math.ceil(1000 * self.min_seconds)
        (settings.schedule_rng_seed, settings.sample_index_rng_seed,
         settings.qsl_rng_seed) = map(int, np.random.SeedSequence(self.seed).generate_state(3))
        return settings


def _loadgen(issue, samples, settings, folder):
    """Runs the test; LoadGen writes its logs into `folder`."""
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


def _check(inputs, latency_limit_ms, min_queries, workers, resolution, max_seconds):
    if not len(inputs):
        raise ValueError("peak_qps: inputs must hold at least one request")
    if not latency_limit_ms > 0:
        raise ValueError(f"peak_qps: latency_limit_ms must be > 0; got {latency_limit_ms}")
    if min_queries < _LEAST_QUERIES:
        raise ValueError(f"peak_qps: min_queries must be at least {_LEAST_QUERIES}, or no run "
                         f"can pass (LoadGen's early stopping); got {min_queries}")
    if workers < 1:
        raise ValueError(f"peak_qps: workers must be >= 1; got {workers}")
    if not resolution > 1:
        raise ValueError(f"peak_qps: resolution must be > 1; got {resolution}")
    if not max_seconds > 0:
        raise ValueError(f"peak_qps: max_seconds must be > 0; got {max_seconds}")
