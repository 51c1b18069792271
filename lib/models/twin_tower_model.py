"""The Matching stage's model: a tower for each side and an inner product (appendix A)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from lib.models.layers import HiddenLayer, check_user_width, dummy_input, linear
from lib.models.size_parameters import check_size_parameters


def twin_tower(size_parameters: Sequence[int], user_width: int, seed: int = 0) -> TwinTower:
    """A tower for each side, of widths a_1 ... a_L, and the inner product of their ends.

    Input: a pair (user [B, user_width], ad [B, n, a_0 - user_width]) -> [B, n, 1].
    "Matching models use the twin-tower structure, inheriting all settings except
    the first-layer optimization" (appendix A).

    Args:
      size_parameters: [a_0, ..., a_L]; a_L is the width of the vectors that are multiplied.
      user_width: how many of the a_0 inputs belong to the user, 1 .. a_0 - 1.
      seed: of the initial weights.

    Raises ValueError for size parameters or a user_width that describe no model.

    >>> import numpy as np
    >>> twin_tower([12, 8, 4], user_width=5)([np.ones((2, 5)), np.ones((2, 3, 7))]).shape
    TensorShape([2, 3, 1])
    """
    model = TwinTower(size_parameters, user_width, seed)
    model(dummy_input(size_parameters, user_width))
    return model


@keras.saving.register_keras_serializable("retrieval_scaling")
class TwinTower(keras.Model):
    """See `twin_tower`. Once imported, `keras.saving.load_model` reads a saved one."""

    def __init__(self, size_parameters: Sequence[int], user_width: int, seed: int = 0) -> None:
        super().__init__(name="twin_tower")
        self.supports_masking = True
        sizes = check_size_parameters(size_parameters, "twin_tower")
        check_user_width(user_width, sizes[0], least=1)
        self.size_parameters, self.user_width, self.seed = sizes, user_width, seed
        self.user_tower = self._tower("user", (user_width, *sizes[1:]), seed)
        self.ad_tower = self._tower("ad", (sizes[0] - user_width, *sizes[1:]), seed + 100)

    def _tower(self, side, widths, seed):
        hidden = [
            HiddenLayer(units, fan_in, seed + i, f"{side}_hidden_{i}")
            for i, (fan_in, units) in enumerate(itertools.pairwise(widths[:-1]))
        ]
        return [*hidden, linear(widths[-1], widths[-2], seed + 50)]

    def user_vector(self, user, training=False):
        """[B, user_width] -> [B, a_L]."""
        *hidden, last = self.user_tower
        for layer in hidden:
            user = layer(user, training=training)
        return last(user, training=training)

    def ad_vector(self, ad, training=False, real=None):
        """[..., ad_width] -> [..., a_L]."""
        pairs = ops.reshape(ad, (-1, ad.shape[-1]))
        real = None if real is None else ops.reshape(real, (-1,))
        *hidden, last = self.ad_tower
        for layer in hidden:
            pairs = layer(pairs, training=training, real=real)
        vectors = last(pairs, training=training)
        return ops.reshape(vectors, (-1, *ad.shape[1:-1], self.size_parameters[-1]))

    def call(self, inputs, training=False, real=None):
        user, ad = inputs
        user = self.user_vector(user, training)[:, None, :]
        return ops.sum(user * self.ad_vector(ad, training, real), axis=-1, keepdims=True)

    def get_config(self) -> dict[str, Any]:
        return {
            "size_parameters": list(self.size_parameters),
            "user_width": self.user_width,
            "seed": self.seed,
        }
