"""FLOPs that a graph really does, whatever form it has."""
import math

import onnx


def graph_flops(model, candidates, requests=1):
    """FLOPs of a graph's matrix products for one run; a multiply-add is 2.

    What a machine does, and not what a user-ad pair stands for: with a cached first layer
    the widest product is computed once a request or not at all.

    Args:
      model: onnx.ModelProto.
      candidates: places on axes with a name; requests: on the axis "requests".

    Returns: int; NaN where the shape of a product does not follow from the inputs, or a
      convolution, recurrent layer or Einsum would have to be counted as well.

    >>> from lib.serving.export import random_graph
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


_NOT_COUNTED = {"Conv", "ConvTranspose", "Einsum", "GRU", "LSTM", "RNN", "MatMulInteger",
                "QLinearMatMul", "If", "Loop", "Scan"}


def _with_counts(model, candidates, requests):
    """A copy without names on its inputs' axes, and without the claimed output shapes."""
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
