"""Layers of the paper's models (section 3.3): batch norm, linear, PReLU, and the split first layer.

The first layer is linear in its input, so it splits into the user's part and the ad's part, which
are computed once an impression and once an ad and then added ("first-layer optimization").
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers


def linear(units: int, fan_in: int, seed: int, bias: bool = True) -> layers.Dense:
    """A linear map that starts from He's normal distribution of `fan_in` inputs."""
    # He et al. 2015: variance 2 / fan_in, of the whole layer's fan-in, also where
    # the layer is split into a user part and an ad part. Keras truncates at two
    # deviations and VarianceScaling makes up for it; so does this.
    start = keras.initializers.TruncatedNormal(stddev=np.sqrt(2 / fan_in) / 0.87962566, seed=seed)
    return layers.Dense(units, use_bias=bias, kernel_initializer=start)


def batch_norm() -> layers.BatchNormalization:
    """Batch norm whose moving average keeps up with a single pass."""
    # A moving average over about 30 batches: one pass over a short stream must end
    # with statistics of the trained network, not of its start.
    return layers.BatchNormalization(momentum=0.97)


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
        return self.user_linear(self.user_norm(user, training=training))

    def ad_part(self, ad, training=False, real=None):
        """The ads' share, without the bias: [B, n, ad_width] -> [B, n, units]."""
        return self.ad_linear(self.ad_norm(ad, training=training, mask=real))

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
        return self.activation(self.linear(self.norm(x, training=training, mask=real)))


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
