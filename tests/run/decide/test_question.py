"""The question: one error that names file, column, value and expectation, before anything runs."""

import numpy as np
import pandas as pd
import pytest

from lib.run.decide.question import ask
from tests.run.decide import tables
from tests.run.decide.tables import written


def test_a_question_that_can_be_answered(tmp_path):
    question = ask(written(tmp_path))
    assert question.values["models"] == question.values["measurements"]
    assert question.values["costs"] == str(tmp_path / "costs.csv")
    assert (question.trained, question.tested, question.load_tested) == (6, 6, 6)
    assert question.largest == pytest.approx(tables.FLOPS[-1] / tables.FLOPS[3])
    assert question.digests["costs"][0] == "costs.csv"
    assert question.left_out == []
    assert "roi" in question.values and "roi" not in question.given


def test_paths_on_the_command_line_start_where_it_was_given(tmp_path, monkeypatch):
    path = written(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    tables.costs().to_csv(other / "mine.csv", index=False)
    monkeypatch.chdir(other)
    question = ask(path, {"costs": "mine.csv", "roi_min": 2.0})
    assert question.values["costs"] == str(other / "mine.csv")
    assert question.given["roi_min"] == 2.0


def test_without_a_file(tmp_path, monkeypatch):
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = ("measurements", "ab_tests", "costs")
    question = ask(None, tables.PRICES | {name: f"{name}.csv" for name in names})
    assert question.trained == 6


def test_a_model_without_a_test_is_said(tmp_path):
    question = ask(written(tmp_path, ab_tests=tables.ab_tests().iloc[1:]))
    assert question.tested == 5
    assert len(question.left_out) == 1 and "model 'size 0'" in question.left_out[0]


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"revenue_per_hour": None}, "yaml: revenue_per_hour is missing; expected what the system"),
        ({"base": []}, "yaml: base is missing; expected its size parameters"),
        ({"costs": ""}, "yaml: costs is missing; expected the path of a table of load tests"),
        ({"revenu_per_hour": 1.0}, "yaml: unknown parameter 'revenu_per_hour'; the notebook takes"),
        ({"price_per_hour": "2,5"}, "yaml: price_per_hour must be float; got '2,5'"),
        ({"price_per_hour": -1.0}, "yaml: price_per_hour must be a number > 0; got -1.0"),
        ({"roi": "net"}, "yaml: roi must be one of 'incremental', 'total'; got 'net'"),
        ({"interval": 90.0}, "yaml: interval must be a number between 0 and 1; got 90.0"),
        ({"confidence": 1.0}, "yaml: confidence must be a number between 0 and 1; got 1.0"),
        ({"roi_min": -1.0}, "yaml: roi_min must be a number >= 0; got -1.0"),
        ({"direction": "up"}, "yaml: direction must be one of 'rising', 'falling'; got 'up'"),
        ({"base_model": "size 9"}, "base_model must be the model of one row in .*got 'size 9'"),
        ({"metric": "auc"}, "measurements.csv: column 'auc' is missing; the file has model, flops"),
        ({"costs": "no.csv"}, "no.csv: no such file; expected a table of costs"),
        ({"base": [3328, 1024, 1]}, "yaml: base must hold the widths of 6 layers"),
        ({"ratio_from": "all"}, "yaml: ratio_from must be one of 'input', 'hidden'; got 'all'"),
        ({"scenarios": "some.csv"}, "yaml: budget is missing; expected what the scenarios may"),
        ({"output": "here"}, "yaml: unknown parameter 'output'"),
    ],
)
def test_a_wrong_parameter(tmp_path, prices, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ask(written(tmp_path, prices=prices))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"measurements": tables.measurements().iloc[1:5]},
            r"measurements.csv: column 'flops': found 4 different sizes, expected 5 or more",
        ),
        (
            {"measurements": tables.measurements().replace({"flops": {tables.FLOPS[2]: -3}})},
            r"measurements.csv: column 'flops', row 2 \(model 'size 2'\): found -3",
        ),
        (
            {"measurements": tables.measurements(r_over_r_star=np.linspace(0.8, 1.0, 6))},
            r"column 'r_over_r_star', row 5 \(model 'size 5'\): found 1.0, expected a number below "
            "bound = 1",
        ),
        (
            {"ab_tests": tables.ab_tests(revenue_lift="0.85%")},
            r"ab_tests.csv: column 'revenue_lift', row 0 .*found '0.85%', expected a fraction",
        ),
        (
            {"ab_tests": tables.ab_tests().iloc[:2]},
            r"ab_tests.csv: column 'model': 2 of its models stand in .* expected 3 or more",
        ),
        ({"costs": tables.costs().drop(columns="qps")}, r"costs.csv: column 'qps' is missing"),
        (
            {"costs": tables.costs().query("form != 'first_layer_optimised'")},
            r"costs.csv: column 'form': 0 rows are 'first_layer_optimised', expected 3 or more",
        ),
        (
            {
                "scenarios": pd.DataFrame({"scenario": ["a"], "revenue": [1.0]}),
                "prices": {"budget": 10.0},
            },
            r"scenarios.csv: column 'cost' is missing",
        ),
    ],
)
def test_a_wrong_table(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        ask(written(tmp_path, **given))
