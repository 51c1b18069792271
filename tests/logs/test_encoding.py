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
def test_a_negative_id_is_an_id_like_any_other(dtype):
    """Hashes may have a sign; -1 alone is no id of a list."""
    places = encode(TAGS, np.array([[1, 2, 3], [3, -1, -7]], dtype)).tolist()
    assert places == [[2, 3, 4], [4, 0, 1 + -7 % 50]]
    unsigned = np.array([[1, 2, 255]], "uint8")
    assert encode(TAGS, unsigned)[0].tolist() == [2, 3, 1 + 255 % 50]


def test_an_id_is_folded_by_its_value_whatever_array_holds_it():
    ids = [0, 7, 123]
    for array in (np.array(ids, object), np.array(ids, "uint64"), [*map(np.int8, ids)]):
        assert fold(array, 50).tolist() == [0, 7, 23]
    beyond = [2**64 - 7, -7, 2**63]  # no type of NumPy's holds all three
    assert fold(np.array(beyond, object), 50).tolist() == [i % 50 for i in beyond]
    assert fold(np.array([2**64 - 7], "uint64"), 50).tolist() == [(2**64 - 7) % 50]
    assert fold(np.array([], float), 50).tolist() == []


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (np.array([5.0, 7.0]), "5.0"),
        (np.array([True]), "True"),
        (np.array([b"a"]), "b'a'"),
        (np.array([5, None]), "None"),
        (np.array(["a", np.nan], object), "nan"),
        (np.array([5, "a"], object), "integers among strings"),
        (np.array(["2026-11-01"], "datetime64[s]"), "2026-11-01"),
    ],
    ids=repr,
)
def test_what_is_no_id_is_refused_instead_of_hashed(ids, found):
    """A log refuses such a column: hashed, 5.0 would be another id than 5."""
    brand = Feature(name="brand", side="ad", kind="sparse", buckets=9)
    for feature, values in ((brand, ids), (TAGS, ids[:, None])):
        with pytest.raises(ValueError, match=f"feature '{feature.name}': found the id .*{found}"):
            encode(feature, values)


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("dense", 1e39, "1e+39"),
        ("dense", np.nan, "nan"),
        ("statistical", 1.7976931348623157e308, "1.79"),
        ("statistical", -1.0, "-1.0"),
        ("dense", "7", "expected numbers"),
        ("dense", True, "expected numbers"),
    ],
)
def test_numbers_that_a_log_is_refused_for_are_refused(kind, value, found):
    feature = Feature(name="x", side="ad", kind=kind)
    with pytest.raises(ValueError, match="feature 'x': ") as error:
        encode(feature, np.array([value]))
    assert found in str(error.value)


def test_lists_are_rows():
    with pytest.raises(ValueError, match=r"'tags': found ids of the shape \[3\]"):
        encode(TAGS, np.array([1, 2, 3]))
