"""Where a training's batches come from: anything that can begin again at an offset.

`train` knows a source by this protocol alone. `LogSource` reads a stretch of a Parquet log; a
source that reads a stream gives that stream's positions as offsets.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from lib.logs import reader
from lib.logs.features import Features
from lib.logs.reader import Impressions

Offset = Any  # a plain value that JSON can hold and that only its source understands


class BatchSource(Protocol):
    """Batches of impressions, in an order that is the same whenever they are asked for.

    Attributes:
      steps: batches in all, from the first; None where the source does not know its end.
      full_batch: impressions of a batch; some may hold fewer, such as the last.
      ads: length that all lists are padded to.
    """

    steps: int | None
    full_batch: int
    ads: int

    def batches(self, offset: Offset | None = None) -> Iterator[tuple[Impressions, Offset]]:
        """Each batch that follows `offset`, with the offset behind it; None: from the first on.

        A training keeps the offset of its last finished step in the checkpoint, together with
        the weights: what was read further ahead is read again.
        """

    def description(self) -> dict:
        """Name -> plain value of all that decides the batches; a checkpoint of another is refused.

        Not what may differ when a run goes on, such as a stream's newest position.
        """


class LogSource:
    """Impressions `start` to `stop` of a log, in stream order, shuffled within a window.

    Args:
      log: Parquet file or folder (`lib.logs.reader`).
      features: what is read of it.
      stop: impression of the log to end before; start: to begin with, a multiple of `window`.
      batch_impressions: impressions a step.
      window: impressions shuffled among themselves, a multiple of `batch_impressions`; 0: none.
      seed: of the shuffle.
      ads: pad every list to this many ads; default: the longest list of the log.

    Raises: ValueError where the log does not hold that stretch; LogError for a malformed log.
    """

    def __init__(
        self,
        log,
        features: Features,
        *,
        stop: int,
        start: int = 0,
        batch_impressions: int = 256,
        window: int = 4096,
        seed: int = 0,
        ads: int | None = None,
    ):
        self.impressions = reader.count(log, features)
        if not 0 <= start < stop <= self.impressions:
            raise ValueError(
                f"LogSource: needs 0 <= start < stop <= {self.impressions}, the impressions of "
                f"{log}; got start = {start}, stop = {stop}"
            )
        self.log, self.features, self.start, self.stop = log, features, start, stop
        self.batch_impressions, self.window, self.seed = batch_impressions, window, seed
        self.ads = ads or reader.longest_list(log, features)

    @property
    def steps(self) -> int:
        return -(-(self.stop - self.start) // self.batch_impressions)

    @property
    def full_batch(self) -> int:
        return min(self.batch_impressions, self.stop - self.start)

    def batches(self, offset: int | None = None) -> Iterator[tuple[Impressions, int]]:
        """As `BatchSource.batches`; an offset counts the log's impressions up to it."""
        offset = self.start if offset is None else offset
        if offset >= self.stop:
            return
        # Begin with the window that the offset lies in and pass over its first batches.
        block = self.window or self.batch_impressions
        end = self.start + (offset - self.start) // block * block
        for batch in reader.stream(
            self.log,
            self.features,
            self.batch_impressions,
            window=self.window,
            seed=self.seed,
            ads=self.ads,
            start=end,
            stop=self.stop,
        ):
            end += len(batch)
            if end > offset:
                yield batch, end

    def description(self) -> dict:
        names = ("impressions", "start", "stop", "ads", "seed", "batch_impressions", "window")
        return {name: getattr(self, name) for name in names}
