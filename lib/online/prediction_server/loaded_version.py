"""One version that can answer: model, engine, ad parts and the ads' features, never mixed.

A request holds the version that it began with to its end; a version that nothing holds any longer
is freed with its engine and its map of the ad parts.
"""

import bisect
import time
from typing import NamedTuple

import numpy as np

from lib.online.embedding_producer.ad_parts import AdParts
from lib.online.embedding_producer.catalogue import Catalogue
from lib.online.prediction_server.inputs import Inputs, encode_ads
from lib.online.prediction_server.protocol import RequestError
from lib.serving import engines
from lib.serving.served_model import ServedModel

_NAMED = 5  # unknown ads that an error names


class Scored(NamedTuple):
    """Scores with what they took.

    Attributes:
      scores: float32 [candidates].
      missing: how many ads had no parts.
      parts_seconds, engine_seconds: of getting the ads' parts, of the engine.
    """

    scores: np.ndarray
    missing: int
    parts_seconds: float
    engine_seconds: float


class LoadedVersion:
    """A version of the model, ready to answer; safe to call from several threads.

    Args:
      version: of the model; time: seconds since 1970 of its manifest.
      model: `ServedModel`.
      engine: of `lib.serving.engines`, of the model's graph.
      parts: `AdParts` of the same version; None: every ad's part is computed on the spot.
      catalogue: ads' features under the model's declaration, or None.
      sizes: numbers of candidates that the engine is compiled for; a request is padded to the
        next. Empty for an engine that takes any number as it comes.

    Raises: ValueError where the parts are not those of this version.
    """

    def __init__(
        self,
        version: int,
        time: float,
        model: ServedModel,
        engine: engines.Engine,
        parts: AdParts | None = None,
        catalogue: Catalogue | None = None,
        sizes: tuple[int, ...] = (),
    ):
        if parts is not None:
            units = model.size_parameters[1]
            if (parts.version, parts.units) != (version, units):
                raise ValueError(
                    f"{parts.path}: parts of version {parts.version} with {parts.units} units; "
                    f"expected version {version} with {units}"
                )
        self.version, self.time, self.model, self.engine = version, time, model, engine
        self.parts, self.catalogue, self.sizes = parts, catalogue, tuple(sorted(sizes))

    def scores(self, inputs: Inputs) -> Scored:
        """Scores of one user's candidates.

        Raises: RequestError for ads that are neither in the parts nor in the catalogue and came
          without features.
        """
        begin = time.perf_counter()
        user = self.model.embed("user", inputs.user)
        parts, missing = self._ad_parts(inputs)
        looked_up = time.perf_counter()
        scores = self._run(user, parts)
        if not np.isfinite(scores).all():
            raise FloatingPointError(f"version {self.version} gave scores that are not finite")
        end = time.perf_counter()
        return Scored(scores, missing, looked_up - begin, end - looked_up)

    def warm_up(self, sizes: tuple[int, ...]) -> None:
        """Answer made-up requests of so many candidates, and check them against NumPy.

        Raises: ValueError for scores that are not finite or not the model's.
        """
        rng = np.random.default_rng(0)
        user = rng.standard_normal((1, self.model.user_width), np.float32)
        units = self.model.size_parameters[1]
        parts = rng.standard_normal((max(sizes), units), np.float32)
        few = min(8, min(sizes))
        expected = self.model.scores(user[0], parts[:few])
        tolerance = 1e-3 if self.engine.precision == "fp32" else 0.1
        for candidates in sizes:
            scores = self._run(user, parts[:candidates])[:few]
            close = np.abs(scores - expected) <= tolerance * np.abs(expected).max()
            if not close.all():  # nor where one is not a number
                raise ValueError(
                    f"version {self.version}: {self.engine.library} in {self.engine.precision} "
                    f"gives {scores[~close][0]:.6g} where the model gives "
                    f"{expected[~close][0]:.6g}"
                )

    def with_parts(self, parts: AdParts | None, catalogue: Catalogue | None) -> "LoadedVersion":
        """The same version with another file of parts or another state of the catalogue."""
        return LoadedVersion(
            self.version, self.time, self.model, self.engine, parts, catalogue, self.sizes
        )

    def _run(self, user, parts):
        count = len(parts)
        if self.sizes and count not in self.sizes and count < self.sizes[-1]:
            size = self.sizes[bisect.bisect(self.sizes, count)]
            parts = np.concatenate([parts, np.zeros((size - count, parts.shape[1]), parts.dtype)])
        return self.engine.run({"user": user, "ad_parts": parts})[:count, 0]

    def _ad_parts(self, inputs):
        """(parts float32 [candidates, a_1], how many were missing)."""
        ad_ids = inputs.ad_ids
        if self.parts is None:
            rows = np.arange(len(ad_ids))
            parts = np.empty((len(ad_ids), self.model.size_parameters[1]), np.float32)
        else:
            parts, missing = self.parts.lookup(ad_ids)
            parts = parts.astype(np.float32, copy=False)
            rows = np.flatnonzero(missing)
        if len(rows):
            parts[rows] = self._computed(inputs, rows)
        return parts, len(rows)

    def _computed(self, inputs, rows):
        """Parts of the candidates in some rows, by this version's own weights."""
        ad_ids = inputs.ad_ids[rows]
        known = np.zeros(len(rows), bool)
        if self.catalogue is not None:
            places, known = self.catalogue.find(ad_ids)
        vectors = np.empty((len(rows), self.model.features.width("ad")), np.float32)
        if known.any():
            vectors[known] = self.model.embed("ad", self.catalogue.encoded(places[known]))
        if not known.all():
            if inputs.raw_ads is None:
                unknown = ad_ids[~known]
                more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
                raise RequestError(
                    f"tensor 'ad_id': unknown ads {', '.join(map(str, unknown[:_NAMED]))}{more}; "
                    f"send their raw features beside them, or put them into the catalogue",
                    kind="unknown_ad",
                )
            encoded = encode_ads(self.model.features, inputs.raw_ads, rows[~known])
            vectors[~known] = self.model.embed("ad", encoded)
        return self.model.ad_parts(vectors)
