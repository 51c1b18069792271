"""The features file: what it declares, what it refuses."""

import numpy as np
import pytest

from lib.logs.encoding import encode
from lib.logs.errors import LogError
from lib.logs.features import Features, load_features, save_features
from tests.small_log import FEATURES


def test_features_file_round_trip(tmp_path):
    save_features(tmp_path / "features.yaml", FEATURES)
    assert load_features(tmp_path / "features.yaml") == FEATURES


USER = "- {name: u, side: user, kind: dense}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("features: [", "not readable as YAML"),
        ("", "features: Input should be a valid dictionary"),
        ("columns: []", "features: Field required"),
        (
            "features:\n- {name: u, side: user, kind: dense, size: 3}",
            "features.0.size: Extra inputs",
        ),
        (
            "features:\n- {name: u, side: user, kind: text}",
            "'sparse', 'multi_valued', 'dense' or 'statistical'; got 'text'",
        ),
        (
            f"features:\n{USER}\n- {{name: a, side: advert, kind: dense}}",
            "features.1.side: Input should be 'user' or 'ad'; got 'advert'",
        ),
        (
            f"features:\n{USER}\n- {{name: u, side: ad, kind: dense}}",
            "feature names must be unique and not a log column; got ['u']",
        ),
        (f"features:\n{USER}\n- {{name: v, side: ad, kind: dense}}", "got ['v']"),
        (f"features:\n{USER}", "at least one feature of side 'ad' is needed"),
        ("features:\n- {name: u, side: user, kind: sparse}", "u is sparse, buckets = None"),
        ("features:\n- {name: u, side: user, kind: dense, buckets: 3}", "u is dense, buckets = 3"),
        (
            "features:\n- {name: u, side: user, kind: multi_valued, buckets: 3}",
            "u is multi_valued, length = None",
        ),
        ("features:\n- {name: u, side: user, kind: statistical, width: 2}", "u has width = 2"),
        (
            "features:\n- {name: u, side: user, kind: dense, width: 0}",
            "features.0.width: Input should be greater than 0; got 0",
        ),
        *(
            (
                f"features:\n- {{name: u, side: user, kind: sparse, buckets: {buckets}}}",
                f"features.0.buckets: Input should be less than 2147483647; got {buckets}",
            )
            for buckets in (2**31 - 1, 2**31, 10**12)
        ),
        (
            "features:\n- {name: u, side: user, kind: sparse, buckets: 9, width: 1000000000}",
            "features.0.width: Input should be less than or equal to 1000000; got 1000000000",
        ),
        (
            "features:\n- {name: u, side: user, kind: multi_valued, buckets: 9, length: 2000000}",
            "features.0.length: Input should be less than or equal to 1000000; got 2000000",
        ),
        (
            "features:\n- {name: u, side: user, kind: sparse, buckets: 9, buckets: 7}",
            "'buckets' is given twice",
        ),
        ("features: []\nfeatures: []", "'features' is given twice"),
        (
            "features:\n- {name: u, side: user, kind: sparse, buckets: 2000000000, width: 8}\n"
            "- {name: a, side: ad, kind: sparse, buckets: 2000000000, width: 8}",
            "fewer than 2^31 buckets together; got 4,000,000,002 of width 8",
        ),
        ("features:\n- {name: u, [a]: b}", "not readable as YAML"),
    ],
)
def test_a_features_file_that_cannot_be_used_is_refused(tmp_path, text, message):
    path = tmp_path / "features.yaml"
    path.write_text(text)
    with pytest.raises(LogError) as error:
        load_features(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def test_a_missing_features_file_is_refused(tmp_path):
    with pytest.raises(LogError, match="no such features file"):
        load_features(tmp_path / "features.yaml")


def test_features_can_be_left_out():
    left = FEATURES.without(["brand", "recent"])
    assert [f.name for f in left.features] == ["user_id", "user_vector", "ad_id", "bid"]
    assert FEATURES.width("user") - left.width("user") == 2
    with pytest.raises(ValueError, match=r"not declared: \['brnad'\]"):
        FEATURES.without(["brnad"])
    with pytest.raises(ValueError, match="side 'user'"):
        FEATURES.without(["user_id", "recent", "user_vector"])


def test_the_largest_buckets_fit(tmp_path):
    path = tmp_path / "features.yaml"
    path.write_text(
        "features:\n"
        "- {name: u, side: user, kind: multi_valued, buckets: 2147483646, length: 2}\n"
        "- {name: a, side: ad, kind: dense}"
    )
    user = load_features(path).features[0]
    assert encode(user, np.array([[2147483645, -1]])).tolist() == [[2147483646, 0]]


def test_what_is_no_features_file_is_refused(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("features: Größe".encode("latin-1"))
    with pytest.raises(LogError, match=rf"{latin}: found the byte 0xf6, expected text in UTF-8"):
        load_features(latin)
    with pytest.raises(LogError, match=rf"{tmp_path}: not a features file: "):
        load_features(tmp_path)
    with pytest.raises(LogError, match="features: no file is named"):
        load_features("")


def test_names_of_any_alphabet(tmp_path):
    features = Features(
        features=[
            {"name": "Größe", "side": "user", "kind": "dense"},
            {"name": "価格", "side": "ad", "kind": "dense"},
        ]
    )
    save_features(tmp_path / "features.yaml", features)
    assert load_features(tmp_path / "features.yaml") == features


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("kind: sparse, buckets: true", "features.0.buckets: Input should be a valid integer"),
        ("kind: sparse, buckets: 1e6", "buckets: Input should be a valid integer; got '1e6'"),
        ("kind: sparse, buckets: '9'", "buckets: Input should be a valid integer; got '9'"),
        ("kind: sparse, buckets: 2.5", "buckets: Input should be a valid integer; got 2.5"),
        ("kind: sparse, buckets: 0", "buckets: Input should be greater than 0; got 0"),
        ("kind: sparse, buckets: -1", "buckets: Input should be greater than 0; got -1"),
        ("kind: dense, width: [2]", "width: Input should be a valid integer; got [2]"),
        ("kind: multi_valued, buckets: 9, length: 0", "length: Input should be greater than 0"),
        ("kind: dense, side: ad, side: user", "'side' is given twice"),
        ("kind: dense, width: !!int abc", "not readable as YAML: invalid literal"),
        ("kind: dense, width: 2026-13-01", "not readable as YAML: month must be in 1..12"),
        ("kind: !!python/object:os.system x", "not readable as YAML: could not determine"),
    ],
)
def test_a_field_that_is_none_is_refused(tmp_path, fields, message):
    path = tmp_path / "features.yaml"
    side = "" if "side" in fields else "side: user, "
    path.write_text(f"features:\n- {{name: u, {side}{fields}}}")
    with pytest.raises(LogError) as error:
        load_features(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"a{i}: &a{i} [{', '.join(9 * [f'*a{i - 1}' if i else 'x'])}]\n" for i in range(9))
        + "features: *a8",
        "[" * 2000,
        "features: " + "x" * 10_000,
        "{name: u}\x00".encode("utf-16").decode("latin-1"),
    ],
    ids=["many laughs", "deep", "long", "zeros"],
)
def test_what_is_no_declaration_is_refused_in_a_short_line(tmp_path, text):
    path = tmp_path / "features.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LogError) as error:
        load_features(path)
    assert str(error.value).startswith(f"{path}: ") and len(str(error.value)) < 500
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_is_named(tmp_path, encoding):
    path = tmp_path / "features.yaml"
    path.write_bytes(f"features:\n{USER}\n# Größe".encode(encoding))
    with pytest.raises(LogError, match=rf"{path}: found the byte 0x.., expected text in UTF-8"):
        load_features(path)


def test_a_log_in_the_place_of_a_features_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "features.yaml"
    with open(path, "wb") as file:
        file.truncate(50_000_000_000)  # sparse: it takes no room
    with pytest.raises(LogError, match=rf"{path}: not a features file: found more than 10,000,000"):
        load_features(path)
    with pytest.raises(LogError, match="/dev/zero: not a features file: expected a file"):
        load_features("/dev/zero")


def test_a_byte_order_mark_is_read_over(tmp_path):
    save_features(tmp_path / "features.yaml", FEATURES)
    marked = b"\xef\xbb\xbf" + (tmp_path / "features.yaml").read_bytes()
    (tmp_path / "features.yaml").write_bytes(marked)
    assert load_features(tmp_path / "features.yaml") == FEATURES
