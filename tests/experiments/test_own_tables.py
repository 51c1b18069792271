"""A reader's tables become a population; what is missing is said."""

import pandas as pd
import pytest

from lib.experiments.own_tables import load_population
from lib.logs.errors import TableError

MEASUREMENTS = pd.DataFrame({"model": list("abcd"), "r_over_r_star": [0.8, 0.82, 0.85, 0.9]})
TESTS = pd.DataFrame({"model": list("abce"), "revenue_lift": [0.0, 0.01, 0.02, 0.03]})


def paths(folder, measurements=MEASUREMENTS, tests=TESTS):
    measurements.to_csv(folder / "measurements.csv", index=False)
    tests.to_csv(folder / "ab_tests.csv", index=False)
    return folder / "measurements.csv", folder / "ab_tests.csv"


def test_models_are_joined_and_the_rest_is_said(tmp_path):
    population, dropped = load_population(*paths(tmp_path))
    assert population.models.model.tolist() == ["a", "b", "c"]
    assert population.metrics == ("r_over_r_star",)
    assert population.primary.attrs["dropped"] == dropped
    assert len(dropped) == 2 and "'d'" in dropped[0] and "'e'" in dropped[1]


@pytest.mark.parametrize("missing", ["measurements", "ab_tests"])
def test_one_table_needs_the_other(tmp_path, missing):
    given = dict(zip(("measurements", "ab_tests"), paths(tmp_path))) | {missing: ""}
    with pytest.raises(ValueError, match=f"{missing}: '' is no table; give its path"):
        load_population(**given)


def test_a_table_without_r_over_r_star_is_refused(tmp_path):
    table = MEASUREMENTS.rename(columns={"r_over_r_star": "ndcg"})
    with pytest.raises(TableError, match=r"measurements\.csv.*r_over_r_star"):
        load_population(*paths(tmp_path, table))


def test_a_metric_that_one_model_lacks_is_named(tmp_path):
    table = MEASUREMENTS.assign(ndcg=[0.7, None, 0.8, 0.9])
    with pytest.raises(TableError, match=r"column 'ndcg', row 1 \(model 'b'\): found no value"):
        load_population(*paths(tmp_path, table))
    broken = table.assign(set=["primary", "broken", "primary", "primary"])
    assert load_population(*paths(tmp_path, broken))[0].metrics == ("r_over_r_star", "ndcg")
    of_tests = TESTS.assign(ndcg=[0.7, None, 0.8, 0.9])
    load_population(*paths(tmp_path, tests=of_tests))
