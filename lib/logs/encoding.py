"""Raw values of a feature as what a model reads: ids folded, lists cut, counts in logarithms."""

import numpy as np
import pandas as pd

from lib.infra.grid import on_grid


def fold(values, buckets):
    """Ids to buckets 0 .. buckets - 1: integers modulo, strings by a fixed hash.

    >>> fold(np.array([3, 13]), 10).tolist()
    [3, 3]
    """
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer):
        values = pd.util.hash_array(values.astype(object))
    elif values.dtype.itemsize < 8:
        values = values.astype(np.int64)  # a small type could not hold `buckets`
    return (values % buckets).astype(np.int32)


def fold_listed(ids, buckets):
    """Ids of lists, any shape, to 1 .. buckets; 0 is an empty place, which -1 or "" marks.

    >>> fold_listed(np.array([13, 3, -1]), 10).tolist()
    [4, 4, 0]
    """
    ids = np.asarray(ids)
    folded = 1 + fold(ids.ravel(), buckets).reshape(ids.shape)
    return np.where(ids == empty_place(ids), 0, folded).astype(np.int32)


def empty_place(ids):
    """What marks a place of a list that holds no id: -1 among integers, "" among strings."""
    return -1 if np.issubdtype(ids.dtype, np.integer) else ""


def negative_ids(ids):
    """Where `ids` of lists are neither ids nor the mark of an empty place; bool, same shape."""
    if np.issubdtype(ids.dtype, np.signedinteger):
        return ids < -1
    return np.zeros(ids.shape, bool)


def encode(feature, values):
    """Raw values of one feature, [rows] or [rows, width], as what a model reads.

    For callers that hold features in arrays instead of a log. Lists of a multi_valued feature
    come as [rows, any]; -1 or "" marks an empty place, as in a log.

    Returns: int32 for ids, [rows] or [rows, length]; float32 for numbers, logarithms rounded to
      multiples of 2^-16.
    Raises: ValueError for a negative id in a list other than -1.
    """
    values = np.asarray(values)
    if feature.kind == "sparse":
        return fold(values, feature.buckets)
    if feature.kind == "multi_valued":
        if (bad := negative_ids(values)).any():
            raise ValueError(
                f"encode: feature {feature.name!r}: found the id {values[bad][0]}, "
                "expected ids >= 0, or -1 for an empty place"
            )
        folded = fold_listed(values[:, : feature.length], feature.buckets)
        return np.pad(folded, ((0, 0), (0, feature.length - folded.shape[1])))
    values = values.astype(np.float32)
    if feature.kind == "dense":
        return values
    # The same inputs, and so the same trained weights, on every processor.
    return on_grid(np.log1p(values.astype(np.float64)), 16).astype(np.float32)
