"""The small log that several tests read."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lib.logs.features import Features

FEATURES = Features(
    features=[
        {"name": "user_id", "side": "user", "kind": "sparse", "buckets": 50, "width": 4},
        {
            "name": "recent",
            "side": "user",
            "kind": "multi_valued",
            "buckets": 9,
            "width": 2,
            "length": 3,
        },
        {"name": "user_vector", "side": "user", "kind": "dense", "width": 3},
        {"name": "ad_id", "side": "ad", "kind": "sparse", "buckets": 40, "width": 4},
        {"name": "brand", "side": "ad", "kind": "sparse", "buckets": 8, "width": 2},
        {"name": "bid", "side": "ad", "kind": "statistical"},
    ]
)


def make_log(count=300, seed=0, fewest=3, most=7):
    """Rows of `count` ragged impressions in which bid and ad_id decide the order."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(fewest, most + 1, count)
    owner = np.repeat(np.arange(count), lengths)
    rows = len(owner)
    user = rng.integers(0, 40, count)[owner]
    ad = rng.integers(0, 40, rows)
    bid = rng.lognormal(size=rows)
    merit = np.log(bid) + 0.05 * ad + 0.3 * rng.normal(size=rows)
    v = np.empty(rows)
    for start, length in zip(np.cumsum(lengths) - lengths, lengths, strict=True):
        part = slice(start, start + length)
        v[part] = np.argsort(np.argsort(merit[part]))
    recent = [list(range(u % 5)) for u in user]  # no, one, ... four ids; three are kept
    vector = (user[:, None] / np.array([1, 7, 31])).astype(np.float32)
    return pa.table(
        {
            "impression_id": 1000 + owner,
            "v": v,
            "timestamp": pa.array((owner * 10).astype("datetime64[s]"), pa.timestamp("s", "UTC")),
            "ecpm": np.where(v >= 2, np.exp(merit), 0.0),
            "user_id": user.astype(np.int32),
            "recent": pa.array(recent, pa.list_(pa.int32())),
            "user_vector": pa.FixedSizeListArray.from_arrays(pa.array(vector.ravel()), 3),
            "ad_id": ad.astype(np.int64),
            "brand": pa.array([f"brand {a % 11}" for a in ad]).dictionary_encode(),
            "bid": bid,
        }
    )


def write_parts(folder, *tables, name="part", **options):
    """A folder of Parquet files, one a table."""
    folder = Path(folder)
    for i, table in enumerate(tables):
        pq.write_table(table, folder / f"{name}_{i:03}.parquet", **options)
    return folder


def assert_same(first, second):
    """Impressions are equal to the last bit."""
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if isinstance(a, dict):
            assert list(a) == list(b)
        for x, y in zip(a.values(), b.values(), strict=True) if isinstance(a, dict) else [(a, b)]:
            np.testing.assert_array_equal(x, y)
            assert x.dtype == y.dtype
