"""A running server, asked by a client that nobody here wrote and by plain HTTP."""

import json
import re
import threading

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.online.ads import make_ads
from tests.online.prediction_server.running import (
    ADS,
    USER,
    World,
    body_of,
    call,
    expected_scores,
    infer,
    running,
    tensor,
    until,
)

NAME = "pre_ranking"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"))
    world.publish(3)
    return world


@pytest.fixture(scope="module")
def server(world):
    with running(world.options()) as server:
        yield server


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.address.removeprefix("http://")) as client:
        yield client


def triton_inputs(ad_ids, binary=True, user=USER):
    inputs = []
    for name, array in {**user, "ad_id": np.asarray(ad_ids, np.int64)}.items():
        kind = {"i": "INT64", "f": "FP32", "O": "BYTES"}[array.dtype.kind]
        inputs.append(triton.InferInput(name, list(array.shape), kind))
        inputs[-1].set_data_from_numpy(array, binary_data=binary)
    return inputs


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_triton_s_client_gets_the_model_s_scores(world, client, binary_in, binary_out):
    outputs = None
    if binary_out is not None:
        outputs = [triton.InferRequestedOutput("scores", binary_data=binary_out)]
    ad_ids = ADS[::-3]
    answer = client.infer(
        NAME, triton_inputs(ad_ids, binary_in), outputs=outputs, request_id="a request"
    )
    expected = world.expected(3, ad_ids)
    np.testing.assert_allclose(answer.as_numpy("scores"), expected, rtol=0, atol=1e-5)
    response = answer.get_response()
    assert (response["model_name"], response["model_version"]) == (NAME, "3")
    assert response["id"] == "a request"


def test_triton_s_client_finds_its_way(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(NAME) and client.is_model_ready(NAME, "3")
    assert not client.is_model_ready(NAME, "4") and not client.is_model_ready("another")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    described = client.get_model_metadata(NAME)
    assert described["versions"] == ["3"]
    assert {i["name"]: (i["datatype"], i["shape"]) for i in described["inputs"]} == {
        "user_id": ("INT64", [1]),
        "recent": ("INT64", [-1]),
        "user_vector": ("FP32", [3]),
        "ad_id": ("INT64", [-1]),
        "brand": ("INT64", [-1]),
        "bid": ("FP32", [-1]),
    }
    assert client.get_model_repository_index() == [{"name": NAME, "version": "3", "state": "READY"}]
    with pytest.raises(InferenceServerException, match="version '9' is not loaded; version 3 ser"):
        client.infer(NAME, triton_inputs(ADS), model_version="9")


def test_ads_that_the_parts_lack_are_computed_on_the_spot(world, server):
    _, _, before = call(server.address, "GET", "/metrics")
    raw = make_ads([105, 7777])  # the first is known, and its parts are taken
    brand, bid = (np.array(raw.column(name).to_pylist()) for name in ("brand", "bid"))
    status, _, answer = infer(server.address, [105, 7777], brand=brand.astype(object), bid=bid)
    assert status == 200
    expected = expected_scores(world.models[3], raw)
    np.testing.assert_allclose(answer["outputs"][0]["data"], expected, atol=1e-5)
    _, _, after = call(server.address, "GET", "/metrics")
    for found, more in (("hit", 1), ("miss", 1)):
        name = f'prediction_ad_parts_total{{found="{found}"}}'
        assert value(after, name) == value(before, name) + more


def test_unknown_ads_are_named(server):
    status, _, answer = infer(server.address, [105, 5, 4, 3, 2, 1, 0])
    assert status == 400
    assert "unknown ads 5, 4, 3, 2, 1 and 1 more; send their raw features" in answer["error"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_id": None}, "'user_id' is missing"),
        ({"ad_id": None}, "'ad_id' is missing"),
        ({"ad_id": np.arange(3, dtype=np.int32)}, "found INT32, expected INT64"),
        ({"ad_id": np.arange(1501)}, r"found the shape \[1501\], expected .* 1 to 1500"),
        ({"ad_id": np.empty(0, np.int64)}, r"found the shape \[0\]"),
        ({"colour": np.arange(3)}, "'colour' is not an input of this model, which reads user_id"),
        ({"user_id": np.array([1.5])}, "'user_id': found FP64, expected ids"),
        ({"user_id": np.array([1, 2])}, r"'user_id': found the shape \[2\], expected \[1\]"),
        ({"recent": np.array([1.0, 2.0])}, "'recent': found FP64, expected ids"),
        ({"user_vector": np.ones(2)}, r"'user_vector': found the shape .*expected \[3\]"),
        ({"user_vector": np.array([1, 1e39, 1])}, r"found 1e\+39, expected a finite FP32"),
        ({"bid": np.ones(3)}, "'brand' is missing: raw ad features come all or not at all"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(server, change, message):
    tensors = {**USER, "ad_id": ADS[:3], **change}
    given = {name: array for name, array in tensors.items() if array is not None}
    body = json.dumps({"inputs": [tensor(name, x) for name, x in given.items()]})
    status, _, answer = call(server.address, "POST", f"/v2/models/{NAME}/infer", body)
    assert status == 400 and list(answer) == ["error"]
    assert re.search(message, answer["error"]), answer


def test_other_paths_and_models_are_errors_in_json(server):
    for path, status in (("/v2/models/another/infer", 404), ("/v2/nothing", 404)):
        found, _, answer = call(server.address, "POST", path, body_of(ADS))
        assert found == status and list(answer) == ["error"]
    found, _, answer = call(server.address, "GET", f"/v2/models/{NAME}/infer")
    assert found == 405 and list(answer) == ["error"]


def value(text, name):
    (line,) = [line for line in text.decode().splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[-1])


def test_metrics(server):
    infer(server.address, ADS)
    infer(server.address, [1])
    text = call(server.address, "GET", "/metrics")[2]
    assert value(text, "prediction_model_version") == 3
    assert value(text, "prediction_staleness_seconds") > 0
    assert 0 < value(text, "prediction_p50_seconds") <= value(text, "prediction_p99_seconds") < 5
    assert value(text, "prediction_request_seconds_count") >= 1
    assert value(text, 'prediction_errors_total{kind="unknown_ad"}') >= 1
    assert value(text, 'prediction_reloads_total{outcome="good"}') == 1


def test_sizes_are_limited_before_anything_is_parsed(world):
    with running(world.options(max_bytes=1000, max_candidates=4)) as server:
        path = f"/v2/models/{NAME}/infer"
        status, _, answer = call(server.address, "POST", path, b"x" * 1001)
        assert status == 413 and "the body has 1001 bytes; at most 1000" in answer["error"]
        chunks = iter([b"x" * 600, b"x" * 600])  # without a content-length
        status, _, answer = call(server.address, "POST", path, chunks)
        assert status == 413 and "more than 1000" in answer["error"]
        assert infer(server.address, ADS[:5])[0] == 400
        assert infer(server.address, ADS[:4])[0] == 200
        # A refused body leaves the connection fit for the next request.
        with triton.InferenceServerClient(server.address.removeprefix("http://")) as client:
            with pytest.raises(InferenceServerException, match="at most 1000 are taken"):
                client.infer(NAME, triton_inputs(np.arange(2000)))
            client.infer(NAME, triton_inputs(ADS[:4]))


def test_a_token_is_asked_for_where_one_is_set(world, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("a-secret-of-24-characters\n")
    with running(world.options(token_file=secret)) as server:
        assert call(server.address, "GET", "/v2/health/ready")[0] == 200
        for headers in ({}, {"Authorization": "Bearer another"}):
            status, found, answer = infer(server.address, ADS, headers=headers)
            assert status == 401 and found["www-authenticate"] == "Bearer"
            assert "bearer token is needed" in answer["error"]
            assert call(server.address, "GET", "/metrics", headers=headers)[0] == 401
        right = {"Authorization": "Bearer a-secret-of-24-characters"}
        assert infer(server.address, ADS, headers=right)[0] == 200


def test_web_pages_may_not_send_commands(server):
    path, headers = f"/v2/repository/models/{NAME}/load", {"Origin": "http://elsewhere"}
    assert call(server.address, "POST", path, "{}", headers)[0] == 403


def test_before_the_first_version_it_says_that_it_is_not_ready(tmp_path):
    world = World(tmp_path)
    with running(world.options(), ready=False) as server:
        assert call(server.address, "GET", "/v2/health/live")[0] == 200
        assert call(server.address, "GET", "/v2/health/ready")[0] == 503
        status, headers, answer = infer(server.address, ADS)
        assert (status, headers["retry-after"]) == (503, "1")
        assert "no version of the model is loaded yet" in answer["error"]
        world.publish(1)
        until(lambda: call(server.address, "GET", "/v2/health/ready")[0] == 200)


def test_versions_are_swapped_under_load_and_never_mixed(tmp_path):
    world = World(tmp_path)
    world.publish(1)
    expected, ad_ids = {1: world.expected(1, ADS)}, ADS
    found, failed, done = [], [], threading.Event()

    def ask(address):
        while not done.is_set():
            status, _, answer = infer(address, ad_ids)
            if status == 200:
                found.append((answer["model_version"], answer["outputs"][0]["data"]))
            else:
                failed.append(answer)

    with running(world.options()) as server:
        threads = [threading.Thread(target=ask, args=[server.address]) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for version in range(2, 7):
                world.publish(version, parts=False)
                expected[version] = world.expected(version, ADS)
                world.produce(version)
                until(lambda v=version: server.versions.serving.version == v)
        finally:
            done.set()
            for thread in threads:
                thread.join(10)
    assert not failed
    assert len({version for version, _ in found}) >= 3
    for version, scores in found:
        np.testing.assert_allclose(scores, expected[int(version)], rtol=0, atol=1e-5)
