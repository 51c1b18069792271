import asyncio
import json

import pytest

from lib.online.pipeline import page
from lib.online.pipeline.page import POINTS, Collector, application
from lib.online.prediction_server.metrics import Metrics


@pytest.fixture
def collector():
    told = {"trainer": {"version": 2, "r_over_r_star": 0.7}}
    return Collector(
        lambda: {"trainer": {"running": True}},
        lambda: told,
        lambda: ["http://127.0.0.1:9"],
        lambda: [(1.0, "trainer", "ended by SIGKILL")],
    )


def test_what_a_server_says(collector, monkeypatch):
    metrics = Metrics()

    class Connection:
        def __init__(self, *_, **__):
            pass

        def request(self, *_):
            pass

        def getresponse(self):
            return self

        def read(self):
            return metrics.text()

        def close(self):
            pass

    monkeypatch.setattr(page.http.client, "HTTPConnection", Connection)
    collector.collect()
    for _ in range(10):
        metrics.answered(0.004, (0, 0, 0, 0.004, 0), ads=10, missing=1)
    metrics.errors.labels("shed").inc()
    server = collector.collect()["servers"]["http://127.0.0.1:9"]
    assert server["requests"] == 10 and server["qps"] > 0
    assert server["p99_ms"] == pytest.approx(4) and server["shed"] == 1
    assert server["cache_hits"] == pytest.approx(0.9)


def test_a_server_that_does_not_answer(collector):
    found = collector.collect()
    assert found["servers"] == {"http://127.0.0.1:9": None}
    assert found["curves"]["qps"][-1][1] == 0
    assert found["curves"]["r_over_r_star"] == [(2, 0.7)]


def test_curves_do_not_grow_for_ever(collector):
    for _ in range(POINTS + 5):
        collector._add("qps", 1.0)
    assert len(collector._curves["qps"]) == POINTS


def test_page_and_status(collector):
    async def get(path):
        """The body that the ASGI application answers."""
        body = []

        async def send(message):
            body.append(message.get("body", b""))

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        await application(collector.collect)(scope, receive, send)
        return b"".join(body).decode()

    text = asyncio.run(get("/"))
    assert "Online pipeline" in text
    # Nothing from elsewhere: no network is needed.
    assert "http://" not in text and "https://" not in text and "src=" not in text
    status = json.loads(asyncio.run(get("/status")))
    assert status["processes"]["trainer"]["running"] is True
    assert status["faults"] == [[1.0, "trainer", "ended by SIGKILL"]]
