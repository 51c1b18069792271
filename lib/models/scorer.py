"""From the features of a log to the scores of an impression's ads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import layers, ops

from lib.models.feature_tables import feature_tables
from lib.models.mlp_model import MLP
from lib.models.size_parameters import check_size_parameters
from lib.models.twin_tower_model import TwinTower


class Declaration(Protocol):
    """The features that a scorer reads; `lib.logs.features.Features` is one."""

    features: Sequence[Any]

    def side(self, side: str) -> list[Any]:
        """The features of "user" or "ad", in the order in which they are concatenated."""

    def width(self, side: str) -> int:
        """How many inputs this side has."""


@dataclasses.dataclass(frozen=True)
class _Feature:
    """A feature as a saved scorer holds it: the fields of `lib.logs.features.Feature`."""

    name: str
    side: str
    kind: str
    buckets: int | None = None
    width: int = 1
    length: int | None = None


@dataclasses.dataclass(frozen=True)
class _Declaration:
    features: tuple[_Feature, ...]

    def side(self, side):
        return [feature for feature in self.features if feature.side == side]

    def width(self, side):
        return sum(feature.width for feature in self.side(side))


@keras.saving.register_keras_serializable("retrieval_scaling")
class Scorer(keras.Model):
    """Features -> embeddings -> a model of `family` -> scores of an impression's ads.

    Once this class is imported, `keras.saving.load_model` reads a saved one; its features are
    then `Features(features=scorer.get_config()["features"])`.

    Args:
      features: `lib.logs.features.Features`; their widths give the input a_0.
      hidden: [a_1, ..., a_L].
      family: "mlp" or "twin_tower".
      seed: of the initial weights.

    Input: dict with "user" and "ad" (name -> encoded values, as
    `lib.logs.reader.Impressions` holds them) and "mask" [B, n]. Output: [B, n].

    Raises ValueError for a family or hidden layers that describe no model.
    """

    def __init__(
        self, features: Declaration, hidden: Sequence[int], family: str = "mlp", seed: int = 0
    ) -> None:
        super().__init__(name=f"{family}_scorer")
        self.supports_masking = True
        self.features, self.family, self.seed = features, family, seed
        sides = features.width("user"), features.width("ad")
        self.size_parameters = check_size_parameters((sum(sides), *hidden), family)
        self.head = {"mlp": MLP, "twin_tower": TwinTower}[family](
            self.size_parameters, sides[0], seed
        )
        self.first_row, rows = feature_tables(features.features)
        self.tables = {
            width: layers.Embedding(
                count,
                width,
                name=f"embed_{width}",
                embeddings_initializer=keras.initializers.RandomNormal(stddev=0.05, seed=seed + i),
            )
            for i, (width, count) in enumerate(rows.items(), 1000)
        }
        self(_dummy_features(features))

    def get_config(self) -> dict[str, Any]:
        names = [field.name for field in dataclasses.fields(_Feature)]
        return {
            "features": [
                {name: getattr(feature, name) for name in names}
                for feature in self.features.features
            ],
            "hidden": list(self.size_parameters[1:]),
            "family": self.family,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Scorer:
        features = tuple(_Feature(**feature) for feature in config["features"])
        return cls(**{**config, "features": _Declaration(features)})

    def embed(self, side, values, tables=None):
        """Values of one side's features -> its input vector, [..., width of the side].

        tables: width -> callable, rows -> vectors, in the place of the scorer's own.
        """
        declared = self.features.side(side)
        parts = []
        for width, table in (tables or self.tables).items():
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
        return [
            _mean(part, x > 0) if f.length else ops.squeeze(part, axis=-2)
            for f, x, part in zip(features, ids, parts)
        ]

    def call(self, inputs, training=False):
        return self.scores(inputs, training)

    def scores(self, inputs, training=False, tables=None):
        """The scores, with embeddings from `tables` as for `embed`."""
        pair = [self.embed(side, inputs[side], tables) for side in ("user", "ad")]
        return self.head(pair, training=training, real=inputs.get("mask"))[..., 0]


def _mean(vectors, real):
    """Mean of the real ones of a list's vectors, [..., length, width]; 0 where there is none."""
    real = ops.cast(real, vectors.dtype)[..., None]
    return ops.sum(vectors * real, axis=-2) / ops.maximum(ops.sum(real, axis=-2), 1.0)


def _dummy_features(features):
    def zeros(feature, *lead):
        if feature.kind == "multi_valued":
            return np.zeros((*lead, feature.length), np.int32)
        if feature.kind == "sparse":
            return np.zeros(lead, np.int32)
        return np.zeros((*lead, feature.width) if feature.width > 1 else lead, np.float32)

    return {
        "user": {f.name: zeros(f, 1) for f in features.side("user")},
        "ad": {f.name: zeros(f, 1, 1) for f in features.side("ad")},
        "mask": np.ones((1, 1), bool),
    }
