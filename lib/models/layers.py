"""Layers of the paper's models (section 3.3): batch norm, linear, PReLU, and the split first layer.

The first layer is linear in its input, so it splits into the user's part and the ad's part, which
are computed once an impression and once an ad and then added ("first-layer optimization").

On TensorFlow's CPU kernels a training step of these layers gives the same bits on every
processor: no sum of a matrix product is longer than `LONGEST_SUM`, and nothing takes the
processor's approximate reciprocal or root (`tests/models/test_layers.py` reads the graphs).
"""

import math
import os
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

# Eigen cuts the sums of a matrix product where the operands fill the first-level cache: at 288
# terms for 32 KB, later for more. Shorter sums are never cut, and so rounded alike everywhere.
LONGEST_SUM = 256


@keras.saving.register_keras_serializable("retrieval_scaling")
class Linear(layers.Dense):
    """Keras' linear map, whose training rounds alike on every processor."""

    def call(self, inputs, training=False):
        x = (product if training else ops.matmul)(inputs, self.kernel)
        return x if self.bias is None else x + self.bias


def product(x, kernel):
    """x [..., inputs] @ kernel [inputs, units]; its sums and its gradients' are never cut.

    Sums over inputs, over units (the gradient of x) and over rows (the gradient of the kernel) are
    made of sums of at most `LONGEST_SUM` terms, in order. Kernels that stand above each other,
    [replicas, inputs, units], each multiply their own x, [replicas, rows, inputs].

    >>> product(np.ones((2, 300), "float32"), np.ones((300, 1), "float32")).numpy().tolist()
    [[300.0], [300.0]]
    """
    *own, inputs, units = kernel.shape
    by_processor = os.environ.get("TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL") == "true"
    if keras.backend.backend() != "tensorflow" or by_processor:
        return ops.matmul(x, kernel)  # other kernels, of which this knows nothing
    if inputs > LONGEST_SUM:
        return sum(map(product, _parts(x, -1), _parts(kernel, -2)))
    if units > LONGEST_SUM:
        return ops.concatenate([product(x, part) for part in _parts(kernel, -1)], axis=-1)
    # An int each, or a tensor where a batch may have any length.
    lead = ops.shape(x)[len(own) : -1]
    count = math.prod(lead)
    if isinstance(count, int) and count <= LONGEST_SUM and not own:
        return ops.matmul(x, kernel)
    # A product for each stretch of rows: the kernel's gradient is theirs, summed in order.
    stretches = (count + LONGEST_SUM - 1) // LONGEST_SUM
    if own:
        # TensorFlow multiplies one small matrix by another kernel than several: with two stretches
        # or more, a replica rounds alike alone and among others.
        stretches = max(stretches, 2) if isinstance(stretches, int) else ops.maximum(stretches, 2)
    rows = (count + stretches - 1) // stretches
    x = ops.reshape(x, (*own, -1, inputs))
    filled = isinstance(count, int) and rows * stretches == count
    if not filled:
        x = ops.pad(x, (*[(0, 0) for _ in own], (0, rows * stretches - count), (0, 0)))
    x = ops.matmul(ops.reshape(x, (*own, stretches, rows, inputs)), kernel[..., None, :, :])
    x = ops.reshape(x, (*own, -1, units))
    return ops.reshape(x if filled else x[..., :count, :], (*own, *lead, units))


def _parts(array, axis):
    # Split, not sliced: a slice's gradient is an array of the whole's size, for each slice.
    return ops.split(array, range(LONGEST_SUM, array.shape[axis], LONGEST_SUM), axis=axis)


@keras.saving.register_keras_serializable("retrieval_scaling")
class BatchNorm(layers.BatchNormalization):
    """Keras' batch norm over all axes but the last, divided by a root.

    Keras multiplies by TensorFlow's rsqrt, which begins with an estimate that each maker's
    processors compute in their own way.
    """

    def call(self, inputs, training=False, mask=None):
        if training and self.trainable:
            mean, variance = self._moments(inputs, mask)
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        else:
            mean, variance = self.moving_mean, self.moving_variance
        scale = self.gamma / ops.sqrt(variance + self.epsilon)
        return inputs * scale + (self.beta - mean * scale)


def linear(units: int, fan_in: int, seed: int, bias: bool = True) -> Linear:
    """A linear map that starts from He's normal distribution of `fan_in` inputs."""
    # He et al. 2015: variance 2 / fan_in, of the whole layer's fan-in, also where
    # the layer is split into a user part and an ad part. Keras truncates at two
    # deviations and VarianceScaling makes up for it; so does this.
    start = keras.initializers.TruncatedNormal(stddev=np.sqrt(2 / fan_in) / 0.87962566, seed=seed)
    return Linear(units, use_bias=bias, kernel_initializer=start)


def batch_norm() -> BatchNorm:
    """Batch norm whose moving average keeps up with a single pass."""
    # A moving average over about 30 batches: one pass over a short stream must end
    # with statistics of the trained network, not of its start.
    return BatchNorm(momentum=0.97)


def prelu() -> layers.PReLU:
    """PReLU whose slopes start at 0.25 (He et al. 2015, arXiv:1502.01852)."""
    return layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25))


class FirstLayer(layers.Layer):
    """Batch norm and linear map of (user, ad), written as user part + ad part.

    user [B, user_width], ad [B, n, ad_width], real [B, n] -> [B, n, units]; the
    same function of the concatenated vector, at 1 / n of the user's share.
    """

    def __init__(self, units: int, user_width: int, ad_width: int, seed: int) -> None:
        super().__init__(name="first_layer")
        self.supports_masking = True
        fan_in = user_width + ad_width
        self.user_norm, self.ad_norm = batch_norm(), batch_norm()
        self.user_linear = linear(units, fan_in, seed)
        self.ad_linear = linear(units, fan_in, seed + 1, bias=False)

    def user_part(self, user, training=False):
        """The user's share, once an impression: [B, user_width] -> [B, units]."""
        return self.user_linear(self.user_norm(user, training=training), training=training)

    def ad_part(self, ad, training=False, real=None):
        """The ads' share, without the bias: [B, n, ad_width] -> [B, n, units]."""
        return self.ad_linear(self.ad_norm(ad, training=training, mask=real), training=training)

    def call(self, user, ad, training=False, real=None):
        return self.user_part(user, training=training)[..., None, :] + self.ad_part(
            ad, training=training, real=real
        )


class HiddenLayer(layers.Layer):
    """Batch norm, linear, PReLU."""

    def __init__(self, units: int, fan_in: int, seed: int, name: str) -> None:
        super().__init__(name=name)
        self.supports_masking = True
        self.norm, self.linear, self.activation = batch_norm(), linear(units, fan_in, seed), prelu()

    def call(self, x, training=False, real=None):
        x = self.norm(x, training=training, mask=real)
        return self.activation(self.linear(x, training=training))


def check_user_width(user_width: int, inputs: int, least: int = 0) -> None:
    """ValueError unless `least` <= user_width < inputs."""
    if not least <= user_width < inputs:
        raise ValueError(
            f"user_width must lie in {least}..{inputs - 1}, the input having "
            f"{inputs} places; got {user_width}"
        )


def dummy_input(size_parameters: Sequence[int], user_width: int):
    """Zeros of the form that a model of this size takes, to build it with."""
    if not user_width:
        return np.zeros((1, size_parameters[0]), np.float32)
    return [
        np.zeros((1, user_width), np.float32),
        np.zeros((1, 1, size_parameters[0] - user_width), np.float32),
    ]
