"""The graphs that TensorRT is given, node by node, by ONNX's own inference."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from lib.serving.engines import tensorrt as trt
from lib.serving.engines.tensorrt_parser import OPERATORS, check_operators, node_types
from tests.serving.engines.cases import BASE, FORMS, case
from tests.serving.model_files import exports

PRODUCTS = {"Gemm", "MatMul"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [(24, 16, 8, 8, 1), BASE])
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_every_node_of_our_graphs(form, sizes, precision):
    graph, inputs, scores = case(form, sizes, user_width=sizes[0] // 2, candidates=9)
    shapes = {name: x.shape for name, x in inputs.items()}
    built = trt.fixed_graph(graph.SerializeToString(), shapes, precision)
    types = node_types(built)
    # Inputs and scores are FP32, so that a caller need not know; everything between is FP16.
    assert types["scores"] == (TensorProto.FLOAT, scores.shape)
    expected = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
    weights = {weight.name: weight.data_type for weight in built.graph.initializer}
    for node in built.graph.node:
        assert node.op_type in OPERATORS
        if node.op_type in PRODUCTS:
            assert types[node.output[0]][0] == expected
            # Strongly typed: what goes into a product is of its type.
            sides = [types[name][0] if name in types else weights.get(name) for name in node.input]
            assert {side for side in sides if side is not None} == {expected}
        if node.op_type == "Unsqueeze":
            assert node.input[1] in weights  # its axes must be constant


def test_a_slope_above_one_and_several_requests():
    graph, inputs, _ = case("naive", slope=1.5)
    shapes = {name: x.shape for name, x in inputs.items()}
    assert node_types(trt.fixed_graph(graph.SerializeToString(), shapes, "fp16"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (exports.lightgbm, "does not have the operators ai.onnx.ml::TreeEnsembleRegressor"),
        (exports.sklearn_regression, "does not have the operators ai.onnx.ml::Scaler"),
        (exports.history, "node Gather: the shape of 'rows' does not follow"),
        (exports.several_outputs, "node MatMul: TensorRT does not compute in DOUBLE"),
    ],
)
def test_graphs_of_others(build, message):
    model = build()
    if build is exports.several_outputs:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 5
    with pytest.raises(ValueError, match=message):
        node_types(model)


def test_types_that_do_not_fit():
    built = exports.half_precision()
    built.graph.initializer[0].CopyFrom(
        helper.make_tensor("w", TensorProto.FLOAT, [8, 1], np.zeros(8))
    )
    with pytest.raises(ValueError, match="the graph is not well typed"):
        node_types(built)


def test_an_opset_that_it_does_not_take():
    built = exports.torch_script()
    built.opset_import[0].version = 21
    with pytest.raises(ValueError, match="takes opsets 9 to 20; the model has 21"):
        check_operators(built)
