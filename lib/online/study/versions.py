"""Which weights a server holds at which minute.

A model is exported every `interval` minutes and served `delay` minutes later, until the next one
is. Weights are kept as the trainer has them at the start of each block of minutes.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable

import numpy as np

from lib.logs.impressions import Impressions
from lib.models.scorer import Scorer
from lib.serving.served_model import ServedModel
from lib.simulation.drifting import minutes_of


def version_at(minute: int, interval: int, delay: int) -> int:
    """The minute of the export that is served at `minute`; 0 is the model before its first step.

    >>> [version_at(minute, interval=20, delay=5) for minute in (0, 20, 25, 44, 45)]
    [0, 0, 20, 20, 40]
    """
    return max(0, (minute - delay) // interval * interval)


class Versions:
    """Keeps the weights of chosen minutes of a training; a `lib.training.loop.Watch`.

    A version holds what was trained on in batches that ended before its minute.

    Args:
      scorer: that is trained.
      minutes: to keep, integers, multiples of `block`.
      block: minutes.

    Attributes:
      kept: minute -> ServedModel.
    """

    def __init__(self, scorer: Scorer, minutes: Iterable[int], block: int):
        self.scorer, self.block = scorer, block
        self.kept: dict[int, ServedModel] = {}
        self._wanted = sorted(set(minutes))
        self._read = 0  # of the wanted, those before the batches that have been read

    def starts_anew(self, batch: Impressions, step: int) -> bool:
        before, self._read = self._read, bisect.bisect_right(self._wanted, self._minute(batch))
        return before < self._read

    def before(self, batches: list[Impressions], done) -> bool:
        self._keep(self._minute(batches[0]))
        return False

    def after(self, batches: list[Impressions], losses, done) -> bool:
        return False

    def finish(self) -> dict[int, ServedModel]:
        """All that are kept, once the training is over."""
        self._keep(np.inf)
        return self.kept

    def _keep(self, minute):
        due = [m for m in self._wanted if m <= minute and m not in self.kept]
        if due:
            self.kept |= dict.fromkeys(due, ServedModel.of(self.scorer))

    def _minute(self, batch):
        """Start of the block in which the batch ends."""
        return int(minutes_of(batch.timestamp.max()) // self.block) * self.block

    def state(self) -> None:
        """Nothing: a training that is kept in memory begins anew."""

    def restore(self, state) -> None:
        if state is not None:
            raise ValueError("Versions: kept weights do not go on from a checkpoint")
