import itertools
import math
import os
import pickle
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from scipy import stats

from lib.cost.algorithm import priced
from lib.infra import sweep
from lib.infra.machine import facts
from lib.logs.tables import load_costs
from lib.models.flop_count import graph_flops, matrix_flops
from lib.serving import engines
from lib.serving.engines import OnnxRuntime
from lib.serving.graphs.batching import merge_requests, random_batched_graph
from lib.serving.graphs.export import (
    FORMS,
    Layer,
    ad_parts,
    first_layer_optimised,
    forward,
    naive,
    random_graph,
    random_weights,
    twin_tower,
)
from lib.serving.graphs.free_axes import fix_axes
from lib.serving.load import bracketing
from lib.serving.load.bracketing import Search, best, qps_interval, staircase
from lib.serving.load.load_tests import (
    load_test_task,
    measure_model,
    measure_size,
    peak_qps,
    prepare_model,
    random_inputs,
)
from lib.serving.load.loadgen import LEAST_QUERIES, RequestServer, ServerRun, mlperf_loadgen
from lib.serving.load.peak import _Loads
from lib.serving.load.service_time import service_time_task
from lib.serving.queueing import load_at_limit
from tests import ROOT

SIZE, USER_WIDTH, CANDIDATES = [24, 16, 8, 8, 8, 1], 10, 7
rng = np.random.default_rng(0)
USER = rng.normal(size=(1, USER_WIDTH)).astype("f")
ADS = rng.normal(size=(CANDIDATES, SIZE[0] - USER_WIDTH)).astype("f")


def by_loop(layers, x):
    """One vector through the layers as section 3.3 writes them, a unit at a time."""
    for layer in layers:
        if layer.gamma is not None:
            x = [
                g * (value - m) / math.sqrt(v + layer.epsilon) + b
                for value, g, b, m, v in zip(
                    x, layer.gamma, layer.beta, layer.mean, layer.variance, strict=True
                )
            ]
        y = [
            sum(a * b for a, b in zip(x, column, strict=True)) + bias
            for column, bias in zip(layer.kernel.T, layer.bias, strict=True)
        ]
        x = (
            y
            if layer.alpha is None
            else [
                value if value > 0 else slope * value
                for value, slope in zip(y, layer.alpha, strict=True)
            ]
        )
    return x


def steep(layers):
    """The same layers with some slopes of PReLU above 1, which training may reach."""
    return [
        layer
        if layer.alpha is None
        else layer._replace(alpha=np.where(np.arange(len(layer.alpha)) % 2, 1.5, layer.alpha))
        for layer in layers
    ]


@pytest.mark.parametrize("change", [list, steep])
def test_both_forms_equal_a_loop(change):
    layers = change(random_weights(SIZE, seed=1))
    expected = [by_loop(layers, np.concatenate([USER[0], ad])) for ad in ADS]
    plain = OnnxRuntime(naive(layers, USER_WIDTH)).run({"user": USER, "ads": ADS})
    np.testing.assert_allclose(plain, expected, rtol=2e-5, atol=2e-5)
    parts = ad_parts(layers, ADS, USER_WIDTH).astype("f")
    engine = OnnxRuntime(first_layer_optimised(layers, USER_WIDTH))
    np.testing.assert_allclose(
        engine.run({"user": USER, "ad_parts": parts}), expected, rtol=2e-5, atol=2e-5
    )
    both = np.concatenate([np.repeat(USER, CANDIDATES, axis=0), ADS], axis=1)
    np.testing.assert_allclose(forward(layers, both), expected, rtol=2e-5, atol=2e-5)


def test_twin_tower_is_an_inner_product():
    user_tower, ad_tower = random_weights([10, 8, 4], seed=1), random_weights([14, 8, 4], seed=2)
    expected = [[np.dot(by_loop(user_tower, USER[0]), by_loop(ad_tower, ad))] for ad in ADS]
    vectors = forward(ad_tower, ADS).astype("f")
    scores = OnnxRuntime(twin_tower(user_tower)).run({"user": USER, "ad_vectors": vectors})
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=2e-5)


def test_batch_norm_folds_by_hand():
    layer = Layer(
        kernel=np.array([[2.0]]),
        bias=np.array([1.0]),
        gamma=np.array([3.0]),
        beta=np.array([0.5]),
        mean=np.array([4.0]),
        variance=np.array([0.24]),
        epsilon=0.01,
    )
    kernel, bias = layer.folded()  # 3 (x - 4) / 0.5 + 0.5 = 6 x - 23.5, doubled, plus 1
    np.testing.assert_allclose([kernel[0, 0], bias[0]], [12, -46])


def test_half_of_the_inputs_are_the_users_by_default():
    shapes = OnnxRuntime(random_graph("naive", [7, 4, 1], seed=0)).input_shapes
    assert shapes == {"user": (1, 3), "ads": ("candidates", 4)}


def test_random_weights_depend_on_the_seed_only():
    a, b, c = (random_graph("naive", SIZE, seed).SerializeToString() for seed in (1, 1, 2))
    assert a == b != c


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: random_graph("fast", SIZE, 0), "form must be one of naive, first_layer_optimised"),
        (lambda: naive(random_weights(SIZE, 0), 24), r"user_width must lie in 1\.\.23"),
        (lambda: random_graph("twin_tower", SIZE, 0, user_width=0), "user_width must lie in"),
        (lambda: OnnxRuntime(random_graph("naive", SIZE, 0), threads=0), "threads must be >= 1"),
    ],
)
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


@pytest.mark.parametrize(("late", "queries"), [(0, LEAST_QUERIES), (1, 662), (2, 838)])
def test_early_stopping_as_documented(late, queries):
    """Fewest queries of which so many may be late: 99 % sure of at most 1 % late."""

    def chance(n):
        return stats.binom.cdf(late, n, 0.01)

    assert chance(queries) <= 0.01 < chance(queries - 1)


def test_interval_of_a_machine_with_a_sharp_limit():
    """Only drift and the last step are left: 5 % of speed, and up to 2 % below the limit of 100."""
    runs = [(100 * 1.02**i, i < 0) for i in range(-3, 4)] * 6
    low, high = qps_interval(runs, resolution=1.02)
    middle = (math.log(low) + math.log(high)) / 2
    assert middle == pytest.approx(math.log(100) - math.log(1.02), abs=0.003)
    assert math.log(high / low) == pytest.approx(2 * 1.645 * 0.05, rel=0.1)


@given(
    st.lists(st.tuples(st.floats(0.5, 2.0), st.booleans()), min_size=2, max_size=20).filter(
        lambda runs: len({passed for _, passed in runs}) == 2
    ),
    st.floats(1e-3, 1e5),
)
@settings(deadline=None)
def test_interval_does_not_know_units(runs, unit):
    low, high = qps_interval(runs, 1.1)
    assert 0 < low < high
    assert qps_interval([(unit * qps, passed) for qps, passed in runs], 1.1) == pytest.approx(
        (unit * low, unit * high), rel=1e-6
    )


@pytest.mark.parametrize("width", [0.02, 0.1, 0.2])
def test_interval_covers_another_search(width):
    """Whether a load passes is chance, over a width of 2 to 20 %, and the speed drifts by 5 %."""

    class Chance(FakeLoads):
        def __init__(self, rng):
            super().__init__(peak=70.0 * math.exp(rng.normal(0, 0.05)))
            self.rng, self.limit = rng, self.peak

        def run(self, qps):
            self.peak = self.limit * math.exp(self.rng.normal(0, width))
            return super().run(qps)

    rng = np.random.default_rng(0)
    found = [search(Chance(rng), resolution=1.1, repeats=5) for _ in range(60)]
    bounds = np.array(
        [qps_interval([(run.qps, run.passed) for run in runs], 1.1) for _, _, runs in found]
    )
    qps = np.array([one[0] for one in found])
    held = (bounds[:, :1] <= qps) & (qps <= bounds[:, 1:])
    assert held.mean() >= 0.88
    # Beside 4.7 standard deviations, were the centre and the width known as well as the result.
    assert np.log(bounds[:, 1] / bounds[:, 0]).mean() < 10 * np.log(qps).std()


class FakeLoads(_Loads):
    """A machine that carries exactly `peak` QPS; every hiccup-th run fails."""

    latency_limit_ms, workers, min_queries, min_seconds = 100.0, 1, 662, 1.0

    def __init__(self, peak, hiccup=10**9):
        self.peak, self.hiccup, self.loads = peak, hiccup, []

    def run(self, qps):
        self.loads.append(qps)
        slips = len(self.loads) % self.hiccup == 0
        passed = qps <= self.peak and not slips
        return ServerRun(qps, min(qps, self.peak), passed, 662, 0 if passed else 9, 1.0, 2.0, 3.0)


def search(loads, *, offline_qps=100.0, max_seconds=1000, **settings):
    settings = Search(max_seconds=max_seconds, **settings)
    brackets, runs = staircase(
        loads, offline_qps, settings, bracketing.time.monotonic() + max_seconds
    )
    return best(brackets, settings).qps, brackets, runs


@pytest.mark.parametrize("peak", [95.0, 73.0, 60.0, 41.0])
@pytest.mark.parametrize("resolution", [1.05, 1.1, 1.3])
def test_search_brackets_the_peak_in_few_runs(peak, resolution):
    loads = FakeLoads(peak)
    qps, brackets, runs = search(loads, resolution=resolution, repeats=3)
    assert qps <= peak < resolution * qps * (1 + 1e-9)
    assert all(b.passed.qps <= peak < b.failed_qps for b in brackets)
    assert loads.loads[0] == load_at_limit(10.0, 100.0, late=1 / 662)  # 100 QPS: 10 ms each
    assert loads.loads == [run.qps for run in runs]
    assert len(runs) <= 11


def test_search_survives_a_run_that_fails_by_accident():
    """One run in five slips; the median is still a load near the peak."""
    qps, _, runs = search(FakeLoads(70.0, hiccup=5), repeats=7)
    assert 70 / 1.1**2 < qps <= 70
    low, high = qps_interval([(run.qps, run.passed) for run in runs], 1.1)
    assert low <= 70 <= high


def test_search_ends_in_time(monkeypatch):
    def in_time(peak, max_seconds, repeats=1):
        loads = FakeLoads(peak)
        clock = SimpleNamespace(monotonic=lambda: sum(662 / min(x, peak) for x in loads.loads))
        monkeypatch.setattr(bracketing, "time", clock)
        found = search(loads, resolution=1.001, max_seconds=max_seconds, repeats=repeats)
        return found, clock.monotonic()

    (qps, brackets, _), seconds = in_time(peak=70.0, max_seconds=60, repeats=20)
    assert qps <= 70 < brackets[-1].failed_qps
    assert seconds <= 60
    with pytest.raises(RuntimeError, match=r"no load passed in 3 x max_seconds = 60.*machine busy"):
        in_time(peak=2.0, max_seconds=60)  # 331 s for 662 requests
    loads = FakeLoads(1e300)
    clock = SimpleNamespace(monotonic=lambda: 10 * len(loads.loads))
    monkeypatch.setattr(bracketing, "time", clock)
    with pytest.raises(RuntimeError, match="no load failed in 3 x max_seconds = 60"):
        search(loads, max_seconds=60)


class Sleeper:
    """An engine of constant service time; `fault` happens in the child process only."""

    name, precision, threads = "sleeper", "none", 1

    def __init__(self, ms, fault=None):
        self.ms, self.fault, self.parent, self.ran = ms, fault, os.getpid(), []

    def run(self, inputs):
        if self.fault == "raise":
            raise ArithmeticError("division by a cucumber")
        if self.fault == "exit" and os.getpid() != self.parent:
            os._exit(3)
        self.ran.append(inputs)
        time.sleep(self.ms / 1000)
        return np.zeros((1, 1))


def test_scenarios_of_a_known_engine():
    server = RequestServer(Sleeper(2.0), [{"user": np.zeros((1, 1))}] * 3, workers=2)
    server.warm_up()
    single = server.single_stream(20)
    assert 2 <= single.p50_ms <= single.p90_ms <= single.p99_ms
    offline = server.offline(40)
    assert len(server.engine.ran) == 3 * 2 + 1 + 20 + 40
    assert offline.service_ms >= 2
    assert offline.qps <= 1000  # two workers, 2 ms


@pytest.mark.parametrize(("waiting", "batches"), [(1, [1]), (3, [3]), (8, [3, 3, 2])])
def test_waiting_requests_run_as_one(waiting, batches):
    """A worker that cannot start before all requests wait takes as many as it may."""
    server = RequestServer(Sleeper(0.0), [{"user": np.zeros((1, 1))}], batch_requests=3)
    server._pool.submit(time.sleep, 0.3)  # the only worker
    server.offline(waiting)
    assert [len(inputs["user"]) for inputs in server.engine.ran] == batches


def test_peak_of_a_known_engine():
    """The limit is long beside 459 requests' time, so that overload shows late."""
    found = peak_qps(
        Sleeper(1.0), [{}], latency_limit_ms=100, min_queries=459, resolution=1.3, repeats=2
    )
    assert 0 < found.qps_low <= found.qps < found.qps_high
    assert found.qps < 1000  # one worker, a thousandth of a second a request
    assert 1 <= found.offline.service_ms < 100
    assert found.p50_ms <= found.p95_ms <= found.p99_ms <= 100
    assert found.memory_mb > 0
    assert found.peak_flops > 0
    assert found.qps in [run.qps for run in found.runs if run.passed]
    assert all(run.queries >= 459 for run in found.runs)


def test_a_request_slower_than_the_limit():
    found = peak_qps(Sleeper(8.0), [{}], latency_limit_ms=5)
    assert (found.qps, found.qps_low, found.brackets) == (0, 0, [])
    assert found.single_stream.p50_ms >= 8


def test_an_engine_that_raises():
    with pytest.raises(ArithmeticError, match="cucumber"):
        peak_qps(Sleeper(1.0, fault="raise"), [{}], latency_limit_ms=60)


def test_a_crash_is_a_clear_error():
    with pytest.raises(RuntimeError, match=r"process of peak_qps \(engine sleeper.*ended"):
        peak_qps(Sleeper(1.0, fault="exit"), [{}], latency_limit_ms=60)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": []}, "at least one request"),
        ({"latency_limit_ms": 0}, "latency_limit_ms must be > 0; got 0"),
        ({"min_queries": 100}, "min_queries must be at least 459.*got 100"),
        ({"workers": 0}, "workers must be >= 1; got 0"),
        ({"batch_requests": 0}, "batch_requests must be >= 1; got 0"),
        ({"repeats": 0}, "repeats must be >= 1; got 0"),
        ({"resolution": 1.0}, "resolution must be > 1; got 1.0"),
        ({"max_seconds": 0}, "max_seconds must be > 0; got 0"),
    ],
)
def test_peak_qps_refuses(change, message):
    case = {"inputs": [{}], "latency_limit_ms": 50} | change
    with pytest.raises(ValueError, match=message):
        peak_qps(SimpleNamespace(name="none"), **case)


def test_peak_qps_refuses_an_unknown_parameter():
    with pytest.raises(TypeError, match="unknown parameter 'min_query'; a search has min_queries"):
        peak_qps(SimpleNamespace(name="none"), [{}], 50, min_query=700)


# ---- batches --------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_scores_as_its_requests(form):
    size = [24, 16, 8] if form == "twin_tower" else SIZE
    one = OnnxRuntime(random_graph(form, size, seed=1, user_width=USER_WIDTH))
    many = OnnxRuntime(random_batched_graph(form, size, seed=1, user_width=USER_WIDTH))
    requests = random_inputs(many.input_shapes, CANDIDATES, seed=0, requests=3)
    expected = [
        one.run({name: x[0] if x.ndim == 3 else x for name, x in request.items()})
        for request in requests
    ]
    np.testing.assert_allclose(
        many.run(merge_requests(requests)), np.concatenate(expected), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        many.run(merge_requests(requests[:1])), expected[0], rtol=1e-5, atol=1e-5
    )


def test_batched_graph_refuses_an_unknown_form():
    with pytest.raises(ValueError, match="form must be one of naive, first_layer_optimised"):
        random_batched_graph("fast", SIZE, 0)


# ---- FLOPs really done ----------------------------------------------------


def flops_by_loop(form, size, candidates):
    """Appendix A's forms, a layer at a time."""
    user, total = size[0] // 2, 0
    for i, (inputs, units) in enumerate(itertools.pairwise(size)):
        if form == "naive":
            total += candidates * 2 * inputs * units
        elif i == 0:
            total += 2 * user * units
        else:
            total += (candidates if form == "first_layer_optimised" else 1) * 2 * inputs * units
    return total + (candidates * 2 * size[-1] if form == "twin_tower" else 0)


@pytest.mark.parametrize("form", FORMS)
@given(
    widths=st.lists(st.integers(2, 40), min_size=3, max_size=5),
    candidates=st.integers(1, 50),
    requests=st.integers(1, 4),
)
@settings(deadline=None, max_examples=15)
def test_flops_of_a_graph_are_those_of_its_form(form, widths, candidates, requests):
    size = widths if form == "twin_tower" else [*widths, 1]
    one = flops_by_loop(form, size, candidates)
    assert graph_flops(random_graph(form, size, 0), candidates) == one
    assert graph_flops(random_batched_graph(form, size, 0), candidates, requests) == requests * one


def test_flops_of_an_unknown_operator_are_unknown():
    graph = random_graph("naive", SIZE, 0)
    graph.graph.node[-1].op_type = "Einsum"
    assert math.isnan(graph_flops(graph, CANDIDATES))


# ---- a row ----------------------------------------------------------------


SHORT = {
    "candidates": 20,
    "latency_limit_ms": 80,
    "seed": 0,
    "min_queries": 459,
    "resolution": 1.5,
    "repeats": 1,
}


def test_from_size_to_costs_table(tmp_path):
    """Algorithm 1 over one tiny size, written and read back."""
    row = measure_size([64, 16, 8, 1], **SHORT)
    assert (row["family"], row["form"], row["user_width"]) == ("mlp", "first_layer_optimised", 32)
    assert row["flops"] == 2 * (64 * 16 + 16 * 8 + 8)
    assert 0 < row["qps_low"] <= row["qps"] <= row["qps_high"]
    assert row["flops_per_second"] == pytest.approx(
        row["qps"] * (2 * 32 * 16 + 20 * 2 * (16 * 8 + 8))
    )
    assert 0 < row["share_of_peak"] < 1 and 0 < row["offline_share_of_peak"] < 1
    assert row["library"].startswith("onnxruntime ")
    assert row["failure"] == ""
    table = priced([row], base=[64, 16, 8, 1], machines_base=12, price_per_hour=0.5)
    assert table["machines"][0] == 12
    assert table["cost_per_hour"][0] == 6
    table.to_parquet(tmp_path / "costs.parquet")
    back = load_costs(tmp_path / "costs.parquet")
    assert back["qps"].tolist() == [row["qps"]]
    assert back["size_parameters"][0] == [64, 16, 8, 1]


def with_ids():
    """A model of a user's own: it looks up whole numbers, and has no form of ours."""
    table = numpy_helper.from_array(np.eye(5, 3, dtype="f"), "table")
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["scores"]),
    ]
    weights = numpy_helper.from_array(np.ones((3, 1), "f"), "weights")
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1])],
        [table, weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def with_history():
    """A mean over a list of whole numbers: two axes have no length."""
    weights = [
        numpy_helper.from_array(np.eye(5, 3, dtype="f"), "table"),
        numpy_helper.from_array(np.ones((3, 1), "f"), "weights"),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "history"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info("history", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_lengths_of_further_axes_are_given(tmp_path):
    onnx.save(with_history(), tmp_path / "own.onnx")
    row = measure_model(tmp_path / "own.onnx", ids=5, axis_lengths={"length": 7}, **SHORT)
    assert row["qps"] > 0
    _, engine, (request, *_) = prepare_model(
        with_history(), candidates=20, seed=0, ids=5, axis_lengths={"length": 7}
    )
    assert request["history"].shape == (20, 7)
    assert engine.run(request).shape == (20, 1)


def test_a_model_file_is_named_where_it_cannot_be_measured(tmp_path):
    onnx.save(with_history(), tmp_path / "own.onnx")
    with pytest.raises(ValueError, match=r"own\.onnx: the model has several free axes"):
        prepare_model(tmp_path / "own.onnx", candidates=20, seed=0, ids=5)
    with pytest.raises(ValueError, match=r"own\.onnx: .*input 'history' holds int64: give ids"):
        prepare_model(tmp_path / "own.onnx", candidates=20, seed=0, axis_lengths={"length": 7})
    with pytest.raises(FileNotFoundError, match=r"typo\.onnx: there is no such model file"):
        prepare_model(tmp_path / "typo.onnx", candidates=20, seed=0)


def test_any_model_is_measured(tmp_path):
    onnx.save(with_ids(), tmp_path / "own.onnx")
    row = measure_model(
        tmp_path / "own.onnx",
        ids=5,
        batch_requests=2,
        columns={"family": "dlrm", "size_parameters": [3, 1]},
        **SHORT,
    )
    assert (row["family"], row["flops"], row["batch_requests"]) == ("dlrm", 6, 2)
    assert row["flops_per_second"] == pytest.approx(row["qps"] * 20 * 6)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"model": with_ids()}, ValueError, "input 'ids' holds int64: give ids >= 1"),
        ({"model": {}}, TypeError, "model must be an onnx.ModelProto or the path of a model file"),
        (
            {"model": random_graph("naive", SIZE, 0), "batch_requests": 2},
            ValueError,
            "batch_requests = 2 needs a graph that takes several requests; input 'user' has",
        ),
        (
            {"model": random_graph("naive", SIZE, 0), "latency_limit_ms": -1},
            ValueError,
            "latency_limit_ms must be > 0; got -1",
        ),
        (
            {"model": random_graph("naive", SIZE, 0), "candidates": 0},
            ValueError,
            "candidates must be a whole number >= 1; got 0",
        ),
        (
            {"model": random_graph("naive", SIZE, 0), "candidates": 2.5},
            ValueError,
            "candidates must be a whole number >= 1; got 2.5",
        ),
        (
            {"model": fix_axes(random_graph("naive", SIZE, 0), {"candidates": 32})},
            ValueError,
            "exported for a fixed batch: input 'user' has the shape",
        ),
        (
            {"model": with_history(), "ids": 5},
            ValueError,
            "'batch' of input 'history'; 'length' of input 'history'",
        ),
        (
            {"model": random_graph("naive", SIZE, 0), "engine": "abacus"},
            ValueError,
            "engine must be one of onnxruntime.*got 'abacus'",
        ),
    ],
)
def test_measure_model_refuses(settings, error, message):
    with pytest.raises(error, match=message):
        measure_model(**{**SHORT, **settings})


def test_random_inputs_have_the_asked_types():
    shapes = {"ids": ("batch", 4), "mask": ("batch",), "half": (2,)}
    types = {"ids": np.int32, "mask": np.bool_, "half": np.float16}
    drawn = random_inputs(shapes, 50, seed=0, requests=1, input_types=types, ids=3)[0]
    assert {name: x.dtype for name, x in drawn.items()} == {
        k: np.dtype(v) for k, v in types.items()
    }
    assert set(np.unique(drawn["ids"])) == {0, 1, 2}
    assert drawn["mask"].all()
    with pytest.raises(ValueError, match="input 'text' must hold floats, whole numbers or truth"):
        random_inputs({"text": (1,)}, 5, seed=0, input_types={"text": np.dtype("O")})


# ---- a size that fails ----------------------------------------------------


def test_a_size_that_fails_is_a_row(tmp_path, monkeypatch):
    """One of two sizes fails, as a row with its reason; the sweep goes on and keeps both."""

    def fails(model, candidates, requests=1):
        raise MemoryError("no room for 3 cucumbers\nat line 7")

    def tasks(*sizes):
        return [{**SHORT, "size_parameters": size, "on": facts()} for size in sizes]

    with monkeypatch.context() as patch:
        patch.setattr("lib.serving.load.load_tests.random_graph", fails_on([64, 16, 8, 1], fails))
        one, two = sweep.run(
            load_test_task,
            tasks([32, 8, 1], [64, 16, 8, 1]),
            tmp_path,
            n_jobs=1,
            backend="sequential",
            progress=False,
        )
    assert (one["failure"], two["failure"]) == ("", "MemoryError: no room for 3 cucumbers")
    assert set(one) == set(two)
    assert math.isnan(two["qps"])
    assert two["machine"] == one["machine"]
    table = priced([one, two], base=[32, 8, 1], machines_base=10, price_per_hour=1)
    assert table["machines"][0] == 10
    assert (
        table[["machines", "machines_low", "machines_high", "cost_per_hour"]].iloc[1].isna().all()
    )
    again = sweep.run(load_test_task, tasks([64, 16, 8, 1]), tmp_path, n_jobs=1, progress=False)
    assert again[0]["failure"] == two["failure"]


def fails_on(size, failure):
    def build(form, size_parameters, seed, user_width=None):
        if list(size_parameters) == size:
            return failure(None, None)
        return random_graph(form, size_parameters, seed, user_width)

    return build


def test_a_keyboard_interrupt_stops(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lib.serving.load.load_tests.random_graph", fails_on([64, 16, 8, 1], stop))
    with pytest.raises(KeyboardInterrupt):
        load_test_task({**SHORT, "size_parameters": [64, 16, 8, 1]}, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "abacus"}, "engine must be one of"),
        ({"precision": "fp7"}, "precision must be one of"),
        ({"form": "fast"}, "form must be one of naive"),
        ({"size_parameters": [4]}, "size parameters of a mlp must be two or more"),
        ({"repeats": 0}, "repeats must be >= 1"),
        ({"candidates": 0}, "candidates must be a whole number >= 1; got 0"),
    ],
)
def test_what_would_fail_for_every_size_raises(change, message):
    with pytest.raises(ValueError, match=message):
        load_test_task({**SHORT, "size_parameters": [8, 4, 1], **change}, None)


def test_a_task_that_lacks_an_argument_raises():
    with pytest.raises(ValueError, match="the task must give candidates; got size_parameters"):
        load_test_task({"size_parameters": [8, 4, 1], "seed": 0, "latency_limit_ms": 5}, None)


def test_an_engine_that_is_not_here_raises(monkeypatch):
    def absent(*_, **__):
        raise engines.EngineUnavailable("no device")

    monkeypatch.setattr("lib.serving.engines.build", absent)
    with pytest.raises(engines.EngineUnavailable, match="no device"):
        load_test_task({**SHORT, "size_parameters": [8, 4, 1]}, None)


# ---- the time of a request ------------------------------------------------


TIMED = {
    "size_parameters": [64, 16, 8, 1],
    "form": "first_layer_optimised",
    "candidates": 20,
    "engine": "onnxruntime",
    "workers": 2,
    "seed": 0,
    "seconds": 0.02,
    "latency_limit_ms": 50.0,
    "repeat": 2,
    "on": {},
}


def test_a_timed_size_is_a_row_of_costs():
    row = service_time_task(TIMED, None)
    assert row["service_ms"] > 0 and row["offline_qps"] > 0 and row["failure"] == ""
    assert (row["repeat"], row["workers"], row["latency_limit_ms"]) == (2, 2, 50.0)
    assert row["flops"] == matrix_flops(TIMED["size_parameters"])
    assert np.isnan(row["qps"])


def test_a_size_that_fails_when_timed_gives_the_reason(monkeypatch):
    def out_of_memory(*_):
        raise MemoryError("no room")

    monkeypatch.setattr("lib.serving.load.service_time.random_graph", out_of_memory)
    row = service_time_task(TIMED, None)
    assert np.isnan(row["service_ms"]) and row["failure"] == "MemoryError: no room"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "other"}, "form must be one of naive"),
        ({"candidates": 0}, "candidates must be a whole number >= 1; got 0"),
    ],
)
def test_timing_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        service_time_task({**TIMED, **change}, None)


# ---- without LoadGen ------------------------------------------------------


@pytest.fixture
def no_loadgen(monkeypatch):
    """A system that LoadGen is not packaged for."""
    mlperf_loadgen.cache_clear()
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    yield
    mlperf_loadgen.cache_clear()


@pytest.mark.parametrize(
    "load_test",
    [
        lambda: measure_size([64, 16, 8, 1], **SHORT),
        lambda: load_test_task({**SHORT, "size_parameters": [64, 16, 8, 1]}, None),
        lambda: service_time_task(TIMED, None),
        lambda: RequestServer(Sleeper(1.0), [{}]).offline(3),
    ],
)
def test_a_load_test_says_that_loadgen_is_missing(no_loadgen, load_test):
    """Not as a size that fails: it would be missing for every size."""
    with pytest.raises(ModuleNotFoundError, match=r"needs MLPerf LoadGen .* packaged for Linux"):
        load_test()


def test_all_of_lib_imports_without_loadgen():
    code = (
        "import importlib, pkgutil, sys; sys.modules['mlperf_loadgen'] = None\n"
        "import lib.serving, lib.cost, lib.design\n"
        "for package in (lib.serving, lib.cost, lib.design):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "print(lib.serving.load.loadgen.LEAST_QUERIES)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["459"], done.stderr
