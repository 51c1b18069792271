"""Asks prediction servers for scores by the Open Inference Protocol, in JSON.

For the simulated system's requests. Connections stay open; a server that does not answer, or says
that it cannot, is passed over and the next one asked.
"""

import http.client
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import numpy as np
import orjson

_DATATYPES = {"b": "BOOL", "f4": "FP32", "f8": "FP64", "i2": "INT16", "i4": "INT32", "i8": "INT64"}
_OTHERS_MAY = (429, 500, 502, 503, 504)


class NoAnswer(ConnectionError):
    """No server answered; the message says what each said."""


class PredictionClient:
    """Scores of one user's candidates; one instance a thread's worth of connections.

    Args:
      addresses: of the servers, "http://HOST:PORT", or a callable that gives them.
      model: name in URLs.
      timeout: seconds that an answer may take.

    Attributes:
      answered, failed, passed_over: requests so far, and servers that did not answer one of them.
      early: requests before the first answer, when no server had a model yet; they do not count as
        failed.
      seconds: of the last 1,000 answers.
      versions: model versions that answered -> how many times.
    """

    def __init__(self, addresses, model: str = "pre_ranking", timeout: float = 2.0):
        self._addresses = addresses if callable(addresses) else lambda: addresses
        self.path, self.timeout = f"/v2/models/{model}/infer", timeout
        self.answered = self.failed = self.passed_over = self.early = self._turn = 0
        self.seconds, self.versions = [], {}
        self._open = threading.local()

    def scores(
        self, user: dict[str, np.ndarray], ad_ids: np.ndarray, more: dict | None = None
    ) -> tuple[np.ndarray, str]:
        """Scores of some ads for a user.

        Args:
          user: feature -> raw value, [1, ...]; more: further inputs, such as raw ad features.
          ad_ids: integers [n].

        Returns: (scores float32 [n], the version that computed them).
        Raises: NoAnswer; ValueError for a request that a server calls wrong.
        """
        inputs = {**user, "ad_id": np.asarray(ad_ids, np.int64), **(more or {})}
        body = orjson.dumps(
            {"inputs": [_tensor(name, np.asarray(value)) for name, value in inputs.items()]},
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        addresses = list(self._addresses())
        self._turn += 1
        said = []
        for i in range(len(addresses)):
            address = addresses[(self._turn + i) % len(addresses)]
            begin = time.perf_counter()
            try:
                status, answer = self._ask(address, body)
            except (OSError, http.client.HTTPException) as error:
                said.append(f"{address}: {error or type(error).__name__}")
                self.passed_over += self.answered > 0
                continue
            if status == 200:
                return self._answer(orjson.loads(answer), time.perf_counter() - begin)
            said.append(f"{address}: {status} {answer[:200].decode(errors='replace')}")
            if status not in _OTHERS_MAY:
                self.failed += 1
                raise ValueError(said[-1])
            self.passed_over += self.answered > 0
        self.failed += self.answered > 0
        self.early += self.answered == 0
        raise NoAnswer("; ".join(said) or "there is no server")

    def close(self) -> None:
        """Close the connections of the calling thread."""
        for connection in self._open.__dict__.values():
            connection.close()
        self._open.__dict__.clear()

    def _answer(self, answer, seconds):
        self.answered += 1
        self.seconds = [*self.seconds[-999:], seconds]
        version = str(answer.get("model_version"))
        self.versions[version] = self.versions.get(version, 0) + 1
        (scores,) = (o["data"] for o in answer["outputs"] if o["name"] == "scores")
        return np.array(scores, np.float32), version

    def _ask(self, address, body):
        connections = self._open.__dict__
        for attempt in (0, 1):
            connection = connections.get(address)
            if connection is None:
                parts = urlsplit(address)
                connection = http.client.HTTPConnection(
                    parts.hostname, parts.port, timeout=self.timeout
                )
                connections[address] = connection
            kept = connection.sock is not None
            try:
                connection.request("POST", self.path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                del connections[address]
                # A server may close a connection that lay idle, just when it is used again.
                if attempt or not kept:
                    raise
        raise AssertionError  # the second attempt returns or raises


def _tensor(name, values):
    if values.dtype.kind in "OUS":
        kind, data = "BYTES", [str(value) for value in values.ravel()]
    else:
        kind = _DATATYPES.get(values.dtype.str[1:]) or _DATATYPES[values.dtype.kind]
        data = np.ascontiguousarray(values.ravel())
    return {"name": name, "datatype": kind, "shape": list(values.shape), "data": data}


def addresses_in(files: Sequence) -> list[str]:
    """Addresses of the servers that have written theirs by now."""
    found = []
    for file in files:
        try:
            found.append(file.read_text().strip())
        except OSError:
            continue
    return found
