"""OpenVINO on the CPU."""

import functools
import sys
import threading
from importlib.metadata import version

import numpy as np

from lib.infra.machine import cores
from lib.serving.engines.engine import GraphEngine, request_shapes

_TYPES = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_KEPT = 4  # shapes of requests whose compiled models are kept


class OpenVino(GraphEngine):
    """OpenVINO on the CPU, in exactly the precision asked for.

    Left to itself OpenVINO computes in bf16 where the processor has it, and asked for a
    precision that the processor lacks it computes in another. The one asked for is read back
    from the compiled model, and any other is refused.

    A model is compiled for each count of candidates (0.05 s): with its shapes known,
    OpenVINO runs all elementwise work between two products as one pass.

    Raises: ValueError, beside `GraphEngine`'s, for a precision that this processor lacks.

    >>> from lib.serving.graphs.export import naive, random_weights
    >>> engine = OpenVino(naive(random_weights([6, 4, 1], seed=0)))
    >>> inputs = {"user": np.ones((1, 3), "f"), "ads": np.ones((5, 3), "f")}
    >>> engine.run(inputs).shape
    (5, 1)
    """

    name, precisions = "openvino", tuple(_TYPES)

    def __init__(self, model, threads=1, precision="fp32"):
        super().__init__(model, threads, precision)
        self.library = f"openvino {version('openvino')}"
        self._compiled, self._lock = {}, threading.Lock()
        self._local = threading.local()
        shapes = {
            name: tuple(1 if isinstance(n, str) else n for n in shape)
            for name, shape in self.input_shapes.items()
        }
        # One thread alone must make a process's first inference: what OpenVINO sets up then
        # waits for Python's lock, which a second thread would hold while it waits for that.
        self._compile(shapes).create_infer_request().infer(
            {name: np.zeros(shape, self.input_types[name]) for name, shape in shapes.items()}
        )

    def run(self, inputs):
        # Sharing is safe: this call ends after the last use of the inputs' memory.
        return self._request(request_shapes(inputs)).infer(inputs, share_inputs=True)[0]

    def _request(self, shapes):
        """This thread's request for these shapes."""
        with self._lock:
            if shapes not in self._compiled:
                if len(self._compiled) >= _KEPT:
                    self._compiled.pop(next(iter(self._compiled)))
                self._compiled[shapes] = self._compile(dict(shapes))
            compiled = self._compiled[shapes]
        if getattr(self._local, "compiled", None) is not compiled:
            self._local.compiled, self._local.request = compiled, compiled.create_infer_request()
        return self._local.request

    def _compile(self, shapes):
        core = _core()
        graph = core.read_model(self.model)
        graph.reshape(shapes)
        _split_products(graph)
        # A stream is what runs one request at a time. As many as the cores hold let
        # requests of several threads run side by side, `threads` each.
        streams = max(1, cores() // self.threads)
        compiled = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _TYPES[self.precision],
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": streams * self.threads,
                # Pinned, two engines or two processes would share the first core.
                "ENABLE_CPU_PINNING": False,
            },
        )
        _check_precision(compiled, self.precision)
        return compiled


def _check_precision(compiled, precision):
    chosen = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if chosen != _TYPES[precision]:
        raise ValueError(
            f"OpenVino: this processor does not compute in {precision}; OpenVINO would take "
            f"{chosen}"
        )


def _split_products(graph):
    """[a, b] W -> a W_a + b W_b, the same products without writing [a, b] to memory."""
    ops = _library().opset13
    for product in graph.get_ordered_ops():
        if product.get_type_name() != "MatMul":
            continue
        joined, kernel = (product.input_value(i).get_node() for i in (0, 1))
        flags = product.get_attributes()
        if (
            joined.get_type_name() != "Concat"
            or kernel.get_type_name() != "Constant"
            or flags["transpose_a"]
            or flags["transpose_b"]
            or joined.get_attributes()["axis"] not in (-1, len(joined.shape) - 1)
        ):
            continue
        parts = joined.input_values()
        rows = np.cumsum([part.shape[-1] for part in parts])[:-1]
        kernels = np.split(kernel.data, rows)
        products = [
            ops.matmul(part, ops.constant(np.ascontiguousarray(part_kernel)), False, False)
            for part, part_kernel in zip(parts, kernels, strict=True)
        ]
        product.output(0).replace(functools.reduce(ops.add, products).output(0))


@functools.cache
def _core():
    return _library().Core()


@functools.cache
def _library():
    """OpenVINO, imported without its telemetry.

    Its import sends an event over the network unless the package openvino_telemetry is
    missing; None is Python's mark of a missing one.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)
    try:
        import openvino
    finally:
        if sys.modules.get("openvino_telemetry", ...) is None:
            del sys.modules["openvino_telemetry"]
    return openvino
