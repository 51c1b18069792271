"""A small server in this process, and a store for it to follow."""

import contextlib
import http.client
import json
import threading
import time
from urllib.parse import urlsplit

import numpy as np

from lib.logs.encoding import encode
from lib.online.embedding_producer import Catalogue, add_ads, produce
from lib.online.exports import ExportStore
from lib.online.prediction_server import Options, PredictionServer
from tests.online.ads import encoded, make_ads
from tests.online.served import make_model

ADS = np.arange(100, 140)  # in the catalogue from the beginning
TIME = "2026-01-01T00:00:00+00:00"
USER = {
    "user_id": np.array([7], np.int64),
    "recent": np.array([3, 4], np.int64),
    "user_vector": np.array([1.0, 2.0, 3.0], np.float32),
}


class World:
    """A store, ad parts and a catalogue in one folder; models by version."""

    def __init__(self, folder):
        self.store = ExportStore(folder / "exports")
        self.parts, self.ads = folder / "parts", folder / "ads"
        self.parts.mkdir(), self.ads.mkdir()
        add_ads(self.ads, "first", make_ads(ADS))
        self.models, self.store_folder = {}, folder / "exports"

    def publish(self, version, parts=True):
        self.models[version] = make_model(seed=version)
        self.store.publish(version, self.models[version], offset=version, time=TIME, metrics={})
        if parts:
            self.produce(version)
        return self.models[version]

    def produce(self, version):
        model = self.models[version]
        produce(model, version, Catalogue(self.ads, model.features), self.parts)

    def options(self, **changes):
        given = {
            "store": self.store.url,
            "parts": self.parts,
            "catalogue": self.ads,
            "port": 0,
            "poll_seconds": 0.1,
            "loading_process": False,
            "workers": 2,
            "warm_up": (1, 8),
            "drain_seconds": 0,
            "deadline_seconds": 10,
        }
        return Options(**(given | changes))

    def expected(self, version, ad_ids, user=USER):
        """Scores by NumPy, from raw features and the version's own weights."""
        return expected_scores(self.models[version], make_ads(ad_ids), user)


def expected_scores(model, ads, user=USER):
    raw = {name: values.reshape(1, *values.shape[:1]) for name, values in user.items()}
    raw["user_id"] = user["user_id"]
    vector = model.embed(
        "user", {f.name: encode(f, raw[f.name]) for f in model.features.side("user")}
    )
    return model.scores(vector[0], model.ad_parts(model.embed("ad", encoded(ads))))


@contextlib.contextmanager
def running(options, ready=True):
    """A server in a thread of this process; waits until it is ready."""
    server = PredictionServer(options)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        if ready:
            until(lambda: server.versions.serving is not None)
        until(lambda: call(server.address, "GET", "/v2/health/live")[0] == 200)
        yield server
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def until(holds, seconds=10.0):
    """Wait until it holds; an assertion error after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def call(address, method, path, body=None, headers=None):
    """(status, headers, body) by plain HTTP; the body of JSON as what it says."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    is_json = answer.headers.get("content-type") == "application/json"
    return answer.status, answer.headers, json.loads(text) if is_json else text


def tensor(name, array):
    """A tensor of a JSON request."""
    kinds = {"i": f"INT{8 * array.itemsize}", "f": f"FP{8 * array.itemsize}"}
    kind = kinds.get(array.dtype.kind, "BYTES")
    return {"name": name, "datatype": kind, "shape": list(array.shape), "data": array.tolist()}


def body_of(ad_ids, user=USER, **more):
    """A request's JSON as bytes; `more` are further tensors."""
    tensors = {**user, "ad_id": np.asarray(ad_ids, np.int64), **more}
    return json.dumps({"inputs": [tensor(name, array) for name, array in tensors.items()]})


def infer(address, ad_ids, path="/v2/models/pre_ranking/infer", headers=None, **more):
    return call(address, "POST", path, body_of(ad_ids, **more), headers)
