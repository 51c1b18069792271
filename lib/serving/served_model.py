"""A trained Pre-ranking model as servers hold it: plain arrays, its first layer split.

NumPy and ONNX alone: neither Keras nor TensorFlow is imported where models are served. The weights
are those of a `lib.models.scorer.Scorer` of the family "mlp"; a request is then one user, whose
part of the first layer is computed, and many ads, whose parts lie ready (appendix A).
"""

import hashlib
import itertools
from functools import cached_property

import numpy as np
import onnx

from lib.logs.features import Features
from lib.models.feature_tables import feature_tables
from lib.models.size_parameters import check_size_parameters
from lib.serving.graphs.export import Layer, first_layer_optimised, forward, prelu

_BLOCK_NUMBERS = 1 << 22  # of the inputs of ads that are held at a time


class ServedModel:
    """Features -> vectors of a side -> scores, in float32.

    Args:
      features: `Features`, in the order of the scorer.
      layers: list of `Layer` of the MLP, the first of the concatenated (user, ad) input.
      tables: width -> embeddings, float32 [rows, width].

    Attributes: the arguments, and
      size_parameters: (a_0, ..., a_L).
      user_width: how many of the a_0 inputs are the user's.
      first_row: name of an embedded feature -> its first row in its table.

    Raises: ValueError where the arrays' shapes are not those of one such model.
    """

    def __init__(self, features: Features, layers: list[Layer], tables: dict[int, np.ndarray]):
        self.features, self.layers, self.tables = features, layers, tables
        self.first_row, rows = feature_tables(features.features)
        self.user_width = features.width("user")
        widths = [len(layers[0].kernel), *(layer.kernel.shape[1] for layer in layers)]
        self.size_parameters = check_size_parameters(widths, "mlp")
        inputs = self.user_width + features.width("ad")
        if widths[0] != inputs:
            raise ValueError(
                f"ServedModel: the features have {inputs} inputs, the first layer {widths[0]}"
            )
        for above, layer in zip(layers[1:], layers):
            if len(above.kernel) != layer.kernel.shape[1]:
                raise ValueError(
                    f"ServedModel: a layer of {layer.kernel.shape[1]} units is followed by one of "
                    f"{len(above.kernel)} inputs"
                )
        shapes = {width: np.shape(table) for width, table in tables.items()}
        expected = {width: (count, width) for width, count in rows.items()}
        if shapes != expected:
            raise ValueError(f"ServedModel: tables must be of the shapes {expected}; got {shapes}")

    @classmethod
    def of(cls, scorer) -> "ServedModel":
        """Of a Scorer as it stands; later training does not change it.

        Raises: ValueError for a family other than "mlp".
        """
        from lib.serving.numpy_scorer import layers  # which brings Keras

        if scorer.family != "mlp":
            raise ValueError(f"ServedModel: the family must be mlp; got {scorer.family!r}")
        features = Features(features=scorer.get_config()["features"])
        copies = [
            Layer(*(np.array(x) if isinstance(x, np.ndarray) else x for x in layer))
            for layer in layers(scorer.head)
        ]
        tables = {
            width: np.array(table.embeddings.numpy()) for width, table in scorer.tables.items()
        }
        return cls(features, copies, tables)

    def embed(self, side: str, encoded: dict[str, np.ndarray]) -> np.ndarray:
        """Encoded values of one side's features (`lib.logs.encoding.encode`) as its input vector.

        Args:
          side: "user" or "ad".
          encoded: name -> [...] for ids and single numbers, [..., length] for lists of ids,
            [..., width] for vectors.

        Returns: float32 [..., width of the side].
        """
        declared = self.features.side(side)
        order = [  # as `lib.models.scorer.Scorer.embed` concatenates them
            *(f for width in self.tables for f in declared if f.buckets and f.width == width),
            *(f for f in declared if not f.buckets),
        ]
        first = order[0]
        wide = bool(first.length) or (not first.buckets and first.width > 1)
        lead = np.shape(encoded[first.name])[: -1 if wide else None]
        vectors, low = np.empty((*lead, self.features.width(side)), np.float32), 0
        for (width, kind, _), group in itertools.groupby(order, _alike):
            group = list(group)
            place = vectors[..., low : low + width * len(group)]
            if kind == "ids":
                self._look_up(group, encoded, place)
            elif kind == "list":
                place[...] = self._mean(group[0], encoded[group[0].name])
            else:
                values = np.asarray(encoded[group[0].name])
                place[...] = values if width > 1 else values[..., None]
            low += width * len(group)
        return vectors

    def _look_up(self, features, encoded, out):
        """Vectors of ids of one table, side by side, to out [..., width * features]."""
        rows = np.empty((*out.shape[:-1], len(features)), np.intp)
        for i, feature in enumerate(features):
            np.add(encoded[feature.name], self.first_row[feature.name], out=rows[..., i])
        table = self.tables[features[0].width]
        if not out.flags.c_contiguous:
            out[...] = table.take(rows, axis=0).reshape(out.shape)
        else:
            # "clip" lets NumPy write to `out` itself; rows beyond the table are looked for here.
            if rows.size and not 0 <= rows.min() <= rows.max() < len(table):
                raise IndexError(f"an id lies outside the table of width {table.shape[1]}")
            table.take(rows, axis=0, out=out.reshape(*rows.shape, -1), mode="clip")

    def _mean(self, feature, ids):
        """Of the real ones of lists' vectors, [..., width]; 0 where there is none."""
        real = ids > 0
        vectors = self.tables[feature.width].take(ids + self.first_row[feature.name], axis=0)
        total = np.where(real[..., None], vectors, np.float32(0)).sum(axis=-2)
        return total / np.maximum(real.sum(axis=-1), 1)[..., None].astype(np.float32)

    def user_part(self, user: np.ndarray) -> np.ndarray:
        """The first layer's part of users' vectors [..., user_width], bias included, [..., a_1]."""
        kernel, bias = self._first
        return user @ kernel[: self.user_width] + bias

    def ad_parts(self, ads: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The first layer's part of ads' vectors, without bias: what is computed ahead.

        Args: ads: float32 [ads, ad width]; out: float32 [ads, a_1] to write to.
        """
        return np.matmul(ads, self._first[0][self.user_width :], out=out)

    def scores(self, user: np.ndarray, ad_parts: np.ndarray) -> np.ndarray:
        """Scores of one user's candidates, float32 [ads]; a reference for engines.

        Args: user: [user_width]; ad_parts: [ads, a_1].
        """
        x = prelu(ad_parts + self.user_part(user), self.layers[0].alpha)
        return forward(self.layers[1:], x)[..., 0]

    def graph(self) -> onnx.ModelProto:
        """A request's graph, inputs "user" [1, user_width] and "ad_parts" [candidates, a_1]."""
        return first_layer_optimised(self.layers, self.user_width)

    @cached_property
    def _first(self):
        kernel, bias = self.layers[0].folded()
        return np.ascontiguousarray(kernel, np.float32), np.asarray(bias, np.float32)

    def blocks(self, ads: int) -> list[slice]:
        """Cuts so many ads so that the vectors of a block take a bounded memory."""
        step = max(1, _BLOCK_NUMBERS // self.features.width("ad"))
        return [slice(low, min(low + step, ads)) for low in range(0, ads, step)]

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays under names, as `from_arrays` takes them."""
        named = {f"table_{width}": table for width, table in self.tables.items()}
        return named | self.dense_arrays()

    def dense_arrays(self) -> dict[str, np.ndarray]:
        """The layers' arrays, without the tables."""
        return {
            f"layer_{i}_{field}": np.asarray(value)
            for i, layer in enumerate(self.layers)
            for field, value in zip(Layer._fields, layer, strict=True)
            if value is not None
        }

    @classmethod
    def from_arrays(cls, features: Features, arrays: dict[str, np.ndarray]) -> "ServedModel":
        """The model of `arrays`.

        Raises: ValueError where they are not those of one model of these features.
        """
        tables, layers = {}, []
        for width in feature_tables(features.features).rows:
            if f"table_{width}" not in arrays:
                raise ValueError(f"ServedModel: the array table_{width} is missing")
            tables[width] = arrays[f"table_{width}"]
        while f"layer_{len(layers)}_kernel" in arrays:
            start = f"layer_{len(layers)}_"
            fields = {
                name.removeprefix(start): value
                for name, value in arrays.items()
                if name.startswith(start)
            }
            fields["epsilon"] = float(fields.get("epsilon", 1e-3))
            try:
                layers.append(Layer(**fields))
            except TypeError as error:
                raise ValueError(f"ServedModel: layer {len(layers)}: {error}") from None
        if not layers:
            raise ValueError("ServedModel: the array layer_0_kernel is missing")
        return cls(features, layers, tables)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all arrays, names and shapes: equal for equal models."""
        found = hashlib.sha256()
        for name, array in sorted(self.arrays().items()):
            found.update(f"{name} {array.dtype} {array.shape}\n".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()


def _alike(feature):
    """Equal for neighbours that are looked up together; nothing else has a neighbour like it."""
    if feature.buckets and not feature.length:
        return feature.width, "ids", None
    return feature.width, "list" if feature.buckets else "number", feature.name
