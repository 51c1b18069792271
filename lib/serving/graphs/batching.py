"""Several waiting requests as one run of a batched graph.

    graph                  input "user"             second input
    naive                  [requests, user_width]   "ads" [requests, candidates, ad_width]
    first_layer_optimised  [requests, user_width]   "ad_parts" [requests, candidates, a_1]
    twin_tower             [requests, user_width]   "ad_vectors" [candidates, a_L]

Each returns "scores" [requests x candidates, 1], a request's one after the other. The twin
tower's corpus is the same for all requests and read once for all: there a batch saves memory
traffic. In the others a batch only shares the reading of the user's weights and the overhead
of a run, and its inputs must be brought together first.
"""

import numpy as np

from lib.serving.graphs.export import FORMS, Graph, random_weights, split_width

CORPUS = "ad_vectors"  # the input that all requests share


def batched(form, layers, user_width=None):
    """A graph of `form` over several requests; layers and user_width as in `export`.

    Equal to the graph of one request run for each, with equal numbers of candidates.

    >>> [x.name for x in batched("naive", random_weights([6, 4, 1], seed=0)).graph.input]
    ['user', 'ads']
    """
    build = {"naive": _naive, "first_layer_optimised": _first_layer_optimised}
    if form not in FORMS:
        raise ValueError(f"batched: form must be one of {', '.join(FORMS)}; got {form!r}")
    model = (
        _twin_tower(layers)
        if form == "twin_tower"
        else build[form](layers, split_width(len(layers[0].kernel), user_width))
    )
    # Not a request's candidates, but those of all requests.
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "scored"
    return model


def random_batched_graph(form, size_parameters, seed, user_width=None):
    """As `lib.serving.graphs.export.random_graph`, with the same weights, for several requests.

    >>> graph = random_batched_graph("first_layer_optimised", [6, 4, 1], seed=0).graph
    >>> [[axis.dim_param or axis.dim_value for axis in x.type.tensor_type.shape.dim]
    ...  for x in graph.input]
    [['requests', 3], ['requests', 'candidates', 4]]
    """
    if form == "twin_tower":
        user_width = split_width(size_parameters[0], user_width)
        return batched(form, random_weights([user_width, *size_parameters[1:]], seed))
    return batched(form, random_weights(size_parameters, seed), user_width)


def merge_requests(requests):
    """Requests of a batched graph, each of one user, as one.

    >>> corpus = np.ones((3, 2))
    >>> first, second = ({"user": np.full((1, 2), i), "ad_vectors": corpus} for i in (1, 2))
    >>> merge_requests([first, second])["user"].tolist()
    [[1, 1], [2, 2]]
    >>> merge_requests([first, second])["ad_vectors"] is first["ad_vectors"]
    True
    """
    if len(requests) == 1:
        return requests[0]
    return {
        name: value if name == CORPUS else np.concatenate([request[name] for request in requests])
        for name, value in requests[0].items()
    }


def _naive(layers, user_width):
    graph, inputs = Graph(), len(layers[0].kernel)
    counts = graph.add("Shape", "ads", start=0, end=2)
    shape = graph.add("Concat", counts, _whole(graph, user_width), axis=0)
    users = graph.add("Expand", _with_axis(graph, "user"), shape)
    x = _rows(graph, graph.add("Concat", users, "ads", axis=2), inputs)
    for layer in layers:
        x = graph.layer(x, *layer.folded(), layer.alpha)
    return graph.model(
        x, user=["requests", user_width], ads=["requests", "candidates", inputs - user_width]
    )


def _first_layer_optimised(layers, user_width):
    graph = Graph()
    kernel, bias = layers[0].folded()
    user_part = _with_axis(graph, graph.layer("user", kernel[:user_width], bias, None))
    x = _rows(graph, graph.add("Add", "ad_parts", user_part), kernel.shape[1])
    x = graph.activate(x, layers[0].alpha)
    for layer in layers[1:]:
        x = graph.layer(x, *layer.folded(), layer.alpha)
    return graph.model(
        x, user=["requests", user_width], ad_parts=["requests", "candidates", kernel.shape[1]]
    )


def _twin_tower(layers):
    graph, x = Graph(), "user"
    for layer in layers:
        x = graph.layer(x, *layer.folded(), layer.alpha)
    scores = graph.add("MatMul", CORPUS, graph.add("Transpose", x, perm=[1, 0]))
    scores = _rows(graph, graph.add("Transpose", scores, perm=[1, 0]), 1)
    width = layers[-1].kernel.shape[1]
    return graph.model(
        scores, user=["requests", len(layers[0].kernel)], ad_vectors=["candidates", width]
    )


def _with_axis(graph, x):
    """[requests, width] -> [requests, 1, width], to be repeated for each candidate."""
    return graph.add("Unsqueeze", x, _whole(graph, 1))


def _rows(graph, x, width):
    """[requests, candidates, width] -> [requests x candidates, width]."""
    return graph.add("Reshape", x, _whole(graph, -1, width))


def _whole(graph, *values):
    return graph.constant(np.array(values, np.int64))
