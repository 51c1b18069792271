"""A server as a process of its own: how it starts, proves clients, and stops."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from http.client import HTTPSConnection

import numpy as np
import pytest

from lib.online.prediction_server import PredictionServer
from tests import ROOT
from tests.online.prediction_server.running import ADS, World, body_of, call, infer, running, until

SERVE = (
    "import sys; from lib.online.prediction_server import Options, serve; "
    "serve(Options.model_validate_json(sys.argv[1]))"
)


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.publish(1)
    return world


@contextlib.contextmanager
def process(world, tmp_path, **options):
    """(process, address) of a server; its log is tmp_path/log."""
    address = tmp_path / "address"
    given = world.options(address_file=address, **options).model_dump_json()
    with open(tmp_path / "log", "w") as log:
        started = subprocess.Popen([sys.executable, "-c", SERVE, given], cwd=ROOT, stderr=log)
    try:
        until(address.exists, 30)
        yield started, address.read_text()
    finally:
        started.kill()
        started.wait()


def test_sigterm_answers_what_is_in_flight_and_ends_well(world, tmp_path):
    found = []
    with process(world, tmp_path, drain_seconds=0.5, loading_process=True) as (server, address):
        until(lambda: call(address, "GET", "/v2/health/ready")[0] == 200, 30)

        def ask():
            while True:
                found.append(infer(address, ADS))
                if found[-1][1].get("connection") == "close":
                    return  # a client goes elsewhere then

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(found) > 20)
        os.kill(server.pid, signal.SIGTERM)
        until(lambda: call(address, "GET", "/v2/health/ready")[0] == 503)
        assert server.wait(20) == 0
        for thread in threads:
            thread.join(10)
    assert {status for status, _, _ in found} == {200}
    expected = world.expected(1, ADS)
    for _, _, answer in found:
        np.testing.assert_allclose(answer["outputs"][0]["data"], expected, rtol=0, atol=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["message"] for line in lines] == ["listening", "version serves", "stopped"]
    assert lines[1]["version"] == 1 and all("time" in line for line in lines)


def test_a_killed_server_starts_again_on_what_the_store_has(world, tmp_path):
    with process(world, tmp_path) as (server, address):
        until(lambda: call(address, "GET", "/v2/health/ready")[0] == 200, 30)
        world.publish(2)
        server.kill()
        server.wait()
    (tmp_path / "address").unlink()
    with process(world, tmp_path) as (_, address):
        until(lambda: call(address, "GET", "/v2/health/ready")[0] == 200, 30)
        assert infer(address, ADS)[2]["model_version"] == "2"


class Slow:
    """An engine that waits until it may go on."""

    def __init__(self, engine):
        self.engine, self.go, self.runs = engine, threading.Event(), 0
        self.library, self.precision = engine.library, engine.precision

    def run(self, inputs):
        self.runs += 1
        self.go.wait(10)
        return self.engine.run(inputs)


@contextlib.contextmanager
def slow(world, **options):
    with running(world.options(**options)) as server:
        server.versions.serving.engine = engine = Slow(server.versions.serving.engine)
        try:
            yield server, engine
        finally:
            engine.go.set()


def in_threads(count, work):
    results = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


def test_at_saturation_requests_are_shed_with_a_clear_answer(world):
    with slow(world, workers=1, queue=2) as (server, engine):
        threads, answered = in_threads(3, lambda: infer(server.address, ADS)[0])
        until(lambda: server.admission.full)
        status, headers, answer = infer(server.address, ADS)
        assert (status, headers["retry-after"]) == (503, "1")
        assert "the server is saturated: 2 requests wait" in answer["error"]
        # Health and metrics are answered meanwhile.
        assert call(server.address, "GET", "/v2/health/ready")[0] == 200
        text = call(server.address, "GET", "/metrics")[2].decode()
        assert 'prediction_errors_total{kind="shed"} 1.0' in text
        assert "prediction_waiting 2.0" in text
        engine.go.set()
        for thread in threads:
            thread.join(10)
        assert answered == [200, 200, 200]


def test_requests_whose_time_is_up_are_not_computed(world):
    with slow(world, workers=1, queue=9) as (server, engine):
        threads, answered = in_threads(1, lambda: infer(server.address, ADS)[0])
        until(lambda: engine.runs == 1)
        body = json.loads(body_of(ADS)) | {"parameters": {"timeout": 20_000}}
        path = "/v2/models/pre_ranking/infer"
        late, found = in_threads(1, lambda: call(server.address, "POST", path, json.dumps(body)))
        until(lambda: server.admission.waiting == 1)
        threading.Event().wait(0.05)
        engine.go.set()
        for thread in threads + late:
            thread.join(10)
        ((status, _, answer),) = found
        assert status == 504 and "deadline of 20 ms has passed" in answer["error"]
        assert answered == [200] and engine.runs == 1


def test_a_client_is_not_kept_beyond_the_deadline(world):
    with slow(world, deadline_seconds=0.1) as (server, _):
        status, _, answer = infer(server.address, ADS)
        assert status == 504 and "deadline" in answer["error"]


def test_a_failing_engine_is_an_error_and_not_the_end(world):
    with running(world.options()) as server:
        good = server.versions.serving.engine

        class Failing:
            def run(self, inputs):
                raise MemoryError("no more")

        server.versions.serving.engine = Failing()
        status, _, answer = infer(server.address, ADS)
        assert status == 500 and answer == {"error": "the server failed: MemoryError"}
        server.versions.serving.engine = good
        assert infer(server.address, ADS)[0] == 200
        text = call(server.address, "GET", "/metrics")[2].decode()
        assert 'prediction_errors_total{kind="internal"} 1.0' in text


def test_a_taken_port_is_said(world):
    with running(world.options()) as server:
        port = int(server.address.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"):
            PredictionServer(world.options(port=port))


# ---- mutual TLS ----


def certificates(folder):
    """A CA, a server's and a client's certificate signed by it, and one signed by nobody."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["req", "-newkey", "rsa:2048", "-nodes", "-subj"]
    openssl(*new, "/CN=ca", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(*new, f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-extfile", "names",
                "-out", f"{name}.pem")  # fmt: skip
    openssl(*new, "/CN=stranger", "-x509", "-keyout", "stranger.key", "-out", "stranger.pem")


def test_mutual_tls(world, tmp_path):
    certificates(tmp_path)
    options = world.options(
        certificate=tmp_path / "server.pem",
        key=tmp_path / "server.key",
        client_ca=tmp_path / "ca.pem",
    )

    def ask(address, name):
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        if name:
            context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        connection = HTTPSConnection(address.removeprefix("https://"), timeout=5, context=context)
        try:
            connection.request("POST", "/v2/models/pre_ranking/infer", body_of(ADS))
            return connection.getresponse().status
        finally:
            connection.close()

    server = PredictionServer(options)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.versions.serving is not None)
        assert server.address.startswith("https://")
        assert ask(server.address, "client") == 200
        for name in (None, "stranger"):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                ask(server.address, name)
    finally:
        server.stop()
        thread.join(10)
