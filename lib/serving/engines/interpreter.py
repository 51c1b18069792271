"""The operators of our graphs (`export`, `batching`) in any namespace with NumPy's names.

With `numpy` it is a reference; traced with `tensorflow.experimental.numpy` or `jax.numpy`
it is what XLA compiles. Shapes are known while tracing, so that they stay NumPy's.
"""

import functools

import numpy as np
from onnx import helper, numpy_helper


class Program:
    """A graph as a function of its weights and inputs.

    Attributes: `weights`, name -> array, for the caller to place on its device.

    Raises: ValueError where the graph has an operator that is not here.

    >>> from lib.serving.graphs.export import first_layer_optimised, random_weights
    >>> program = Program(first_layer_optimised(random_weights([6, 4, 1], seed=0)))
    >>> inputs = {"user": np.ones((1, 3), "f"), "ad_parts": np.ones((5, 4), "f")}
    >>> program(np, program.weights, inputs).shape
    (5, 1)
    """

    def __init__(self, model):
        graph = model.graph
        check_operators(model)
        arrays = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
        self.weights = {name: x for name, x in arrays.items() if x.dtype.kind == "f"}
        self._constants = {name: x for name, x in arrays.items() if name not in self.weights}
        self._nodes = [
            (
                OPERATORS[node.op_type],
                list(node.input),
                node.output[0],
                {a.name: helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in graph.node
        ]
        self._output = graph.output[0].name

    def __call__(self, xp, weights, inputs):
        """The graph's first output.

        Args:
          xp: namespace of the arrays.
          weights: as the attribute, in arrays of `xp`.
          inputs: name -> array of `xp`.
        """
        values = self._constants | weights | inputs
        for operator, names, result, attributes in self._nodes:
            values[result] = operator(xp, *(values[name] for name in names), **attributes)
        return values[self._output]


def check_operators(model):
    """ValueError where the graph has an operator that is not here."""
    unknown = sorted({node.op_type for node in model.graph.node} - set(OPERATORS))
    if unknown:
        raise ValueError(
            f"the XLA engines do not have the operators {', '.join(unknown)}; "
            f"they have {', '.join(sorted(OPERATORS))}"
        )


def _gemm(xp, a, b, c=None, alpha=1.0, beta=1.0, transA=0, transB=0):
    product = xp.matmul(xp.transpose(a) if transA else a, xp.transpose(b) if transB else b)
    product = product if alpha == 1 else alpha * product
    if c is None:
        return product
    return product + (c if beta == 1 else beta * c)


def _concat(xp, *parts, axis):
    shapes = all(isinstance(part, np.ndarray) for part in parts)
    return (np if shapes else xp).concatenate(parts, axis=axis)


def _shape(xp, x, start=0, end=None):
    return np.array(tuple(x.shape)[start:end], np.int64)


def _reshape(xp, x, shape, allowzero=0):
    # 0 stands for the length that the axis has.
    return xp.reshape(
        x, tuple(int(n) if n or allowzero else x.shape[i] for i, n in enumerate(shape))
    )


def _unsqueeze(xp, x, axes):
    for axis in sorted(int(n) for n in axes):
        x = xp.expand_dims(x, axis)
    return x


OPERATORS = {
    "Add": lambda xp, a, b: a + b,
    "Cast": lambda xp, x, to: xp.asarray(x, dtype=helper.tensor_dtype_to_np_dtype(to)),
    "Concat": _concat,
    "Expand": lambda xp, x, shape: xp.broadcast_to(
        x, np.broadcast_shapes(tuple(x.shape), tuple(int(n) for n in shape))
    ),
    "Gemm": _gemm,
    "MatMul": lambda xp, a, b: xp.matmul(a, b),
    "Max": lambda xp, *parts: functools.reduce(xp.maximum, parts),
    "Mul": lambda xp, a, b: a * b,
    "PRelu": lambda xp, x, slope: xp.where(x >= 0, x, slope * x),
    "Reshape": _reshape,
    "Shape": _shape,
    "Tile": lambda xp, x, repeats: xp.tile(x, tuple(int(n) for n in repeats)),
    "Transpose": lambda xp, x, perm=None: xp.transpose(x, perm),
    "Unsqueeze": _unsqueeze,
}
