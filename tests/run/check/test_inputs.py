"""Files that parameters name: missing ones, damaged ones, and those that do not fit."""

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from lib.logs import reader
from lib.run import places
from lib.run.check.findings import check, examine
from tests.run.check.given import FILES, quick, values_of
from tests.run.decide import tables as made
from tests.small_log import FEATURES, make_log

SIZES = [[4, 1], [8, 1], [12, 1], [16, 1], [24, 1]]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder where relative paths start, with good tables of one system."""
    monkeypatch.setenv(places.ROOT, str(tmp_path))
    for name in ("measurements", "ab_tests", "costs"):
        getattr(made, name)().to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


@pytest.fixture
def own_log(root):
    reader.write_logs(root / "log.parquet", [make_log()])
    from lib.logs.features import save_features

    save_features(root / "features.yaml", FEATURES)
    return {"logs": "log.parquet", "features": "features.yaml"}


def own(stem, **changes):
    """Parameters of a notebook that reads the tables of `root`."""
    tables = {"measurements": "measurements.csv", "ab_tests": "ab_tests.csv"}
    if stem == "04_roi_design":
        tables |= {"models": "measurements.csv", "costs": "costs.csv", "base_model": "size 3"}
        tables |= {"training_costs": ""}
    if stem == "02_bnsl_fitting":
        tables = {"measurements": "measurements.csv", "trainings": ""}
    return quick(stem, **tables | changes)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_committed_can_run(path):
    """Where a notebook of the profile has not run, its files are not there: skipped, and said."""
    try:
        sentences = check(path.stem, values_of(path))
    except ValueError as error:
        reasons = ("no such file", "is missing; expected the folder", "which needs the Python pack")
        if any(reason in str(error) for reason in reasons):
            pytest.skip(str(error))
        raise
    assert sentences == []


@pytest.mark.parametrize("stem", ["01_metric_validation", "02_bnsl_fitting", "04_roi_design"])
def test_own_tables_that_fit(root, stem):
    assert check(stem, own(stem)) == []
    found = examine(stem, own(stem)).tables
    assert len(found["measurements"]) == 6


@pytest.mark.parametrize(
    ("stem", "changes", "message"),
    [
        ("01_metric_validation", {"measurements": "m.csv"}, "measurements: m.csv: no such file"),
        ("01_metric_validation", {"ab_tests": "a.csv"}, "ab_tests: a.csv: no such file"),
        (
            "01_metric_validation",
            {"measurements": "", "ab_tests": ""},
            "system: outputs/quick/00_logs/cache/system: no such file; .*notebook 00_logs writes",
        ),
        ("02_bnsl_fitting", {"metric": "auc"}, "metric must be a column .*measurements.csv.*'auc'"),
        ("02_bnsl_fitting", {"held_out": 3}, "found 6 different sizes, expected 7 or more"),
        ("02_bnsl_fitting", {"bound": 0.85}, "expected a number below bound = 0.85"),
        ("02_bnsl_fitting", {"measurements": ".", "held_out": 1}, "expected .csv or .parquet"),
        ("02_bnsl_fitting", {"measurements": "a" * 5000}, "measurements: a+.*: no such file"),
        ("04_roi_design", {"base_model": "size 9"}, "base_model must be the model of one row"),
        ("04_roi_design", {"metric": "auc"}, "metric must be a column .*measurements.csv.*'auc'"),
        ("04_roi_design", {"costs": "no.csv"}, "costs: no.csv: no such file; .* table of costs"),
        ("04_roi_design", {"sizes_table": "no.csv"}, "sizes_table: no.csv: no such file"),
        ("04_roi_design", {"training_costs": "no.csv"}, "training_costs: no.csv: no such file"),
        (
            "02_bnsl_fitting",
            {"lifts": "params/paper/lifts.csv", "reference_model": "input 9"},
            "reference_model must be the model of one row .*got 'input 9', 0 rows",
        ),
    ],
)
def test_a_file_that_cannot_be_used(root, stem, changes, message):
    with pytest.raises(ValueError, match=message) as refused:
        check(stem, own(stem, **changes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("stem", "name", "table", "message"),
    [
        (
            "01_metric_validation",
            "ab_tests",
            made.ab_tests().iloc[:2],
            "2 primary models of the world 'your system' stand in measurements.csv as well",
        ),
        (
            "04_roi_design",
            "measurements",
            made.measurements().iloc[3:5],
            "found 2 different sizes, expected 3 or more",
        ),
        (
            "04_roi_design",
            "costs",
            made.costs().assign(form="naive"),
            "0 rows are 'first_layer_optimised', expected 3 or more sizes",
        ),
        (
            "04_roi_design",
            "costs",
            made.costs().drop(columns="qps"),
            "costs.csv: column 'qps' is missing",
        ),
    ],
)
def test_a_table_that_does_not_fit(root, stem, name, table, message):
    table.to_csv(root / f"{name}.csv", index=False)
    with pytest.raises(ValueError, match=message):
        check(stem, own(stem))


def test_what_looks_wrong_is_said(root):
    made.ab_tests(revenue_lift=np.linspace(0.0, 0.85, 6)).to_csv(root / "ab_tests.csv", index=False)
    sentences = check("01_metric_validation", own("01_metric_validation"))
    assert any("ab_tests.csv" in text and "%" in text for text in sentences)


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        ({}, {"scenarios": "no.csv"}, "scenarios: no.csv: no such file"),
        ({"revenue": "a"}, {}, "scenarios.csv: column 'revenue', row 0"),
        ({}, {"pool_budgets": {"eu": 3.0}}, "scenarios.csv: column 'pool' is missing"),
        ({"pool": "us"}, {"pool_budgets": {"eu": 3.0}}, "pool must be one of 'eu'; got 'us'"),
    ],
)
def test_scenarios(root, table, changes, message):
    made.scenarios().assign(**table).to_csv(root / "scenarios.csv", index=False)
    given = {"scenarios": "scenarios.csv", "budget": 100.0} | changes
    with pytest.raises(ValueError, match=message):
        check("05_allocation", quick("05_allocation", **given))


def fitting(own, **changes):
    given = {"sizes": SIZES, "trainings": "", "batch_impressions": 8, "m": 2, "k": 2}
    given |= {"train_impressions": 40, "test_impressions": 8}
    return quick("02_bnsl_fitting", **own | given | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m": 99}, "^m must be at most .* the ads of the longest list in log.parquet; got 99"),
        ({"k": 99}, "^k must be at most .* got 99"),
        ({"train_impressions": 10**6}, "log.parquet: holds .* impressions; expected 1,000,008"),
        ({"without": ["colour"]}, "colour"),
        ({"logs": "no.parquet"}, "logs: no.parquet: no such file; expected a Parquet file"),
        ({"features": "no.yaml"}, "features: no.yaml: no such file; expected a features file"),
        ({"features": "."}, "features: .: is a folder; expected a features file"),
    ],
)
def test_a_log_that_does_not_fit(own_log, changes, message):
    assert check("02_bnsl_fitting", fitting(own_log)) == []
    with pytest.raises(ValueError, match=message) as refused:
        check("02_bnsl_fitting", fitting(own_log, **changes))
    assert "\n" not in str(refused.value)


def test_a_log_without_money(root, own_log):
    reader.write_logs(root / "log.parquet", [make_log().to_pandas().assign(ecpm=0.0)])
    with pytest.raises(ValueError, match=r"^metric must be one of ndcg.* got 'r_over_r_star'$"):
        check("02_bnsl_fitting", fitting(own_log))
    assert examine("02_bnsl_fitting", fitting(own_log, metric="ndcg")).logs["logs"]


def test_lists_shorter_than_m_are_said(own_log):
    facts = examine("02_bnsl_fitting", fitting(own_log)).logs["logs"]
    if facts["shortest"] == facts["longest"]:
        pytest.skip("all lists of the small log are of one length")
    sentences = check("02_bnsl_fitting", fitting(own_log, m=facts["longest"]))
    assert any(f"the shortest list has {facts['shortest']} ads" in text for text in sentences)


def model(path, batch="ads"):
    weights = helper.make_tensor("w", TensorProto.FLOAT, [8, 1], np.ones(8, "f"))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 1])],
        [weights],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)


def test_a_model_file(root):
    model(root / "free.onnx")
    model(root / "fixed.onnx", batch=4)
    given = {"model_file": "free.onnx"}
    assert examine("03_cost_simulation", quick("03_cost_simulation", **given)).models["model_file"]
    for file, message in (
        ("no.onnx", "model_file: no.onnx: no such file; expected a model file"),
        ("fixed.onnx", "fixed.onnx"),
        ("measurements.csv", "measurements.csv"),
    ):
        with pytest.raises(ValueError, match=message):
            check("03_cost_simulation", quick("03_cost_simulation", model_file=file))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"age_minutes": [5]}), "column 'metric' is missing"),
        (pd.DataFrame({"age_minutes": [5], "metric": [0.8]}), "found 1 row, expected two or more"),
        (pd.DataFrame({"age_minutes": [5, "a"], "metric": [0.8, 0.7]}), "row 1.*found 'a'"),
    ],
)
def test_own_ages(root, table, message):
    table.to_csv(root / "ages.csv", index=False)
    with pytest.raises(ValueError, match=rf"ages.csv: .*{message}"):
        check("07_online_pipeline", quick("07_online_pipeline", ages="ages.csv"))
