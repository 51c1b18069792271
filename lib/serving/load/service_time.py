"""How long a request takes with all workers busy: what a load test needs a minute to bound.

Steadier than a load; `lib.serving.queueing.load_at_limit` makes of it the load that a latency
limit allows, and `ServiceTimeModel.load_ratio_` says what load tests make of that formula.
"""

import time

from lib.infra.child_process import reason
from lib.serving import engines
from lib.serving.graphs.export import random_graph
from lib.serving.load.load_tests import empty_row, size_columns
from lib.serving.load.loadgen import RequestServer, mlperf_loadgen
from lib.serving.load.random_inputs import check_candidates, random_inputs


def service_time_task(task, path):
    """The time of a request of one size, as a task of `lib.infra.sweep`.

    Args:
      task: dict of size_parameters, form, candidates, engine, workers, seed; optional
        user_width, latency_limit_ms (for the row), `seconds` that it may take once warm (1);
        `on` and `repeat`, to tell tasks apart.
      path: not used; a timing leaves no files.

    Returns: dict, a row as of `lib.serving.load.load_tests.measure_size` whose only results are
      service_ms and offline_qps, or for a size that fails, `failure`; and repeat.

    >>> task = {"size_parameters": [8, 4, 1], "form": "naive", "candidates": 3, "seed": 0,
    ...         "engine": "onnxruntime", "workers": 1, "seconds": 0.01}
    >>> row = service_time_task(task, None)
    >>> row["service_ms"] > 0, row["failure"]
    (True, '')
    """
    mlperf_loadgen()
    check_candidates(task["candidates"])
    columns = size_columns(task["size_parameters"], task["form"], task.get("user_width"))
    row = {**columns, **empty_row(task, "CPU"), "repeat": task.get("repeat", 0)}
    try:
        graph = random_graph(
            task["form"], task["size_parameters"], task["seed"], columns["user_width"]
        )
        running = engines.build(task["engine"], graph)
        inputs = random_inputs(
            running.input_shapes, task["candidates"], task["seed"], input_types=running.input_types
        )
        server = RequestServer(running, inputs, workers=task["workers"])
        server.warm_up()
        begin = time.perf_counter()
        running.run(inputs[0])
        runs = int(task.get("seconds", 1.0) / (time.perf_counter() - begin))
        offline = server.offline(task["workers"] * max(5, runs))
    except engines.EngineUnavailable:
        raise
    except Exception as error:
        return row | {"failure": reason(error)}
    return row | {
        "machine": empty_row(task, running.device)["machine"],
        "service_ms": offline.service_ms,
        "offline_qps": offline.qps,
    }
