"""What a trained scorer says of impressions, and how good that is."""

import keras
import numpy as np

from lib.logs.reader import Impressions
from lib.metrics import ranking


def as_inputs(batch: Impressions) -> dict:
    """What a `lib.models.scorer.Scorer` is called with, from Impressions."""
    return {"user": batch.user, "ad": batch.ad, "mask": batch.mask}


def predict(scorer, batch: Impressions, batch_impressions: int = 2048) -> np.ndarray:
    """Scores of Impressions, float32 [B, n]; 0 where padded.

    Args:
      scorer: a `lib.models.scorer.Scorer`.
      batch_impressions: scored at a time.
    """
    scores = np.zeros(batch.mask.shape, np.float32)
    for low in range(0, len(batch), batch_impressions):
        part = slice(low, low + batch_impressions)
        scores[part] = keras.ops.convert_to_numpy(scorer(as_inputs(batch.take(part))))
    return np.where(batch.mask, scores, 0)


def evaluate(scorer, batch: Impressions, m: int, k: int) -> dict:
    """Offline metrics of a scorer on Impressions: name -> `lib.metrics.Mean`."""
    scores = predict(scorer, batch)
    return ranking.evaluate(scores, batch.v, batch.ecpm, m, k, batch.mask)
