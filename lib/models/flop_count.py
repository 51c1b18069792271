"""FLOPs of a size, of a model and of an exported graph; a multiply-add is 2.

`matrix_flops` and `flops` count what a user-ad pair stands for; `graph_flops` what a machine really
does for one run, whatever form the graph has; `training_flops` what a step of training does.
"""

from __future__ import annotations

import math
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

    Returns: int; NaN where the shape of a product does not follow from the inputs, or a
      convolution, recurrent layer or Einsum would have to be counted as well.

    >>> from lib.serving.graphs.export import random_graph
    >>> graph_flops(random_graph("naive", [6, 4, 2, 1], seed=0), candidates=10)
    680
    >>> graph_flops(random_graph("first_layer_optimised", [6, 4, 2, 1], 0), candidates=10)
    224
    """
    model = _with_counts(model, candidates, requests)
    shapes, count = _shapes(model), 0
    for node in model.graph.node:
        if node.op_type in _NOT_COUNTED:
            return math.nan
        if node.op_type not in ("Gemm", "MatMul"):
            continue
        inner = _inner(node, shapes)
        places = shapes.get(node.output[0])
        if not (inner and places):
            return math.nan
        count += 2 * inner * math.prod(places)
    return count


_NOT_COUNTED = {
    "Conv",
    "ConvTranspose",
    "Einsum",
    "GRU",
    "LSTM",
    "RNN",
    "MatMulInteger",
    "QLinearMatMul",
    "If",
    "Loop",
    "Scan",
}


def _with_counts(model, candidates, requests):
    """A copy without names on its inputs' axes, and without the claimed output shapes."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for x in copy.graph.input:
        for axis in x.type.tensor_type.shape.dim:
            if not axis.HasField("dim_value"):
                axis.dim_value = requests if axis.dim_param == "requests" else candidates
    for x in copy.graph.output:
        x.type.tensor_type.ClearField("shape")
    del copy.graph.value_info[:]
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
