"""A model's first requests: what does not end, does not fit or does not score is said, soon."""

import time

import onnx
import pytest
from onnx import TensorProto, helper

from lib.serving.load.load_tests import measure_model, prepare_model
from lib.serving.model_files.trial import try_requests
from tests.serving.model_files import exports
from tests.serving.model_files.exports import FEATURES, saved


def accumulating():
    """A loop without end that keeps what it computes."""
    built = exports.forever()
    body = built.graph.node[1].attribute[0].g
    body.node.append(helper.make_node("Identity", ["carried"], ["kept"]))
    body.output.append(helper.make_tensor_value_info("kept", TensorProto.FLOAT, None))
    built.graph.node[1].output.append("all")
    built.graph.output.append(helper.make_tensor_value_info("all", TensorProto.FLOAT, None))
    return built


@pytest.mark.parametrize(
    ("build", "settings", "message"),
    [
        (
            exports.forever,
            {},
            "a request takes longer than 5 s and was ended (a loop without end?)",
        ),
        (exports.huge, {}, "needs more memory than the 4 GB that it may take"),
        (lambda: exports.huge(1 << 33), {}, "needs more memory than the 4 GB that it may take"),
        (accumulating, {}, "and was ended"),
        (exports.tf2onnx_ids, {"ids": 45}, "(has the model fewer than ids = 45 of them?)"),
        (
            exports.fixed_inside,
            {},
            "no output holds a score for each of the 20 candidates of a request: the outputs have "
            "the shapes 'y' (4, 1)",
        ),
    ],
)
def test_what_a_request_shows(tmp_path, build, settings, message):
    path = saved(build(), tmp_path / "own.onnx")
    start = time.monotonic()
    with pytest.raises(ValueError) as refusal:
        prepare_model(path, candidates=20, seed=0, **settings)
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(f"{path}: a request of random inputs fails: ") or (
        "no output" in message
    )
    assert time.monotonic() - start < 30


def test_a_graph_in_memory_is_tried_as_well():
    with pytest.raises(ValueError, match="takes longer than 5 s"):
        measure_model(
            exports.forever(), candidates=20, seed=0, latency_limit_ms=50, max_seconds=1, repeats=1
        )


@pytest.mark.parametrize(
    "build",
    [
        exports.torch_script,
        exports.torch_dynamo,
        exports.sklearn_regression,
        exports.sklearn_classifier,
        exports.lightgbm,
        exports.several_outputs,
        exports.half_precision,
    ],
)
def test_what_can_be_measured_passes(build):
    try_requests(build(), candidates=3, seed=0)


def test_a_version_that_the_engine_does_not_have(tmp_path):
    built = exports.torch_script()
    built.opset_import[0].version = onnx.defs.onnx_opset_version() + 5
    path = saved(built, tmp_path / "own.onnx")
    with pytest.raises(ValueError, match=r"own\.onnx: ") as refusal:
        prepare_model(path, candidates=FEATURES, seed=0)
    assert "\n" not in str(refusal.value)


def test_an_engine_that_does_not_take_the_model(tmp_path):
    path = saved(exports.lightgbm(), tmp_path / "own.onnx")
    with pytest.raises(ValueError, match=r"own\.onnx: openvino does not take the model") as refusal:
        prepare_model(path, candidates=20, seed=0, engine="openvino")
    assert "\n" not in str(refusal.value)
    _, engine, _ = prepare_model(
        saved(exports.torch_script(), path), candidates=20, seed=0, engine="openvino"
    )
    assert engine.name == "openvino"
