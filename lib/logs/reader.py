"""The log format (Eq 1): read, check, stream and write impressions.

A log is Parquet, one row an ad in an impression; the rows of an impression are
adjacent and impressions are in time order. It may be one file or a folder of
files that follow each other in time (`lib.logs.log_folder`).

| column          | type      | meaning                                                  |
| --------------- | --------- | -------------------------------------------------------- |
| `impression_id` | integer   | one request                                              |
| `timestamp`     | timestamp | of the request, UTC                                      |
| `v`             | number    | >= 0, rank index in the system's queue, higher is better |
| `ecpm`          | number    | >= 0; 0 for an ad that never reached Ranking             |

and a column for each feature that the features file declares (`lib.logs.column_types`
holds the types). Trainings read the order of `v` alone, but NDCG's gains are made of its
values: below 0 it is refused. Of v = -position add the list's length. Without money, ecpm
0 in every row, NDCG, recall and OPA remain.

Arrays made from a log have impressions first and ads last but for a feature's own width;
lists shorter than the longest are padded and `mask` says which ads are real.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lib.infra.files import replacing
from lib.logs.columns import block_arrays, encoded_column
from lib.logs.features import Features
from lib.logs.impressions import Impressions, concatenate
from lib.logs.log_files import LogFiles, numpy_values, timestamps


@dataclasses.dataclass(frozen=True)
class LogSummary:
    """What a checked log holds.

    impressions, ads  how many in all
    shortest, longest ads of a list
    first, last       timestamps, UTC
    ranked_share      of the ads, those with ecpm > 0; 0: the log holds no money
    """

    impressions: int
    ads: int
    shortest: int
    longest: int
    first: np.datetime64
    last: np.datetime64
    ranked_share: float


def stream(
    path,
    features: Features,
    batch_impressions: int,
    *,
    window: int = 0,
    seed: int = 0,
    ads: int | None = None,
    start: int = 0,
    stop: int | None = None,
    extra=(),
) -> Iterator[Impressions]:
    """Batches of whole impressions in time order; memory is bounded by the window.

    Args:
      path: a Parquet file or a folder of them.
      features: a `Features` declaration; only its columns are read.
      batch_impressions: impressions a batch (the last one may have fewer).
      window: impressions among which the order is shuffled, "within a small time
        interval" (section 3.4); a multiple of `batch_impressions`, or 0 for none.
      seed: of the shuffle; the same seed gives the same order.
      ads: pad every list to this many ads; default: the longest list of the log.
      start, stop: impressions to begin and end with, as in a slice of the stream
        before shuffling; `start` a multiple of the window (of the batch without one).
      extra: further columns to hand out, such as "stage".

    Raises: LogError on the first malformed row, ValueError on bad arguments.
    """
    step = window or batch_impressions
    if (
        batch_impressions < 1
        or min(window, start) < 0
        or window % batch_impressions
        or (start % step)
    ):
        raise ValueError(
            "stream: batch_impressions must be >= 1, window a multiple of it and start a "
            f"multiple of the window; got batch_impressions = {batch_impressions}, "
            f"window = {window}, start = {start}"
        )
    log = LogFiles(path, features, extra)
    ads = ads or log.list_lengths()[2]
    for index, (row, table, starts) in enumerate(log.blocks(step, stop)):
        if index * step < start:
            continue
        block = block_arrays(log, row, table, starts, ads)
        if window:
            block = block.take(np.random.default_rng([seed, index]).permutation(len(block)))
        for first in range(0, len(block), batch_impressions):
            yield block.take(slice(first, first + batch_impressions))


def read(
    path,
    features: Features,
    *,
    start: int = 0,
    stop: int | None = None,
    ads: int | None = None,
    extra=(),
) -> Impressions:
    """Impressions `start` to `stop` of the log at once, in order.

    Args and errors as in `stream`; ValueError where that stretch is empty.
    """
    block = 4096
    if start < 0 or (stop is not None and stop <= start):
        raise ValueError(f"read: needs 0 <= start < stop; got start = {start}, stop = {stop}")
    first = start - start % block
    parts = list(stream(path, features, block, ads=ads, start=first, stop=stop, extra=extra))
    if sum(map(len, parts)) <= start - first:
        raise ValueError(f"{path}: the log holds no impression from number {start} on")
    return concatenate(parts).take(slice(start - first, None))


def check(path, features: Features, block: int = 20_000) -> LogSummary:
    """Read the whole log once and return its LogSummary; raise LogError if malformed.

    Beyond what `stream` sees of a batch: an impression's rows are adjacent in the
    whole log (keeps 8 bytes an impression) and its user features agree in all rows.
    """
    log = LogFiles(path, features)
    ids, lengths, ranked, first, last = [], [], 0, None, None
    for row, table, starts in log.blocks(block):
        ids.append(numpy_values(table.column("impression_id"))[starts])
        lengths.append(np.diff(starts, append=len(table)))
        times = timestamps(table)[starts]
        first, last = times[0] if first is None else first, times[-1]
        ranked += np.count_nonzero(numpy_values(table.column("ecpm")))
        owner = np.repeat(starts, lengths[-1])
        for feature in features.features:
            values = encoded_column(log, row, table, feature)
            if feature.side == "user":
                same = (values == values[owner]).reshape(len(table), -1).all(axis=1)
                log.refuse(
                    row, ~same, feature.name, table, "the same value in all rows of an impression"
                )
    ids, lengths = np.concatenate(ids), np.concatenate(lengths)
    order = np.argsort(ids, kind="stable")
    repeated = order[1:][np.diff(ids[order]) == 0]
    if repeated.size:
        first = repeated.min()
        raise log.error(
            int(np.cumsum(lengths)[first - 1]),
            "impression_id",
            int(ids[first]),
            "the rows of an impression to be adjacent",
        )
    return LogSummary(
        len(ids),
        int(lengths.sum()),
        int(lengths.min()),
        int(lengths.max()),
        first,
        last,
        float(ranked / lengths.sum()),
    )


def longest_list(path, features: Features) -> int:
    """Ads in the longest list of a log, from the ids alone."""
    return LogFiles(path, features).list_lengths()[2]


def count(path, features: Features) -> int:
    """Impressions in a log, from the ids alone."""
    return LogFiles(path, features).list_lengths()[0]


def write_logs(path, tables) -> None:
    """Write pyarrow tables (or pandas frames), one after the other, as one log file."""
    writer = None
    with replacing(path) as temporary:
        try:
            for table in tables:
                table = (
                    table
                    if isinstance(table, pa.Table)
                    else pa.Table.from_pandas(table, preserve_index=False)
                )
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table)
        finally:
            if writer:
                writer.close()
        if writer is None:
            raise ValueError(f"{path}: a log needs at least one table of impressions")
