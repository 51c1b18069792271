"""XLA: the graph compiled as a whole, through TensorFlow (CPU) or JAX (GPU)."""

import functools
import importlib.util
import os

import numpy as np
import onnx

from lib.serving.engines.engine import EngineUnavailable, GraphEngine
from lib.serving.engines.interpreter import Program
from lib.serving.graphs.half_precision import half


class TensorFlowXla(GraphEngine):
    """TensorFlow's XLA on the CPU, compiled once for each count of candidates.

    TensorFlow starts at the first request, for its threads are a process's: an engine of
    another number in the same process is refused then. A load test has its own process.

    >>> from lib.serving.graphs.export import naive, random_weights
    >>> TensorFlowXla(naive(random_weights([6, 4, 1], seed=0))).input_shapes
    {'user': (1, 3), 'ads': ('candidates', 3)}
    """

    name = "tensorflow_xla"

    def __init__(self, model, threads=1, precision="fp32"):
        super().__init__(model, threads, precision)
        _check_installed("tensorflow")
        self._program = Program(onnx.load_from_string(self.model))

    @functools.cached_property
    def library(self):
        import tensorflow as tf

        return f"tensorflow {tf.__version__}"

    def run(self, inputs):
        return self._scores(inputs).numpy()

    @functools.cached_property
    def _scores(self):
        import tensorflow as tf

        _start_tensorflow(tf, self.threads)
        with tf.device("CPU:0"):
            weights = {name: tf.constant(x) for name, x in self._program.weights.items()}

        @tf.function(jit_compile=True)
        def scores(weights, inputs):
            return self._program(tf.experimental.numpy, weights, inputs)

        def on_cpu(inputs):
            with tf.device("CPU:0"):
                return scores(weights, inputs)

        return on_cpu


def _start_tensorflow(tf, threads):
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:
            has = tf.config.threading.get_intra_op_parallelism_threads() or "one thread a core"
            raise EngineUnavailable(
                f"TensorFlowXla: threads = {threads}, but TensorFlow has started with {has} in "
                f"this process and keeps to it; run the engine in a process of its own"
            ) from None


class JaxXla(GraphEngine):
    """JAX's XLA on a GPU, compiled once for each count of candidates.

    Weights lie on the device. Inputs are sent with each request, unless they were placed
    there by `to_device`; scores come back as NumPy. fp32 is single precision in full, not
    TF32; fp16 is the graph of `lib.serving.graphs.half_precision`.

    Args:
      threads: must be 1, the one that sends the requests: the device does the work.

    Raises: `EngineUnavailable` where JAX is not installed or sees no GPU.
    """

    name, precisions = "jax_xla", ("fp32", "fp16")

    def __init__(self, model, threads=1, precision="fp32"):
        super().__init__(model, threads, precision)
        if threads != 1:
            raise ValueError(f"JaxXla: threads must be 1, the device does the work; got {threads}")
        _check_installed("jax")
        # A load test's process and its parent share the device.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        import jax

        self._device = _accelerator(jax)
        self.device, self.library = self._device.device_kind, f"jax {jax.__version__}"
        graph = onnx.load_from_string(self.model)
        program = Program(half(graph) if precision == "fp16" else graph)
        self._weights = self.to_device(program.weights)

        @jax.jit
        def scores(weights, inputs):
            with jax.default_matmul_precision("float32" if precision == "fp32" else "default"):
                return program(jax.numpy, weights, inputs)

        self._scores = scores

    def to_device(self, inputs):
        """A request's arrays, copied to the device."""
        import jax

        return jax.device_put(inputs, self._device)

    def run(self, inputs):
        return np.asarray(self._scores(self._weights, self.to_device(inputs)))


def _accelerator(jax):
    device = jax.devices()[0]
    if device.platform == "cpu":
        raise EngineUnavailable(
            "JaxXla: JAX sees no GPU here; on a CPU take tensorflow_xla, openvino or onnxruntime"
        )
    return device


def _check_installed(package):
    if importlib.util.find_spec(package) is None:
        raise EngineUnavailable(f"the engine needs {package}, which is not installed here")
