"""A block of a log's rows as arrays: features encoded, lists padded."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.logs.column_types import is_text
from lib.logs.encoding import FLOAT32, beyond_float32, encoded_numbers, fold, fold_listed, plain_ids
from lib.logs.impressions import Impressions
from lib.logs.log_files import LogFiles, numpy_values, timestamps


def block_arrays(log: LogFiles, row, table, starts, ads) -> Impressions:
    """The impressions of a block, padded to `ads` ads.

    Args:
      log: that the block is of.
      row, table, starts: a block of `LogFiles.blocks`.
      ads: of a list; LogError for a longer one.
    """
    lengths = np.diff(starts, append=len(table))
    if lengths.max() > ads:
        longer = int(np.argmax(lengths > ads))
        raise log.error(
            row + int(starts[longer]),
            "impression_id",
            f"a list of {lengths[longer]} ads",
            f"at most {ads}",
        )
    of_impression = ["impression_id", "timestamp", *(f.name for f in log.features.side("user"))]
    users = table.select(list(dict.fromkeys(of_impression))).take(starts)
    return impression_arrays(log, row + starts, users, row, table, starts, ads)


def impression_arrays(log, user_row, users, row, table, starts, ads) -> Impressions:
    """Impressions, padded to `ads` ads, of a table of them and one of their ads.

    Args:
      log: has `features` and `extra`, and refuses rows as `LogFiles.refuse` does.
      user_row, users: impression_id, timestamp and the users' features, a row an impression.
      row, table, starts: v, ecpm, the ads' features and extra columns, a row an ad, and where each
        impression begins in it.
      ads: no fewer than the longest list.
    """
    lengths = np.diff(starts, append=len(table))
    mask = np.arange(ads) < lengths[:, None]
    real = np.flatnonzero(mask)  # where each row goes: rows lie as their impressions do

    def padded(values):
        fill = 0 if values.dtype.kind in "biuf" else None
        lists = np.full((mask.size, *values.shape[1:]), fill, values.dtype)
        lists[real] = values
        return lists.reshape(*mask.shape, *values.shape[1:])

    user = {
        feature.name: encoded_column(log, user_row, users, feature)
        for feature in log.features.side("user")
    }
    ad = {
        feature.name: padded(encoded_column(log, row, table, feature))
        for feature in log.features.side("ad")
    }
    return Impressions(
        numpy_values(users.column("impression_id")).astype(np.int64, copy=False),
        timestamps(users),
        user,
        ad,
        padded(numpy_values(table.column("v")).astype(float)),
        padded(numpy_values(table.column("ecpm")).astype(float)),
        mask,
        {name: padded(numpy_values(table.column(name))) for name in log.extra},
    )


def encoded_column(log, row, table, feature):
    """One feature column of a block as a model reads it, [rows] or [rows, width].

    Args:
      log: refuses rows as `LogFiles.refuse` does.
      row, table, feature: `row` is where `table` begins in the log, or where each of its rows
        lies.

    Raises: LogError for the first value that cannot be encoded.
    """
    column = table.column(feature.name).combine_chunks()
    if feature.kind == "multi_valued":
        return _encoded_lists(log, row, table, feature, column)
    if feature.kind == "sparse":
        ids, places = _ids(log, row, table, feature, column)
        folded = fold(ids, feature.buckets)
        return folded if places is None else folded[places]
    if feature.width > 1:
        lengths = numpy_values(pc.list_value_length(column))
        expected = f"a list of {feature.width} numbers"
        log.refuse(row, lengths != feature.width, feature.name, table, expected)
        values = numpy_values(column.flatten()).reshape(len(column), feature.width)
    else:
        values = numpy_values(column)
    bad = beyond_float32(values).reshape(len(column), -1).any(axis=1)
    log.refuse(row, bad, feature.name, table, FLOAT32)
    if feature.kind == "statistical":
        log.refuse(row, values < 0, feature.name, table, "a number >= 0 (it gets log1p)")
    return encoded_numbers(feature, values)


def _encoded_lists(log, row, table, feature, column):
    """Lists of ids as [rows, length]; 0 is an empty place, ids begin at 1."""
    lengths = numpy_values(pc.list_value_length(column))
    values = column.flatten()
    owner = np.repeat(np.arange(len(column)), lengths)
    if values.null_count:
        bad = np.zeros(len(column), bool)
        bad[owner[pc.is_null(values).to_numpy(zero_copy_only=False)]] = True
        log.refuse(row, bad, feature.name, table, "a list of ids without nulls")
    place = np.arange(feature.length)
    real = place < lengths[:, None]
    encoded = np.zeros((len(column), feature.length), np.int32)
    if len(values):
        ids, places = _ids(log, row, table, feature, values, owner)
        folded = fold_listed(ids, feature.buckets)
        folded = folded if places is None else folded[places]
        first = np.cumsum(lengths) - lengths
        encoded[real] = folded[(first[:, None] + place)[real]]
    return encoded


def _ids(log, row, table, feature, column, owner=None):
    """Ids of an Arrow array as (NumPy's different ones, where each lies; or all of them, None).

    Args:
      owner: of each id, the row of `table` that it is of; None: ids are rows.
    """
    if is_text(column.type) or pa.types.is_decimal(column.type):
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()  # each is hashed once
        try:
            ids = numpy_values(column.dictionary)
        except (UnicodeDecodeError, pa.ArrowException):
            _refuse_bytes(log, row, table, feature, column, owner)
            raise
        if pa.types.is_decimal(column.type.value_type):
            ids = plain_ids(np.array([int(x) for x in ids], object))
        return ids, numpy_values(column.indices)
    return numpy_values(column), None


def _refuse_bytes(log, row, table, feature, column, owner):
    """LogError for the first id that is no text in UTF-8."""
    texts = column.dictionary.cast(pa.large_string())
    whole = [_is_utf8(text.as_buffer().to_pybytes()) for text in texts]
    bad = ~np.array(whole)[numpy_values(column.indices)]
    rows = np.zeros(len(table), bool)
    rows[bad if owner is None else owner[bad]] = True
    log.refuse(row, rows, feature.name, table, "text in UTF-8")


def _is_utf8(content):
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
