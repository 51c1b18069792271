"""Engines that run an exported graph, behind one small interface.

name            runs on                           precisions
onnxruntime     CPU                               fp32
openvino        CPU                               fp32, and fp16, bf16 where it has them
tensorflow_xla  CPU                               fp32
jax_xla         GPU, where JAX is installed       fp32, fp16
tensorrt        NVIDIA GPU, extra `tensorrt`      fp16, fp32
"""

from lib.serving.engines.engine import Engine, EngineUnavailable, GraphEngine, input_types
from lib.serving.engines.onnx_runtime import OnnxRuntime
from lib.serving.engines.openvino import OpenVino
from lib.serving.engines.tensorrt import TensorRt
from lib.serving.engines.xla import JaxXla, TensorFlowXla

__all__ = [
    "ENGINES",
    "Engine",
    "EngineUnavailable",
    "GraphEngine",
    "JaxXla",
    "OnnxRuntime",
    "OpenVino",
    "TensorFlowXla",
    "TensorRt",
    "build",
    "input_types",
]

ENGINES = {
    engine.name: engine for engine in (OnnxRuntime, OpenVino, TensorFlowXla, JaxXla, TensorRt)
}


def build(name, model, threads=1, precision="fp32", **options):
    """The engine of that name, with the model loaded.

    Args:
      name: a key of `ENGINES`.
      model, threads, precision: see `GraphEngine`.
      options: of that engine alone, such as TensorRt's `cache`.

    Raises: ValueError for an unknown engine or precision; `EngineUnavailable` where its
      library or device is not there.

    >>> from lib.serving.graphs.export import naive, random_weights
    >>> build("onnxruntime", naive(random_weights([6, 4, 1], seed=0)), threads=2).threads
    2
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {name!r}")
    return ENGINES[name](model, threads, precision, **options)
