import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from lib.online.pipeline.client import NoAnswer, PredictionClient, addresses_in


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(request)
        ids = next(t for t in request["inputs"] if t["name"] == "ad_id")["data"]
        answer = {
            "model_version": "3",
            "outputs": [{"name": "scores", "data": [i / 2 for i in ids]}],
        }
        body = json.dumps(answer if self.server.status == 200 else {"error": "no"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def servers():
    made = []
    for _ in range(2):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.seen, server.status = [], 200
        server.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.append(server)
    yield made
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.fixture
def make():
    made = []

    def client(addresses):
        made.append(PredictionClient(addresses))
        return made[-1]

    yield client
    for one in made:
        one.close()


USER = {
    "user_id": np.array([5], np.int32),
    "name": np.array(["x"]),
    "vector": np.array([[0.5, 1.0]], np.float32),
}


def test_scores_from_each_server_in_turn(servers, make):
    client = make([server.address for server in servers])
    for _ in range(4):
        scores, version = client.scores(USER, [4, 6])
        assert scores.tolist() == [2, 3] and version == "3"
    assert [len(server.seen) for server in servers] == [2, 2]
    assert (client.answered, client.failed, client.versions) == (4, 0, {"3": 4})
    tensors = {t["name"]: t for t in servers[0].seen[0]["inputs"]}
    assert tensors["user_id"] == {"name": "user_id", "datatype": "INT32", "shape": [1], "data": [5]}
    assert tensors["name"]["datatype"] == "BYTES" and tensors["name"]["data"] == ["x"]
    assert tensors["vector"]["shape"] == [1, 2] and tensors["ad_id"]["datatype"] == "INT64"


@pytest.mark.parametrize("harm", ["busy", "gone"])
def test_the_next_one_is_asked(servers, harm, make):
    client = make([server.address for server in servers])
    client.scores(USER, [4])
    if harm == "busy":
        servers[0].status = 503
    else:
        servers[0].shutdown()
        servers[0].server_close()
        client = make([server.address for server in servers])  # no open connection
        client.answered = 1
    for _ in range(4):
        assert client.scores(USER, [4])[0].tolist() == [2]
    assert client.failed == 0 and client.passed_over == 2


def test_no_answer_says_why(servers, make):
    client = make([server.address for server in servers])
    for server in servers:
        server.status = 503
    with pytest.raises(NoAnswer, match="503"):
        client.scores(USER, [4])
    assert (client.failed, client.early) == (0, 1)  # before the first answer
    servers[0].status = servers[1].status = 200
    client.scores(USER, [4])
    servers[0].status = servers[1].status = 503
    with pytest.raises(NoAnswer):
        client.scores(USER, [4])
    assert client.failed == 1
    with pytest.raises(NoAnswer, match="there is no server"):
        make([]).scores(USER, [4])


def test_a_wrong_request_is_not_tried_elsewhere(servers, make):
    client = make([server.address for server in servers])
    for server in servers:
        server.status = 400
    with pytest.raises(ValueError, match="400"):
        client.scores(USER, [4])
    assert sum(len(server.seen) for server in servers) == 1


def test_addresses_in_files(tmp_path):
    (tmp_path / "a").write_text("http://127.0.0.1:1\n")
    assert addresses_in([tmp_path / "a", tmp_path / "b"]) == ["http://127.0.0.1:1"]
