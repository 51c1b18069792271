"""What Prometheus reads of one server: version, staleness, latency, misses, shed, errors."""

import threading
import time

import numpy as np
import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily

_MINUTE = 60.0
_KEPT = 1 << 16  # latencies of the last minute that quantiles are taken of, the newest
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
_STAGES = ("queue", "read", "parts", "engine", "write")


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self):
        self.registry = prometheus.CollectorRegistry()
        self._versions, self._admission = None, None
        own = {"namespace": "prediction", "registry": self.registry}
        self.latency = prometheus.Histogram(
            "request_seconds", "From arrival to answer, by the server", buckets=_BUCKETS, **own
        )
        stage = prometheus.Counter(
            "stage_seconds", "Seconds of answered requests by stage", ["stage"], **own
        )
        self._stages = [stage.labels(name) for name in _STAGES]
        ads = prometheus.Counter(
            "ad_parts", "Candidates by whether their parts were there", ["found"], **own
        )
        self._hits, self._misses = ads.labels("hit"), ads.labels("miss")
        self.errors = prometheus.Counter(
            "errors", "Infer requests that were not answered with scores, by kind", ["kind"], **own
        )
        self.reloads = prometheus.Counter(
            "reloads", "Versions that were tried, by outcome", ["outcome"], **own
        )
        for kind in ("shed", "deadline", "bad_request"):
            self.errors.labels(kind)
        for outcome in ("good", "bad"):
            self.reloads.labels(outcome)
        self._recent, self._count = np.full((_KEPT, 2), -np.inf), 0
        self._lock = threading.Lock()
        self.registry.register(self)

    def watch(self, versions, admission) -> None:
        """Read the state of these two when Prometheus asks."""
        self._versions, self._admission = versions, admission

    def answered(self, seconds: float, stages: tuple[float, ...], ads: int, missing: int) -> None:
        """Count a request.

        Args: seconds: from arrival to answer; stages: of `queue, read, parts, engine, write`.
        """
        self.latency.observe(seconds)
        for counter, taken in zip(self._stages, stages, strict=True):
            counter.inc(taken)
        self._hits.inc(ads - missing)
        if missing:
            self._misses.inc(missing)
        with self._lock:
            self._recent[self._count % _KEPT] = time.monotonic(), seconds
            self._count += 1

    def quantiles(self) -> tuple[float, float]:
        """(p50, p99) of the last minute's requests, seconds; NaN without any."""
        with self._lock:
            recent = self._recent[: self._count] if self._count < _KEPT else self._recent
            seconds = recent[recent[:, 0] >= time.monotonic() - _MINUTE, 1]
        if not len(seconds):
            return float("nan"), float("nan")
        return tuple(map(float, np.quantile(seconds, [0.5, 0.99], method="higher")))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return prometheus.generate_latest(self.registry)

    def collect(self):
        """What is computed when Prometheus asks."""

        def gauge(name, text, value):
            return GaugeMetricFamily(f"prediction_{name}", text, value=value)

        p50, p99 = self.quantiles()
        yield gauge("p50_seconds", "Median of the last minute's requests", p50)
        yield gauge("p99_seconds", "99 % quantile of the last minute's requests", p99)
        if self._admission is not None:
            yield gauge("waiting", "Requests in the queue", self._admission.waiting)
        if self._versions is not None:
            serving = self._versions.serving
            version, stale = -1, float("nan")
            if serving is not None:
                version, stale = serving.version, self._versions.clock() - serving.time
            yield gauge("model_version", "The version that serves; -1 before the first", version)
            yield gauge("staleness_seconds", "Age of the last impression it was trained on", stale)
            yield gauge("pinned", "Whether a command holds the version", self._versions.pinned)
