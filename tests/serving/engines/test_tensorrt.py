"""TensorRT, as far as a machine without a GPU can tell."""

import ctypes
import importlib.util
import itertools

import numpy as np
import pytest

from lib.serving.engines import EngineUnavailable, OnnxRuntime, build
from lib.serving.engines import tensorrt as trt
from tests.serving.engines.cases import CASES, case, compare_metrics


class Driver:
    """libcuda, as far as `_gpu_name` asks it."""

    def __init__(self, codes=()):
        self.codes = dict(codes)

    def __getattr__(self, function):
        def call(*arguments):
            if function == "cuDeviceGetName":
                arguments[0].value = b"Tesla T4"
            return self.codes.get(function, 0)

        return call


def no_driver(name):
    raise OSError(name)


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (no_driver, "this machine has no NVIDIA driver"),
        (lambda name: Driver({"cuInit": 100}), r"finds no usable GPU \(cuInit returned 100\)"),
        (lambda name: Driver({"cuDeviceGet": 101}), r"\(cuDeviceGet returned 101\)"),
    ],
)
def test_tensorrt_refuses_in_one_sentence(monkeypatch, load, message):
    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(EngineUnavailable, match=message) as refusal:
        build("tensorrt", CASES[0][0], precision="fp16")
    assert "\n" not in str(refusal.value)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is here")
def test_tensorrt_says_which_library_is_missing(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert trt._gpu_name() == "Tesla T4"
    with pytest.raises(EngineUnavailable, match="tensorrt is not installed; it comes with"):
        build("tensorrt", CASES[0][0], precision="fp16")


def test_tensorrt_graph_has_fixed_shapes_and_the_precision():
    graph, inputs, expected = CASES[0]
    shapes = {name: x.shape for name, x in inputs.items()}
    single, rough = (
        trt.fixed_graph(graph.SerializeToString(), shapes, precision)
        for precision in ("fp32", "fp16")
    )
    engine = OnnxRuntime(rough)
    assert engine.input_shapes == shapes
    compare_metrics(OnnxRuntime(single).run(inputs), expected)
    np.testing.assert_allclose(engine.run(inputs), expected, atol=4e-3 * np.abs(expected).max())


def test_tensorrt_cache_tells_models_devices_and_versions_apart():
    graphs = [case("naive")[0], case("naive", slope=0.5)[0]]
    settings = list(itertools.product(graphs, ("Tesla T4", "H100"), ("tensorrt 10", "tensorrt 11")))
    names = [trt.plan_name(*setting) for setting in settings]
    assert len(set(names)) == 8
    assert names == [trt.plan_name(*setting) for setting in settings]
