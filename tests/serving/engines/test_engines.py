"""Every engine scores as the NumPy reference does, from several threads and after pickling."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lib.serving.engines import ENGINES, build
from tests.serving.engines.cases import CASES, FORMS, compare_metrics


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
