import numpy as np
import pytest

from lib.logs.encoding import encode
from lib.online.prediction_server.inputs import describe_inputs, encode_ads, read_inputs
from lib.online.prediction_server.protocol import RequestError
from tests.online.prediction_server.running import USER
from tests.small_log import FEATURES, make_log

AD_IDS = {"ad_id": np.array([3, 4])}


def test_values_are_encoded_as_a_log_s():
    rows = make_log(count=20).to_pylist()
    for row in rows:
        recent = np.array(row["recent"], np.int64)
        tensors = {
            "user_id": np.array([row["user_id"]]),
            "recent": recent,
            "user_vector": np.array(row["user_vector"], np.float32),
            "ad_id": np.array([row["ad_id"]]),
            "brand": np.array([row["brand"]], object),
            "bid": np.array([row["bid"]]),
        }
        inputs = read_inputs(tensors, FEATURES, 10)
        ads = encode_ads(FEATURES, inputs.raw_ads, np.arange(1))
        for feature in FEATURES.features:
            lists = feature.length or feature.name == "user_vector"
            raw = tensors[feature.name]
            expected = encode(feature, raw[None] if lists else raw)
            found = (inputs.user if feature.side == "user" else ads)[feature.name]
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype


def test_a_leading_axis_of_one_makes_no_difference():
    plain = read_inputs({**USER, **AD_IDS}, FEATURES, 2)
    lead = {name: x[None] for name, x in {**USER, **AD_IDS}.items()}
    again = read_inputs(lead, FEATURES, 2)
    for name, value in plain.user.items():
        np.testing.assert_array_equal(again.user[name], value)
    np.testing.assert_array_equal(again.ad_ids, plain.ad_ids)
    assert plain.raw_ads is None


@pytest.mark.parametrize("recent", [np.empty(0, np.int64), np.empty(0, object)])
def test_an_empty_list_is_a_list(recent):
    inputs = read_inputs({**USER, "recent": recent, **AD_IDS}, FEATURES, 2)
    assert inputs.user["recent"].tolist() == [[0, 0, 0]]


def test_words_are_ids_too():
    inputs = read_inputs(
        {**USER, "recent": np.array(["a", "", "b", "c"], object), **AD_IDS}, FEATURES, 2
    )
    feature = FEATURES.side("user")[1]
    expected = encode(feature, np.array([["a", "", "b"]], object))
    np.testing.assert_array_equal(inputs.user["recent"], expected)


def test_only_the_rows_asked_for_are_read():
    tensors = {**USER, **AD_IDS, "brand": np.array(["a", "b"], object), "bid": np.array([-1, 2.0])}
    inputs = read_inputs(tensors, FEATURES, 2)
    assert len(encode_ads(FEATURES, inputs.raw_ads, np.array([1]))["bid"]) == 1
    with pytest.raises(RequestError, match=r"'bid': found -1.0, expected a number >= 0"):
        encode_ads(FEATURES, inputs.raw_ads, np.array([0, 1]))


def test_metadata_name_every_input():
    described = {tensor["name"]: tensor for tensor in describe_inputs(FEATURES)}
    assert {*described} == {feature.name for feature in FEATURES.features}
    assert described["recent"]["parameters"]["datatypes"] == ["INT64", "BYTES"]
    optional = [name for name, t in described.items() if t["parameters"]["optional"]]
    assert optional == ["brand", "bid"]
