"""What TensorRT's ONNX parser takes: a graph held against it where there is no GPU.

Operators and types are those of ONNX-TensorRT 10.1 (docs/operators.md of
github.com/onnx/onnx-tensorrt at 96e7811), for opsets 9 to 20.
"""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from lib.models.flop_count import without_weights

OPERATORS = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast
    CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum
    DeformConv DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike
    Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool
    GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Hardmax
    Identity If ImageScaler InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu
    Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad
    ParametricSoftplus Pow QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform
    RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence
    RoiAlign Round ScaledTanh Scan Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign
    Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh
    ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
    """.split()
)
_TYPES = (
    *(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16),
    *(TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL),
)
_OPSETS = range(9, 21)


def check_operators(model: onnx.ModelProto) -> None:
    """ValueError, naming them, where the graph has operators that TensorRT does not take.

    >>> from lib.serving.graphs.export import random_graph
    >>> check_operators(random_graph("naive", [6, 4, 1], seed=0))
    """
    unknown = {
        f"{node.domain}::{node.op_type}".removeprefix("::")
        for node in model.graph.node
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS
    }
    if unknown:
        raise ValueError(f"TensorRT 10 does not have the operators {', '.join(sorted(unknown))}")
    versions = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    if versions and versions[0] not in _OPSETS:
        raise ValueError(
            f"TensorRT 10 takes opsets {_OPSETS[0]} to {_OPSETS[-1]}; the model has {versions[0]}"
        )


def node_types(model: onnx.ModelProto) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Type and shape of every node's outputs, by ONNX's strict inference, checked node by node.

    Args:
      model: with fixed input shapes, as TensorRT is given it (`tensorrt.fixed_graph`).

    Returns: value -> (onnx.TensorProto's type, shape).
    Raises: ValueError, naming the node, for an operator or a type that TensorRT does not have, or
      a shape that does not follow from the inputs.

    >>> from lib.serving.graphs.export import random_graph
    >>> from lib.serving.graphs.free_axes import fix_axes
    >>> graph = fix_axes(random_graph("naive", [6, 4, 1], seed=0), {"candidates": 10})
    >>> node_types(graph)["scores"] == (TensorProto.FLOAT, (10, 1))
    True
    """
    check_operators(model)
    light = without_weights(model)
    del light.graph.value_info[:]
    for output in light.graph.output:
        output.type.tensor_type.ClearField("shape")
    known = _inferred(light)
    while _fold(light, known):
        known = _inferred(light)
    for node in model.graph.node:
        for name in filter(None, node.output):
            if name not in known:
                raise ValueError(f"node {node.op_type}: the shape of {name!r} does not follow")
            kind = known[name][0]
            if kind not in _TYPES:
                kind = TensorProto.DataType.Name(kind)
                raise ValueError(f"node {node.op_type}: TensorRT does not compute in {kind}")
    return {name: known[name] for node in model.graph.node for name in node.output if name}


def _inferred(model):
    """Value -> (type, shape), of those whose shape is known whole."""
    try:
        graph = onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        ).graph
    except onnx.shape_inference.InferenceError as error:
        raise ValueError(f"the graph is not well typed: {' '.join(str(error).split())}") from None
    known = {weight.name: (weight.data_type, tuple(weight.dims)) for weight in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(a.HasField("dim_value") for a in tensor.shape.dim):
            known[value.name] = tensor.elem_type, tuple(a.dim_value for a in tensor.shape.dim)
    return known


def _fold(model, known):
    """Makes constants of what shapes alone decide, as the parser does; whether there was any."""
    constants = {x.name: numpy_helper.to_array(x) for x in model.graph.initializer}
    folded = []
    for node in model.graph.node:
        if node.op_type == "Shape" and node.input[0] in known:
            feed = {node.input[0]: np.broadcast_to(np.float32(0), known[node.input[0]][1])}
        elif node.input and all(name in constants for name in node.input):
            feed = {name: constants[name] for name in node.input}
        else:
            continue
        values = ReferenceEvaluator(node).run(None, feed)
        for name, value in zip(node.output, values, strict=True):
            constants[name] = np.asarray(value)
            model.graph.initializer.append(numpy_helper.from_array(constants[name], name))
        folded.append(node)
    for node in folded:
        model.graph.node.remove(node)
    return bool(folded)
