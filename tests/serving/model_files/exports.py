"""Graphs as exporters write them, by hand where one is no part of the environment."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES = 8
rng = np.random.default_rng(0)


def model(nodes, inputs, outputs, weights=(), *, opset=17, ml=None, functions=(), imports=()):
    """A model of `onnx.helper`'s parts.

    Args:
      inputs, outputs: name -> (type, shape).
      weights: name -> array.
      ml: version of ai.onnx.ml; imports: further domains.
    """
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in dict(weights).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid("ai.onnx.ml", ml)] if ml else []
    opsets += [helper.make_opsetid(domain, 1) for domain in imports]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=8, functions=list(functions), producer_name="test"
    )


def normal(*shape, dtype="f"):
    return rng.normal(size=shape).astype(dtype)


def torch_script():
    """torch.onnx.export(..., dynamo=False, dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})."""
    return model(
        [
            helper.make_node(
                "Gemm", ["x", "fc1.weight", "fc1.bias"], ["/fc1/Gemm_output_0"], transB=1
            ),
            helper.make_node("Relu", ["/fc1/Gemm_output_0"], ["/act/Relu_output_0"]),
            helper.make_node(
                "Gemm", ["/act/Relu_output_0", "fc2.weight", "fc2.bias"], ["y"], transB=1
            ),
        ],
        {"x": (TensorProto.FLOAT, ["batch", FEATURES])},
        {"y": (TensorProto.FLOAT, ["batch", 1])},
        {
            "fc1.weight": normal(4, FEATURES),
            "fc1.bias": normal(4),
            "fc2.weight": normal(1, 4),
            "fc2.bias": normal(1),
        },
    )


def torch_dynamo():
    """torch.onnx.export(..., dynamo=True) without its optimisation: layers are functions."""
    domain = "pkg.torch.2.4.0"
    linear = helper.make_function(
        domain,
        "torch_nn_modules_linear_Linear_fc_1",
        ["input", "weight", "bias"],
        ["output"],
        [
            helper.make_node("Transpose", ["weight"], ["turned"], perm=[1, 0]),
            helper.make_node("MatMul", ["input", "turned"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["output"]),
        ],
        [helper.make_opsetid("", 18)],
    )
    return model(
        [
            helper.make_node(linear.name, ["l_x_", "fc.weight", "fc.bias"], ["h"], domain=domain),
            helper.make_node("Sigmoid", ["h"], ["sigmoid"]),
        ],
        {"l_x_": (TensorProto.FLOAT, ["s0", FEATURES])},
        {"sigmoid": (TensorProto.FLOAT, ["s0", 1])},
        {"fc.weight": normal(1, FEATURES), "fc.bias": normal(1)},
        opset=18,
        functions=[linear],
        imports=[domain],
    )


def sklearn_regression():
    """skl2onnx.to_onnx of a pipeline of StandardScaler and MLPRegressor."""
    return model(
        [
            helper.make_node(
                "Scaler",
                ["X"],
                ["scaled"],
                domain="ai.onnx.ml",
                offset=[0.0] * FEATURES,
                scale=[1.0] * FEATURES,
            ),
            helper.make_node("MatMul", ["scaled", "coefficient"], ["product"]),
            helper.make_node("Add", ["product", "intercept"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["next"]),
            helper.make_node("MatMul", ["next", "coefficient1"], ["variable"]),
        ],
        {"X": (TensorProto.FLOAT, [None, FEATURES])},
        {"variable": (TensorProto.FLOAT, [None, 1])},
        {"coefficient": normal(FEATURES, 4), "intercept": normal(4), "coefficient1": normal(4, 1)},
        ml=1,
    )


def sklearn_classifier():
    """skl2onnx of a LogisticRegression over columns of a table, with its list of dictionaries."""
    built = model(
        [
            helper.make_node("Concat", ["age", "price"], ["both"], axis=1),
            helper.make_node(
                "LinearClassifier",
                ["both"],
                ["label", "raw"],
                domain="ai.onnx.ml",
                coefficients=[0.5, -0.5, -0.5, 0.5],
                intercepts=[0.1, -0.1],
                classlabels_ints=[0, 1],
                post_transform="LOGISTIC",
            ),
            helper.make_node(
                "ZipMap", ["raw"], ["probability"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
            ),
        ],
        {"age": (TensorProto.FLOAT, [None, 1]), "price": (TensorProto.FLOAT, [None, 1])},
        {"label": (TensorProto.INT64, [None])},
        ml=1,
    )
    rows = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    )
    built.graph.output.append(
        helper.make_value_info("probability", helper.make_sequence_type_proto(rows))
    )
    return built


def lightgbm():
    """onnxmltools.convert_lightgbm of two trees of depth one."""
    trees, nodes = 2, 3
    return model(
        [
            helper.make_node(
                "TreeEnsembleRegressor",
                ["input"],
                ["variable"],
                domain="ai.onnx.ml",
                n_targets=1,
                nodes_treeids=[tree for tree in range(trees) for _ in range(nodes)],
                nodes_nodeids=list(range(nodes)) * trees,
                nodes_featureids=[3, 0, 0] * trees,
                nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * trees,
                nodes_values=[0.5, 0.0, 0.0] * trees,
                nodes_truenodeids=[1, 0, 0] * trees,
                nodes_falsenodeids=[2, 0, 0] * trees,
                nodes_missing_value_tracks_true=[0, 0, 0] * trees,
                target_treeids=[0, 0, 1, 1],
                target_nodeids=[1, 2, 1, 2],
                target_ids=[0] * 4,
                target_weights=[0.1, 0.2, 0.3, 0.4],
                post_transform="NONE",
            )
        ],
        {"input": (TensorProto.FLOAT, [None, FEATURES])},
        {"variable": (TensorProto.FLOAT, [None, 1])},
        ml=1,
        opset=15,
    )


def tf2onnx_ids():
    """tf2onnx of a model of two ids and a dense vector, each axis under a name of its own."""
    return model(
        [
            helper.make_node("Gather", ["users", "user_id"], ["user"]),
            helper.make_node("Gather", ["ads", "ad_id"], ["ad"]),
            helper.make_node("Concat", ["user", "ad", "dense"], ["both"], axis=1),
            helper.make_node("MatMul", ["both", "kernel"], ["scores"]),
        ],
        {
            "user_id": (TensorProto.INT64, ["unk__7"]),
            "ad_id": (TensorProto.INT32, ["unk__8"]),
            "dense": (TensorProto.FLOAT, ["unk__9", 3]),
        },
        {"scores": (TensorProto.FLOAT, ["unk__10", 1])},
        {"users": normal(50, 2), "ads": normal(40, 2), "kernel": normal(7, 1)},
    )


def history():
    """A mean over a list of whole numbers: two axes have no length."""
    return model(
        [
            helper.make_node("Gather", ["table", "history"], ["rows"]),
            helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
        ],
        {"history": (TensorProto.INT64, ["batch", "length"])},
        {"scores": (TensorProto.FLOAT, ["batch", 1])},
        {"table": normal(50, 3), "weights": normal(3, 1)},
    )


def half_precision():
    """Inputs, weights and scores in FP16."""
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": (TensorProto.FLOAT16, ["batch", FEATURES])},
        {"y": (TensorProto.FLOAT16, ["batch", 1])},
        {"w": normal(FEATURES, 1, dtype=np.float16)},
    )


def several_outputs():
    """A score and what it was made of."""
    return model(
        [
            helper.make_node("MatMul", ["x", "w"], ["hidden"]),
            helper.make_node("ReduceSum", ["hidden"], ["scores"], keepdims=1),
        ],
        {"x": (TensorProto.DOUBLE, ["batch", FEATURES])},
        {"scores": (TensorProto.DOUBLE, [1, 1]), "hidden": (TensorProto.DOUBLE, ["batch", 4])},
        {"w": normal(FEATURES, 4, dtype=float)},
    )


def forever(condition="whole"):
    """A loop whose condition stays true."""
    one = helper.make_tensor("one", TensorProto.BOOL, [], [True])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Identity", ["carried"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    return model(
        [
            helper.make_node("Constant", [], ["go_on"], value=one),
            helper.make_node("Loop", ["", "go_on", "x"], ["y"], body=body),
        ],
        {"x": (TensorProto.FLOAT, ["batch", FEATURES])},
        {"y": (TensorProto.FLOAT, ["batch", FEATURES])},
    )


def huge(numbers=1 << 42):
    """An array larger than any memory, made while the model runs."""
    return model(
        [
            helper.make_node("Shape", ["x"], ["shape"], start=1, end=2),
            helper.make_node("Mul", ["shape", "many"], ["size"]),
            helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=1),
            helper.make_node("Add", ["x", "zero"], ["y"]),
        ],
        {"x": (TensorProto.FLOAT, ["batch", FEATURES])},
        {"y": (TensorProto.FLOAT, ["batch", FEATURES])},
        {"many": np.array([numbers // FEATURES], np.int64)},
    )


def fixed_inside():
    """A free batch, and a batch of 4 in the middle: the scores are of four ads."""
    return model(
        [
            helper.make_node("Slice", ["x", "low", "high"], ["four"]),
            helper.make_node("MatMul", ["four", "w"], ["y"]),
        ],
        {"x": (TensorProto.FLOAT, ["batch", FEATURES])},
        {"y": (TensorProto.FLOAT, [4, 1])},
        {"low": np.array([0]), "high": np.array([4]), "w": normal(FEATURES, 1)},
    )


def identity(inputs, outputs=None, **settings):
    """A graph that gives its first input, or a constant where there is none."""
    first = next(iter(inputs), None)
    outputs = {"scores": inputs[first]} if outputs is None else outputs
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    node = (
        helper.make_node("Identity", [first], ["scores"])
        if first
        else helper.make_node("Constant", [], ["scores"], value=one)
    )
    return model([node], inputs, outputs, **settings)


def saved(built, path):
    onnx.save(built, path)
    return path
