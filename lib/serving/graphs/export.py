"""ONNX graphs of the served models (sections 3.3, 3.4 and appendix A).

A graph scores one request: one user, `candidates` ads. Weights come as a plain list of
`Layer`, so that a trained model, a checkpoint or random numbers all export alike.

    graph                  input "user"      second input                    per request
    naive                  [1, user_width]   "ads" [candidates, ad_width]    all layers
    first_layer_optimised  [1, user_width]   "ad_parts" [candidates, a_1]    no first layer
    twin_tower             [1, user_width]   "ad_vectors" [candidates, a_L]  inner products

Each returns "scores" [candidates, 1]. The optimised graph's ad parts and the twin
tower's ad vectors are what the paper's embedding producer computes ahead (`ad_parts`,
`forward`). Batch norm is folded into the linear map that follows it.
"""

import itertools
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET, _IR = 18, 8  # read by every ONNX Runtime since 1.14 and by TensorRT 10


class Layer(NamedTuple):
    """One layer: batch norm (where gamma is given), linear map, PReLU (where alpha is)."""

    kernel: np.ndarray  # [inputs, units]
    bias: np.ndarray  # [units]
    alpha: np.ndarray | None = None  # [units] PReLU's slope below 0
    gamma: np.ndarray | None = None  # [inputs] and so on: scale, shift, statistics
    beta: np.ndarray | None = None
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None
    epsilon: float = 1e-3

    def folded(self):
        """(kernel, bias) of batch norm and linear map in one.

        gamma (x - mean) / sqrt(variance + epsilon) + beta is a scale and a shift of x.
        """
        if self.gamma is None:
            return self.kernel, self.bias
        scale = self.gamma / np.sqrt(self.variance + self.epsilon)
        shift = self.beta - self.mean * scale
        return scale[:, None] * self.kernel, shift @ self.kernel + self.bias


def random_weights(size_parameters, seed):
    """Algorithm 1's randomly initialised model: kernels by He, batch norm as if trained.

    Args:
      size_parameters: [a_0, ..., a_L] of an MLP, or [user_width, a_1, ..., a_L] of a
        twin tower's user side; layers 1 .. L-1 are hidden, the last is linear.

    Returns: list of `Layer`, float32.

    >>> [layer.kernel.shape for layer in random_weights([6, 4, 4, 1], seed=0)]
    [(6, 4), (4, 4), (4, 1)]
    """
    rng = np.random.default_rng(seed)

    def layer(inputs, units, *, hidden):
        kernel = rng.normal(0, np.sqrt(2 / inputs), (inputs, units))
        weights = [kernel, rng.normal(0, 0.1, units)]
        if hidden:
            weights += [
                rng.uniform(0.1, 0.4, units),
                rng.uniform(0.5, 1.5, inputs),
                *rng.normal(0, 0.1, (2, inputs)),
                rng.uniform(0.5, 1.5, inputs),
            ]
        return Layer(*(w.astype(np.float32) for w in weights))

    widths = list(itertools.pairwise(size_parameters))
    return [layer(*width, hidden=i < len(widths) - 1) for i, width in enumerate(widths)]


def forward(layers, x):
    """The layers in NumPy, [..., inputs] -> [..., units]; a tower's ad vectors offline.

    >>> forward([Layer(np.eye(2), np.zeros(2), alpha=np.full(2, 0.5))], np.array([[3.0, -2.0]]))
    array([[ 3., -1.]])
    """
    for layer in layers:
        kernel, bias = layer.folded()
        x = prelu(x @ kernel + bias, layer.alpha)
    return x


def ad_parts(layers, ads, user_width=None):
    """What the embedding producer caches: the first layer's ad part, without its bias.

    Args:
      layers: of the MLP.
      ads: [ads, a_0 - user_width] inputs of the ads.
      user_width: how many of the a_0 inputs, the first ones, belong to the user; half
        of them by default.

    Returns: [ads, a_1].

    >>> layers = random_weights([6, 4, 1], seed=0)
    >>> ad_parts(layers, np.zeros((5, 2)), user_width=4)[0]
    array([0., 0., 0., 0.])
    """
    kernel, _ = layers[0].folded()
    return ads @ kernel[split_width(len(kernel), user_width) :]


def naive(layers, user_width=None):
    """The MLP as trained: the user's vector is repeated for each ad (FL_naive, Figure 8).

    >>> [x.name for x in naive(random_weights([6, 4, 1], seed=0)).graph.input]
    ['user', 'ads']
    """
    inputs = len(layers[0].kernel)
    user_width = split_width(inputs, user_width)
    graph = Graph()
    count = graph.add("Shape", "ads", start=0, end=1)
    repeats = graph.add("Concat", count, graph.constant(np.array([1], np.int64)), axis=0)
    users = graph.add("Tile", "user", repeats)
    x = graph.add("Concat", users, "ads", axis=1)
    for layer in layers:
        x = graph.layer(x, *layer.folded(), layer.alpha)
    return graph.model(x, user=[1, user_width], ads=["candidates", inputs - user_width])


def first_layer_optimised(layers, user_width=None):
    """The MLP with a cached first layer: FFN(user) + FFN(ad) (FL_opt, Figure 8).

    Equal to `naive` with `ad_parts` of the same ads. The bias and batch norm's shift are
    in the user's part, added once a request.

    >>> [x.name for x in first_layer_optimised(random_weights([6, 4, 1], seed=0)).graph.input]
    ['user', 'ad_parts']
    """
    kernel, bias = layers[0].folded()
    user_width = split_width(len(kernel), user_width)
    graph = Graph()
    user_part = graph.layer("user", kernel[:user_width], bias, None)
    x = graph.activate(graph.add("Add", "ad_parts", user_part), layers[0].alpha)
    for layer in layers[1:]:
        x = graph.layer(x, *layer.folded(), layer.alpha)
    return graph.model(x, user=[1, user_width], ad_parts=["candidates", kernel.shape[1]])


def twin_tower(layers):
    """Matching: the user's tower once a request, inner products with cached ad vectors.

    "The inner product of the user and ad tower is directly calculated by brute force"
    (appendix A).

    Args:
      layers: of the user's tower.

    >>> [x.name for x in twin_tower(random_weights([6, 4, 3], seed=0)).graph.input]
    ['user', 'ad_vectors']
    """
    graph = Graph()
    x = "user"
    for layer in layers:
        x = graph.layer(x, *layer.folded(), layer.alpha)
    # A product of two matrices, not Gemm: engines run it as a matrix-vector product.
    scores = graph.add("MatMul", "ad_vectors", graph.add("Transpose", x, perm=[1, 0]))
    width = layers[-1].kernel.shape[1]
    return graph.model(scores, user=[1, len(layers[0].kernel)], ad_vectors=["candidates", width])


# Form of a request's graph -> family of the model.
FORMS = {"naive": "mlp", "first_layer_optimised": "mlp", "twin_tower": "twin_tower"}


def random_graph(form, size_parameters, seed, user_width=None):
    """A graph of randomly initialised weights, for a load test.

    Args:
      form: a name of `FORMS`.
      size_parameters: [a_0, ..., a_L] of a user-ad pair.
      user_width: how many of the a_0 inputs belong to the user; half by default.

    >>> [x.name for x in random_graph("twin_tower", [12, 8, 4], seed=0).graph.input]
    ['user', 'ad_vectors']
    """
    if form not in FORMS:
        raise ValueError(f"random_graph: form must be one of {', '.join(FORMS)}; got {form!r}")
    if form == "twin_tower":
        user_width = split_width(size_parameters[0], user_width)
        return twin_tower(random_weights([user_width, *size_parameters[1:]], seed))
    build = {"naive": naive, "first_layer_optimised": first_layer_optimised}[form]
    return build(random_weights(size_parameters, seed), user_width)


def prelu(x, alpha, out=None):
    """PReLU with the slopes `alpha` [units] of x [..., units]; as it is where alpha is None.

    Args:
      out: array that may be overwritten with the result, such as x itself.

    >>> prelu(np.array([3.0, -2.0]), np.array([0.5, 0.5])).tolist()
    [3.0, -1.0]
    """
    if alpha is None:
        return x
    if np.max(alpha) > 1:
        return np.where(x >= 0, x, alpha * x)
    # The maximum is the faster form, and the same function for slopes up to 1.
    return np.maximum(x, alpha * x, out=out)


def split_width(inputs, user_width=None):
    """How many of the inputs belong to the user; half of them by default.

    Raises: ValueError unless both sides have some.

    >>> split_width(7), split_width(7, 5)
    (3, 5)
    """
    user_width = inputs // 2 if user_width is None else user_width
    if not 0 < user_width < inputs:
        raise ValueError(
            f"user_width must lie in 1..{inputs - 1}, less than the input width; got {user_width}"
        )
    return user_width


class Graph:
    """Nodes and weights under consecutive names."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def constant(self, value):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator, *inputs, **attributes):
        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def layer(self, x, kernel, bias, alpha):
        kernel, bias = (self.constant(np.asarray(w, np.float32)) for w in (kernel, bias))
        return self.activate(self.add("Gemm", x, kernel, bias), alpha)

    def activate(self, x, alpha):
        if alpha is None:
            return x
        slope = self.constant(np.asarray(alpha, np.float32))
        if np.max(alpha) > 1:
            return self.add("PRelu", x, slope)
        # The same function for slopes up to 1, and vectorised where ONNX Runtime's PRelu
        # is a scalar loop: the whole request takes half to two thirds of the time.
        return self.add("Max", x, self.add("Mul", x, slope))

    def model(self, scores, **inputs):
        """The checked model whose output "scores" is the node named `scores`."""
        next(node for node in self.nodes if node.output[0] == scores).output[0] = "scores"
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in inputs.items()
        ]
        scored = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["candidates", 1])
        graph = helper.make_graph(self.nodes, "scores", values, [scored], self.weights)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
            producer_name="retrieval-scaling",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
