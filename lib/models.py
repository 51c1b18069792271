"""Size parameters -> model -> FLOPs (sections 3.3 and 3.4, appendix A).

Size parameters are [a_0, a_1, ..., a_L]: the width of the input, of each hidden
layer, and of the output. A hidden layer is batch norm, linear, PReLU; the output
is linear; linear maps start from He's normal distribution.

The first layer is linear in its input, so it splits into the user's part and the
ad's part, which are computed once an impression and once an ad and then added
("first-layer optimization"). A model with `user_width` is written that way.
"""
import itertools

import keras
import numpy as np
from keras import layers, ops

from lib.sizes import check_size_parameters, matrix_flops


def mlp(size_parameters, user_width=0, seed=0):
    """The paper's foundation model of one user-ad pair's score, built.

    Args:
      size_parameters: [a_0, ..., a_L], with a_L = 1.
      user_width: how many of the a_0 inputs belong to the user. 0: the input is
        one concatenated vector, [..., a_0] -> [..., 1]. Otherwise the input is a
        pair (user [B, user_width], ad [B, n, a_0 - user_width]) -> [B, n, 1].
      seed: of the initial weights.

    >>> mlp([12, 8, 4, 1])(np.zeros((5, 12))).shape
    TensorShape([5, 1])
    """
    model = MLP(size_parameters, user_width, seed)
    model(_dummy_input(size_parameters, user_width))
    return model


def twin_tower(size_parameters, user_width, seed=0):
    """A tower for each side, of widths a_1 ... a_L, and the inner product of their ends.

    Input: a pair (user [B, user_width], ad [B, n, a_0 - user_width]) -> [B, n, 1].
    "Matching models use the twin-tower structure, inheriting all settings except
    the first-layer optimization" (appendix A).

    >>> twin_tower([12, 8, 4], user_width=5)([np.ones((2, 5)), np.ones((2, 3, 7))]).shape
    TensorShape([2, 3, 1])
    """
    model = TwinTower(size_parameters, user_width, seed)
    model(_dummy_input(size_parameters, user_width))
    return model


def flops(model, family="mlp", *, elementwise=False):
    """FLOPs of the forward pass of one user-ad pair; a multiply-add is 2.

    Args:
      model: a model of this module, or its size parameters.
      family: "mlp" or "twin_tower", where size parameters are given.
      elementwise: add batch norm, biases and PReLU as TensorFlow's profiler counts
        them on a frozen graph; by default only matrix products count.

    >>> flops([3328, 1024, 256, 256, 256, 1])
    7602688
    """
    if isinstance(model, (MLP, TwinTower)):
        family = "twin_tower" if isinstance(model, TwinTower) else "mlp"
        split, sizes = bool(model.user_width), model.size_parameters
    else:
        split, sizes = False, check_size_parameters(model, family)
    count = matrix_flops(sizes, family)
    if elementwise:
        inputs, widths, towers = sizes[0], sizes[1:], 2 if family == "twin_tower" else 1
        # Profiler: batch norm 8 an input of a hidden layer, PReLU 4, a bias 1.
        hidden = sum(widths[:-1])
        normed = towers * sum(widths[:-2])
        count += 8 * (inputs + normed) + towers * (4 * hidden + sum(widths))
        count += widths[0] if split and family == "mlp" else 0  # user part + ad part
        # The profiler counts an inner product's additions one short of its products.
        count -= 1 if family == "twin_tower" else 0
    return int(count)


# ---- layers ---------------------------------------------------------------


def _linear(units, fan_in, seed, bias=True):
    # He et al. 2015: variance 2 / fan_in, of the whole layer's fan-in, also where
    # the layer is split into a user part and an ad part. Keras truncates at two
    # deviations and VarianceScaling makes up for it; so does this.
    start = keras.initializers.TruncatedNormal(stddev=np.sqrt(2 / fan_in) / 0.87962566, seed=seed)
    return layers.Dense(units, use_bias=bias, kernel_initializer=start)


def _norm():
    # A moving average over about 30 batches: one pass over a short stream must end
    # with statistics of the trained network, not of its start.
    return layers.BatchNormalization(momentum=0.97)


class FirstLayer(layers.Layer):
    """Batch norm and linear map of (user, ad), written as user part + ad part.

    user [B, user_width], ad [B, n, ad_width], real [B, n] -> [B, n, units]; the
    same function of the concatenated vector, at 1 / n of the user's share.
    """

    def __init__(self, units, user_width, ad_width, seed):
        super().__init__(name="first_layer")
        self.supports_masking = True
        fan_in = user_width + ad_width
        self.user_norm, self.ad_norm = _norm(), _norm()
        self.user_linear = _linear(units, fan_in, seed)
        self.ad_linear = _linear(units, fan_in, seed + 1, bias=False)

    def user_part(self, user, training=False):
        return self.user_linear(self.user_norm(user, training=training))

    def ad_part(self, ad, training=False, real=None):
        return self.ad_linear(self.ad_norm(ad, training=training, mask=real))

    def call(self, user, ad, training=False, real=None):
        return (self.user_part(user, training=training)[..., None, :]
                + self.ad_part(ad, training=training, real=real))


class HiddenLayer(layers.Layer):
    """Batch norm, linear, PReLU."""

    def __init__(self, units, fan_in, seed, name):
        super().__init__(name=name)
        self.supports_masking = True
        self.norm, self.linear, self.activation = _norm(), _linear(units, fan_in, seed), _prelu()

    def call(self, x, training=False, real=None):
        return self.activation(self.linear(self.norm(x, training=training, mask=real)))


def _prelu():
    return layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25))


class MLP(keras.Model):
    """See `mlp`."""

    def __init__(self, size_parameters, user_width=0, seed=0):
        super().__init__(name="mlp")
        self.supports_masking = True
        sizes = check_size_parameters(size_parameters, "mlp")
        check_user_width(user_width, sizes[0])
        if user_width and len(sizes) < 3:
            raise ValueError("an mlp with user_width splits its first hidden layer; size "
                             f"parameters {list(sizes)} have none")
        self.size_parameters, self.user_width, self.seed = sizes, user_width, seed
        hidden = list(zip(sizes[1:-1], sizes[:-2]))
        if user_width:
            self.first = FirstLayer(sizes[1], user_width, sizes[0] - user_width, seed)
            self.first_activation = _prelu()
            hidden = hidden[1:]
        self.hidden = [HiddenLayer(units, fan_in, seed + 10 + i, f"hidden_{i}")
                       for i, (units, fan_in) in enumerate(hidden)]
        self.score = _linear(1, sizes[-2], seed + 2)

    def call(self, inputs, training=False, real=None):
        if not self.user_width:
            return self.upper(inputs, training, real)
        user, ad = inputs
        x = self.first(user, ad, training=training, real=real)
        # Pairs in one row each: PReLU keeps one slope a unit, not one a place.
        pairs = ops.reshape(x, (-1, x.shape[-1]))
        real = None if real is None else ops.reshape(real, (-1,))
        scores = self.upper(self.first_activation(pairs), training, real)
        return ops.reshape(scores, (-1, *x.shape[1:-1], 1))

    def upper(self, x, training=False, real=None):
        """The layers above the first one; all of them without `user_width`."""
        for layer in self.hidden:
            x = layer(x, training=training, real=real)
        return self.score(x)

    def get_config(self):
        return {"size_parameters": list(self.size_parameters), "user_width": self.user_width,
                "seed": self.seed}


class TwinTower(keras.Model):
    """See `twin_tower`."""

    def __init__(self, size_parameters, user_width, seed=0):
        super().__init__(name="twin_tower")
        self.supports_masking = True
        sizes = check_size_parameters(size_parameters, "twin_tower")
        check_user_width(user_width, sizes[0], least=1)
        self.size_parameters, self.user_width, self.seed = sizes, user_width, seed
        self.user_tower = self._tower("user", (user_width, *sizes[1:]), seed)
        self.ad_tower = self._tower("ad", (sizes[0] - user_width, *sizes[1:]), seed + 100)

    def _tower(self, side, widths, seed):
        hidden = [HiddenLayer(units, fan_in, seed + i, f"{side}_hidden_{i}")
                  for i, (fan_in, units) in enumerate(itertools.pairwise(widths[:-1]))]
        return [*hidden, _linear(widths[-1], widths[-2], seed + 50)]

    def user_vector(self, user, training=False):
        """[B, user_width] -> [B, a_L]."""
        *hidden, last = self.user_tower
        for layer in hidden:
            user = layer(user, training=training)
        return last(user)

    def ad_vector(self, ad, training=False, real=None):
        """[..., ad_width] -> [..., a_L]."""
        pairs = ops.reshape(ad, (-1, ad.shape[-1]))
        real = None if real is None else ops.reshape(real, (-1,))
        *hidden, last = self.ad_tower
        for layer in hidden:
            pairs = layer(pairs, training=training, real=real)
        return ops.reshape(last(pairs), (-1, *ad.shape[1:-1], self.size_parameters[-1]))

    def call(self, inputs, training=False, real=None):
        user, ad = inputs
        user = self.user_vector(user, training)[:, None, :]
        return ops.sum(user * self.ad_vector(ad, training, real), axis=-1, keepdims=True)

    def get_config(self):
        return {"size_parameters": list(self.size_parameters), "user_width": self.user_width,
                "seed": self.seed}


def check_user_width(user_width, inputs, least=0):
    if not least <= user_width < inputs:
        raise ValueError(f"user_width must lie in {least}..{inputs - 1}, the input having "
                         f"{inputs} places; got {user_width}")


def _dummy_input(size_parameters, user_width):
    if not user_width:
        return np.zeros((1, size_parameters[0]), np.float32)
    return [np.zeros((1, user_width), np.float32),
            np.zeros((1, 1, size_parameters[0] - user_width), np.float32)]


# ---- from features to a score ---------------------------------------------


class Scorer(keras.Model):
    """Features -> embeddings -> a model of `family` -> scores of an impression's ads.

    Args:
      features: `lib.impressions.Features`; their widths give the input a_0.
      hidden: [a_1, ..., a_L].
      family: "mlp" or "twin_tower".
      seed: of the initial weights.

    Input: dict with "user" and "ad" (name -> encoded values, as
    `lib.impressions.Impressions` holds them) and "mask" [B, n]. Output: [B, n].
    """

    def __init__(self, features, hidden, family="mlp", seed=0):
        super().__init__(name=f"{family}_scorer")
        self.supports_masking = True
        self.features, self.family, self.seed = features, family, seed
        sides = features.width("user"), features.width("ad")
        self.size_parameters = check_size_parameters((sum(sides), *hidden), family)
        self.head = {"mlp": MLP, "twin_tower": TwinTower}[family](
            self.size_parameters, sides[0], seed)
        # Features of one width share a table: one lookup a side instead of one a
        # feature, which is most of a small model's step.
        self.first_row, rows = {}, {}
        for feature in features.features:
            if feature.buckets:
                self.first_row[feature.name] = rows.get(feature.width, 0)
                # One row more for the empty places of a list.
                rows[feature.width] = self.first_row[feature.name] + feature.buckets + 1
        self.tables = {
            width: layers.Embedding(
                count, width, name=f"embed_{width}",
                embeddings_initializer=keras.initializers.RandomNormal(stddev=0.05, seed=seed + i))
            for i, (width, count) in enumerate(rows.items(), 1000)}
        self(_dummy_features(features))

    def embed(self, side, values):
        """Values of one side's features -> its input vector, [..., width of the side]."""
        declared = self.features.side(side)
        parts = []
        for width, table in self.tables.items():
            shared = [f for f in declared if f.buckets and f.width == width]
            if shared:
                parts += self._embedded(table, shared, values)
        for feature in declared:
            if not feature.buckets:
                value = ops.convert_to_tensor(values[feature.name])
                parts.append(value if feature.width > 1 else value[..., None])
        return ops.concatenate(parts, axis=-1)

    def _embedded(self, table, features, values):
        """Embeddings of the features that share a table, a list of [..., width]."""
        ids = [ops.convert_to_tensor(values[f.name]) for f in features]
        ids = [x if f.length else x[..., None] for f, x in zip(features, ids)]
        rows = ops.concatenate([x + self.first_row[f.name] for f, x in zip(features, ids)], axis=-1)
        # Split, not sliced: a slice's gradient is an array of the whole's size, for each slice.
        vectors, ends = table(rows), np.cumsum([x.shape[-1] for x in ids[:-1]], dtype=int).tolist()
        parts = ops.split(vectors, ends, axis=-2) if ends else [vectors]
        return [_mean(part, x > 0) if f.length else ops.squeeze(part, axis=-2)
                for f, x, part in zip(features, ids, parts)]

    def call(self, inputs, training=False):
        pair = [self.embed("user", inputs["user"]), self.embed("ad", inputs["ad"])]
        return self.head(pair, training=training, real=inputs.get("mask"))[..., 0]


def _mean(vectors, real):
    """Mean of the real ones of a list's vectors, [..., length, width]; 0 where there is none."""
    real = ops.cast(real, vectors.dtype)[..., None]
    return ops.sum(vectors * real, axis=-2) / ops.maximum(ops.sum(real, axis=-2), 1.0)


def _dummy_features(features):
    def one(feature, *lead):
        if feature.kind == "multi_valued":
            return np.zeros((*lead, feature.length), np.int32)
        if feature.kind == "sparse":
            return np.zeros(lead, np.int32)
        return np.zeros((*lead, feature.width) if feature.width > 1 else lead, np.float32)

    return {"user": {f.name: one(f, 1) for f in features.side("user")},
            "ad": {f.name: one(f, 1, 1) for f in features.side("ad")},
            "mask": np.ones((1, 1), bool)}
