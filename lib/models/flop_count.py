"""FLOPs of a size, of a model and of an exported graph; a multiply-add is 2.

`matrix_flops` and `flops` count what a user-ad pair stands for; `graph_flops` what a machine really
does for one run, whatever form the graph has; `training_flops` what a step of training does.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lib.models.size_parameters import check_size_parameters

if TYPE_CHECKING:
    import onnx


def matrix_flops(size_parameters: ArrayLike, family: str = "mlp") -> np.ndarray:
    """FLOPs of the matrix products for one user-ad pair, [..., layers + 1] -> [...].

    A twin tower computes its layers above the first twice, once a side, and the inner
    product; its first layers share the inputs, so together they cost as much as an MLP's.

    >>> int(matrix_flops([3328, 1024, 256, 256, 256, 1]))
    7602688
    """
    size_parameters = np.asarray(size_parameters)
    products = size_parameters[..., :-1] * size_parameters[..., 1:]
    if family == "mlp":
        return 2 * products.sum(axis=-1)
    if family == "twin_tower":
        return 2 * (
            products[..., 0] + 2 * products[..., 1:].sum(axis=-1) + size_parameters[..., -1]
        )
    raise ValueError(f"matrix_flops: family must be 'mlp' or 'twin_tower'; got {family!r}")


def flops(model: Any, family: str = "mlp", *, elementwise: bool = False) -> int:
    """FLOPs of the forward pass of one user-ad pair; a multiply-add is 2.

    Args:
      model: an MLP or twin tower of `lib.models`, or its size parameters.
      family: "mlp" or "twin_tower", where size parameters are given.
      elementwise: add batch norm, biases and PReLU as TensorFlow's profiler counts
        them on a frozen graph; by default only matrix products count.

    Raises ValueError for size parameters that describe no model.

    >>> flops([3328, 1024, 256, 256, 256, 1])
    7602688
    """
    if hasattr(model, "size_parameters"):
        family = "twin_tower" if hasattr(model, "user_tower") else "mlp"
        split, sizes = bool(model.user_width), model.size_parameters
    else:
        split, sizes = False, check_size_parameters(model, family)
    count = matrix_flops(sizes, family)
    if elementwise:
        inputs, widths, towers = sizes[0], sizes[1:], 2 if family == "twin_tower" else 1
        # Profiler, a root counted as an rsqrt: batch norm 8 an input of a hidden layer, PReLU 4,
        # a bias 1.
        hidden = sum(widths[:-1])
        normed = towers * sum(widths[:-2])
        count += 8 * (inputs + normed) + towers * (4 * hidden + sum(widths))
        count += widths[0] if split and family == "mlp" else 0  # user part + ad part
        # The profiler counts an inner product's additions one short of its products.
        count -= 1 if family == "twin_tower" else 0
    return int(count)


def training_flops(size_parameters, form, impressions, ads, user_width=None):
    """FLOPs of a step's matrix products: forward, and twice as many backward.

    >>> training_flops([6, 4, 1], "naive", impressions=2, ads=10)
    3360
    >>> training_flops([6, 4, 1], "first_layer_optimised", impressions=2, ads=10)
    2064
    """
    sizes = check_size_parameters(size_parameters)
    flops = ads * int(matrix_flops(sizes))
    if form == "first_layer_optimised":
        user_width = user_width or sizes[0] // 2
        flops -= (ads - 1) * 2 * user_width * sizes[1]
    return 3 * impressions * flops


def graph_flops(model: onnx.ModelProto, candidates: int, requests: int = 1) -> int | float:
    """FLOPs of a graph's matrix products for one run; a multiply-add is 2.

    What a machine does, and not what a user-ad pair stands for: with a cached first layer
    the widest product is computed once a request or not at all.

    Args:
      model: onnx.ModelProto.
      candidates: places on axes with a name; requests: on the axis "requests".

    Returns: int; NaN where that would not be the whole count: the graph has operators that
      `counted_operators` does not know, or no matrix product, or one whose shape does not follow
      from the inputs.

    >>> from lib.serving.graphs.export import random_graph
    >>> graph_flops(random_graph("naive", [6, 4, 2, 1], seed=0), candidates=10)
    680
    >>> graph_flops(random_graph("first_layer_optimised", [6, 4, 2, 1], 0), candidates=10)
    224
    """
    counted, not_counted = counted_operators(model)
    if not_counted or not counted:
        return math.nan
    model = _with_counts(model, candidates, requests)
    shapes, count = _shapes(model), 0
    for node in model.graph.node:
        if node.op_type not in _PRODUCTS:
            continue
        inner = _inner(node, shapes)
        places = shapes.get(node.output[0])
        if not (inner and places):
            return math.nan
        count += 2 * inner * math.prod(places)
    return count


def counted_operators(model: onnx.ModelProto) -> tuple[dict[str, int], dict[str, int]]:
    """What `graph_flops` counts of a graph, and what it cannot: operator -> number of nodes, twice.

    In neither are operators without products (element by element, sums, looking up, shapes): by
    the convention of matrix products alone they count as nothing.

    >>> from lib.serving.graphs.export import random_graph
    >>> counted_operators(random_graph("naive", [6, 4, 1], seed=0))
    ({'Gemm': 2}, {})
    """
    counted, not_counted = Counter(), Counter()
    for node in model.graph.node:
        standard = node.domain in ("", "ai.onnx")
        if standard and node.op_type in _PRODUCTS:
            counted[node.op_type] += 1
        elif not (standard and node.op_type in _WITHOUT_PRODUCTS) and not (
            node.domain == "ai.onnx.ml" and node.op_type in _ML_WITHOUT_PRODUCTS
        ):
            not_counted[node.op_type] += 1
    return dict(counted), dict(not_counted)


_PRODUCTS = {"Gemm", "MatMul"}
# A list of what counts as nothing and not of what does not: an operator that is on neither, such
# as a convolution, a loop, a forest or one that a later version of ONNX brings, makes NaN.
_WITHOUT_PRODUCTS = set(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization Bernoulli BitShift
    BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat Constant
    ConstantOfShape Cos Cosh CumSum DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf
    Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Greater GreaterOrEqual
    GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization Max Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow
    QuantizeLinear RMSNormalization RandomNormal RandomNormalLike RandomUniform RandomUniformLike
    Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape ReverseSequence Round Scatter ScatterElements
    ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign Split
    Sqrt Squeeze Sub Sum Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu
    Unique Unsqueeze Where Xor
    """.split()
)
_ML_WITHOUT_PRODUCTS = set(
    """
    ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer
    LabelEncoder Normalizer OneHotEncoder Scaler ZipMap
    """.split()
)
_ML_OF_ITS_INPUTS_SHAPE = ("Binarizer", "Imputer", "Normalizer", "Scaler")


def without_weights(model: onnx.ModelProto, most: int = 64) -> onnx.ModelProto:
    """A copy in which weights of more than `most` numbers are inputs of their shape and type.

    All that checks of types and shapes need, and small where the model is large: numbers that
    shapes follow from are few.
    """
    import onnx
    from onnx import helper

    light = onnx.ModelProto()
    _merge_others(light, model, "graph")
    _merge_others(light.graph, model.graph, "initializer")
    inputs = {value.name for value in light.graph.input}
    for weight in model.graph.initializer:
        if math.prod(weight.dims) <= most and not weight.external_data:
            light.graph.initializer.append(weight)
        elif weight.name not in inputs:
            light.graph.input.append(
                helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
            )
    return light


def _merge_others(target, source, left_out):
    """Copies all fields of a message but one."""
    for field, value in source.ListFields():
        if field.name == left_out:
            continue
        place = getattr(target, field.name)
        if hasattr(place, "extend"):
            place.extend(value)
        elif hasattr(place, "CopyFrom"):
            place.CopyFrom(value)
        else:
            setattr(target, field.name, value)


def _with_counts(model, candidates, requests):
    """A copy without large weights, names on its inputs' axes, and the claimed output shapes."""
    import onnx

    copy = without_weights(model)
    for x in copy.graph.input:
        for axis in x.type.tensor_type.shape.dim:
            if not axis.HasField("dim_value"):
                axis.dim_value = requests if axis.dim_param == "requests" else candidates
    for x in copy.graph.output:
        x.type.tensor_type.ClearField("shape")
    del copy.graph.value_info[:]
    for node in copy.graph.node:
        if node.domain == "ai.onnx.ml" and node.op_type in _ML_OF_ITS_INPUTS_SHAPE:
            # ONNX infers no shape beyond those of this domain.
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output))
    return onnx.shape_inference.infer_shapes(copy, data_prop=True)


def _shapes(model):
    """Value -> shape, of those whose shape is known whole."""
    graph = model.graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    for x in [*graph.input, *graph.value_info, *graph.output]:
        axes = x.type.tensor_type.shape.dim
        if x.type.tensor_type.HasField("shape") and all(a.HasField("dim_value") for a in axes):
            shapes[x.name] = tuple(axis.dim_value for axis in axes)
    return shapes


def _inner(node, shapes):
    """Length of a product's sums: the weights know it even where the other side does not."""
    turned = {a.name: a.i for a in node.attribute}
    left, right = (shapes.get(name) for name in node.input[:2])
    if right and len(right) > 1:
        return right[-1 if turned.get("transB") else -2]
    return left[0 if turned.get("transA") else -1] if left else None
