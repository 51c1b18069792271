"""What an engine is, and what all engines share."""

from typing import Protocol

import numpy as np
import onnx
from onnx import helper


class Engine(Protocol):
    """What the load test asks of an engine. `run` is called from several threads at once.

    An engine also pickles, by what it is built from: load tests run in a child process.
    """

    name: str  # column `engine` of the costs table
    precision: str  # column `precision`: what the engine computed in, such as "fp32"
    threads: int  # of one run
    device: str  # what it runs on: "CPU", or the accelerator's name
    library: str  # the engine's library with its version
    input_shapes: dict[str, tuple]  # input -> shape; a name where the count may vary
    input_types: dict[str, np.dtype]  # input -> type of its array

    def run(self, inputs):
        """One request: dict of arrays -> scores [candidates, 1]."""


class EngineUnavailable(RuntimeError):
    """The engine's library or device is not there; the message says which."""


class GraphEngine:
    """The part of an engine that its graph decides.

    Args:
      model: onnx.ModelProto, or its serialised bytes.
      threads: that share one run, >= 1.
      precision: of the products, one of the class's `precisions`.

    Raises: TypeError for what is no model, ValueError for a bad number of threads or a
      precision that the engine does not have.
    """

    name, precisions, device = "", ("fp32",), "CPU"

    def __init__(self, model, threads=1, precision="fp32"):
        kind = type(self).__name__
        if not isinstance(model, bytes | onnx.ModelProto):
            raise TypeError(
                f"{kind}: model must be an onnx.ModelProto or bytes; got {type(model).__name__}"
            )
        if threads < 1:
            raise ValueError(f"{kind}: threads must be >= 1; got {threads}")
        if precision not in self.precisions:
            raise ValueError(
                f"{kind}: precision must be one of {', '.join(self.precisions)}; got {precision!r}"
            )
        self.model = model if isinstance(model, bytes) else model.SerializeToString()
        self.threads, self.precision = threads, precision
        graph = (onnx.load_from_string(model) if isinstance(model, bytes) else model).graph
        weights = {weight.name for weight in graph.initializer}
        fed = [value for value in graph.input if value.name not in weights]
        self.input_shapes = {value.name: _shape(value) for value in fed}
        self.input_types = {value.name: _type(value) for value in fed}

    def __reduce__(self):
        return type(self), (self.model, self.threads, self.precision)


def input_types(model: onnx.ModelProto) -> dict[str, np.dtype]:
    """Input of a graph -> type of its array, without an engine."""
    weights = {weight.name for weight in model.graph.initializer}
    return {value.name: _type(value) for value in model.graph.input if value.name not in weights}


def request_shapes(inputs):
    """Shapes of a request's arrays, as a key: what is compiled for them serves the next one.

    >>> request_shapes({"user": np.ones((1, 3)), "ads": np.ones((5, 3))})
    (('user', (1, 3)), ('ads', (5, 3)))
    """
    return tuple((name, tuple(array.shape)) for name, array in inputs.items())


def _type(value):
    return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def _shape(value):
    # A dimension without a length is one that may vary; it need not have a name either.
    return tuple(
        n.dim_value if n.HasField("dim_value") else n.dim_param or "candidates"
        for n in value.type.tensor_type.shape.dim
    )
