"""The forms score as a loop over section 3.3 does, and do the FLOPs of appendix A."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.models.flop_count import graph_flops
from lib.serving.engines import OnnxRuntime
from lib.serving.graphs.batching import random_batched_graph
from lib.serving.graphs.export import (
    FORMS,
    Layer,
    ad_parts,
    first_layer_optimised,
    forward,
    naive,
    random_graph,
    random_weights,
    twin_tower,
)

SIZE, USER_WIDTH, CANDIDATES = [24, 16, 8, 8, 8, 1], 10, 7


rng = np.random.default_rng(0)


USER = rng.normal(size=(1, USER_WIDTH)).astype("f")


ADS = rng.normal(size=(CANDIDATES, SIZE[0] - USER_WIDTH)).astype("f")


def by_loop(layers, x):
    """One vector through the layers as section 3.3 writes them, a unit at a time."""
    for layer in layers:
        if layer.gamma is not None:
            x = [
                g * (value - m) / math.sqrt(v + layer.epsilon) + b
                for value, g, b, m, v in zip(
                    x, layer.gamma, layer.beta, layer.mean, layer.variance, strict=True
                )
            ]
        y = [
            sum(a * b for a, b in zip(x, column, strict=True)) + bias
            for column, bias in zip(layer.kernel.T, layer.bias, strict=True)
        ]
        x = (
            y
            if layer.alpha is None
            else [
                value if value > 0 else slope * value
                for value, slope in zip(y, layer.alpha, strict=True)
            ]
        )
    return x


def steep(layers):
    """The same layers with some slopes of PReLU above 1, which training may reach."""
    return [
        layer
        if layer.alpha is None
        else layer._replace(alpha=np.where(np.arange(len(layer.alpha)) % 2, 1.5, layer.alpha))
        for layer in layers
    ]


@pytest.mark.parametrize("change", [list, steep])
def test_both_forms_equal_a_loop(change):
    layers = change(random_weights(SIZE, seed=1))
    expected = [by_loop(layers, np.concatenate([USER[0], ad])) for ad in ADS]
    plain = OnnxRuntime(naive(layers, USER_WIDTH)).run({"user": USER, "ads": ADS})
    np.testing.assert_allclose(plain, expected, rtol=2e-5, atol=2e-5)
    parts = ad_parts(layers, ADS, USER_WIDTH).astype("f")
    engine = OnnxRuntime(first_layer_optimised(layers, USER_WIDTH))
    np.testing.assert_allclose(
        engine.run({"user": USER, "ad_parts": parts}), expected, rtol=2e-5, atol=2e-5
    )
    both = np.concatenate([np.repeat(USER, CANDIDATES, axis=0), ADS], axis=1)
    np.testing.assert_allclose(forward(layers, both), expected, rtol=2e-5, atol=2e-5)


def test_twin_tower_is_an_inner_product():
    user_tower, ad_tower = random_weights([10, 8, 4], seed=1), random_weights([14, 8, 4], seed=2)
    expected = [[np.dot(by_loop(user_tower, USER[0]), by_loop(ad_tower, ad))] for ad in ADS]
    vectors = forward(ad_tower, ADS).astype("f")
    scores = OnnxRuntime(twin_tower(user_tower)).run({"user": USER, "ad_vectors": vectors})
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=2e-5)


def test_batch_norm_folds_by_hand():
    layer = Layer(
        kernel=np.array([[2.0]]),
        bias=np.array([1.0]),
        gamma=np.array([3.0]),
        beta=np.array([0.5]),
        mean=np.array([4.0]),
        variance=np.array([0.24]),
        epsilon=0.01,
    )
    kernel, bias = layer.folded()  # 3 (x - 4) / 0.5 + 0.5 = 6 x - 23.5, doubled, plus 1
    np.testing.assert_allclose([kernel[0, 0], bias[0]], [12, -46])


def test_half_of_the_inputs_are_the_users_by_default():
    shapes = OnnxRuntime(random_graph("naive", [7, 4, 1], seed=0)).input_shapes
    assert shapes == {"user": (1, 3), "ads": ("candidates", 4)}


def test_random_weights_depend_on_the_seed_only():
    a, b, c = (random_graph("naive", SIZE, seed).SerializeToString() for seed in (1, 1, 2))
    assert a == b != c


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: random_graph("fast", SIZE, 0), "form must be one of naive, first_layer_optimised"),
        (lambda: naive(random_weights(SIZE, 0), 24), r"user_width must lie in 1\.\.23"),
        (lambda: random_graph("twin_tower", SIZE, 0, user_width=0), "user_width must lie in"),
        (lambda: OnnxRuntime(random_graph("naive", SIZE, 0), threads=0), "threads must be >= 1"),
    ],
)
def test_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def flops_by_loop(form, size, candidates):
    """Appendix A's forms, a layer at a time."""
    user, total = size[0] // 2, 0
    for i, (inputs, units) in enumerate(itertools.pairwise(size)):
        if form == "naive":
            total += candidates * 2 * inputs * units
        elif i == 0:
            total += 2 * user * units
        else:
            total += (candidates if form == "first_layer_optimised" else 1) * 2 * inputs * units
    return total + (candidates * 2 * size[-1] if form == "twin_tower" else 0)


@pytest.mark.parametrize("form", FORMS)
@given(
    widths=st.lists(st.integers(2, 40), min_size=3, max_size=5),
    candidates=st.integers(1, 50),
    requests=st.integers(1, 4),
)
@settings(deadline=None, max_examples=15)
def test_flops_of_a_graph_are_those_of_its_form(form, widths, candidates, requests):
    size = widths if form == "twin_tower" else [*widths, 1]
    one = flops_by_loop(form, size, candidates)
    assert graph_flops(random_graph(form, size, 0), candidates) == one
    assert graph_flops(random_batched_graph(form, size, 0), candidates, requests) == requests * one


def test_flops_of_an_unknown_operator_are_unknown():
    graph = random_graph("naive", SIZE, 0)
    graph.graph.node[-1].op_type = "Einsum"
    assert math.isnan(graph_flops(graph, CANDIDATES))
