"""Models: FLOPs as TensorFlow counts them, the split first layer, He's start."""

import keras
import numpy as np
import pytest
from keras import ops

from lib.models.flop_count import flops
from lib.models.mlp_model import mlp
from lib.models.scorer import Scorer
from lib.models.twin_tower_model import twin_tower
from lib.serving.graphs.export import forward
from lib.serving.numpy_scorer import layers

BASE = [3328, 1024, 256, 256, 256, 1]


def profiled(model):
    """FLOPs that TensorFlow's profiler counts on the frozen graph of one pair."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    inputs, user_width = model.size_parameters[0], model.user_width
    shapes = [(1, user_width), (1, 1, inputs - user_width)] if user_width else [(1, inputs)]
    function = tf.function(lambda *x: model(list(x) if user_width else x[0]))
    concrete = function.get_concrete_function(*map(tf.TensorSpec, shapes))
    graph = convert_variables_to_constants_v2(concrete).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops


def with_random_statistics(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.uniform(0.05, 0.5, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("sizes", "published"),
    [  # paper, 4.2 and 5.1; by hand, 2 x MACs
        (BASE, 7_602_688),
        ([5128, 1024, 512, 512, 512, 1], 12_600_320),
        ([10128, 1024, 512, 512, 512, 1], 22_840_320),
    ],
)
def test_flops_are_the_papers(sizes, published):
    assert flops(sizes) == published


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's profiler")
@pytest.mark.parametrize(
    "model",
    [
        mlp(BASE),
        mlp([40, 16, 8, 1]),
        mlp([40, 16, 8, 1], user_width=15),
        mlp([7, 5, 1], user_width=3),
        twin_tower([40, 16, 8], 15),
        twin_tower([41, 16, 8, 4], 15),
    ],
    ids=lambda model: f"{model.name}{list(model.size_parameters)}/{model.user_width}",
)
def test_flops_equal_the_profilers(model):
    assert flops(model, elementwise=True) == profiled(model)
    assert flops(model) == flops(model.size_parameters, model.name)


def test_split_first_layer_is_the_same_function():
    split, naive = mlp([12, 8, 4, 1], user_width=5, seed=1), mlp([12, 8, 4, 1], seed=2)
    with_random_statistics(split)
    first, norm = split.first, naive.hidden[0].norm
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        parts = [
            ops.convert_to_numpy(getattr(side, name)) for side in (first.user_norm, first.ad_norm)
        ]
        getattr(norm, name).assign(np.concatenate(parts))
    kernel = [ops.convert_to_numpy(side.kernel) for side in (first.user_linear, first.ad_linear)]
    naive.hidden[0].linear.set_weights([np.concatenate(kernel), first.user_linear.bias])
    naive.hidden[0].activation.set_weights(split.first_activation.get_weights())
    for ours, theirs in zip(naive.hidden[1:], split.hidden, strict=True):
        ours.set_weights(theirs.get_weights())
    naive.score.set_weights(split.score.get_weights())

    rng = np.random.default_rng(0)
    user, ad = rng.normal(size=(3, 5)), rng.normal(size=(3, 6, 7))
    pairs = np.concatenate([np.repeat(user[:, None], 6, axis=1), ad], axis=-1)
    want = ops.convert_to_numpy(naive(pairs.reshape(-1, 12).astype("f"))).reshape(3, 6, 1)
    got = ops.convert_to_numpy(split([user.astype("f"), ad.astype("f")]))
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("model", [mlp([12, 8, 4, 1]), mlp([12, 8, 4, 1], user_width=5)])
def test_exported_layers_score_the_same(model):
    with_random_statistics(model)
    pairs = np.random.default_rng(0).normal(size=(9, 12)).astype("f")
    inputs = [pairs[:, :5], pairs[:, None, 5:]] if model.user_width else pairs
    want = ops.convert_to_numpy(model(inputs)).ravel()
    np.testing.assert_allclose(forward(layers(model), pairs).ravel(), want, rtol=1e-4, atol=1e-5)


def test_twin_tower_is_an_inner_product():
    model = with_random_statistics(twin_tower([12, 8, 4], user_width=5))
    rng = np.random.default_rng(0)
    user, ad = rng.normal(size=(2, 5)).astype("f"), rng.normal(size=(2, 3, 7)).astype("f")
    users, ads = (forward(side, x) for side, x in zip(layers(model), (user, ad), strict=True))
    want = np.einsum("bd,bnd->bn", users, ads)
    got = ops.convert_to_numpy(model([user, ad]))[..., 0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_weights_start_from_he():
    model = mlp([2000, 400, 1], user_width=700, seed=3)
    for linear in (model.first.user_linear, model.first.ad_linear):
        assert np.std(linear.kernel) == pytest.approx(np.sqrt(2 / 2000), rel=0.02)
    assert not np.array_equal(
        mlp([9, 4, 1], seed=1).get_weights()[4], mlp([9, 4, 1], seed=2).get_weights()[4]
    )


def test_padding_does_not_change_the_real_ads(features, batch):
    scorer = Scorer(features, [8, 4, 1], seed=0)
    inputs = {"user": batch.user, "ad": batch.ad, "mask": batch.mask}
    changed = {
        name: np.where(
            batch.mask.reshape(batch.mask.shape + (1,) * (value.ndim - 2)), value, value.max()
        )
        for name, value in batch.ad.items()
    }
    real = batch.mask
    for training in (False, True):
        one = ops.convert_to_numpy(scorer(inputs, training=training))
        other = ops.convert_to_numpy(scorer({**inputs, "ad": changed}, training=training))
        np.testing.assert_allclose(one[real], other[real], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("sizes", "family", "match"),
    [
        ([3, 0, 1], "mlp", "whole numbers"),
        ([3, 4, 2], "mlp", "the last of them 1"),
        ([3], "twin_tower", "two or more"),
        ([3, 4.5, 1], "mlp", r"4\.5"),
        ([3, 4, 1], "dnn", "family must be one of mlp"),
    ],
)
def test_sizes_that_are_no_model_are_refused(sizes, family, match):
    with pytest.raises(ValueError, match=match):
        flops(sizes, family)


def test_a_user_width_beyond_the_input_is_refused():
    with pytest.raises(ValueError, match=r"user_width must lie in 0..11"):
        mlp([12, 4, 1], user_width=12)
