import math

import numpy as np

from lib.online.prediction_server.metrics import Metrics


def test_quantiles_are_of_the_last_minute(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("lib.online.prediction_server.metrics.time.monotonic", lambda: now[0])
    metrics = Metrics()
    assert all(map(math.isnan, metrics.quantiles()))
    metrics.answered(9.0, (0,) * 5, 10, 0)
    now[0] += 61
    for i in range(100):
        metrics.answered((i + 1) / 1000, (0,) * 5, 10, 1)
    assert metrics.quantiles() == (0.051, 0.1)


def test_the_ring_of_latencies_keeps_the_newest(monkeypatch):
    monkeypatch.setattr("lib.online.prediction_server.metrics._KEPT", 8)
    metrics = Metrics()
    for i in range(20):
        metrics.answered(float(i), (0,) * 5, 1, 0)
    assert metrics.quantiles() == (float(np.quantile(np.arange(12, 20), 0.5, method="higher")), 19)


def test_the_text_of_a_server_without_a_version():
    metrics = Metrics()

    class Nothing:
        serving, pinned, waiting = None, False, 3

    metrics.watch(Nothing, Nothing)
    lines = metrics.text().decode().splitlines()
    assert "prediction_model_version -1.0" in lines and "prediction_waiting 3.0" in lines
    assert "prediction_staleness_seconds NaN" in lines
    assert 'prediction_errors_total{kind="shed"} 0.0' in lines
