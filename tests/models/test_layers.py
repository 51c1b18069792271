"""Layers: He's start, also where the first layer is split; the same as Keras' own."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from lib.models.layers import BatchNorm, Linear, product
from lib.models.mlp_model import mlp

RNG = np.random.default_rng(0)


def test_weights_start_from_he():
    model = mlp([2000, 400, 1], user_width=700, seed=3)
    for linear in (model.first.user_linear, model.first.ad_linear):
        assert np.std(linear.kernel) == pytest.approx(np.sqrt(2 / 2000), rel=0.02)
    assert not np.array_equal(
        mlp([9, 4, 1], seed=1).get_weights()[4], mlp([9, 4, 1], seed=2).get_weights()[4]
    )


def gradients(function, *arrays, signature=None):
    """function(*arrays) and the gradients of its sum of squares, in a TensorFlow graph."""
    import tensorflow as tf

    def both(*arrays):
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            result = function(*arrays)
            total = tf.reduce_sum(tf.square(result))
        return result, *tape.gradient(total, arrays)

    compiled = tf.function(both, autograph=False, input_signature=signature)
    return [x.numpy() for x in compiled(*map(tf.constant, arrays))]


@pytest.mark.parametrize(
    ("rows", "inputs", "units"),
    [((5,), 4, 3), ((64, 13), 7, 5), ((300,), 600, 520), ((257,), 1, 1)],
)
@pytest.mark.parametrize("any_length", [False, True])
def test_product_equals_the_plain_one(rows, inputs, units, any_length):
    import tensorflow as tf

    x = RNG.normal(size=(*rows, inputs)).astype(np.float32)
    kernel = RNG.normal(size=(inputs, units)).astype(np.float32)
    shape = [None, *x.shape[1:]] if any_length else x.shape
    signature = [tf.TensorSpec(shape), tf.TensorSpec(kernel.shape)]
    expected = x.astype(float) @ kernel
    flat, slope = x.reshape(-1, inputs).astype(float), 2 * expected
    wanted = expected, slope @ kernel.T, flat.T @ slope.reshape(-1, units)
    for got, want in zip(gradients(product, x, kernel, signature=signature), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize(("rows", "inputs", "units"), [(5, 4, 3), (512, 7, 5), (300, 300, 20)])
@pytest.mark.parametrize("any_length", [False, True])
def test_product_of_replicas_is_that_of_each(rows, inputs, units, any_length):
    import tensorflow as tf

    x = RNG.normal(size=(3, rows, inputs)).astype(np.float32)
    kernel = RNG.normal(size=(3, inputs, units)).astype(np.float32)

    def shapes(*lead):
        return [
            tf.TensorSpec((*lead, None if any_length else rows, inputs)),
            tf.TensorSpec((*lead, inputs, units)),
        ]

    together = gradients(product, x, kernel, signature=shapes(3))
    for r in range(3):
        part = slice(r, r + 1)
        alone = gradients(product, x[part], kernel[part], signature=shapes(1))
        plain = gradients(product, x[r], kernel[r], signature=shapes())
        for whole, one, flat in zip(together, alone, plain, strict=True):
            np.testing.assert_array_equal(whole[part], one)
            np.testing.assert_allclose(whole[r], flat, rtol=1e-4, atol=1e-4 * np.abs(flat).max())


def test_no_sum_of_a_product_is_longer_than_eigen_s_shortest_cut():
    """The products' inner lengths, read from the graph of a training's forward and backward."""
    import tensorflow as tf

    def both(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            total = tf.reduce_sum(tf.square(product(x, kernel)))
        return tape.gradient(total, [x, kernel])

    shapes = [tf.TensorSpec((64, 13, 600)), tf.TensorSpec((600, 300))]
    graph = tf.function(both, input_signature=shapes, autograph=False).get_concrete_function().graph
    products = [node for node in graph.get_operations() if "MatMul" in node.type]
    assert len(products) == 3 * 3 * 2  # forward and two gradients, of 3 x 2 blocks
    for node in products:
        transposed = node.get_attr("adj_x" if "Batch" in node.type else "transpose_a")
        assert node.inputs[0].shape[-2 if transposed else -1] <= 256


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_equals_keras(masked, training):
    x = RNG.normal(3, 2, size=(20, 13, 6)).astype(np.float32)
    mask = RNG.random((20, 13)) < 0.7 if masked else None
    own, plain = BatchNorm(momentum=0.9), layers.BatchNormalization(momentum=0.9)
    weights = [RNG.uniform(0.5, 1.5, 6).astype(np.float32) for _ in range(4)]
    for layer in (own, plain):
        layer.build(x.shape)
        layer.set_weights(weights)
    got, wanted = (layer(x, training=training, mask=mask) for layer in (own, plain))
    np.testing.assert_allclose(got, wanted, atol=2e-6)
    for a, b in zip(own.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert own.get_config().keys() == plain.get_config().keys()


def test_linear_is_a_dense_layer():
    x = RNG.normal(size=(700, 4)).astype(np.float32)
    layer = Linear(3)
    evaluated, trained = layer(x), layer(x, training=True)
    np.testing.assert_allclose(evaluated, trained, atol=1e-6)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert isinstance(again, Linear) and ops.shape(again(x)) == (700, 3)
