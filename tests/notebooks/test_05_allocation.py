"""Notebook 05: what it refuses before anything is trained, and Matching's models of one's own."""

import json

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from lib.allocation import allocate_table
from tests import ROOT
from tests.notebook.allocations import own_scenarios
from tests.notebooks.cells import run_cells

QUICK = ROOT / "outputs/quick"
TABLES = {
    "pre_ranking_sizes": str(QUICK / "04_roi_design/sizes.csv"),
    "costs": str(QUICK / "03_cost_simulation/costs.csv"),
}
OWN = {
    "measurements": str(QUICK / "05_allocation/matching_models.csv"),
    "ab_tests": str(QUICK / "05_allocation/matching_models.csv"),
    "base_model": "32-16 seed 0",
}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"base_hidden": [9, 9]}, r"base_hidden must be one of \[8, 4\], .*; got \[9, 9\]"),
        ({"metric": "auc"}, "metric must be one of 'r_over_r_star', .*; got 'auc'"),
        ({"sizes": []}, r"sizes must be a list of one or more .*; got \[\]"),
        ({"seeds": []}, r"seeds must be a list of one or more .*; got \[\]"),
        ({"train_impressions": 60000}, "train_impressions must lie between 0 and 60000; got 60000"),
        ({"output_units": []}, r"output_units must be a list of one or more .*; got \[\]"),
        ({"output_units": [32, 0]}, r"output_units must be a list of .* >= 1; got \[32, 0\]"),
        (
            {"twin_tower_base": [3328]},
            r"twin_tower_base must be .* two or more whole numbers.*\[3328\]",
        ),
        ({"matching_ads": 0}, "matching_ads must be a whole number >= 1; got 0"),
        ({"latency_limit_ms": -1.0}, "latency_limit_ms must be a number > 0; got -1.0"),
        ({"workers": 0}, "workers must be a whole number >= 1; got 0"),
        ({"draws": 0}, "draws must be a whole number >= 1; got 0"),
        ({"test_visits": 0}, "test_visits must be a whole number >= 1; got 0"),
        ({"machines_matching": 0.0}, "machines_matching must be a number > 0; got 0.0"),
        ({"revenue_per_hour": -1.0}, "revenue_per_hour must be a number > 0; got -1.0"),
        ({"roi_min": -1.0}, "roi_min must be a number >= 0; got -1.0"),
        ({"interval": 1.0}, "interval must be a number between 0 and 1; got 1.0"),
    ],
)
def test_a_bad_parameter_is_named_before_training(tmp_path, parameters, message):
    """The system's folder is missing, so that whatever came later would fail otherwise."""
    with pytest.raises(ValueError, match=message):
        run_cells(
            "05_allocation", tmp_path, "cell-04", **TABLES | {"system": "missing"} | parameters
        )


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_table_is_named_before_training(tmp_path, name):
    with pytest.raises((ValueError, FileNotFoundError), match=r"mistyped\.csv"):
        run_cells(
            "05_allocation",
            tmp_path,
            "cell-04",
            **TABLES | {"system": "missing", name: "mistyped.csv"},
        )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ab_tests": ""}, "ab_tests must name a table"),
        ({"base_model": ""}, "base_model must not be empty"),
        ({"base_model": "9-9"}, "base_model must be .*matching_models.csv.*'32-16 seed 0'.*'9-9'"),
        ({"metric": "auc"}, "metric must be a column of numbers in .*matching_models.csv"),
    ],
)
def test_a_bad_table_of_one_s_own_is_named(tmp_path, parameters, message):
    with pytest.raises(ValueError, match=message):
        run_cells("05_allocation", tmp_path, "cell-06", **TABLES | OWN | parameters)


@pytest.mark.slow
def test_models_of_one_s_own_give_the_committed_allocation(tmp_path):
    """No system is simulated: the committed models and tests lead to the committed choice."""
    run_cells("05_allocation", tmp_path, "cell-16", **TABLES | OWN | {"system": "missing"})
    plt.close("all")
    folder = tmp_path / "outputs/quick/05_allocation"
    summary = json.loads((folder / "summary.json").read_text())
    committed = json.loads((QUICK / "05_allocation/summary.json").read_text())
    for name, value in committed["values"].items():
        assert summary["values"][name] == pytest.approx(value, rel=1e-4)
    assert [claim["name"] for claim in summary["claims"]] == [
        claim["name"] for claim in committed["claims"] if "add up" not in claim["name"]
    ]
    assert not (folder / "cache").exists()
    pd.testing.assert_frame_equal(
        pd.read_csv(folder / "frontier.csv"),
        pd.read_csv(QUICK / "05_allocation/frontier.csv"),
        rtol=1e-6,
        atol=1e-9,
    )


NOTHING = {"system": "missing", "pre_ranking_sizes": "missing", "costs": "missing"}


def test_any_number_of_scenarios_from_one_table_without_a_system(tmp_path):
    own_scenarios().to_csv(tmp_path / "own.csv", index=False)
    parameters = {"scenarios": str(tmp_path / "own.csv"), "budget": 300.0, **NOTHING}
    left = run_cells("05_allocation", tmp_path, **parameters)
    rows, best = allocate_table(own_scenarios(), 300)
    assert left["chosen"].choice == best.choice
    folder = tmp_path / "outputs/quick/05_allocation"
    assert len(pd.read_csv(folder / "chosen.csv")) == len(rows) == 20
    assert pd.read_csv(folder / "ways.csv").way.tolist()[-1] == "exact"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["values"]["revenue"] == pytest.approx(best.revenue, rel=1e-5)


def test_scenarios_in_pools_need_no_common_budget(tmp_path):
    table = own_scenarios()
    table["pool"] = (table.scenario.str[-1].astype(int) % 2).map({0: "gpu", 1: "cpu"})
    table.to_csv(tmp_path / "own.csv", index=False)
    parameters = {"scenarios": str(tmp_path / "own.csv"), **NOTHING}
    left = run_cells(
        "05_allocation", tmp_path, **parameters, pool_budgets={"gpu": 150.0, "cpu": 120.0}
    )
    assert set(left["chosen"].pool_shadow_prices) == {"gpu", "cpu"}
    assert "Not compared" not in left["shown"] and left["ways"] is None
