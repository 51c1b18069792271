"""What a log is, in about a second and before anything is trained on it.

Reads the footers of the files, the impressions' ids, and the first impressions whole;
`lib.logs.reader.check` reads every row.
"""

import numbers
import os

import numpy as np
import pyarrow.parquet as pq

from lib.logs.columns import block_arrays
from lib.logs.description import defined_metrics
from lib.logs.errors import LogError
from lib.logs.features import Features, load_features
from lib.logs.log_files import VALUES, LogFiles

FIRST_IMPRESSIONS = 4096  # that are read whole,
MOST_ADS = 1 << 20  # padded, if that is not too many ads
FAR_LONGER = 20  # times the mean: such a list may be many that share an id by mistake


def preview(logs, features) -> dict:
    """A log held against its features file.

    Args:
      logs: path of a Parquet file, or of a folder of them; features: path of the features file, or
        a `Features` declaration.

    Returns: name -> plain value:
      files, rows, impressions: how many; shortest, longest: ads of a list.
      first, last: timestamps, datetime64[us], UTC; NaT where the files' footers do not say.
      columns: name -> Arrow type that each column to be read has.
      unread: columns, and names of folders `name=value`, that the features file does not declare.
      embedding_bytes: of the declared features' tables, float32.
      money: whether an ad has ecpm > 0; None where the footers do not say.
      metrics: names of the metrics that such a log defines.
      notes: sentences on what a reader may not expect.
    Raises: LogError for what is no log of these features, as far as the first impressions tell.
    """
    declared = features if isinstance(features, Features) else load_features(features)
    log = LogFiles(logs, declared)
    _refuse_overlap(log)
    impressions, shortest, longest = log.list_lengths()
    some = max(1, min(FIRST_IMPRESSIONS, MOST_ADS // longest))
    for row, table, starts in log.blocks(some, stop=some):
        block_arrays(log, row, table, starts, longest)
    embedding_bytes = _embedding_bytes(declared, features)
    known = all(span is not None for span in log.spans)
    ecpm, v = _ends(log, "ecpm"), _ends(log, "v")
    if v is not None and v[0] < 0:
        raise LogError(f"{logs}: column 'v': found {v[0]}, expected {VALUES['v']}")
    about = {
        "files": len(log.files),
        "rows": int(log.ends[-1]),
        "impressions": impressions,
        "shortest": shortest,
        "longest": longest,
        "first": log.spans[0][0] if known else np.datetime64("NaT", "us"),
        "last": log.spans[-1][1] if known else np.datetime64("NaT", "us"),
        "columns": {field.name: str(field.type) for field in log.schema},
        "unread": log.unread,
        "embedding_bytes": embedding_bytes,
        "money": None if ecpm is None else bool(ecpm[1] > 0),
    }
    notes = [
        *_notes(about),
        *(
            f"feature {name!r} holds the id {lowest}: in a list only -1 marks an empty place"
            for name, lowest in _negative_ids(log).items()
        ),
    ]
    return about | {"metrics": defined_metrics(about["money"] is not False), "notes": notes}


def _notes(about):
    notes = []
    if about["money"] is False:
        notes.append(
            "no ad has ecpm > 0: metrics of money are undefined; "
            f"{', '.join(defined_metrics(False))} remain"
        )
    if about["shortest"] == 1:
        notes.append("some lists hold one ad: there is nothing to order in them")
    if about["longest"] == 1:
        notes[-1] = "every list holds one ad: there is nothing to learn an order from"
    mean = about["rows"] / about["impressions"]
    if about["longest"] > FAR_LONGER * mean:
        notes.append(
            f"the longest list holds {about['longest']:,} ads, the mean one {mean:.1f}: all lists "
            "of a batch take its length; do its ads share an impression_id by mistake?"
        )
    if about["unread"]:
        notes.append(f"not declared as features, and not read: {', '.join(about['unread'])}")
    return notes


def _refuse_overlap(log):
    """LogError for files that cannot be read one after the other in time order."""
    if any(span is None for span in log.spans):
        return
    for i in range(1, len(log.files)):
        (_, end), (begin, _) = log.spans[i - 1], log.spans[i]
        if begin < end:
            raise LogError(
                f"{log.files[i]}: column 'timestamp': begins at {begin}, before "
                f"{log.files[i - 1]} ends at {end}; expected files that follow each other in time"
            )


def _ends(log, column):
    """(lowest, largest) number of a column or of its lists, from the footers; None: not there."""
    low, high = [], []
    for file in log.files:
        metadata = pq.read_metadata(file)
        paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        places = [i for i, path in enumerate(paths) if path.split(".")[0] == column]
        if len(places) != 1:
            return None
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            statistics = group.column(places[0]).statistics
            if group.num_rows == 0:
                continue
            if statistics is None or not statistics.has_min_max:
                return None
            if not isinstance(statistics.min, numbers.Number):  # texts, and float16
                return None
            low.append(statistics.min)
            high.append(statistics.max)
    return min(low), max(high)


def _negative_ids(log):
    """Name -> lowest id of lists that hold negative ones but for the mark of an empty place."""
    found = {}
    for feature in log.features.features:
        ends = _ends(log, feature.name) if feature.kind == "multi_valued" else None
        if ends and isinstance(ends[0], int) and ends[0] < -1:
            found[feature.name] = ends[0]
    return found


def _embedding_bytes(declared, source):
    """Of the tables of all declared ids; LogError where this machine cannot hold them."""
    sizes = {
        feature.name: 4 * feature.width * (feature.buckets + 1)
        for feature in declared.features
        if feature.buckets
    }
    total, memory = sum(sizes.values()), _memory_bytes()
    if memory and 2 * total > memory:  # Adagrad holds a number beside each
        name = max(sizes, key=sizes.get)
        where = "features" if isinstance(source, Features) else source
        raise LogError(
            f"{where}: feature {name!r}: its embeddings take {_gigabytes(sizes[name])} (buckets x "
            f"width x 4 bytes), all of them {_gigabytes(total)} and a training twice as much; "
            f"expected less than the {_gigabytes(memory)} of this machine's memory"
        )
    return total


def _memory_bytes():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not on every system
        return 0


def _gigabytes(size):
    return f"{size / 1e9:.3g} GB"
