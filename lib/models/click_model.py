"""Click models: DLRM (Naumov et al. 2019, arXiv:1906.00091) and what it is compared with.

Every field's ids are hashed to the rows of a table; tables of one width are one variable, so that
a batch needs one gather and one scatter. Models of several seeds may go together: their vectors
lie side by side in a row, their kernels above each other.

On TensorFlow's CPU kernels a training step gives the same bits on every processor, as
`lib.models.layers` says, while `width` and the number of vectors are at most 256.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from lib.models.click_size import ClickSize, Field
from lib.models.layers import product


def dlrm(fields: Sequence[Field], dense: Sequence[str] = (), **sizes: Any) -> ClickModel:
    """The deep learning recommendation model, built.

    Args: as those of `ClickModel`.

    >>> model = dlrm([Field("user", 1000), Field("ad", 50)], ["age"], rows=100, width=4)
    >>> clicks = {"ids": np.array([[999, 7]], "int32"), "dense": np.zeros((1, 1), "float32")}
    >>> model(clicks).shape
    TensorShape([1, 1])
    """
    return ClickModel("dlrm", fields, dense, **sizes)


@keras.saving.register_keras_serializable("retrieval_scaling")
class ClickModel(keras.Model):
    """Ids and dense features of an impression -> logit of its click probability.

    Families:
      logistic_regression: a weight a value and a dense feature.
      factorisation_machine: besides, the dot products of all pairs of features (Rendle 2010).
      mlp: dense features and embeddings side by side, into the top MLP.
      dlrm: dense features through the bottom MLP into a vector; the dot products of all pairs of
        vectors, beside the bottom's output, into the top MLP.
      dcn_v2: cross layers of full matrices, then the top MLP (Wang et al. 2020, arXiv:2008.13535,
        stacked).

    Args:
      family: see above.
      fields: their slots make up the columns of the ids, in order.
      dense: names of the dense features; may be empty, and a DLRM then has no bottom MLP.
      rows: of a table at most; a field of fewer values has a row for each. Row = id mod rows.
      width: of an embedding.
      tables_per_field: table k has rows - k rows, so that other ids collide in it.
      bottom: hidden layers of a DLRM's bottom MLP, before the last one of `width` units.
      top: hidden layers of the top MLP, before the logit.
      cross_layers: of a DCN v2.
      replicas: models trained together; replica r starts as a single model of `seed` + r does.
      seed: of the initial weights.

    Input: dict of "ids" int32 [B, slots], in 0 .. values - 1, of fields with several slots also -1
    where they hold nothing, and "dense" float32 [B, dense features]. A field's vector is the mean
    over its slots, zeros where it has no value. Output: logits, float32 [B, replicas].

    Attributes:
      size: the `lib.models.click_size.ClickSize`.
      tables: width -> layer whose `embeddings` are [rows of all tables, replicas * width], the
        replicas side by side.

    Raises ValueError naming the parameter that describes no model.

    >>> model = ClickModel("mlp", [Field("user", 1000)], rows=100, replicas=3)
    >>> model.tables[16].embeddings.shape
    TensorShape([100, 48])
    """

    def __init__(
        self,
        family: str,
        fields: Sequence[Field],
        dense: Sequence[str] = (),
        *,
        rows: int = 65536,
        width: int = 16,
        tables_per_field: int = 1,
        bottom: Sequence[int] = (64,),
        top: Sequence[int] = (64, 32),
        cross_layers: int = 3,
        replicas: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(name=family if isinstance(family, str) else None)
        self.size = ClickSize(
            family, fields, dense, rows, width, tables_per_field, bottom, top, cross_layers
        )
        for name, value, least in (("replicas", replicas, 1), ("seed", seed, 0)):
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name} must be a whole number >= {least}; got {value!r}")
        self.replicas, self.seed = int(replicas), int(seed)
        self._layers_made = 0
        self._lay_out_tables()
        self.bottom = self._stack(self.size.bottom_sizes, "bottom")
        self.top = self._stack(self.size.top_sizes, "top")
        count = len(self.size.dense)
        self.linear = self.factors = None
        self.crosses = []
        if not self.size.top_sizes:
            self.linear = self._linear(count, 1, "linear", gain=0.0)
            if family == "factorisation_machine" and count:
                width = self.size.width
                self.factors = self._linear(count, width, "factors", gain=0.01, bias=False)
        if family == "dcn_v2":
            inputs = self.size.concatenated
            self.crosses = [
                # Glorot's variance for a square matrix: no rectifier halves the variance here.
                self._linear(inputs, inputs, f"cross_{i}", gain=1.0)
                for i in range(self.size.cross_layers)
            ]
        self(
            {
                "ids": np.zeros((1, self.size.slots), np.int32),
                "dense": np.zeros((1, count), np.float32),
            }
        )

    def get_config(self) -> dict[str, Any]:
        return {**self.size.config(), "replicas": self.replicas, "seed": self.seed}

    def call(self, inputs, training=False):
        return self.scores(inputs, training)

    def scores(self, inputs, training=False, lookups=None):
        """The logits, [B, replicas].

        lookups: width -> callable, rows -> vectors, in the place of the model's own tables.
        """
        ids = ops.convert_to_tensor(inputs["ids"])
        dense = ops.convert_to_tensor(inputs["dense"])
        lookups = lookups or self.tables
        rows = self._rows(ids)
        vectors = {w: self._vectors(lookups[w](rows), ids, w) for w in self.size.widths}
        dense = _repeated(dense, self.replicas) if self.size.dense else None
        logits = getattr(self, f"_{self.size.family}")(vectors, dense)
        return ops.transpose(logits[..., 0])

    # ---- families: vectors {width: [replicas, B, vectors, width]}, dense [replicas, B, features]
    # or None -> [replicas, B, 1] ----

    def _logistic_regression(self, vectors, dense):
        logits = ops.sum(vectors[1], axis=-2)
        return logits + (self.linear.bias if dense is None else self.linear(dense))

    def _factorisation_machine(self, vectors, dense):
        embedded = vectors[self.size.width]
        total = ops.sum(embedded, axis=-2)
        squares = ops.sum(ops.square(embedded), axis=-2)
        if dense is not None:
            total = total + self.factors(dense)
            squares = squares + product(ops.square(dense), ops.square(self.factors.kernel))
        pairs = 0.5 * ops.sum(ops.square(total) - squares, axis=-1, keepdims=True)
        return pairs + self._logistic_regression(vectors, dense)

    def _mlp_inputs(self, vectors, dense):
        (embedded,) = vectors.values()
        flat = ops.reshape(embedded, (self.replicas, -1, embedded.shape[-2] * embedded.shape[-1]))
        return flat if dense is None else ops.concatenate([dense, flat], axis=-1)

    def _mlp(self, vectors, dense):
        return _through(self.top, self._mlp_inputs(vectors, dense))

    def _dlrm(self, vectors, dense):
        (embedded,) = vectors.values()
        if dense is None:
            return _through(self.top, pairwise_products(embedded))
        bottom = ops.relu(_through(self.bottom, dense))
        pairs = pairwise_products(ops.concatenate([bottom[..., None, :], embedded], axis=-2))
        return _through(self.top, ops.concatenate([bottom, pairs], axis=-1))

    def _dcn_v2(self, vectors, dense):
        x = first = self._mlp_inputs(vectors, dense)
        for cross in self.crosses:
            x = first * cross(x) + x
        return _through(self.top, x)

    # ---- tables ----

    def _lay_out_tables(self):
        """The variables of the tables, and where each column of the ids is looked up."""
        size = self.size
        counts = np.array(size.table_rows, np.int64)
        first = np.cumsum(counts) - counts
        slots = [field.slots for field in size.fields] * size.tables_per_field
        self._row_counts = np.repeat(counts, slots).astype(np.int32)
        self._first_rows = np.repeat(first, slots).astype(np.int32)
        self.tables = {}
        for width in size.widths:
            # Uniform within 1 / sqrt(rows), as published: small where a row sees few examples, so
            # that an id that was never trained says next to nothing. Linear weights start from 0.
            bound = 1 / np.sqrt(counts) if width > 1 or len(size.widths) == 1 else 0 * counts
            bound = 0 * bound if size.family == "logistic_regression" else bound
            scale = np.repeat(bound.astype(np.float32), counts)[:, None]
            table = layers.Embedding(
                int(counts.sum()),
                self.replicas * width,
                name=f"embed_{width}",
                embeddings_initializer=self._start((len(scale), width), scale, axis=1),
            )
            table.build()  # here: within a first call the values would go into a graph
            self.tables[width] = table

    def _rows(self, ids):
        """ids [B, slots] -> rows of the joint tables, [B, slots * tables_per_field]."""
        # An empty slot reads its table's first row, whose vector the pooling leaves out.
        ids = ops.concatenate([ops.maximum(ids, 0)] * self.size.tables_per_field, axis=-1)
        return ops.mod(ids, self._row_counts) + self._first_rows

    def _vectors(self, vectors, ids, width):
        """[B, looked-up rows, replicas * width] -> pooled, [replicas, B, vectors, width]."""
        vectors = self._pooled(vectors, ids)
        shape = (-1, self.size.embedded, self.replicas, width)
        return ops.transpose(ops.reshape(vectors, shape), (2, 0, 1, 3))

    def _pooled(self, vectors, ids):
        """The means over the slots of every multi-valued field."""
        fields = self.size.fields
        if all(field.slots == 1 for field in fields):
            return vectors
        # Split, not sliced: a slice's gradient is an array of the whole's size, for each slice.
        ends = np.cumsum([field.slots for field in fields] * self.size.tables_per_field)[:-1]
        parts = ops.split(vectors, ends.tolist(), axis=1) if len(ends) else [vectors]
        columns = np.cumsum([field.slots for field in fields])
        pooled = []
        for i, part in enumerate(parts):
            field, end = fields[i % len(fields)], columns[i % len(fields)]
            if field.slots > 1:
                part = _mean(part, ids[:, end - field.slots : end] >= 0)
            pooled.append(part)
        return ops.concatenate(pooled, axis=1)

    # ---- layers ----

    def _stack(self, sizes, name):
        # He et al. 2015: variance 2 / inputs.
        return [
            self._linear(inputs, units, f"{name}_{i}", gain=2.0)
            for i, (inputs, units) in enumerate(itertools.pairwise(sizes))
        ]

    def _linear(self, inputs, units, name, gain, bias=True):
        bound = np.float32(np.sqrt(3 * gain / max(inputs, 1)))
        start = self._start((inputs, units), bound, axis=0)
        layer = ReplicatedLinear(self.replicas, inputs, units, start, bias, name=name)
        layer.build(None)
        return layer

    def _start(self, shape, bound, axis):
        """Start values uniform within +-bound, a callable as Keras' initializers are."""
        # Of NumPy, without a logarithm or root of the C library's: the same bits for every
        # backend and processor. A generator a replica and layer, so that no two share numbers.
        self._layers_made += 1
        keys = [(self.seed + r, self._layers_made) for r in range(self.replicas)]

        def start(wanted, dtype=None):
            parts = []
            for key in keys:
                part = np.random.default_rng(key).random(shape, np.float32)
                part *= 2
                part -= 1
                part *= bound
                parts.append(part)
            whole = np.concatenate(parts, axis=1) if axis else np.stack(parts)
            return ops.convert_to_tensor(whole.reshape(wanted), dtype)

        return start


class ReplicatedLinear(layers.Layer):
    """A linear map a replica: [replicas, B, inputs] -> [replicas, B, units]."""

    def __init__(self, replicas, inputs, units, start, bias=True, name=None):
        super().__init__(name=name)
        self.kernel = self.add_weight((replicas, inputs, units), start, name="kernel")
        self.bias = self.add_weight((replicas, 1, units), "zeros", name="bias") if bias else None

    def call(self, inputs):
        x = product(inputs, self.kernel)
        if self.bias is None:
            return x
        # A product, so that the bias' gradient sums the rows alike for one replica and several.
        return x + product(ops.ones_like(inputs[..., :1]), self.bias)


def pairwise_products(vectors):
    """Dot products of all pairs of vectors, [..., vectors, width] -> [..., pairs].

    Pairs (1, 0), (2, 0), (2, 1), (3, 0), ..., as of `keras_rs.layers.DotInteraction`. Its
    gradient takes two products and a scatter; that of this one a gather and a product with the
    symmetric matrix of slopes: two thirds of the time of forward and backward on a CPU (18 ms
    against 26 for 2,048 examples of 27 vectors x 16), and no atomic additions on a GPU.

    >>> vectors = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "float32")
    >>> pairwise_products(vectors[None]).numpy().tolist()
    [[11.0, 17.0, 39.0]]
    """
    count = vectors.shape[-2]
    above, left = np.tril_indices(count, -1)
    places = np.arange(len(above), dtype=np.int32)
    lower = (above * count + left).astype(np.int32)
    # The slope of a place of the matrix: its pair's, on the diagonal the 0 behind all pairs.
    pair = np.full((count, count), len(above), np.int32)
    pair[above, left] = pair[left, above] = places
    pair = pair.ravel()

    @ops.custom_gradient
    def products(x):
        lead = ops.shape(x)[:-2]
        matrix = ops.matmul(x, ops.swapaxes(x, -1, -2))
        flat = ops.reshape(matrix, (*lead, count * count))

        def gradient(*args, upstream=None):
            slopes = args[0] if upstream is None else upstream
            slopes = ops.pad(slopes, (*[(0, 0) for _ in lead], (0, 1)))
            slopes = ops.reshape(ops.take(slopes, pair, axis=-1), (*lead, count, count))
            return ops.matmul(slopes, x)

        return ops.take(flat, lower, axis=-1), gradient

    return products(ops.convert_to_tensor(vectors))


def _through(stack, x):
    """Linear maps with rectifiers between them."""
    for i, layer in enumerate(stack):
        x = layer(ops.relu(x) if i else x)
    return x


def _repeated(x, replicas):
    """[B, n] -> [replicas, B, n]"""
    return ops.tile(x[None], (replicas, 1, 1)) if replicas > 1 else x[None]


def _mean(vectors, real):
    """Mean of the real ones of a list's vectors, [B, slots, n] -> [B, 1, n]; 0 of none."""
    real = ops.cast(real, vectors.dtype)[..., None]
    count = ops.maximum(ops.sum(real, axis=1, keepdims=True), 1.0)
    return ops.sum(vectors * real, axis=1, keepdims=True) / count
