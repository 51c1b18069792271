"""Which rows of which embedding table belong to a feature.

Features of one width share a table: one lookup a side instead of one a feature, which is most of a
small model's step. This knows no engine, so that servers may read it without TensorFlow.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple


class FeatureTables(NamedTuple):
    """Where features begin in their tables.

    Attributes:
      first_row: name of an embedded feature -> its first row in the table of its width.
      rows: width -> rows of that table, in the order in which a side's vectors are concatenated.
    """

    first_row: dict[str, int]
    rows: dict[int, int]


def feature_tables(features: Iterable[Any]) -> FeatureTables:
    """The tables of declared features, which have `name`, `width` and `buckets` (None: a number).

    >>> from types import SimpleNamespace as Feature
    >>> feature_tables([Feature(name="user", width=4, buckets=9),
    ...     Feature(name="ad", width=4, buckets=5), Feature(name="bid", width=1, buckets=None)])
    FeatureTables(first_row={'user': 0, 'ad': 10}, rows={4: 16})
    """
    first_row, rows = {}, {}
    for feature in features:
        if feature.buckets:
            first_row[feature.name] = rows.get(feature.width, 0)
            # One row more for the empty places of a list.
            rows[feature.width] = first_row[feature.name] + feature.buckets + 1
    return FeatureTables(first_row, rows)
