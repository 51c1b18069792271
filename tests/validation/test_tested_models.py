import numpy as np
import pandas as pd
import pytest

from lib.validation.revenue_model import LinearRevenueModel
from lib.validation.tested_models import fit_revenue_model, primary_models
from tests import ROOT

FULL = ROOT / "outputs/full/01_metric_validation"


def table_of(models=8, broken=0):
    """Models on a line of slope 0.5, and broken ones far below it."""
    metric = np.append(np.linspace(0.8, 0.87, models), np.full(broken, 0.4))
    lift = np.append(0.5 * (metric[:models] - 0.8), np.full(broken, -0.9))
    noise = np.random.default_rng(0).normal(0, 1e-4, len(metric))
    return pd.DataFrame(
        {
            "model": [f"m{i}" for i in range(len(metric))],
            "set": ["primary"] * models + ["secondary"] * broken,
            "ndcg": metric,
            "ndcg_se": 1e-4,
            "revenue_lift": lift + noise,
            "revenue_lift_se": 1e-4,
        }
    )


def test_broken_models_do_not_enter_the_line():
    assert fit_revenue_model(table_of(broken=3), "ndcg").slope_ == pytest.approx(
        fit_revenue_model(table_of(), "ndcg").slope_, abs=0.01
    )


def test_the_full_study_s_slope_is_that_of_its_thirty_primary_models():
    """At their mean; the three broken ones would move it."""
    table = pd.read_csv(FULL / "measurements.csv").merge(
        pd.read_csv(FULL / "ab_tests.csv"), on="model", validate="one_to_one"
    )
    assert (len(table), len(primary_models(table))) == (33, 30)
    assert fit_revenue_model(table, "r_over_r_star", draws=2000).slope_ == pytest.approx(
        0.103, abs=0.002
    )
    unfiltered = fit_revenue_model(table.drop(columns="set"), "r_over_r_star", draws=2000)
    assert unfiltered.slope_ > 0.13


@pytest.mark.parametrize("lacking", ["ndcg_se", "revenue_lift_se", ["ndcg_se", "revenue_lift_se"]])
def test_without_both_errors_the_line_is_the_plain_one(lacking):
    table = table_of().drop(columns=lacking)
    plain = LinearRevenueModel(draws=50).fit(table.ndcg, table.revenue_lift)
    fitted = fit_revenue_model(table, "ndcg", draws=50)
    assert (fitted.slope_, fitted.intercept_) == (plain.slope_, plain.intercept_)


def test_with_both_errors_the_line_weighs_them():
    table = table_of()
    weighed = LinearRevenueModel(draws=50).fit(
        table.ndcg, table.revenue_lift, table.ndcg_se, table.revenue_lift_se
    )
    assert fit_revenue_model(table, "ndcg", draws=50).slope_ == weighed.slope_


def test_a_table_without_primary_models_is_refused():
    table = table_of().assign(set="mine")
    table.attrs["path"] = "own/measurements.csv"
    with pytest.raises(ValueError, match=r"own/measurements.csv: column set must be .*'mine'"):
        primary_models(table)


def test_a_model_of_two_systems_is_refused():
    table = pd.concat([table_of().assign(world="A"), table_of().assign(world="B")])
    with pytest.raises(ValueError, match=r"model must name each tested model once.*'m0'"):
        primary_models(table)
