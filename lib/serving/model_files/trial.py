"""A model file's first requests, in a child process with a limit of time and of memory.

A graph can hold a loop without end, or an array larger than any memory, and says so only when it
runs. So the requests of a load test are first sent to ONNX Runtime in a process that may not do
anything else (`lib.infra.confined`); what it answers must hold a score for each candidate.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx

from lib.infra.confined import run_confined, within
from lib.serving.load.random_inputs import random_inputs

_START_SECONDS = 90.0  # to load the model and make it ready
_REQUEST_SECONDS = 5.0  # no server lets a request take so long
_GIGABYTES = 4.0  # beside four times the model's weights


def try_requests(
    model: onnx.ModelProto, *, candidates: int, seed: int, ids: int | None = None
) -> None:
    """Sends a load test's requests to the model once each.

    Args: as of `lib.serving.load.load_tests.measure_model`.

    Raises: ValueError, in one line: what the model answers with, which limit it meets, or that no
      output holds a value for each candidate.

    >>> from lib.serving.graphs.export import random_graph
    >>> try_requests(random_graph("naive", [6, 4, 1], seed=0), candidates=10, seed=0)
    """
    serialised = model.SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(serialised)
        try:
            shapes = run_confined(
                f"{__name__}:output_shapes",
                *(str(path), candidates, seed, ids),
                folder=folder,
                seconds=_START_SECONDS,
                gigabytes=_GIGABYTES + 4 * len(serialised) / 1e9,
            )
        except ValueError as error:
            hint = ""
            if ids and "out of data bounds" in str(error):
                hint = f" (has the model fewer than ids = {ids} of them?)"
            raise ValueError(f"a request of random inputs fails: {error}{hint}") from None
    if not any(candidates in shape or np.prod(shape) == candidates for shape in shapes.values()):
        named = ", ".join(f"{name!r} {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(
            f"no output holds a score for each of the {candidates} candidates of a request: the "
            f"outputs have the shapes {named}; is a batch fixed inside the model?"
        )


def output_shapes(path, candidates, seed, ids):
    """In the child: name of an output -> shape of what the last request's answer holds there."""
    from lib.serving.engines.onnx_runtime import OnnxRuntime

    engine = OnnxRuntime(Path(path).read_bytes())
    requests = random_inputs(
        engine.input_shapes, candidates, seed, ids=ids, input_types=engine.input_types
    )
    for request in requests:
        within(_REQUEST_SECONDS, "a request")
        answer = engine.run_all(request)
    return {name: _shape(value) for name, value in answer.items()}


def _shape(value):
    # A classifier of scikit-learn answers with a list of dictionaries.
    return list(value.shape) if hasattr(value, "shape") else [len(value)]
