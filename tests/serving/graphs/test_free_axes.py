"""Which axis holds the candidates: our graphs have one, other models' are asked for or refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lib.serving.graphs.batching import random_batched_graph
from lib.serving.graphs.export import FORMS, random_graph
from lib.serving.graphs.free_axes import check_candidates_axis, fix_axes


def model(**inputs):
    """A graph of float inputs of these shapes, an axis with None having neither name nor length."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in inputs.items()
    ]
    nodes = [helper.make_node("Identity", [next(iter(inputs), "w")], ["scores"])]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(np.ones(1, "f"), "w")]
    graph = helper.make_graph(nodes, "g", values, [scores], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("build", [random_graph, random_batched_graph])
def test_our_graphs_have_one(build, form):
    check_candidates_axis(build(form, [8, 4, 4] if form == "twin_tower" else [8, 4, 1], 0))


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": ["batch", 64]},
        {"x": [None, 64]},
        {"user": [1, 3], "ads": ["ads", 5]},
        {"user": ["batch", 3], "ads": ["batch", 5]},
        {"user": [None, 3], "ads": [None, 5]},
        {"user": ["unk__7", 3], "ads": ["unk__8", 5]},  # as tf2onnx names one batch axis
    ],
)
def test_one_free_axis_is_the_candidates(inputs):
    check_candidates_axis(model(**inputs))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "the model has no input"),
        ({"x": [1, 64]}, r"fixed batch: input 'x' has the shape \(1, 64\)"),
        ({"x": [32, 64], "y": [32, 2]}, r"fixed batch: input 'x' has the shape \(32, 64\)"),
        ({"x": [None, None]}, "input 'x' has several free axes without names"),
        ({"x": ["batch", "length"]}, r"'batch' of input 'x'; 'length' of input 'x'.*'length': 20"),
        ({"x": ["batch", 3], "ids": ["batch", "length"]}, r"axis_lengths = \{'length': 20\}"),
        ({"user": ["users", 3], "ads": ["ads", 5]}, "'users' of input 'user'; 'ads' of input"),
        (
            {"x": ["requests", 64]},
            "the only free axis is 'requests' of input 'x', which here stands",
        ),
        ({"x": [1, 64]}, "axis 0 is fixed at 1"),
        ({"x": []}, "it is one number"),
        ({"x": ["batch", None]}, "'batch' of input 'x'; x:1.*'x:1': 20"),
        ({"x": [None, None]}, r"\(x:0; x:1\).*axis_lengths = \{'x:1': 20\}"),
        ({"x": ["batch", 0]}, "input 'x': axis 1 must have 1 place or more, or be free; it has 0"),
    ],
)
def test_no_axis_and_several_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        check_candidates_axis(model(**inputs))


def test_lengths_that_are_given_leave_one_free_axis():
    graph = model(x=["batch", "length"], y=["batch", "length", 2])
    fixed = fix_axes(graph, {"length": 20})
    check_candidates_axis(fixed)
    shapes = [
        [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in fixed.graph.input
    ]
    assert shapes == [["batch", 20], ["batch", 20, 2]]
    assert graph.graph.input[0].type.tensor_type.shape.dim[1].dim_param == "length"  # untouched


def test_an_axis_goes_by_its_place_as_well():
    fixed = fix_axes(model(x=[None, None], y=["batch", "length"]), {"x:1": 20, "y:1": 5})
    shapes = [
        [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in fixed.graph.input
    ]
    assert [shape[1] for shape in shapes] == [20, 5]
    check_candidates_axis(fix_axes(model(x=[None, None]), {"x:1": 20}))


def test_no_lengths_no_copy():
    graph = onnx.ModelProto()
    assert fix_axes(graph, None) is graph
    assert fix_axes(graph, {}) is graph


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"history": 20}, "no input has a free axis named 'history'; the model has 'batch', 'leng"),
        ({"length": 0}, "the length of 'length' must be a whole number >= 1; got 0"),
        ({"length": True}, "must be a whole number >= 1; got True"),
        ({"x:0": "many"}, "the length of 'x:0' must be a whole number >= 1; got 'many'"),
        ({"length": 2.5}, "must be a whole number >= 1; got 2.5"),
    ],
)
def test_lengths_that_make_no_sense(lengths, message):
    with pytest.raises(ValueError, match=message):
        fix_axes(model(x=["batch", "length"]), lengths)
