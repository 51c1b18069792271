"""Raw values as what a model reads."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from lib.logs.encoding import encode, fold
from lib.logs.features import Feature
from tests.small_log import FEATURES

TAGS = Feature(name="tags", side="ad", kind="multi_valued", buckets=50, width=2, length=3)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_integers_fold_by_their_value_whatever_their_type(dtype):
    assert fold(np.array([0, 3, 127], dtype), 100).tolist() == [0, 3, 27]
    assert fold(np.array([0, 3, 127], dtype), 1000).tolist() == [0, 3, 127]


def test_strings_fold_the_same_in_every_version():
    # Trained embeddings belong to these places: another hash would shuffle them.
    names = np.array(["brand 1", "brand 2", "", "Größe"])
    assert fold(names, 1000).tolist() == [963, 987, 774, 173]
    assert fold(names.astype(object), 1000).tolist() == [963, 987, 774, 173]


def test_encode_agrees_with_a_log(batch, log):
    """Raw arrays, as a simulated world has them, encode as the log's rows do."""
    rows = pq.read_table(log).to_pandas().groupby("impression_id", sort=False).first().iloc[:32]
    raw = {
        "user_id": rows.user_id.to_numpy(),
        "user_vector": np.stack(rows.user_vector),
        "recent": np.array([[*ids, *[-1] * (4 - len(ids))] for ids in rows.recent]),
    }
    for feature in FEATURES.side("user"):
        np.testing.assert_array_equal(encode(feature, raw[feature.name]), batch.user[feature.name])
    clicks = FEATURES.side("user")[1]
    names = np.array([["a", "b"], ["b", ""]])
    got = encode(clicks, names)
    assert got.shape == (2, 3)
    assert got[0, 1] == got[1, 0] > 0 == got[1, 1] == got[0, 2]


@pytest.mark.parametrize(
    ("ids", "places"),
    [
        ([[5, -1, -1]], [6, 0, 0]),
        ([[-1, 5, 7]], [0, 6, 8]),
        ([["", "a", ""]], [0, 1 + int(fold(np.array(["a"]), 50)[0]), 0]),
        ([[49, 50, 101, -1]], [50, 1, 2]),
    ],
)
def test_a_place_without_an_id(ids, places):
    ids = np.array(ids)
    assert encode(TAGS, ids)[0].tolist() == places
    if ids.dtype.kind == "U":
        assert encode(TAGS, ids.astype(object))[0].tolist() == places


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
def test_negative_ids_of_a_list_are_refused(dtype):
    with pytest.raises(ValueError, match="feature 'tags': found the id -7, expected ids >= 0"):
        encode(TAGS, np.array([[1, 2, 3], [3, -1, -7]], dtype))
    unsigned = np.array([[1, 2, 255]], "uint8")
    assert encode(TAGS, unsigned)[0].tolist() == [2, 3, 1 + 255 % 50]
