"""What an ONNX file is, said before it is loaded: models as exporters write them, and malformed."""

import math
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lib.models.flop_count import graph_flops
from lib.serving.graphs.export import random_graph
from lib.serving.load.load_tests import prepare_model
from lib.serving.model_files.inspection import inspect_file
from tests.serving.model_files import exports
from tests.serving.model_files.exports import FEATURES, identity, saved

CANDIDATES = 20


@pytest.mark.parametrize(
    ("build", "settings", "flops", "not_counted"),
    [
        (exports.torch_script, {}, 2 * (FEATURES * 4 + 4), {}),
        (exports.torch_dynamo, {}, 2 * FEATURES, {}),
        (exports.sklearn_regression, {}, 2 * (FEATURES * 4 + 4), {}),
        (exports.sklearn_classifier, {}, math.nan, {"LinearClassifier": 1}),
        (exports.lightgbm, {}, math.nan, {"TreeEnsembleRegressor": 1}),
        (exports.tf2onnx_ids, {"ids": 40}, 2 * 7, {}),
        (exports.history, {"ids": 50, "axis_lengths": {"length": 6}}, 2 * 3, {}),
        (exports.history, {"ids": 50, "axis_lengths": {"history:1": 6}}, 2 * 3, {}),
        (exports.half_precision, {}, 2 * FEATURES, {}),
        (exports.several_outputs, {}, 2 * FEATURES * 4, {}),
    ],
)
def test_exported_models_are_taken(tmp_path, build, settings, flops, not_counted):
    path = saved(build(), tmp_path / "own.onnx")
    found = inspect_file(path, candidates=CANDIDATES, **settings)
    assert found["flops"] == pytest.approx(flops, nan_ok=True)
    assert found["not_counted"] == not_counted
    assert math.isnan(flops) == any("FLOPs are not counted" in note for note in found["notes"])
    model, engine, requests = prepare_model(path, candidates=CANDIDATES, seed=0, **settings)
    assert {value["name"] for value in found["inputs"]} == set(requests[0])
    assert graph_flops(model, 1) == pytest.approx(flops, nan_ok=True)
    assert len(engine.run(requests[0])) in (CANDIDATES, 1)
    for value in found["inputs"]:
        assert requests[0][value["name"]].dtype == value["type"]
        free = [axis for axis in value["shape"] if not isinstance(axis, int)]
        assert len(free) == 1 and requests[0][value["name"]].shape[0] == CANDIDATES


def test_what_is_said_of_a_model(tmp_path):
    path = saved(exports.history(), tmp_path / "own.onnx")
    found = inspect_file(path, candidates=CANDIDATES, ids=50, axis_lengths={"length": 6})
    assert found == {
        "format": "ONNX",
        "inputs": [{"name": "history", "shape": ["batch", 6], "type": "int64"}],
        "outputs": [{"name": "scores", "shape": ["batch", 1], "type": "float32"}],
        "free_axes": ["history:0"],
        "bytes": path.stat().st_size,
        "flops": 6,
        "counted": {"MatMul": 1},
        "not_counted": {},
        "notes": [],
    }


def test_ids_that_nothing_takes_are_said(tmp_path):
    path = saved(exports.torch_script(), tmp_path / "own.onnx")
    notes = inspect_file(path, candidates=CANDIDATES, ids=50)["notes"]
    assert notes == ["ids = 50 is not used: no input holds whole numbers"]


FLOAT, INT64, INT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT8


def of_sequences():
    built = identity({"x": (FLOAT, ["batch", 3])})
    tensor = helper.make_tensor_type_proto(FLOAT, [3])
    built.graph.input.append(
        helper.make_value_info("many", helper.make_sequence_type_proto(tensor))
    )
    return built


def without_shape():
    built = identity({"x": (FLOAT, ["batch", 3])}, {"scores": (FLOAT, None)})
    built.graph.input[0].type.tensor_type.ClearField("shape")
    return built


@pytest.mark.parametrize(
    ("build", "settings", "message"),
    [
        (lambda: identity({"x": (FLOAT, [1, 64])}), {}, "input 'x' has the shape (1, 64) (axis 0"),
        (lambda: identity({"x": (FLOAT, [8, 64])}), {}, "axis 0 is fixed at 8"),
        (lambda: identity({"x": (FLOAT, [])}), {}, "input 'x' has the shape () (it is one number)"),
        (lambda: identity({"x": (FLOAT, ["n", 0])}), {}, "input 'x': axis 1 must have 1 place"),
        (lambda: identity({"x": (FLOAT, [-1, 3])}), {}, "input 'x': axis 0 must have 1 place"),
        (lambda: identity({"x": (TensorProto.STRING, ["n"])}), {}, "'x' must hold floats"),
        (lambda: identity({"x": (TensorProto.COMPLEX64, ["n"])}), {}, "it holds complex64"),
        (lambda: identity({"x": (TensorProto.BFLOAT16, ["n"])}), {}, "it holds bfloat16"),
        (lambda: identity({"x": (INT64, ["n"])}), {}, "'x' holds int64: give ids >= 1"),
        (lambda: identity({"x": (INT64, ["n"])}), {"ids": 2.5}, "give ids >= 1"),
        (lambda: identity({"x": (INT64, ["n"])}), {"ids": True}, "give ids >= 1"),
        (lambda: identity({"x": (INT64, ["n"])}), {"ids": -3}, "give ids >= 1"),
        (lambda: identity({"x": (INT8, ["n"])}), {"ids": 300}, "'x' holds int8, up to 127; got"),
        (lambda: identity({}, {"scores": (FLOAT, [1])}), {}, "the model has no input"),
        (lambda: identity({"x": (FLOAT, ["n", 3])}, {}), {}, "the model has no output"),
        (of_sequences, {}, "input 'many' must be a tensor"),
        (without_shape, {}, "input 'x' has no shape"),
        (exports.history, {"ids": 5}, "'batch' of input 'history'; 'length' of input 'history'"),
        (
            lambda: identity({"x": (INT64, [None, None])}),
            {"ids": 5},
            "give the lengths of all but the candidates' axis, such as axis_lengths = {'x:1': 20}",
        ),
        (exports.history, {"ids": 5, "axis_lengths": {"batch:9": 1}}, "no input has a free axis"),
        (exports.torch_script, {"candidates": 0}, "candidates must be a whole number >= 1; got 0"),
        (exports.torch_script, {"engine": "abacus"}, "engine must be one of"),
        (exports.torch_script, {"precision": "fp8"}, "precision must be one of fp32; got 'fp8'"),
        (exports.torch_script, {"engine": "tensorflow_xla"}, "do not have the operators Relu"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, build, settings, message):
    path = saved(build(), tmp_path / "own.onnx")
    with pytest.raises(ValueError) as refusal:
        inspect_file(path, **{"candidates": CANDIDATES, **settings})
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    if not {"engine", "precision", "candidates"} & set(settings):
        assert str(refusal.value).startswith(f"{path}: ")
        with pytest.raises(ValueError) as same:
            prepare_model(path, candidates=CANDIDATES, seed=0, **settings)
        assert str(same.value) == str(refusal.value)


def test_a_large_file_takes_under_a_second(tmp_path):
    path = saved(random_graph("naive", [10_000, 1024, 256, 1], 0), tmp_path / "own.onnx")
    assert path.stat().st_size > 40e6
    start = time.perf_counter()
    assert inspect_file(path, candidates=CANDIDATES)["flops"] == 2 * (
        10_000 * 1024 + 1024 * 256 + 256
    )
    assert time.perf_counter() - start < 3  # 0.3 s alone


def test_a_path_that_is_none():
    with pytest.raises(FileNotFoundError, match=r"typo\.onnx: there is no such model file"):
        inspect_file("typo.onnx", candidates=CANDIDATES)


def test_weights_beside_the_file_are_counted_and_not_read(tmp_path):
    built = exports.torch_script()
    onnx.save(
        built,
        tmp_path / "own.onnx",
        save_as_external_data=True,
        location="own.onnx.data",
        size_threshold=0,
    )
    data = tmp_path / "own.onnx.data"
    found = inspect_file(tmp_path / "own.onnx", candidates=CANDIDATES)
    assert found["flops"] == 2 * (FEATURES * 4 + 4)
    numbers = FEATURES * 4 + 4 + 4 + 1
    assert found["bytes"] == (tmp_path / "own.onnx").stat().st_size + 4 * numbers
    assert data.stat().st_size >= 4 * numbers
    _, engine, requests = prepare_model(tmp_path / "own.onnx", candidates=CANDIDATES, seed=0)
    assert engine.run(requests[0]).shape == (CANDIDATES, 1)
    assert np.isfinite(engine.run(requests[0])).all()
