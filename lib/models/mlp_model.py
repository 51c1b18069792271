"""The paper's foundation model: an MLP over one user-ad pair (sections 3.3 and 3.4, appendix A).

Size parameters are [a_0, a_1, ..., a_L]: the width of the input, of each hidden layer, and of the
output. A hidden layer is batch norm, linear, PReLU; the output is linear; linear maps start from
He's normal distribution. A model with `user_width` is written with a split first layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from lib.models.layers import FirstLayer, HiddenLayer, check_user_width, dummy_input, linear, prelu
from lib.models.size_parameters import check_size_parameters


def mlp(size_parameters: Sequence[int], user_width: int = 0, seed: int = 0) -> MLP:
    """The paper's foundation model of one user-ad pair's score, built.

    Args:
      size_parameters: [a_0, ..., a_L], with a_L = 1.
      user_width: how many of the a_0 inputs belong to the user. 0: the input is
        one concatenated vector, [..., a_0] -> [..., 1]. Otherwise the input is a
        pair (user [B, user_width], ad [B, n, a_0 - user_width]) -> [B, n, 1].
      seed: of the initial weights.

    Raises ValueError for size parameters or a user_width that describe no model.

    >>> import numpy as np
    >>> mlp([12, 8, 4, 1])(np.zeros((5, 12))).shape
    TensorShape([5, 1])
    """
    model = MLP(size_parameters, user_width, seed)
    model(dummy_input(size_parameters, user_width))
    return model


@keras.saving.register_keras_serializable("retrieval_scaling")
class MLP(keras.Model):
    """See `mlp`. Once imported, `keras.saving.load_model` reads a saved one."""

    def __init__(self, size_parameters: Sequence[int], user_width: int = 0, seed: int = 0) -> None:
        super().__init__(name="mlp")
        self.supports_masking = True
        sizes = check_size_parameters(size_parameters, "mlp")
        check_user_width(user_width, sizes[0])
        if user_width and len(sizes) < 3:
            raise ValueError(
                "an mlp with user_width splits its first hidden layer; size "
                f"parameters {list(sizes)} have none"
            )
        self.size_parameters, self.user_width, self.seed = sizes, user_width, seed
        hidden = list(zip(sizes[1:-1], sizes[:-2]))
        if user_width:
            self.first = FirstLayer(sizes[1], user_width, sizes[0] - user_width, seed)
            self.first_activation = prelu()
            hidden = hidden[1:]
        self.hidden = [
            HiddenLayer(units, fan_in, seed + 10 + i, f"hidden_{i}")
            for i, (units, fan_in) in enumerate(hidden)
        ]
        self.score = linear(1, sizes[-2], seed + 2)

    def call(self, inputs, training=False, real=None):
        if not self.user_width:
            return self.upper(inputs, training, real)
        user, ad = inputs
        x = self.first(user, ad, training=training, real=real)
        # One row a pair: PReLU then has one slope a unit, not one for each ad of the list.
        pairs = ops.reshape(x, (-1, x.shape[-1]))
        real = None if real is None else ops.reshape(real, (-1,))
        scores = self.upper(self.first_activation(pairs), training, real)
        return ops.reshape(scores, (-1, *x.shape[1:-1], 1))

    def upper(self, x, training=False, real=None):
        """The layers above the first one; all of them without `user_width`."""
        for layer in self.hidden:
            x = layer(x, training=training, real=real)
        return self.score(x, training=training)

    def get_config(self) -> dict[str, Any]:
        return {
            "size_parameters": list(self.size_parameters),
            "user_width": self.user_width,
            "seed": self.seed,
        }
