"""Which models, metrics and worlds a comparison is made on."""

import numpy as np
import pandas as pd
import pytest

from lib.validation.population import Population
from tests.validation.models import METRICS, made_up_models

BARE = pd.DataFrame(
    {"model": list("abcd"), "r_over_r_star": [0.8, 0.82, 0.85, 0.9], "revenue_lift": 0.01}
)


def test_a_bare_table_is_one_system_of_primary_models():
    population = Population.of(BARE)
    assert population.metrics == population.log_metrics == ("r_over_r_star",)
    assert population.primary.world.tolist() == ["your system"] * 4
    assert population.turned.empty and population.cuts() == ()


def test_blank_labels_are_defaults_and_others_stay():
    table = BARE.assign(
        set=["", None, "secondary", "held_out"], world="mine", kind=["size"] + [""] * 3
    )
    population = Population.of(table)
    assert population.models.set.tolist() == ["primary", "primary", "secondary", "held_out"]
    assert population.plain.model.tolist() == ["a", "b", "c"]
    assert population.primary.model.tolist() == ["a", "b"]
    assert population.models.kind.tolist() == ["size", "", "", ""]
    assert set(population.models.world) == {"mine"}


def test_metrics_are_those_with_values():
    table = made_up_models().drop(columns="recall").assign(opa=np.nan, r_over_r_star_full=0.5)
    population = Population.of(table)
    assert population.paper_metrics == ("r_over_r_star", "ndcg")
    assert population.log_metrics == ("r_over_r_star", "ndcg")
    assert population.metrics == ("r_over_r_star", "ndcg", "r_over_r_star_full")


def test_cuts_are_read_off_the_columns():
    population = Population.of(made_up_models(cuts=(10, 1, 2)))
    assert population.cuts() == population.cuts("recall") == (1, 2, 10)
    assert population.metrics == METRICS  # cuts and standard errors are no metrics of their own


def test_turned_worlds_are_apart():
    models = made_up_models(("A seed 0",))
    population = Population.of(pd.concat([models, models.assign(dial="drift", value=0.3)]))
    assert len(population.plain) == len(population.turned) == len(models)
    assert population.first_world.dial.eq("").all()


def test_the_first_world_holds_all_its_sets():
    models = made_up_models()
    models.loc[0, "set"] = "held_out"
    first = Population.of(models).first_world
    assert set(first.world) == {"A seed 0"} and len(first) == len(models) / 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (BARE.drop(columns="model"), "column 'model' is missing; got r_over_r_star"),
        (BARE.drop(columns="r_over_r_star"), "column 'r_over_r_star' is missing"),
        (BARE.drop(columns="revenue_lift"), "column 'revenue_lift' is missing"),
        (BARE.assign(set="secondary"), r"no row is a primary model .*\['secondary'\]"),
        (BARE.assign(dial="drift", value=1.0), r"no row is a primary model .*\['drift'\]"),
    ],
)
def test_what_is_no_population_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        Population.of(table)
