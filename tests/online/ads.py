"""Ads of the small log's declaration, as a catalogue holds them."""

import numpy as np
import pyarrow as pa

from lib.logs.encoding import encode
from tests.small_log import FEATURES


def make_ads(ids, seed=0):
    """A table of ads; an ad's features depend on its id alone."""
    ids = np.asarray(ids)
    return pa.table(
        {"ad_id": ids.astype(np.int64), "brand": [f"brand {i % 11}" for i in ids], "bid": ids / 7.0}
    )


def encoded(table):
    """What a model reads of them."""
    return {
        f.name: encode(f, np.array(table.column(f.name).to_pylist())) for f in FEATURES.side("ad")
    }
