"""Requests of every form with their scores by NumPy."""

import numpy as np

from lib.serving.graphs.export import (
    ad_parts,
    first_layer_optimised,
    forward,
    naive,
    random_weights,
    twin_tower,
)

BASE = [3328, 1024, 256, 256, 256, 1]


def case(form, sizes=(24, 16, 8, 8, 1), user_width=10, candidates=7, slope=None):
    """(graph, a request, its scores by NumPy in double precision)."""
    rng = np.random.default_rng(0)
    layers = random_weights(sizes, seed=1)
    if slope:
        layers = [
            layer if layer.alpha is None else layer._replace(alpha=np.full_like(layer.alpha, slope))
            for layer in layers
        ]
    user = rng.normal(size=(1, user_width)).astype("f")
    ads = rng.normal(size=(candidates, sizes[0] - user_width)).astype("f")
    pairs = np.concatenate([np.repeat(user, candidates, axis=0), ads], axis=1)
    if form == "naive":
        return naive(layers, user_width), {"user": user, "ads": ads}, forward(layers, pairs)
    if form == "first_layer_optimised":
        parts = ad_parts(layers, ads, user_width).astype("f")
        return (
            first_layer_optimised(layers, user_width),
            {"user": user, "ad_parts": parts},
            forward(layers, pairs),
        )
    tower = random_weights([user_width, *sizes[1:-1]], seed=1)
    vectors = rng.normal(size=(candidates, sizes[-2])).astype("f")
    return (
        twin_tower(tower),
        {"user": user, "ad_vectors": vectors},
        vectors @ forward(tower, user).T,
    )


FORMS = ("naive", "first_layer_optimised", "twin_tower")


CASES = [case(form) for form in FORMS] + [case("naive", slope=1.5)]


def compare_metrics(scores, expected):
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
