"""FLOPs: the paper's, and what TensorFlow's profiler counts."""

import functools
import math

import keras
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lib.models.flop_count import counted_operators, flops, graph_flops, without_weights
from lib.models.mlp_model import mlp
from lib.models.twin_tower_model import twin_tower
from lib.serving.graphs.export import random_graph

BASE = [3328, 1024, 256, 256, 256, 1]


@functools.cache
def count_roots():
    """Let the profiler count a root, which it knows nothing of, as it counts an rsqrt: 2."""
    from tensorflow.python.framework import ops
    from tensorflow.python.profiler.internal import flops_registry

    ops.RegisterStatistics("Sqrt", "flops")(flops_registry._rsqrt_flops)


def profiled(model):
    """FLOPs that TensorFlow's profiler counts on the frozen graph of one pair."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    count_roots()
    inputs, user_width = model.size_parameters[0], model.user_width
    shapes = [(1, user_width), (1, 1, inputs - user_width)] if user_width else [(1, inputs)]
    function = tf.function(lambda *x: model(list(x) if user_width else x[0]))
    concrete = function.get_concrete_function(*map(tf.TensorSpec, shapes))
    graph = convert_variables_to_constants_v2(concrete).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops


@pytest.mark.parametrize(
    ("sizes", "published"),
    [  # paper, 4.2 and 5.1; by hand, 2 x MACs
        (BASE, 7_602_688),
        ([5128, 1024, 512, 512, 512, 1], 12_600_320),
        ([10128, 1024, 512, 512, 512, 1], 22_840_320),
    ],
)
def test_flops_are_the_papers(sizes, published):
    assert flops(sizes) == published


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's profiler")
@pytest.mark.parametrize(
    "model",
    [
        mlp(BASE),
        mlp([40, 16, 8, 1]),
        mlp([40, 16, 8, 1], user_width=15),
        mlp([7, 5, 1], user_width=3),
        twin_tower([40, 16, 8], 15),
        twin_tower([41, 16, 8, 4], 15),
    ],
    ids=lambda model: f"{model.name}{list(model.size_parameters)}/{model.user_width}",
)
def test_flops_equal_the_profilers(model):
    assert flops(model, elementwise=True) == profiled(model)
    assert flops(model) == flops(model.size_parameters, model.name)


@pytest.mark.parametrize(
    ("sizes", "family", "match"),
    [
        ([3, 0, 1], "mlp", "whole numbers"),
        ([3, 4, 2], "mlp", "the last of them 1"),
        ([3], "twin_tower", "two or more"),
        ([3, 4.5, 1], "mlp", r"4\.5"),
        ([3, 4, 1], "dnn", "family must be one of mlp"),
    ],
)
def test_sizes_that_are_no_model_are_refused(sizes, family, match):
    with pytest.raises(ValueError, match=match):
        flops(sizes, family)


def graph(*nodes, weights=(), inputs=("batch", 8)):
    values = [numpy_helper.from_array(np.ones(shape, "f"), name) for name, shape in weights]
    built = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        values,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(built, opset_imports=opsets, ir_version=8)


PRODUCT = helper.make_node("MatMul", ["x", "w"], ["h"])
WEIGHT = (("w", (8, 4)),)


def test_what_is_not_counted_is_nan_and_named():
    """Never 0, and never a part for the whole."""
    whole = graph(PRODUCT, helper.make_node("Relu", ["h"], ["y"]), weights=WEIGHT)
    assert graph_flops(whole, 1) == 2 * 8 * 4 and graph_flops(whole, 10) == 10 * 2 * 8 * 4
    assert counted_operators(whole) == ({"MatMul": 1}, {})
    for operator, domain in (
        ("LinearRegressor", "ai.onnx.ml"),
        ("TreeEnsembleRegressor", "ai.onnx.ml"),
        ("Conv", ""),
        ("Einsum", ""),
        ("Loop", ""),
        ("MatMulInteger", ""),
        ("Attention", ""),
        ("Anything", "someone"),
        ("Relu", "someone"),
    ):
        part = graph(
            PRODUCT, helper.make_node(operator, ["h"], ["y"], domain=domain), weights=WEIGHT
        )
        assert math.isnan(graph_flops(part, 1))
        assert counted_operators(part) == ({"MatMul": 1}, {operator: 1})


def test_a_graph_without_products_is_nan():
    assert math.isnan(graph_flops(graph(helper.make_node("Relu", ["x"], ["y"])), 1))
    assert math.isnan(graph_flops(graph(), 1))


def test_scaled_columns_keep_their_shape():
    """ONNX itself infers no shape beyond an operator of scikit-learn's."""
    scaled = helper.make_node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", scale=[2.0] * 8)
    product = helper.make_node("MatMul", ["s", "w"], ["y"])
    assert graph_flops(graph(scaled, product, weights=WEIGHT), 3) == 3 * 2 * 8 * 4


def test_a_graph_without_its_weights_has_the_same_count():
    whole = random_graph("naive", [64, 32, 1], seed=0)
    light = without_weights(whole)
    assert len(light.SerializeToString()) < len(whole.SerializeToString()) / 5
    assert graph_flops(whole, 7) == 7 * 2 * (64 * 32 + 32)
    names = {x.name for x in [*light.graph.initializer, *light.graph.input]}
    assert names == {x.name for x in [*whole.graph.initializer, *whole.graph.input]}
