"""The live page: what runs, which version serves, how stale it is, R/R*, load, faults.

One file without anything from elsewhere; it asks `/status` every second.
"""

import http.client
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import orjson
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

POINTS = 300  # of a curve
_PAGE = Path(__file__).with_name("page.html")


class Collector:
    """Asks servers and processes, and remembers curves.

    Args:
      processes: callable: name -> what the supervisor knows (`Supervisor.status`).
      told: callable: name -> what a process said (`status.read_all`).
      addresses: callable: addresses of the servers.
      faults: callable: (time, name, what) so far.
    """

    def __init__(self, processes: Callable, told: Callable, addresses: Callable, faults: Callable):
        self.processes, self.told = processes, told
        self.addresses, self.faults = addresses, faults
        self._curves = {name: [] for name in ("qps", "p99_ms", "staleness_minutes")}
        self._ratio: dict[int, float] = {}
        self._counted: dict[str, tuple[float, float]] = {}

    def collect(self) -> dict:
        """What the page shows now."""
        servers = {address: self._server(address) for address in self.addresses()}
        told = self.told()
        alive = [server for server in servers.values() if server]
        trainer = told.get("trainer", {})
        if "r_over_r_star" in trainer:
            self._ratio[trainer["version"]] = trainer["r_over_r_star"]
            self._ratio = dict(list(self._ratio.items())[-POINTS:])
        self._add("qps", sum(server["qps"] for server in alive))
        self._add("p99_ms", max((server["p99_ms"] for server in alive), default=None))
        self._add(
            "staleness_minutes",
            max((server["staleness_minutes"] for server in alive), default=None),
        )
        return {
            "at": time.time(),
            "processes": self.processes(),
            "told": told,
            "servers": servers,
            "curves": self._curves | {"r_over_r_star": list(self._ratio.items())},
            "faults": self.faults()[-30:],
        }

    def _add(self, name, value):
        value = None if value is None or value != value else value
        self._curves[name] = [*self._curves[name][1 - POINTS :], (time.time(), value)]

    def _server(self, address):
        """A server's metrics; None where it does not answer."""
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=1)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

        def value(*name, default=0.0):
            return values.get((f"prediction_{name[0]}", *name[1:]), default)

        requests, now = value("request_seconds_count"), time.monotonic()
        before, then = self._counted.get(address, (requests, now))
        self._counted[address] = requests, now
        hits, misses = value("ad_parts_total", "hit"), value("ad_parts_total", "miss")
        return {
            "version": int(value("model_version", default=-1)),
            "pinned": bool(value("pinned")),
            "staleness_minutes": value("staleness_seconds") / 60,
            "requests": int(requests),
            "qps": max(requests - before, 0) / (now - then) if now > then else 0.0,
            "p50_ms": 1e3 * value("p50_seconds"),
            "p99_ms": 1e3 * value("p99_seconds"),
            "cache_hits": hits / (hits + misses) if hits + misses else None,
            "shed": int(value("errors_total", "shed")),
            "late": int(value("errors_total", "deadline")),
            "bad_requests": int(value("errors_total", "bad_request")),
            "good_reloads": int(value("reloads_total", "good")),
            "bad_reloads": int(value("reloads_total", "bad")),
        }


def application(collect: Callable[[], dict]) -> Starlette:
    """The page as an ASGI application; `collect` gives what `/status` answers."""

    # Not async: it waits for servers and files, in a thread of its own.
    def status(request: Request) -> Response:
        data = orjson.dumps(collect(), option=orjson.OPT_NON_STR_KEYS)
        return Response(data, media_type="application/json")

    def page(request: Request) -> Response:
        return HTMLResponse(_PAGE.read_text(encoding="utf-8"))

    return Starlette(routes=[Route("/", page), Route("/status", status)])
