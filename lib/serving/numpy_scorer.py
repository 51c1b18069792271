"""A trained scorer as the ad system calls it: Keras-free, first layer cached.

What stays of a model after export: the ads' parts of the first layer (or the ads'
vectors of a twin tower), computed once, and the folded upper layers in NumPy. It computes in
float64 and rounds the scores (lib/infra/grid.py), so that they are the same on every processor.
"""

import numpy as np
from keras import ops

from lib.infra.grid import on_grid
from lib.logs.encoding import encode
from lib.serving.graphs.export import Layer, ad_parts, forward, prelu

_BLOCK = 1 << 20  # numbers of the widest intermediate array held at a time
SCORE_BITS = 14  # scores are multiples of 2^-14


def compile_scorer(scorer, users, ads):
    """The deployed form of a `lib.models.Scorer`: `MLPScorer` or `TwinTowerScorer` by its family.

    Args:
      users, ads: raw feature values of all users and all ads, name -> [users, ...] and
        [ads, ...], as in a log; lists of ids as [rows, longest] with -1 for none.
    """
    user_inputs = _embedded(scorer, "user", users)
    ad_inputs = _embedded(scorer, "ad", ads)
    return {"mlp": MLPScorer, "twin_tower": TwinTowerScorer}[scorer.family](
        layers(scorer.head), user_inputs, ad_inputs
    )


class MLPScorer:
    """`(users [B], ads [B, C]) -> scores [B, C]`: an MLP over any user-ad pairs.

    Args:
      layers: of the MLP, list of `lib.serving.graphs.export.Layer`.
      user_inputs, ad_inputs: vectors of all users and all ads, [users, width], [ads, width].
    """

    def __init__(self, layers, user_inputs, ad_inputs):
        first, *upper = map(_double, layers)
        user_inputs, ad_inputs = np.float64(user_inputs), np.float64(ad_inputs)
        width = user_inputs.shape[1]
        kernel, bias = first.folded()
        self.alpha = first.alpha
        self.user_parts = user_inputs @ kernel[:width] + bias
        self.ad_parts = ad_parts([first], ad_inputs, width)
        self.upper = [Layer(*layer.folded(), layer.alpha) for layer in upper]

    def __call__(self, users, ads):
        users, ads = np.asarray(users), np.asarray(ads)
        out = np.empty(ads.shape, np.float32)
        step = max(1, _BLOCK // (ads.shape[1] * len(self.alpha)))
        for low in range(0, len(users), step):
            part = slice(low, low + step)
            x = self.ad_parts[ads[part]]
            x += self.user_parts[users[part], None]
            x = prelu(x, self.alpha, out=x)
            out[part] = on_grid(forward(self.upper, x)[..., 0], SCORE_BITS)
        return out


class TwinTowerScorer:
    """`(users [B]) -> scores [B, ads]`: a twin tower over the whole inventory."""

    def __init__(self, towers, user_inputs, ad_inputs):
        user_layers, ad_layers = ([*map(_double, tower)] for tower in towers)
        self.user_vectors = forward(user_layers, np.float64(user_inputs))
        self.ad_vectors = forward(ad_layers, np.float64(ad_inputs))

    def __call__(self, users):
        scores = self.user_vectors[users] @ self.ad_vectors.T
        return on_grid(scores, SCORE_BITS).astype(np.float32)


def layers(head):
    """Trained weights as `lib.serving.graphs.export` takes them.

    Returns: a list of `Layer` for an MLP, whose first layer is that of the
    concatenated (user, ad) input; two lists, user tower and ad tower, for a twin tower.
    """
    if hasattr(head, "user_tower"):
        return tuple(
            [*(_layer(hidden) for hidden in tower[:-1]), _linear(tower[-1])]
            for tower in (head.user_tower, head.ad_tower)
        )
    hidden = [_layer(layer) for layer in head.hidden]
    if head.user_width:
        first, alpha = head.first, _array(head.first_activation.alpha)
        hidden = [_split_layer(first, alpha), *hidden]
    return [*hidden, _linear(head.score)]


def _double(layer):
    """A layer in float64."""
    numbers = [x if x is None else np.float64(x) for x in layer]
    return Layer(*numbers)


def _array(variable):
    return variable.numpy()


def _norm(layer):
    return [_array(v) for v in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)]


def _layer(hidden):
    return Layer(
        _array(hidden.linear.kernel),
        _array(hidden.linear.bias),
        _array(hidden.activation.alpha),
        *_norm(hidden.norm),
        hidden.norm.epsilon,
    )


def _linear(dense):
    return Layer(_array(dense.kernel), _array(dense.bias))


def _split_layer(first, alpha):
    kernel = np.concatenate([_array(first.user_linear.kernel), _array(first.ad_linear.kernel)])
    norm = [
        np.concatenate(pair)
        for pair in zip(_norm(first.user_norm), _norm(first.ad_norm), strict=True)
    ]
    return Layer(kernel, _array(first.user_linear.bias), alpha, *norm, first.user_norm.epsilon)


def _embedded(scorer, side, values):
    encoded = {
        feature.name: encode(feature, values[feature.name])
        for feature in scorer.features.side(side)
    }
    return ops.convert_to_numpy(scorer.embed(side, encoded))
