"""The MLP: the split first layer is the same function, and what is served as well."""

import numpy as np
import pytest
from keras import ops

from lib.models.mlp_model import mlp
from lib.serving.graphs.export import forward
from lib.serving.numpy_scorer import layers
from tests.models.helpers import assert_saved_is_the_same, with_random_statistics


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


def test_a_user_width_beyond_the_input_is_refused():
    with pytest.raises(ValueError, match=r"user_width must lie in 0..11"):
        mlp([12, 4, 1], user_width=12)


@pytest.mark.parametrize("user_width", [0, 5])
def test_a_saved_one_is_read_by_keras(tmp_path, user_width):
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(9, 12)).astype("f")
    inputs = [pairs[:, :5], pairs[:, None, 5:]] if user_width else pairs
    model = with_random_statistics(mlp([12, 8, 4, 1], user_width, seed=3))
    assert_saved_is_the_same(model, inputs, tmp_path)
