import math

import pandas as pd
import pytest

from lib.notebook import checks

TABLE = pd.DataFrame({"model": ["a", "b", "b"], "ndcg": [0.1, 0.2, 0.3], "note": "x"})
TABLE.attrs["path"] = "own/measurements.csv"


@pytest.mark.parametrize(
    ("check", "parameters", "message"),
    [
        (checks.positive, {"workers": 0}, "workers must be > 0; got 0"),
        (checks.positive, {"limit": -5.0}, "limit must be > 0; got -5.0"),
        (checks.positive, {"limit": math.nan}, "limit must be > 0; got nan"),
        (checks.positive, {"limit": math.inf}, "limit must be > 0; got inf"),
        (checks.positive, {"units": [32, 0]}, r"units must be > 0; got \[32, 0\]"),
        (checks.not_negative, {"seed": -1}, "seed must be >= 0; got -1"),
        (checks.not_empty, {"sizes": []}, r"sizes must not be empty; got \[\]"),
        (checks.not_empty, {"costs": ""}, "costs must not be empty; got ''"),
    ],
)
def test_a_bad_value_is_named(check, parameters, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check(**{"first": [1]} | parameters if check is not checks.not_empty else parameters)


def test_good_values_pass():
    checks.positive(workers=1, units=[32, 64.0])
    checks.not_negative(seed=0, roi_min=1.5)
    checks.not_empty(sizes=[[8, 4]], costs="costs.csv")
    checks.one_of(["a", "b"], first="a", second="b")
    checks.column(TABLE, metric="ndcg")


@pytest.mark.parametrize("metric", ["auc", "note", "model"])
def test_a_metric_is_a_column_of_numbers(metric):
    with pytest.raises(
        ValueError, match=rf"^metric must be .* own/measurements.csv: 'ndcg'; got '{metric}'$"
    ):
        checks.column(TABLE, metric=metric)


def test_a_metric_without_a_value_names_file_row_and_model():
    table = TABLE.assign(ndcg=[0.1, math.nan, 0.3])
    with pytest.raises(
        ValueError, match=r"^own/measurements.csv: column ndcg, row 1 \(model 'b'\): .* got nan$"
    ):
        checks.column(table, metric="ndcg")


@pytest.mark.parametrize(("model", "rows"), [("c", 0), ("b", 2)])
def test_a_model_has_one_row(model, rows):
    with pytest.raises(
        ValueError,
        match=rf"^base_model .* own/measurements.csv, which holds 'a', 'b'; got '{model}', {rows}",
    ):
        checks.model_row(TABLE, base_model=model)


def test_a_numbered_model_is_found_by_its_number():
    table = pd.DataFrame({"model": [3, 7], "flops": [10, 20]})
    assert checks.model_row(table, base_model="7").flops == 20
    with pytest.raises(ValueError, match=r"^base_model .* holds '3', '7'; got 'm1', 0 rows$"):
        checks.model_row(table, base_model="m1")
