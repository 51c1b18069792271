"""Raw values of a feature as what a model reads: ids folded, lists cut, counts in logarithms.

A log's rows and the raw values of a request go through the same functions, so that a model meets
in use what it was trained on: ids by their value whatever type holds them, the same mark of an
empty place, numbers in float32 before anything is made of them.
"""

import numpy as np
import pandas as pd

from lib.infra.grid import on_grid

FLOAT32 = "a finite number within ±3.4e38 (float32)"


def fold(values, buckets):
    """Ids to buckets 0 .. buckets - 1: integers modulo, strings by a fixed hash.

    A negative integer is an id like any other; the modulo is Python's.

    Raises: ValueError for what is neither, such as 5.0: as text or number it has another bucket.

    >>> fold(np.array([3, 13, -7]), 10).tolist()
    [3, 3, 3]
    """
    values = plain_ids(values)
    if is_text(values):
        values = pd.util.hash_array(values.astype(object))
    elif values.dtype.kind in "iu" and values.dtype.itemsize < 8:
        values = values.astype(np.int64)  # a small type could not hold `buckets`
    return (values % buckets).astype(np.int32)


def fold_listed(ids, buckets):
    """Ids of lists, any shape, to 1 .. buckets; 0 is an empty place, which -1 or "" marks.

    Other negative integers are ids, as in `fold`: hashes may have a sign.

    >>> fold_listed(np.array([13, 3, -1, -7]), 10).tolist()
    [4, 4, 0, 4]
    """
    ids = plain_ids(ids)
    folded = 1 + fold(ids.ravel(), buckets).reshape(ids.shape)
    return np.where(ids == empty_place(ids), 0, folded).astype(np.int32)


def plain_ids(values):
    """Ids as an array of integers or of strings, or of Python's integers where no type holds all.

    Raises: ValueError naming the first value that is neither integer nor string.
    """
    values = np.asarray(values)
    if values.dtype.kind in "iuU":
        return values
    if values.dtype.kind != "O":
        if not values.size:  # NumPy calls an empty list one of floats
            return values.astype(np.int64)
        raise ValueError(f"found the id {values.flat[0]!r}, expected integers or strings")
    kinds = pd.api.types.infer_dtype(values.ravel(), skipna=False)
    if kinds in ("string", "empty"):
        return values
    if kinds == "integer":
        for kind in (np.int64, np.uint64):
            try:
                return values.astype(kind)
            except OverflowError:
                continue
        return values
    strange = [repr(x) for x in values.flat if not _may_be_id(x)]
    found = strange[0] if strange else "integers among strings"
    raise ValueError(f"found the id {found}, expected all integers or all strings")


def is_text(ids) -> bool:
    """Whether `plain_ids` are strings."""
    return ids.dtype.kind == "U" or (ids.dtype.kind == "O" and isinstance(next(ids.flat, ""), str))


def empty_place(ids):
    """What marks a place of a list that holds no id: -1 among integers, "" among strings."""
    return "" if is_text(ids) else -1


def beyond_float32(values):
    """Where numbers are not finite as float32, in which models read them; bool, same shape.

    >>> beyond_float32(np.array([1.0, 1e39, np.nan])).tolist()
    [False, True, True]
    """
    with np.errstate(over="ignore"):
        return ~np.isfinite(values.astype(np.float32))


def encode(feature, values):
    """Raw values of one feature, [rows] or [rows, width], as what a model reads.

    For callers that hold features in arrays instead of a log. Lists of a multi_valued feature
    come as [rows, any]; -1 or "" marks an empty place, as in a log.

    Returns: int32 for ids, [rows] or [rows, length]; float32 for numbers, logarithms rounded to
      multiples of 2^-16.
    Raises: ValueError for what a log would be refused for: an id that is no integer or string, a
      number that float32 does not hold, a negative count.

    >>> from lib.logs.features import Feature
    >>> tags = Feature(name="tags", side="ad", kind="multi_valued", buckets=50, length=3)
    >>> encode(tags, np.array([[5, -1]])).tolist()
    [[6, 0, 0]]
    """
    values = np.asarray(values)
    if feature.buckets:
        try:
            values = plain_ids(values)
        except ValueError as error:
            raise ValueError(f"encode: feature {feature.name!r}: {error}") from None
    if feature.kind == "sparse":
        return fold(values, feature.buckets)
    if feature.kind == "multi_valued":
        if values.ndim != 2:
            raise ValueError(
                f"encode: feature {feature.name!r}: found ids of the shape {list(values.shape)}, "
                "expected [rows, any], short lists padded with -1"
            )
        folded = fold_listed(values[:, : feature.length], feature.buckets)
        return np.pad(folded, ((0, 0), (0, feature.length - folded.shape[1])))
    if values.dtype.kind not in "iuf":
        raise ValueError(
            f"encode: feature {feature.name!r}: found {values.dtype}, expected numbers"
        )
    _refuse(feature, beyond_float32(values), values, FLOAT32)
    if feature.kind == "statistical":
        _refuse(feature, values < 0, values, "a number >= 0 (it gets log1p)")
    return encoded_numbers(feature, values)


def encoded_numbers(feature, values):
    """Checked numbers as a model reads them, float32.

    A count is rounded to float32 first: a request may bring no more digits than that.
    """
    values = values.astype(np.float32)
    if feature.kind == "dense":
        return values
    # The same inputs, and so the same trained weights, on every processor.
    return on_grid(np.log1p(values.astype(np.float64)), 16).astype(np.float32)


def _may_be_id(value):
    return isinstance(value, (str, int, np.integer)) and not isinstance(value, bool)


def _refuse(feature, bad, values, expected):
    if bad.any():
        raise ValueError(
            f"encode: feature {feature.name!r}: found {values[bad].flat[0]}, expected {expected}"
        )
