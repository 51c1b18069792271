"""Algorithm 1's measurement: a size, or any model, as a row of the costs table.

inputs      random fixed-length tensors
peak        the highest QPS at the latency limit, in a process of its own
bracketing  the search for it, and its interval
loadgen     MLPerf LoadGen's scenarios around an engine
batching    graphs that take several waiting requests
"""

import math
from pathlib import Path

import onnx

from lib.infra.child_process import in_child, reason
from lib.infra.machine import facts
from lib.models.flop_count import counted_operators, graph_flops, matrix_flops
from lib.models.size_parameters import check_size_parameters
from lib.serving import engines
from lib.serving.engines.interpreter import OPERATORS
from lib.serving.graphs.batching import CORPUS, random_batched_graph
from lib.serving.graphs.export import FORMS, random_graph
from lib.serving.graphs.free_axes import check_candidates_axis, fix_axes
from lib.serving.load.loadgen import mlperf_loadgen
from lib.serving.load.peak import PeakQps, check_search, peak_qps
from lib.serving.load.random_inputs import check_candidates, check_types, random_inputs

__all__ = [
    "PeakQps",
    "empty_row",
    "load_test_task",
    "load_test_tasks",
    "measure_model",
    "measure_size",
    "peak_qps",
    "prepare_model",
    "random_inputs",
    "size_columns",
]


def measure_model(
    model,
    *,
    candidates,
    latency_limit_ms,
    seed,
    engine="onnxruntime",
    precision="fp32",
    threads=1,
    workers=1,
    batch_requests=1,
    arrivals=0,
    ids=None,
    axis_lengths=None,
    columns=None,
    **search,
):
    """Algorithm 1's lines 6 to 8 for any model: load it, find its peak QPS.

    Args:
      model: onnx.ModelProto, or the path of a file that `lib.serving.model_files` loads.
        A request is one run of it, whose free axis has `candidates` places.
      candidates: ads in a request, >= 1.
      seed: of the random inputs.
      engine, precision: names of `lib.serving.engines`; `threads` share one run.
      workers, batch_requests: requests served at a time, and in one run; see `peak_qps`.
        For batches, every input's first axis must have a name, but for the twin tower's
        corpus "ad_vectors".
      arrivals: seed of the arrival times, the same for all that is to be compared.
      ids: whole inputs are drawn from 0 .. ids - 1.
      axis_lengths: dict of the lengths of further free axes by name, such as a history's.
      columns: dict of columns that only the caller knows, such as family, size_parameters.
      search: min_queries, resolution, repeats, max_seconds of `peak_qps`.

    Returns: dict, a row of the costs table without the columns machines and cost_per_hour,
      which `lib.cost.priced` adds, and with
        threads, workers, batch_requests, arrivals, cpu, cores, library (of the engine, its version)
        p50_ms, p95_ms, p99_ms at the peak; service_ms of a run, all workers busy;
        single_stream_ms, single_stream_p90_ms, single_stream_p99_ms of an idle machine;
        offline_qps of a machine that always has requests waiting;
        repeats, brackets of the search; memory_mb, the most that the load test's process held;
        flops of a user-ad pair, as the graph computes it for one candidate (NaN where operators
          of it are not counted); flops_counted, flops_not_counted name these and their numbers;
        inputs: what a request held, name, type and shape of each, and how ids were drawn;
        target_qps, which LoadGen was asked for: qps is the load that it then offered;
        flops_per_second at the peak, of matrix products really done; share_of_peak and
        offline_share_of_peak, of a large float32 matrix product on as many cores (NaN where
        the engine does not run on the CPU);
        failure: "", for a model that could be measured, see `load_test_task`.
    Raises: what `prepare_model` and `peak_qps` raise.
    """
    check_search([{}], latency_limit_ms, workers, batch_requests, search)
    model, running, inputs = prepare_model(
        model,
        candidates=candidates,
        seed=seed,
        engine=engine,
        precision=precision,
        threads=threads,
        batch_requests=batch_requests,
        ids=ids,
        axis_lengths=axis_lengths,
    )
    peak = peak_qps(
        running,
        inputs,
        latency_limit_ms,
        arrivals=arrivals,
        workers=workers,
        batch_requests=batch_requests,
        **search,
    )
    settings = {
        "engine": engine,
        "precision": precision,
        "candidates": candidates,
        "latency_limit_ms": latency_limit_ms,
        "threads": threads,
        "workers": workers,
        "batch_requests": batch_requests,
        "arrivals": arrivals,
    }
    return {
        "family": "",
        "size_parameters": [],
        "flops": graph_flops(model, 1),
        **(columns or {}),
        **empty_row(settings, running.device),
        **_counted(model),
        "inputs": _fed(inputs[0], ids),
        "library": running.library,
        **_results(peak, graph_flops(model, candidates), running.device),
    }


def prepare_model(
    model,
    *,
    candidates,
    seed,
    engine="onnxruntime",
    precision="fp32",
    threads=1,
    batch_requests=1,
    ids=None,
    axis_lengths=None,
):
    """What a load test of a model begins with: the file read, the engine built, inputs drawn.

    Called before long work it says what is wrong with a model file while nothing is lost.

    Args: as of `measure_model`.
    Returns: (onnx.ModelProto, engine, list of requests).
    Raises: FileNotFoundError, or ValueError naming the file: a format that is not read, a model
      exported for a fixed batch or with several free axes, inputs that cannot be drawn, requests
      that fail or meet a limit (`lib.serving.model_files.trial`); `EngineUnavailable`; TypeError
      for what is no model.
    """
    check_candidates(candidates)
    if not isinstance(model, str | Path):
        return _prepared(
            model, candidates, seed, engine, precision, threads, batch_requests, ids, axis_lengths
        )
    from lib.serving.model_files.reading import load

    graph = load(model)
    try:
        return _prepared(
            graph,
            candidates,
            seed,
            engine,
            precision,
            threads,
            batch_requests,
            ids,
            axis_lengths,
            trial=True,
        )
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error


def _prepared(
    model,
    candidates,
    seed,
    engine,
    precision,
    threads,
    batch_requests,
    ids,
    axis_lengths,
    trial=False,
):
    if not isinstance(model, onnx.ModelProto):
        raise TypeError(
            "measure_model: model must be an onnx.ModelProto or the path of a model "
            f"file; got {type(model).__name__}"
        )
    model = fix_axes(model, axis_lengths)
    check_candidates_axis(model)
    check_types(engines.input_types(model), ids)
    if trial or {node.op_type for node in model.graph.node} - set(OPERATORS):
        from lib.serving.model_files.trial import try_requests

        try_requests(model, candidates=candidates, seed=seed, ids=ids)
    try:
        running = engines.build(engine, model, threads=threads, precision=precision)
    except (ValueError, TypeError, engines.EngineUnavailable):
        raise
    except Exception as error:
        raise ValueError(f"{engine} does not take the model: {_line(error)}") from error
    _check_batches(running.input_shapes, batch_requests)
    inputs = random_inputs(
        running.input_shapes, candidates, seed, ids=ids, input_types=running.input_types
    )
    if trial and engine != "onnxruntime":
        try:  # which some engines compile at, in a process that may start their threads
            in_child(f"the first request to {engine}", running.run, inputs[0])
        except Exception as error:
            raise ValueError(f"{engine} does not take the model: {_line(error)}") from error
    return model, running, inputs


def _line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def measure_size(
    size_parameters,
    *,
    form="first_layer_optimised",
    user_width=None,
    seed,
    batch_requests=1,
    **settings,
):
    """`measure_model` of one size, built at random.

    Args:
      size_parameters: [a_0, ..., a_L]; of a twin tower, a_1 ... a_L of both towers.
      form: a graph of `lib.serving.graphs.export.FORMS`.
      user_width: how many of the a_0 inputs belong to the user; half by default.
      settings: as of `measure_model`; candidates and latency_limit_ms must be given.

    Returns: dict, a row as of `measure_model` with family, size_parameters, form, user_width;
      flops are those of a user-ad pair without any cache (`lib.models.matrix_flops`).
    """
    columns = size_columns(size_parameters, form, user_width)
    build = random_batched_graph if batch_requests > 1 else random_graph
    model = build(form, size_parameters, seed, columns["user_width"])
    return measure_model(
        model, seed=seed, batch_requests=batch_requests, columns=columns, **settings
    )


def load_test_tasks(tested, **settings):
    """Tasks of `load_test_task`, a list of dicts.

    Args:
      tested: form -> (candidates, list of size parameters).
      settings: what all of them have in common; the machine is added as `on`, so that rows of
        two machines are never mixed.

    >>> tasks = load_test_tasks({"naive": (10, [[8, 4, 1], [8, 2, 1]])}, seed=0)
    >>> [(task["form"], task["size_parameters"], task["candidates"]) for task in tasks]
    [('naive', [8, 4, 1], 10), ('naive', [8, 2, 1], 10)]
    """
    return [
        {"size_parameters": size, "form": form, "candidates": candidates, **settings, "on": facts()}
        for form, (candidates, sizes) in tested.items()
        for size in sizes
    ]


def load_test_task(task, path):
    """`measure_size` as a task of `lib.infra.sweep`.

    A size that fails (memory, the engine, no load passed) becomes a row whose measured
    columns are NaN and whose column `failure` says why, in one line; the rest goes on. What
    would fail for every size, such as an engine that is not here, raises.

    Args:
      task: dict of `measure_size`'s arguments; and `on`, `lib.infra.machine.facts()`, so that a
        result of another machine is another task's.
      path: not used; a load test leaves no files.
    """
    task = {name: value for name, value in task.items() if name != "on"}
    columns = size_columns(
        task.get("size_parameters", ()),
        task.get("form", "first_layer_optimised"),
        task.get("user_width"),
    )
    mlperf_loadgen()
    tried = _tried_engine(task)
    try:
        return measure_size(**task)
    except Exception as error:
        return {
            **columns,
            **empty_row(task, tried.device),
            "library": tried.library,
            "failure": reason(error),
        }


_SETTINGS = {
    "engine": "onnxruntime",
    "precision": "fp32",
    "candidates": None,
    "latency_limit_ms": None,
    "threads": 1,
    "workers": 1,
    "batch_requests": 1,
    "arrivals": 0,
}
_RESULTS = (
    "qps",
    "qps_low",
    "qps_high",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "target_qps",
    "service_ms",
    "single_stream_ms",
    "single_stream_p90_ms",
    "single_stream_p99_ms",
    "offline_qps",
    "repeats",
    "memory_mb",
    "flops_per_second",
    "share_of_peak",
    "offline_share_of_peak",
)


def empty_row(settings, device):
    """A row before anything is measured."""
    machine = facts()
    host = f"{machine['cpu']}, {machine['cores']} cores"
    return {
        **{name: settings.get(name, default) for name, default in _SETTINGS.items()},
        "machine": host if device == "CPU" else f"{device}, {host}",
        "cpu": machine["cpu"],
        "cores": machine["cores"],
        **dict.fromkeys(_RESULTS, math.nan),
        **dict.fromkeys(("inputs", "flops_counted", "flops_not_counted", "failure"), ""),
    }


def size_columns(size_parameters, form, user_width=None):
    """What a row says of its size: family, size_parameters, form, user_width, flops of a pair.

    Raises: ValueError for an unknown form, or size parameters that describe no model.

    >>> size_columns([8, 4, 1], "naive")["flops"]
    72
    """
    if form not in FORMS:
        raise ValueError(f"measure_size: form must be one of {', '.join(FORMS)}; got {form!r}")
    family = FORMS[form]
    sizes = check_size_parameters(size_parameters, family)
    return {
        "family": family,
        "size_parameters": list(sizes),
        "form": form,
        "user_width": sizes[0] // 2 if user_width is None else user_width,
        "flops": int(matrix_flops(sizes, family)),
    }


def _counted(model):
    """Which operators the row's FLOPs count, and which they could not."""
    counted, not_counted = (
        ", ".join(f"{name} {number}" for name, number in sorted(operators.items()))
        for operators in counted_operators(model)
    )
    return {"flops_counted": counted, "flops_not_counted": not_counted}


def _fed(request, ids):
    """What a request held, for people: name, type and shape of each input."""
    return "; ".join(
        f"{name} {array.dtype} {list(array.shape)}"
        + (f" of 0..{ids - 1}" if array.dtype.kind in "iu" else "")
        for name, array in request.items()
    )


def _results(peak, flops_per_request, device):
    at_peak, offline = (flops_per_request * qps for qps in (peak.qps, peak.offline.qps))
    machine_peak = peak.peak_flops if device == "CPU" else math.nan
    return {
        "qps": peak.qps,
        "qps_low": peak.qps_low,
        "qps_high": peak.qps_high,
        "p50_ms": peak.p50_ms,
        "p95_ms": peak.p95_ms,
        "p99_ms": peak.p99_ms,
        "target_qps": peak.target_qps,
        "service_ms": peak.offline.service_ms,
        "single_stream_ms": peak.single_stream.p50_ms,
        "single_stream_p90_ms": peak.single_stream.p90_ms,
        "single_stream_p99_ms": peak.single_stream.p99_ms,
        "offline_qps": peak.offline.qps,
        "repeats": len(peak.brackets),
        "memory_mb": peak.memory_mb,
        "flops_per_second": at_peak,
        "share_of_peak": at_peak / machine_peak,
        "offline_share_of_peak": offline / machine_peak,
    }


def _check_batches(shapes, batch_requests):
    fixed = [
        name
        for name, shape in shapes.items()
        if name != CORPUS and not (shape and isinstance(shape[0], str))
    ]
    if batch_requests > 1 and fixed:
        raise ValueError(
            f"measure_model: batch_requests = {batch_requests} needs a graph that "
            f"takes several requests; input {fixed[0]!r} has the fixed shape "
            f"{shapes[fixed[0]]}"
        )


def _tried_engine(task):
    """The task's engine with a model too small to fail by itself; else raises why."""
    missing = [name for name in ("candidates", "latency_limit_ms", "seed") if name not in task]
    if missing:
        raise ValueError(f"load_test_task: the task must give {missing[0]}; got {', '.join(task)}")
    check_candidates(task["candidates"])
    settings = {name: task.get(name, default) for name, default in _SETTINGS.items()}
    search = {
        name: value
        for name, value in task.items()
        if name not in (*_SETTINGS, "size_parameters", "form", "user_width", "seed", "ids")
    }
    check_search(
        [{}], settings["latency_limit_ms"], settings["workers"], settings["batch_requests"], search
    )
    return engines.build(
        settings["engine"],
        random_graph("naive", [4, 2, 1], seed=0),
        threads=settings["threads"],
        precision=settings["precision"],
    )
