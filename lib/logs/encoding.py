"""Raw values of a feature as what a model reads: ids folded, lists cut, counts in logarithms."""

import numpy as np
import pandas as pd


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


def encode(feature, values):
    """Raw values of one feature, [rows] or [rows, width], as what a model reads.

    For callers that hold features in arrays instead of a log; lists of a
    multi_valued feature come as [rows, any] with negative ids where empty.
    """
    values = np.asarray(values)
    if feature.kind == "sparse":
        return fold(values, feature.buckets)
    if feature.kind == "multi_valued":
        kept = values[:, : feature.length]
        empty = kept < 0 if np.issubdtype(kept.dtype, np.integer) else kept == ""
        folded = np.where(empty, 0, 1 + fold(kept.ravel(), feature.buckets).reshape(kept.shape))
        return np.pad(folded, ((0, 0), (0, feature.length - kept.shape[1]))).astype(np.int32)
    values = values.astype(np.float32)
    return np.log1p(values) if feature.kind == "statistical" else values
