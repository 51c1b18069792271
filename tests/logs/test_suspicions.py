"""What looks wrong in a table is said, and nothing is said of tables that look right."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.logs import tables
from lib.logs.errors import TableError
from lib.logs.suspicions import SCHEMAS, suspicions
from tests import ROOT
from tests.logs.made_tables import EVERY_READER, written

COUNT = 8
METRIC = np.linspace(0.80, 0.87, COUNT)
OUTPUTS = ROOT / "outputs"


def measured(**columns):
    return pd.DataFrame(
        {
            "model": [f"m{i}" for i in range(COUNT)],
            "flops": np.geomspace(1e6, 1e8, COUNT).astype(int),
            "r_over_r_star": METRIC,
            "ndcg": METRIC + 0.02,
            "r_over_r_star_se": 0.001,
        }
    ).assign(**columns)


def online_tests(**columns):
    return pd.DataFrame(
        {
            "model": [f"m{i}" for i in range(COUNT)],
            "revenue_lift": [0.0, 0.001, 0.002, 0.004, 0.003, 0.006, 0.007, 0.008],
            "revenue_lift_se": 0.001,
            "impressions": 10**6,
        }
    ).assign(**columns)


def loads(**columns):
    qps = np.array([40.0, 30.0, 20.0, 10.0])
    widths = (256, 512, 768, 1024)
    return pd.DataFrame(
        {
            "family": "mlp",
            "form": "first_layer_optimised",
            "size_parameters": [[3328, width, 256, 256, 256, 1] for width in widths],
            "engine": "onnxruntime",
            "precision": "fp32",
            "machine": "ours",
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
    ).assign(**columns)


def scenarios(**columns):
    return pd.DataFrame(
        {
            "scenario": ["feed", "feed", "search", "search"],
            "size_parameters": 2 * [[4, 2, 1], [8, 2, 1]],
            "revenue": [50.0, 54.0, 80.0, 90.0],
            "cost": [10.0, np.inf, 10.0, 12.0],
        }
    ).assign(**columns)


def with_cell(table, column, row, value):
    values = table[column].tolist()
    values[row] = value
    return table.assign(**{column: values})


def copied(table):
    for column in ("r_over_r_star", "ndcg"):
        table = with_cell(table, column, 5, table[column][2])
    return table


def lifts(*values, flops=(1e6, 5e6)):
    return pd.DataFrame({"model": ["m0", "m3"], "flops": flops, "revenue_lift": values})


def size_table(cost):
    return pd.DataFrame(
        {
            "size_parameters": [[64, 32, 1]],
            "flops": 4160,
            "lift": 0.01,
            "lift_low": 0.0,
            "lift_high": 0.02,
            "machine_cost_per_hour": cost,
        }
    )


NAMES = [f"m{i}" for i in range(COUNT)]
ODD = {
    "one lift in per cent": (
        {"ab_tests": with_cell(online_tests(), "revenue_lift", 3, 0.85)},
        ["row 3 (model 'm3'): 0.85 is a lift of 85 %; a lift of 0.85 % is written 0.0085"],
    ),
    "lifts in per cent": (
        {"ab_tests": online_tests(revenue_lift=100 * online_tests().revenue_lift)},
        ["'revenue_lift', row 3", "0.4 (and 4 more rows)"],
    ),
    "lifts of a tenth": (
        {"ab_tests": online_tests(revenue_lift=np.linspace(0, 0.19, 8), revenue_lift_se=0.01)},
        ["column 'revenue_lift': half of the lifts are beyond 10.9 %"],
    ),
    "lifts of sizes in per cent": ({"sizes": size_table(1.0).assign(lift=0.85)}, ["'lift', row 0"]),
    "metrics of 87": (
        {"measurements": measured(r_over_r_star=100 * METRIC)},
        ["'r_over_r_star', row 0 (model 'm0'): 80.0 (and 7 more rows) lies outside 0 .. 1"],
    ),
    "a metric below 0": (
        {"measurements": with_cell(measured(), "ndcg", 2, -0.3)},
        ["'ndcg', row 2 (model 'm2'): -0.3 lies outside"],
    ),
    "an AUC of 74": ({"models": measured(auc=74.0 + METRIC)}, ["'auc', row 0"]),
    "errors of 0": (
        {"measurements": measured(r_over_r_star_se=0.0)},
        ["'r_over_r_star_se', row 0 (model 'm0'): 0.0 (and 7 more rows) says that nothing"],
    ),
    "errors of 0 of tests": (
        {"ab_tests": with_cell(online_tests(), "revenue_lift_se", 3, 0.0)},
        ["'revenue_lift_se', row 3"],
    ),
    "errors in per cent": ({"ab_tests": online_tests(revenue_lift_se=0.1)}, ["half of the errors"]),
    "a metric that one model lacks": (
        {"measurements": with_cell(measured(), "ndcg", 3, np.nan)},
        ["'ndcg', row 3 (model 'm3'): no value stands where other models have one"],
    ),
    "one metric for all": (
        {"measurements": measured(r_over_r_star=0.8)},
        ["'r_over_r_star' holds 0.8 in all 8 rows"],
    ),
    "models in one table only": (
        {
            "measurements": measured(),
            "ab_tests": online_tests(model=["m0", "m1", "m2 ", "m3", "m4", "M5", "m6", "x"]),
        },
        [
            "measurements: 3 of 8 rows have no partner in ab_tests",
            "model 'm2' of measurements is not in ab_tests (it has 'm2 ')",
            "model 'm5' of measurements is not in ab_tests (it has 'M5')",
            "ab_tests: column 'model', row 2 (model 'm2 '): 'm2 ' begins or ends with a blank",
        ],
    ),
    "no model in both": (
        {"models": measured(), "ab_tests": online_tests(model=list("abcdefgh"))},
        ["no row of measurements and ab_tests agrees in model"],
    ),
    "names that are nearly one": (
        {"measurements": measured(model=["m0", "M 0", *NAMES[2:]])},
        ["'m0' and 'M 0' are nearly one name"],
    ),
    "a row that was copied": (
        {"measurements": copied(measured())},
        ["rows 2, 5: models 'm2' and 'm5' agree in r_over_r_star, ndcg"],
    ),
    "a size twice": (
        {"costs": pd.concat([loads(), loads()[:1]], ignore_index=True)},
        ["costs: rows 0, 4 agree in form, size_parameters"],
    ),
    "a scenario's size twice": (
        {"scenarios": pd.concat([scenarios(), scenarios()[3:]], ignore_index=True)},
        ["rows 3, 4 agree in scenario"],
    ),
    "another machine's row": (
        {"costs": with_cell(loads(), "machine", 2, "T4")},
        ["column 'machine': rows of the form 'first_layer_optimised' are of 2 kinds", "'T4'"],
    ),
    "another precision": (
        {"costs": with_cell(loads(), "precision", 0, "fp16")},
        ["column 'precision'"],
    ),
    "MFLOPs": (
        {"measurements": measured(flops=measured().flops / 1e6)},
        ["'flops', row 1 (model 'm1')", "no whole number", "millions"],
    ),
    "whole MFLOPs": ({"measurements": measured(flops=range(1, 9))}, ["'flops', row 7", "millions"]),
    "half of the FLOPs": (
        {"costs": loads(flops=[2097664, 4325888, 6554112, 3801344])},
        ["'flops', row 3: 3801344 is 0.5 times the 7,602,688 FLOPs of its size_parameters"],
    ),
    "seconds for milliseconds": (
        {"costs": loads(service_ms=100 * loads().service_ms)},
        ["'service_ms', row 0", "is longer than latency_limit_ms"],
    ),
    "more than workers can do": ({"costs": loads(service_ms=90.0)}, ["'qps', row 0", "workers"]),
    "loads without an interval": (
        {"costs": loads(qps_low=loads().qps, qps_high=loads().qps)},
        ["'qps', row 0: 40.0 (and 3 more rows) has an interval of no width"],
    ),
    "another price": (
        {"costs": with_cell(loads(), "cost_per_hour", 1, 1e6)},
        ["'cost_per_hour', row 1", "the price of a machine 3e+04, where it is 1 in other rows"],
    ),
    "another traffic": (
        {"costs": with_cell(loads(), "machines", 1, 1e5)},
        ["'machines', row 1", "machines x qps"],
    ),
    "an unknown form": (
        {"costs": loads(form="first_layer_optimized")},
        ["'form', row 0: 'first_layer_optimized' (and 3 more rows) is left out of fits"],
    ),
    "no primary model": (
        {"measurements": measured(set=["Primary", *["primary"] * 7])},
        ["'set', row 0", "'Primary' is left out of fits, which take primary"],
    ),
    "revenue in two units": (
        {"scenarios": scenarios(revenue=[50.0, 54.0, 8e5, 9e5])},
        ["'revenue': scenario 'search' has 8.5e+05, scenario 'feed' 52"],
    ),
    "revenue below 0": ({"scenarios": scenarios(revenue=[-50.0, 54.0, 80.0, 90.0])}, ["below 0"]),
    "revenue and cost in two units": (
        {"scenarios": scenarios(revenue=1e9 * scenarios().revenue)},
        ["'revenue' is 6.7e+10 in the middle, 'cost' 10"],
    ),
    "costs of tables in two units": (
        {"costs": loads(), "sizes": size_table(1e9)},
        ["costs and sizes: columns 'cost_per_hour' and 'machine_cost_per_hour'"],
    ),
    "a model of two sizes": (
        {"measurements": measured(), "lifts": lifts(0.0, np.nan)},
        ["measurements and lifts: column 'flops': model 'm3' has 7.19686e+06 and 5e+06"],
    ),
    "lifts in two units": (
        {"ab_tests": online_tests(), "lifts": lifts(0.0, 0.19)},
        ["ab_tests and lifts: column 'revenue_lift': model 'm3' has 0.004 and 0.19"],
    ),
    "columns of nearly the name": (
        {"ab_tests": online_tests().rename(columns={"revenue_lift_se": " Revenue-lift SE"})},
        ["ab_tests: column ' Revenue-lift SE' is not read: is it 'revenue_lift_se'?"],
    ),
    "many metrics at fault": (
        {"measurements": measured(**{f"recall@{i}": 50 + METRIC for i in range(1, 9)})},
        ["'recall@3', row 0", "measurements: 5 more of this kind"],
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_what_looks_wrong_is_said(what):
    given_tables, words = ODD[what]
    found = suspicions(**given_tables)
    for word in words:
        assert any(word in sentence for sentence in found), found
    assert all("\n" not in sentence and len(sentence) < 600 for sentence in found)


def test_tables_that_look_right():
    assert suspicions() == []
    given_tables = {
        "measurements": measured(),
        "models": measured(),
        "ab_tests": with_cell(online_tests(), "revenue_lift_se", 0, 0.0),  # the base against itself
        "costs": loads(candidates=[100, 100, 1500, 1500]),
        "scenarios": scenarios(),
    }
    assert suspicions(**given_tables) == []
    assert suspicions(lifts=lifts(0.0, np.nan), sizes=size_table(3.0)) == []


def test_committed_tables_look_right():
    for profile in ("quick", "full"):
        study = OUTPUTS / profile / "01_metric_validation"
        trained = OUTPUTS / profile / "02_bnsl_fitting" / "measurements.csv"
        assert suspicions(trainings=tables.load_trainings(study / "study.csv")[1]) == []
        found = suspicions(
            measurements=tables.load_measurements(trained),
            models=tables.load_measurements(study / "measurements.csv"),
            ab_tests=tables.load_ab_tests(study / "ab_tests.csv"),
        )
        assert found == []
    found = suspicions(
        costs=tables.load_costs(OUTPUTS / "quick" / "03_cost_simulation" / "costs.csv"),
        sizes=tables.load_sizes(OUTPUTS / "quick" / "04_roi_design" / "sizes.csv"),
        lifts=tables.load_lifts(ROOT / "params" / "paper" / "lifts.csv"),
        measurements=tables.load_measurements(ROOT / "params" / "paper" / "figure7.csv"),
    )
    assert found == []


def test_rows_are_those_of_the_file(tmp_path):
    table = pd.concat([loads()[:1].assign(failure="too slow"), loads()])
    table["service_ms"] = [1.0, 1.0, 1.0, 1.0, 500.0]
    found, *_ = suspicions(costs=tables.load_costs(written(tmp_path / "costs.csv", table)))
    assert found.startswith(f"{tmp_path}/costs.csv: column 'service_ms', row 4: 500.0 is longer")


def test_a_table_of_another_name():
    with pytest.raises(TypeError, match="'cost' is no table; expected measurements, models"):
        suspicions(cost=loads())


@pytest.mark.parametrize("name", [name for name in EVERY_READER if name in SCHEMAS])
@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_can_be_read_can_be_looked_at(tmp_path, name, data):
    load, make = EVERY_READER[name]
    table = make().astype(object)
    numbers = st.one_of(
        st.floats(0, 1),
        st.integers(-5, 10**7),
        st.sampled_from([0, 1, 1e30, -1e30, np.inf, np.nan]),
    )
    for column in table:
        if isinstance(table[column][0], float | int | np.number):
            values = data.draw(st.lists(numbers, min_size=len(table), max_size=len(table)))
            table[column] = pd.Series(values, dtype=object)
    try:
        read = load(written(tmp_path / "t.csv", table))
    except TableError:
        return
    assert all(isinstance(sentence, str) for sentence in suspicions(**{name: read}))
