"""TensorRT on an NVIDIA GPU (optional extra `tensorrt`), in FP16 as the paper serves.

Written from TensorRT's and Polygraphy's documentation. No machine of ours has run it: where
there is no driver or no library, its refusal is tested, and that TensorRT's parser takes every node
of the graphs that it is given (`lib.serving.engines.tensorrt_parser`).
"""

import ctypes
import hashlib
import importlib.util
import sys
import threading
from pathlib import Path

import numpy as np
import onnx

from lib.infra.files import replacing
from lib.serving.engines.engine import EngineUnavailable, GraphEngine, request_shapes
from lib.serving.engines.tensorrt_parser import check_operators
from lib.serving.graphs.half_precision import half

_THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal


class TensorRt(GraphEngine):
    """TensorRT: one engine a count of candidates, one CUDA graph a calling thread.

    The network is strongly typed: it computes in the types of its ONNX graph, which for
    fp16 is that of `lib.serving.graphs.half_precision`. fp32 is single precision in full, not TF32.

    Args:
      threads: must be 1, the one that sends the requests: the device does the work.
      cache: folder that keeps built engines, one file for each model, shape, device and
        TensorRT version. An engine is code: share the folder with nobody you do not trust.

    Raises: `EngineUnavailable` where there is no driver, GPU or library.
    """

    name, precisions = "tensorrt", ("fp16", "fp32")

    def __init__(self, model, threads=1, precision="fp16", cache=None):
        super().__init__(model, threads, precision)
        if threads != 1:
            raise ValueError(
                f"TensorRt: threads must be 1, the device does the work; got {threads}"
            )
        self.device = _gpu_name()  # first: without a driver, TensorRT ends the process
        for package in ("tensorrt", "polygraphy"):
            if importlib.util.find_spec(package) is None:
                raise EngineUnavailable(
                    f"TensorRt: {package} is not installed; it comes with "
                    f"this project's extra `tensorrt`"
                )
        check_operators(onnx.load_from_string(self.model))
        import tensorrt

        self.library = f"tensorrt {tensorrt.__version__}"
        self.cache = cache
        self._engines, self._lock, self._local = {}, threading.Lock(), threading.local()

    def __reduce__(self):
        return type(self), (self.model, self.threads, self.precision, self.cache)

    def run(self, inputs):
        shapes = request_shapes(inputs)
        requests = self._local.__dict__.setdefault("requests", {})
        if shapes not in requests:
            with self._lock:  # nothing may be allocated while a CUDA graph is recorded
                if shapes not in self._engines:
                    self._engines[shapes] = self._engine(dict(shapes))
                requests[shapes] = _Request(self._engines[shapes])
        return requests[shapes].run(inputs)

    def _engine(self, shapes):
        from polygraphy.backend.trt import EngineFromBytes

        graph = fixed_graph(self.model, shapes, self.precision)
        path = self.cache and Path(self.cache) / plan_name(graph, self.device, self.library)
        if path and path.exists():
            return EngineFromBytes(path.read_bytes())()
        plan = _built(graph)
        if path:
            with replacing(path) as temporary:
                temporary.write_bytes(plan)
        return EngineFromBytes(plan)()


class _Request:
    """What one thread needs to run requests of one shape: buffers, a stream, a CUDA graph."""

    def __init__(self, engine):
        import tensorrt as trt
        from polygraphy import cuda
        from polygraphy.datatype import DataType

        self._cuda, self._stream = cuda.wrapper(), cuda.Stream()
        self._context = engine.create_execution_context()
        self._inputs, self._outputs = {}, {}
        for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            kind = DataType.from_dtype(engine.get_tensor_dtype(name), "tensorrt")
            buffer = cuda.DeviceArray(tuple(engine.get_tensor_shape(name)), kind)
            self._context.set_tensor_address(name, buffer.ptr)
            (self._inputs if is_input else self._outputs)[name] = buffer, kind.numpy()
        self._graph = self._recorded()

    def run(self, inputs):
        for name, (buffer, dtype) in self._inputs.items():
            buffer.copy_from(np.ascontiguousarray(inputs[name], dtype), self._stream)
        self._call("cudaGraphLaunch", self._graph, self._handle)
        buffer, dtype = next(iter(self._outputs.values()))
        scores = buffer.copy_to(np.empty(buffer.shape, dtype), self._stream)
        self._stream.synchronize()
        return scores

    @property
    def _handle(self):
        return ctypes.c_void_p(self._stream.ptr)

    def _call(self, function, *arguments):
        self._cuda.check(getattr(self._cuda.handle, function)(*arguments))

    def _recorded(self):
        """The run as a CUDA graph: one launch for all its kernels."""
        self._enqueue()  # the first run allocates, which must not be recorded
        self._stream.synchronize()
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cudaStreamBeginCapture", self._handle, _THREAD_LOCAL)
        self._enqueue()
        self._call("cudaStreamEndCapture", self._handle, ctypes.byref(graph))
        self._call(
            "cudaGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0)
        )
        return executable

    def _enqueue(self):
        if not self._context.execute_async_v3(self._stream.ptr):
            raise RuntimeError("TensorRt: TensorRT refused to run; its log above says why")


def fixed_graph(model, shapes, precision):
    """The ONNX graph that is built: of the asked precision, its inputs' shapes fixed.

    Args:
      model: serialised bytes, FP32.
      shapes: input -> shape.
    """
    graph = onnx.load_from_string(model)
    for value in graph.graph.input:
        if value.name in shapes:
            dimensions = value.type.tensor_type.shape.dim
            for dimension, length in zip(dimensions, shapes[value.name], strict=True):
                dimension.dim_value = length
    return half(graph) if precision == "fp16" else graph


def plan_name(graph, device, library):
    """Name of a built engine's file: another graph, device or version is another file."""
    digest = hashlib.sha256(graph.SerializeToString(deterministic=True))
    digest.update(f"\n{device}\n{library}".encode())
    return f"{digest.hexdigest()[:32]}.plan"


def _built(graph):
    from polygraphy.backend.trt import CreateConfig, EngineBytesFromNetwork, NetworkFromOnnxBytes

    network = NetworkFromOnnxBytes(graph.SerializeToString(), strongly_typed=True)
    return bytes(EngineBytesFromNetwork(network, config=CreateConfig(tf32=False))())


def _gpu_name():
    """Name of the first GPU, asked of the driver's C library, which only returns codes."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        raise EngineUnavailable(
            f"TensorRt: this machine has no NVIDIA driver ({library} is missing)"
        ) from None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    for function, arguments in (
        ("cuInit", (0,)),
        ("cuDeviceGet", (ctypes.byref(device), 0)),
        ("cuDeviceGetName", (name, len(name), device)),
    ):
        code = getattr(driver, function)(*arguments)
        if code:
            raise EngineUnavailable(
                f"TensorRt: the NVIDIA driver finds no usable GPU ({function} returned {code})"
            )
    return name.value.decode()
