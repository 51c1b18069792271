"""Every engine scores as the NumPy reference does, from several threads and after pickling."""

import contextlib
import ctypes
import importlib.util
import itertools
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from joblib.externals.loky import ProcessPoolExecutor
from onnx import helper, numpy_helper

from lib.serving.engines import (
    ENGINES,
    EngineUnavailable,
    OnnxRuntime,
    OpenVino,
    build,
    openvino,
    xla,
)
from lib.serving.engines import tensorrt as trt
from lib.serving.engines.interpreter import Program
from lib.serving.graphs.batching import batched
from lib.serving.graphs.export import (
    ad_parts,
    first_layer_optimised,
    forward,
    naive,
    random_weights,
    twin_tower,
)
from lib.serving.graphs.half_precision import half
from lib.serving.load.random_inputs import random_inputs

BASE = [3328, 1024, 256, 256, 256, 1]


def case(form, sizes=(24, 16, 8, 8, 1), user_width=10, candidates=7, slope=None):
    """(graph, a request, its scores by NumPy in double precision)."""
    rng = np.random.default_rng(0)
    layers = random_weights(sizes, seed=1)
    if slope:
        layers = [
            layer if layer.alpha is None else layer._replace(alpha=np.full_like(layer.alpha, slope))
            for layer in layers
        ]
    user = rng.normal(size=(1, user_width)).astype("f")
    ads = rng.normal(size=(candidates, sizes[0] - user_width)).astype("f")
    pairs = np.concatenate([np.repeat(user, candidates, axis=0), ads], axis=1)
    if form == "naive":
        return naive(layers, user_width), {"user": user, "ads": ads}, forward(layers, pairs)
    if form == "first_layer_optimised":
        parts = ad_parts(layers, ads, user_width).astype("f")
        return (
            first_layer_optimised(layers, user_width),
            {"user": user, "ad_parts": parts},
            forward(layers, pairs),
        )
    tower = random_weights([user_width, *sizes[1:-1]], seed=1)
    vectors = rng.normal(size=(candidates, sizes[-2])).astype("f")
    return (
        twin_tower(tower),
        {"user": user, "ad_vectors": vectors},
        vectors @ forward(tower, user).T,
    )


FORMS = ("naive", "first_layer_optimised", "twin_tower")
CASES = [case(form) for form in FORMS] + [case("naive", slope=1.5)]


def compare_metrics(scores, expected):
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def in_its_own_process(engine, inputs):
    return engine.run(inputs), engine.library


# ---- engines --------------------------------------------------------------


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("graph", "inputs", "expected"), CASES, ids=[*FORMS, "slopes above 1"])
def test_engines_equal_numpy(name, graph, inputs, expected):
    engine = build(name, graph)
    compare_metrics(engine.run(inputs), expected)
    compare_metrics(build(name, graph.SerializeToString(), threads=2).run(inputs), expected)
    assert (engine.name, engine.precision, engine.device) == (name, "fp32", "CPU")
    assert engine.library.startswith(name)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_counts_and_types_of_inputs(name):
    graph, inputs, _ = CASES[0]
    engine = build(name, graph)
    assert engine.input_shapes == {"user": (1, 10), "ads": ("candidates", 14)}
    assert engine.input_types == {"user": np.float32, "ads": np.float32}
    for count in (1, 3, 7, 2, 5, 4, 7):  # more counts than an engine keeps compiled
        request = inputs | {"ads": inputs["ads"][:count]}
        compare_metrics(engine.run(request), CASES[0][2][:count])


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_several_threads_at_once(name):
    graph, inputs, expected = CASES[1]
    engine = build(name, graph)
    requests = [inputs | {"ad_parts": np.roll(inputs["ad_parts"], i, axis=0)} for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for i, scores in enumerate(pool.map(engine.run, requests)):
            compare_metrics(scores, np.roll(expected, i, axis=0))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_scores_stay_when_the_next_request_runs(name):
    graph, inputs, expected = CASES[0]
    engine = build(name, graph)
    scores = engine.run(inputs)
    engine.run(inputs | {"user": -inputs["user"]})
    compare_metrics(scores, expected)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tensorflow_xla"])
def test_engines_pickle(name):
    graph, inputs, expected = CASES[0]
    copy = pickle.loads(pickle.dumps(build(name, graph, threads=2)))
    assert (copy.name, copy.threads, copy.precision) == (name, 2, "fp32")
    if name != "tensorflow_xla":  # which has a test in a process of its own
        compare_metrics(copy.run(inputs), expected)


def test_concatenated_inputs_of_any_number_and_order():
    """OpenVino's rewrite of [a, b, c] W; beside it a Concat that no product follows."""
    rng = np.random.default_rng(0)
    widths = {"a": 2, "b": 3, "c": 1}
    kernel = rng.normal(size=(6, 4)).astype("f")
    nodes = [
        helper.make_node("Concat", ["b", "a", "c"], ["x"], axis=-1),
        helper.make_node("MatMul", ["x", "kernel"], ["y"]),
        helper.make_node("Concat", ["y", "a"], ["scores"], axis=1),
    ]
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", width])
        for name, width in widths.items()
    ]
    scores = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n", 6])
    graph = helper.make_graph(
        nodes, "g", values, [scores], [numpy_helper.from_array(kernel, "kernel")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    inputs = {name: rng.normal(size=(5, width)).astype("f") for name, width in widths.items()}
    joined = np.concatenate([inputs[name] for name in "bac"], axis=1)
    compare_metrics(
        OpenVino(model).run(inputs), np.concatenate([joined @ kernel, inputs["a"]], axis=1)
    )


def test_openvino_computes_in_the_precision_asked_for_or_refuses():
    """Which precisions a processor has, OpenVINO lists; others it replaces by its own."""
    graph, inputs, expected = CASES[0]
    has = openvino._core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision in ("fp16", "bf16"):
        if precision.upper() in has:
            engine = OpenVino(graph, precision=precision)
            assert engine.precision == precision
            np.testing.assert_allclose(
                engine.run(inputs), expected, atol=5e-2 * np.abs(expected).max()
            )
        else:
            with pytest.raises(ValueError, match=f"does not compute in {precision}; OpenVINO"):
                OpenVino(graph, precision=precision)


def test_onnx_runtime_keeps_no_log_of_its_use(tmp_path):
    """It would write one to the home folder as soon as it is imported."""
    code = "from lib.serving.engines import OnnxRuntime"
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_openvino_sends_no_telemetry(tmp_path):
    """A process that may send (no CI variable) and whose home is empty."""
    code = """
import socket, sys
import numpy as np
socket.socket.connect = lambda *_: sys.exit("a connection was opened")
from lib.serving.engines import build
from lib.serving.graphs.export import naive, random_weights
build("openvino", naive(random_weights([6, 4, 1], seed=0))).run(
    {"user": np.ones((1, 3), "f"), "ads": np.ones((5, 3), "f")})
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__.endswith("telemetry_stub"), telemetry_utils.tm
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert not (tmp_path / "intel").exists()  # its client id would lie here


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda graph: build("fast", graph),
            "engine must be one of onnxruntime, openvino, tensorf",
        ),
        (lambda graph: build("onnxruntime", graph, precision="fp16"), "one of fp32; got 'fp16'"),
        (lambda graph: build("openvino", graph, precision="int3"), "fp16, bf16; got 'int3'"),
        (
            lambda graph: build("openvino", graph, threads=0),
            "OpenVino: threads must be >= 1; got 0",
        ),
        (lambda graph: build("jax_xla", graph, threads=2), "JaxXla: threads must be 1"),
        (lambda graph: build("tensorrt", graph, threads=2), "TensorRt: threads must be 1"),
    ],
)
def test_build_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make(CASES[0][0])


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_refuses_what_is_no_model(name):
    with pytest.raises(TypeError, match=r"must be an onnx\.ModelProto or bytes; got dict"):
        build(name, {})


# ---- XLA ------------------------------------------------------------------


@pytest.mark.parametrize(("graph", "inputs", "expected"), CASES, ids=[*FORMS, "slopes above 1"])
def test_interpreter_equals_numpy(graph, inputs, expected):
    program = Program(graph)
    compare_metrics(program(np, program.weights, inputs), expected)


@pytest.mark.parametrize("form", FORMS)
def test_interpreter_and_openvino_run_batched_graphs(form):
    graph = batched(
        form, random_weights([24, 16, 8, 1][: 3 if form == "twin_tower" else 4], seed=1)
    )
    engine = OpenVino(graph)
    inputs = random_inputs(engine.input_shapes, 7, seed=0, requests=1)[0]
    expected, program = OnnxRuntime(graph).run(inputs), Program(graph)
    compare_metrics(engine.run(inputs), expected)
    compare_metrics(program(np, program.weights, inputs), expected)


def test_interpreter_names_what_it_does_not_have():
    graph = CASES[0][0]
    odd = onnx.ModelProto()
    odd.CopyFrom(graph)
    odd.graph.node[-1].op_type = "Softmax"
    with pytest.raises(ValueError, match="do not have the operators Softmax; they have Add, Cast"):
        Program(odd)


def test_tensorflow_xla_equals_numpy_in_its_own_process():
    """Its own, for TensorFlow's threads are a process's and other tests have started them."""
    pool = ProcessPoolExecutor(max_workers=1)
    try:
        runs = [
            pool.submit(in_its_own_process, build("tensorflow_xla", graph), inputs)
            for graph, inputs, _ in CASES
        ]
        for run, (*_, expected) in zip(runs, CASES, strict=True):
            scores, library = run.result()
            compare_metrics(scores, expected)
            assert library.startswith("tensorflow 2.")
        other = pool.submit(
            in_its_own_process, build("tensorflow_xla", CASES[0][0], threads=2), CASES[0][1]
        )
        with pytest.raises(EngineUnavailable, match="threads = 2, but TensorFlow has started with"):
            other.result()
    finally:
        pool.shutdown(kill_workers=True)


def fake_jax(platform):
    device = SimpleNamespace(platform=platform, device_kind="NVIDIA H100")
    return SimpleNamespace(
        devices=lambda: [device],
        numpy=np,
        jit=lambda function: function,
        __version__="9",
        default_matmul_precision=contextlib.nullcontext,
        device_put=lambda arrays, place: arrays,
    )


@pytest.fixture
def jax(monkeypatch):
    """JAX with NumPy in its place, and whatever device a test names."""
    monkeypatch.setattr(xla, "_check_installed", lambda package: None)

    def install(platform):
        monkeypatch.setitem(sys.modules, "jax", fake_jax(platform))

    return install


@pytest.mark.parametrize(("graph", "inputs", "expected"), CASES, ids=[*FORMS, "slopes above 1"])
def test_jax_xla_with_numpy_in_its_place(jax, graph, inputs, expected):
    jax("gpu")
    single, rough = build("jax_xla", graph), build("jax_xla", graph, precision="fp16")
    compare_metrics(single.run(inputs), expected)
    np.testing.assert_allclose(rough.run(inputs), expected, atol=4e-3 * np.abs(expected).max())
    assert (single.device, single.library) == ("NVIDIA H100", "jax 9")


def test_jax_xla_needs_a_gpu(jax):
    jax("cpu")
    with pytest.raises(EngineUnavailable, match="JAX sees no GPU here"):
        build("jax_xla", CASES[0][0])


@pytest.mark.skipif(importlib.util.find_spec("jax") is not None, reason="JAX is installed here")
def test_jax_xla_says_that_jax_is_missing():
    with pytest.raises(EngineUnavailable, match="the engine needs jax, which is not installed"):
        build("jax_xla", CASES[0][0])


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_jax_xla_on_whatever_device_jax_has(monkeypatch, precision):
    monkeypatch.setattr(xla, "_accelerator", lambda jax: jax.devices()[0])
    tolerance = {"fp32": 1e-5, "fp16": 4e-3}[precision]
    for graph, inputs, expected in CASES:
        engine = build("jax_xla", graph, precision=precision)
        for request in (inputs, engine.to_device(inputs)):
            np.testing.assert_allclose(
                engine.run(request), expected, atol=tolerance * np.abs(expected).max()
            )


# ---- FP16 and TensorRT ----------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_half_of_the_base_size_against_single_precision(form):
    graph, inputs, expected = case(form, BASE, user_width=1664, candidates=50)
    scale = np.abs(expected).max()
    scores = OnnxRuntime(half(graph)).run(inputs)
    assert scores.dtype == np.float32
    assert np.abs(scores - expected).max() < 2e-3 * scale
    engine = OnnxRuntime(half(graph, half_inputs=True))
    assert set(engine.input_types.values()) == {np.dtype(np.float16)}
    scores = engine.run({name: x.astype(np.float16) for name, x in inputs.items()})
    assert scores.dtype == np.float16
    assert np.abs(scores - expected).max() < 2e-3 * scale


def test_half_holds_all_weights_and_products_in_fp16():
    graph = CASES[1][0]
    before = graph.SerializeToString()
    converted = half(graph)
    assert graph.SerializeToString() == before
    types = {weight.data_type for weight in converted.graph.initializer}
    assert types == {onnx.TensorProto.FLOAT16}
    assert [node.op_type for node in converted.graph.node].count("Cast") == 3  # two in, one out


@pytest.mark.parametrize("weight", [7e4, -np.inf, np.nan])
def test_half_refuses_what_fp16_does_not_hold(weight):
    layers = random_weights([6, 4, 1], seed=0)
    layers[1].bias[0] = weight
    with pytest.raises(ValueError, match=rf"must lie within FP16's ±65504; got {weight:g}"):
        half(naive(layers))
    layers[1].bias[0] = 65504
    half(naive(layers))


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
