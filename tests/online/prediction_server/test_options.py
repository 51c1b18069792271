import pydantic
import pytest

from lib.online.prediction_server.options import Options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"host": "0.0.0.0"}, "host '0.0.0.0' is not the loopback: clients must prove themselves"),
        ({"host": "example.org"}, "not the loopback"),
        ({"host": "::"}, "not the loopback"),
        ({"certificate": "c.pem"}, "certificate and key belong together"),
        ({"host": "0.0.0.0", "client_ca": "ca.pem"}, "needs the server's own certificate"),
        ({"precision": "fp16"}, "precision of onnxruntime must be one of fp32; got 'fp16'"),
        ({"engine": "openvino", "warm_up": (1, 2, 3, 4)}, r"at most 4 .* got \[1, 2, 3, 4, 1500\]"),
        ({"name": "a/b"}, "name"),
        ({"workers": 0}, "workers"),
        ({"deadline_seconds": float("inf")}, "deadline_seconds"),
        ({"colour": 1}, "colour"),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        Options(store="exports", **given)


def test_other_addresses_are_open_to_clients_that_prove_themselves(tmp_path):
    assert Options(store="s", host="0.0.0.0", token_file=tmp_path / "token").host == "0.0.0.0"
    tls = {"certificate": "c.pem", "key": "k.pem", "client_ca": "ca.pem"}
    assert Options(store="s", host="0.0.0.0", **tls).client_ca.name == "ca.pem"


@pytest.mark.parametrize("token", ["", "short", "two words of a long token", "ümlaute" * 4])
def test_a_token_must_be_a_secret(tmp_path, token):
    (tmp_path / "token").write_text(token, encoding="utf-8")
    options = Options(store="s", token_file=tmp_path / "token")
    with pytest.raises(ValueError, match="one word of at least 16 ASCII characters"):
        options.token()
