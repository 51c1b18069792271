"""A size, or any model, as a row of the costs table."""

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lib.cost.algorithm import priced
from lib.infra import sweep
from lib.infra.machine import facts
from lib.logs.tables import load_costs
from lib.serving import engines
from lib.serving.graphs.export import random_graph
from lib.serving.graphs.free_axes import fix_axes
from lib.serving.load.load_tests import load_test_task, measure_model, measure_size, prepare_model

SIZE, USER_WIDTH, CANDIDATES = [24, 16, 8, 8, 8, 1], 10, 7


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
    assert row["inputs"] == "user float32 [1, 32]; ad_parts float32 [20, 16]"
    assert (row["flops_counted"], row["flops_not_counted"]) == ("Gemm 3", "")
    assert row["qps"] != row["target_qps"] > 0  # the load that was offered, not asked for
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
    assert row["inputs"] == "ids int64 [20] of 0..4"
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
