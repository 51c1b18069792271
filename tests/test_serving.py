import math
import os
import pickle
import time
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from lib.cost import CostRow, load_at_limit, load_costs, priced
from lib.serving import load_test
from lib.serving.engines import OnnxRuntime
from lib.serving.export import (
    Layer,
    ad_parts,
    first_layer_optimised,
    forward,
    naive,
    random_graph,
    random_weights,
    twin_tower,
)
from lib.serving.load_test import (
    _LEAST_QUERIES,
    LoadRun,
    _search,
    measure_size,
    peak_qps,
    random_inputs,
)

SIZE, USER_WIDTH, CANDIDATES = [24, 16, 8, 8, 8, 1], 10, 7
rng = np.random.default_rng(0)
USER = rng.normal(size=(1, USER_WIDTH)).astype("f")
ADS = rng.normal(size=(CANDIDATES, SIZE[0] - USER_WIDTH)).astype("f")


def by_loop(layers, x):
    """One vector through the layers as section 3.3 writes them, a unit at a time."""
    for layer in layers:
        if layer.gamma is not None:
            x = [g * (value - m) / math.sqrt(v + layer.epsilon) + b for value, g, b, m, v in zip(
                x, layer.gamma, layer.beta, layer.mean, layer.variance, strict=True)]
        y = [sum(a * b for a, b in zip(x, column, strict=True)) + bias
             for column, bias in zip(layer.kernel.T, layer.bias, strict=True)]
        x = y if layer.alpha is None else [
            value if value > 0 else slope * value
            for value, slope in zip(y, layer.alpha, strict=True)]
    return x


def steep(layers):
    """The same layers with some slopes of PReLU above 1, which training may reach."""
    return [layer if layer.alpha is None else
            layer._replace(alpha=np.where(np.arange(len(layer.alpha)) % 2, 1.5, layer.alpha))
            for layer in layers]


@pytest.mark.parametrize("change", [list, steep])
def test_both_forms_equal_a_loop(change):
    layers = change(random_weights(SIZE, seed=1))
    expected = [by_loop(layers, np.concatenate([USER[0], ad])) for ad in ADS]
    plain = OnnxRuntime(naive(layers, USER_WIDTH)).run({"user": USER, "ads": ADS})
    np.testing.assert_allclose(plain, expected, rtol=2e-5, atol=2e-5)
    parts = ad_parts(layers, ADS, USER_WIDTH).astype("f")
    engine = OnnxRuntime(first_layer_optimised(layers, USER_WIDTH))
    np.testing.assert_allclose(engine.run({"user": USER, "ad_parts": parts}), expected,
                               rtol=2e-5, atol=2e-5)
    both = np.concatenate([np.repeat(USER, CANDIDATES, axis=0), ADS], axis=1)
    np.testing.assert_allclose(forward(layers, both), expected, rtol=2e-5, atol=2e-5)


def test_twin_tower_is_an_inner_product():
    user_tower, ad_tower = random_weights([10, 8, 4], seed=1), random_weights([14, 8, 4], seed=2)
    expected = [[np.dot(by_loop(user_tower, USER[0]), by_loop(ad_tower, ad))] for ad in ADS]
    vectors = forward(ad_tower, ADS).astype("f")
    scores = OnnxRuntime(twin_tower(user_tower)).run({"user": USER, "ad_vectors": vectors})
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=2e-5)


def test_batch_norm_folds_by_hand():
    layer = Layer(kernel=np.array([[2.0]]), bias=np.array([1.0]), gamma=np.array([3.0]),
                  beta=np.array([0.5]), mean=np.array([4.0]), variance=np.array([0.24]),
                  epsilon=0.01)
    kernel, bias = layer.folded()  # 3 (x - 4) / 0.5 + 0.5 = 6 x - 23.5, doubled, plus 1
    np.testing.assert_allclose([kernel[0, 0], bias[0]], [12, -46])


def test_half_of_the_inputs_are_the_users_by_default():
    shapes = OnnxRuntime(random_graph("naive", [7, 4, 1], seed=0)).input_shapes
    assert shapes == {"user": (1, 3), "ads": ("candidates", 4)}


def test_random_weights_depend_on_the_seed_only():
    a, b, c = (random_graph("naive", SIZE, seed).SerializeToString() for seed in (1, 1, 2))
    assert a == b != c


@pytest.mark.parametrize(("build", "message"), [
    (lambda: random_graph("fast", SIZE, 0), "form must be one of naive, first_layer_optimised"),
    (lambda: naive(random_weights(SIZE, 0), 24), r"user_width must lie in 1\.\.23"),
    (lambda: random_graph("twin_tower", SIZE, 0, user_width=0), "user_width must lie in"),
    (lambda: OnnxRuntime(random_graph("naive", SIZE, 0), threads=0), "threads must be >= 1"),
])
def test_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_engine_refuses_what_is_no_model():
    with pytest.raises(TypeError, match=r"must be an onnx\.ModelProto or bytes; got dict"):
        OnnxRuntime({})


def test_engine_pickles():
    engine = OnnxRuntime(random_graph("naive", SIZE, 0), threads=2)
    copy = pickle.loads(pickle.dumps(engine))
    inputs = random_inputs(engine.input_shapes, CANDIDATES, seed=0)[0]
    assert copy.threads == 2
    np.testing.assert_array_equal(copy.run(inputs), engine.run(inputs))


def test_requests_differ_but_share_the_corpus():
    shapes = {"user": (1, 3), "ad_vectors": ("candidates", 2)}
    first, second = random_inputs(shapes, 5, seed=0, requests=2)
    assert first["ad_vectors"] is second["ad_vectors"]
    assert (first["user"] != second["user"]).all()
    first, second = random_inputs({"ad_parts": ("candidates", 2)}, 5, seed=0, requests=2)
    assert (first["ad_parts"] != second["ad_parts"]).all()


# ---- the load test --------------------------------------------------------


@pytest.mark.parametrize(("late", "queries"), [(0, _LEAST_QUERIES), (1, 662), (2, 838)])
def test_early_stopping_as_documented(late, queries):
    """Fewest queries of which so many may be late: 99 % sure of at most 1 % late."""
    def chance(n):
        return stats.binom.cdf(late, n, 0.01)

    assert chance(queries) <= 0.01 < chance(queries - 1)


class FakeTest:
    """A load test whose machine carries exactly `peak` QPS; every hiccup-th run fails."""
    latency_limit_ms, workers, min_queries, min_seconds = 100.0, 1, 662, 1.0

    def __init__(self, peak, service_ms=10.0, hiccup=10**9):
        self.peak, self._service_ms, self.hiccup, self.loads = peak, service_ms, hiccup, []

    def service_ms(self):
        return self._service_ms

    def run(self, qps):
        self.loads.append(qps)
        slips = len(self.loads) % self.hiccup == 0
        passed = qps <= self.peak and not slips
        late = 0 if passed else 3 if slips else 300
        return LoadRun(qps, min(qps, self.peak), passed, 662, late, 1.0, 2.0, 3.0)


@pytest.mark.parametrize("peak", [95.0, 73.0, 60.0, 41.0])
def test_search_brackets_the_peak_in_few_runs(peak):
    test = FakeTest(peak)
    found = _search(test, resolution=1.06, max_seconds=1000)
    assert found.qps == found.qps_low <= peak < found.qps_high <= 1.06 * found.qps
    assert test.loads[0] == load_at_limit(10.0, 100.0, late=1 / 662)  # from the service time
    assert len(found.runs) == len(test.loads) <= 6


def test_search_repeats_a_run_that_failed_by_a_little():
    found = _search(FakeTest(70.0, hiccup=2), resolution=1.06, max_seconds=1000)
    assert found.qps <= 70 < found.qps_high


def test_search_ends_in_time(monkeypatch):
    def search(peak, max_seconds):
        test = FakeTest(peak)
        clock = SimpleNamespace(monotonic=lambda: sum(662 / min(x, peak) for x in test.loads))
        monkeypatch.setattr(load_test, "time", clock)
        return _search(test, 1.001, max_seconds), clock.monotonic()

    found, seconds = search(peak=70.0, max_seconds=60)
    assert found.qps <= 70 < found.qps_high
    assert seconds <= 60
    with pytest.raises(RuntimeError, match=r"no load passed in 3 x max_seconds = 60.*machine busy"):
        search(peak=2.0, max_seconds=60)  # 331 s for 662 requests


class Sleeper:
    """An engine of constant service time; `fault` happens in the child process only."""
    name, precision, threads, input_shapes = "sleeper", "none", 1, {}

    def __init__(self, ms, fault=None):
        self.ms, self.fault, self.parent = ms, fault, os.getpid()

    def run(self, inputs):
        if self.fault == "raise":
            raise ArithmeticError("division by a cucumber")
        if self.fault == "exit" and os.getpid() != self.parent:
            os._exit(3)
        time.sleep(self.ms / 1000)
        return np.zeros((1, 1))


def test_peak_of_a_known_engine():
    """The limit is long beside 459 requests' time, so that overload shows late."""
    found = peak_qps(Sleeper(1.0), [{}], latency_limit_ms=100, seed=0, min_queries=459,
                     resolution=1.3)
    assert 0 < found.qps_low == found.qps < found.qps_high
    assert found.qps < 1000  # one worker, a thousandth of a second a request
    assert 1 <= found.service_ms < 100
    assert found.p50_ms <= found.p95_ms <= found.p99_ms <= 100
    passed = [run.qps for run in found.runs if run.passed]
    assert found.qps == max(passed)
    assert all(run.queries >= 459 for run in found.runs)


def test_a_request_slower_than_the_limit():
    found = peak_qps(Sleeper(8.0), [{}], latency_limit_ms=5, seed=0)
    assert (found.qps, found.qps_low, found.runs) == (0, 0, [])


def test_an_engine_that_raises():
    with pytest.raises(ArithmeticError, match="cucumber"):
        peak_qps(Sleeper(1.0, fault="raise"), [{}], latency_limit_ms=60, seed=0)


def test_a_crash_is_a_clear_error():
    with pytest.raises(RuntimeError, match=r"process ended \(engine sleeper"):
        peak_qps(Sleeper(1.0, fault="exit"), [{}], latency_limit_ms=60, seed=0)


@pytest.mark.parametrize(("change", "message"), [
    ({"inputs": []}, "at least one request"),
    ({"latency_limit_ms": 0}, "latency_limit_ms must be > 0; got 0"),
    ({"min_queries": 100}, "min_queries must be at least 459.*got 100"),
    ({"workers": 0}, "workers must be >= 1; got 0"),
    ({"resolution": 1.0}, "resolution must be > 1; got 1.0"),
    ({"max_seconds": 0}, "max_seconds must be > 0; got 0"),
])
def test_peak_qps_refuses(change, message):
    case = {"inputs": [{}], "latency_limit_ms": 50, "seed": 0} | change
    with pytest.raises(ValueError, match=message):
        peak_qps(SimpleNamespace(name="none"), **case)


def test_from_size_to_costs_table(tmp_path):
    """Algorithm 1 over one tiny size, written and read back."""
    row = measure_size([64, 16, 8, 1], candidates=20, latency_limit_ms=80, seed=0,
                       min_queries=459, resolution=1.5)
    assert (row["family"], row["form"], row["user_width"]) == ("mlp", "first_layer_optimised", 32)
    assert row["flops"] == 2 * (64 * 16 + 16 * 8 + 8)
    assert 0 < row["qps"] < 1000 / row["service_ms"]  # one worker
    table = priced([row], base=[64, 16, 8, 1], machines_base=12, price_per_hour=0.5)
    assert table["machines"][0] == 12
    assert table["cost_per_hour"][0] == 6
    table.to_parquet(tmp_path / "costs.parquet")
    back = load_costs(tmp_path / "costs.parquet")
    assert set(CostRow.model_fields) <= set(back)
    assert back["size_parameters"][0] == [64, 16, 8, 1]
