"""Engines that run an exported graph, behind one small interface."""
from typing import Protocol

import onnx
import onnxruntime


class Engine(Protocol):
    """What the load test asks of an engine. `run` is called from several threads at once.

    An engine also pickles, by what it is built from: load tests run in a child process.
    """
    name: str       # column `engine` of the costs table
    precision: str  # column `precision`: what the engine computed in, such as "fp32"
    threads: int    # of one run
    input_shapes: dict[str, tuple]  # input -> shape; the name of the count where it may vary

    def run(self, inputs):
        """One request: dict of arrays -> scores [candidates, 1]."""


class OnnxRuntime:
    """ONNX Runtime on the CPU, in single precision.

    Args:
      model: onnx.ModelProto, or its serialised bytes.
      threads: that share one run, >= 1.

    >>> import numpy as np
    >>> from lib.serving.export import naive, random_weights
    >>> engine = OnnxRuntime(naive(random_weights([6, 4, 1], seed=0)))
    >>> engine.input_shapes
    {'user': (1, 3), 'ads': ('candidates', 3)}
    >>> inputs = {"user": np.ones((1, 3), "f"), "ads": np.ones((5, 3), "f")}
    >>> engine.run(inputs).shape
    (5, 1)
    """
    name, precision = "onnxruntime", "fp32"

    def __init__(self, model, threads=1):
        if threads < 1:
            raise ValueError(f"OnnxRuntime: threads must be >= 1; got {threads}")
        self.model = model if isinstance(model, bytes) else _serialised(model)
        self.threads = threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Idle threads that spin would take the processor from the other requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            self.model, options, providers=["CPUExecutionProvider"])
        self.input_shapes = {x.name: tuple(x.shape) for x in self._session.get_inputs()}

    def run(self, inputs):
        return self._session.run(None, inputs)[0]

    def __reduce__(self):
        return OnnxRuntime, (self.model, self.threads)


def _serialised(model):
    if not isinstance(model, onnx.ModelProto):
        raise TypeError("OnnxRuntime: model must be an onnx.ModelProto or bytes; "
                        f"got {type(model).__name__}")
    return model.SerializeToString()
