"""Notebook 03 with a reader's own costs and model: measured, or refused before anything long."""

import functools
import json
import re
import subprocess
import sys

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from lib.cost.algorithm import HERE
from lib.infra.child_process import in_child
from lib.logs.tables import load_costs
from lib.run.parameters import read_parameters
from tests import ROOT
from tests.notebooks.cells import leave_results

STEM = "03_cost_simulation"
NOTEBOOK = ROOT / "notebooks" / f"{STEM}.ipynb"


def run(root, **parameters):
    """The notebook in a fresh process, with the quick profile's parameters."""
    notebook = functools.partial(leave_results, STEM, root, profile="quick", **parameters)
    in_child("notebook 03", notebook)


def own_costs(path):
    """Four sizes of one hidden width, with what the analytic model needs."""
    rows = [
        {
            "family": "mlp",
            "size_parameters": str([3328, width, 256, 256, 256, 1]),
            "engine": "mine",
            "precision": "fp32",
            "machine": "mine",
            "candidates": 100,
            "latency_limit_ms": 100.0,
            "qps": qps,
            "qps_low": 0.9 * qps,
            "qps_high": 1.1 * qps,
            "machines": 1000 / qps,
            "cost_per_hour": 1000 / qps,
            "service_ms": 500 / qps,
            "workers": 2,
        }
        for width, qps in ((256, 40.0), (512, 30.0), (768, 20.0), (1024, 10.0))
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def ids_model(path):
    """A model whose request is one whole number an ad."""
    weights = [
        numpy_helper.from_array(np.ones(shape, "f"), name)
        for name, shape in (("table", (50, 8)), ("w", (8, 1)))
    ]
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "w"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1])],
        weights,
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


@pytest.mark.slow
def test_a_model_is_measured_beside_given_costs(tmp_path):
    run(
        tmp_path,
        costs=str(own_costs(tmp_path / "costs.csv")),
        model_file=str(ids_model(tmp_path / "model.onnx")),
        ids=50,
    )
    folder = tmp_path / "outputs/quick/03_cost_simulation"
    row = pd.read_csv(folder / "own_model.csv").iloc[0]
    assert row.qps > 0 and row.candidates == 100
    summary = json.loads((folder / "summary.json").read_text())
    assert [size["how"] for size in summary["values"]["paper_sizes"]] == ["predicted"] * 3
    assert not (folder / "search.csv").exists()  # costs are given: nothing else is measured


# No size beside the bases, each measured as briefly as can be.
BRIEF = {
    "sizes": [],
    "naive_sizes": [],
    "twin_tower_sizes": [],
    "corpora": [1000],
    "training_sizes": [],
    "training_impressions": 4,
    "training_steps": 5,
    "search_budget": 0,
    "repeats": 1,
}


@pytest.mark.slow
def test_load_tests_are_run(tmp_path):
    """Real ones, of small models, from the size to the answer."""
    run(
        tmp_path,
        **BRIEF,
        base=[24, 8, 4, 4, 4, 1],
        twin_tower_base=[24, 8, 4],
        candidates=20,
        matching_ads=200,
        latency_limit_ms=300.0,
        max_seconds=3.0,
        resolution=1.5,
        recorded_costs="",
    )
    folder = tmp_path / "outputs/quick/03_cost_simulation"
    costs = pd.read_csv(folder / "costs.csv")
    assert (costs.source == HERE).all() and (costs.qps > 0).all()
    record = pd.read_csv(folder / "timings.csv")
    assert record.function.value_counts().to_dict() == {
        "load_test_task": 3,
        "this_machine_task": 1,
        "scan_costs_task": 1,
        "training_cost_task": 1,
    }


@pytest.mark.slow
def test_a_base_that_no_load_test_can_measure_here_is_taken_from_the_recorded_costs(tmp_path):
    """A search that ends before it has begun, as on a machine where no load passes."""
    run(tmp_path, last="costs", **BRIEF, max_seconds=0.01)
    folder = tmp_path / f"outputs/quick/{STEM}/.{STEM}.unfinished"
    costs, recorded = (
        pd.read_csv(path) for path in (folder / "costs.csv", ROOT / "params/quick/costs.csv")
    )
    assert costs.qps.tolist() == recorded.qps.tolist()
    reason = "[3328, 1024, 256, 256, 256, 1] (first_layer_optimised) could not be measured here"
    assert costs.source.str.startswith(f"recorded: {reason}: RuntimeError: peak_qps: no load").all()


def test_the_recorded_costs_are_of_the_sizes_of_the_profile():
    values = read_parameters(ROOT / "params/quick/03_cost_simulation.yaml")
    recorded = load_costs(ROOT / values["recorded_costs"]).groupby("form").size_parameters
    assert recorded.agg(list).to_dict() == {
        "first_layer_optimised": [values["base"], *values["sizes"]],
        "naive": [values["base"], *values["naive_sizes"]],
        "twin_tower": [values["twin_tower_base"], *values["twin_tower_sizes"]],
    }


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("typo.onnx", "typo.onnx: no such file; expected a model file"),
        ("ids.onnx", "ids.onnx: random_inputs: input 'ids' holds int64: give ids >= 1"),
    ],
)
def test_a_model_that_cannot_be_measured_is_refused_before_the_load_tests(tmp_path, model, message):
    ids_model(tmp_path / "ids.onnx")
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)):
        run(tmp_path, model_file=str(tmp_path / model))
    assert not list(tmp_path.rglob("timings/*.json"))


def test_a_base_of_other_depth_is_refused_before_the_load_tests(tmp_path):
    with pytest.raises(ValueError, match="base must have 6 size parameters"):
        run(tmp_path, base=[64, 32, 1])
    assert not list(tmp_path.rglob("timings/*.json"))


@pytest.mark.slow
def test_the_notebook_starts_where_loadgen_is_not_packaged():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    imports = next(cell for cell in cells if cell["id"] == "cell-01")
    code = "import sys; sys.modules['mlperf_loadgen'] = None\n" + "".join(imports["source"])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
