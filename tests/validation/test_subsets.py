"""Comparisons among models that differ in one kind of thing."""

import pandas as pd
import pytest

from lib.validation.metric_comparison import compare_metrics
from lib.validation.population import Population
from lib.validation.subsets import compare_by_kind, differences_table
from tests.validation.models import METRICS, made_up_models


@pytest.fixture(scope="module")
def models():
    return made_up_models()


def test_parts_are_kinds_and_their_complements(models):
    parts = compare_by_kind(Population.of(models), METRICS, draws=50)
    # Of the kind "data" there is one model a world, with the base's retraining two: too few.
    assert list(parts) == [
        "loss alone",
        "size alone",
        "anything (primary)",
        "all but size",
        "all but loss",
    ]
    assert [int(part.models[0]) for part in parts.values()] == [4, 5, 9, 5, 6]
    sizes = models[models.kind.isin(["size", "none"])]
    expected = compare_metrics(sizes, METRICS, draws=2).value("ndcg")
    assert parts["size alone"].value("ndcg") == pytest.approx(expected)


def test_broken_models_are_a_part_where_there_are_any(models):
    broken = models.iloc[[0, 9]].assign(model="broken", set="secondary", revenue_lift=-0.5)
    parts = compare_by_kind(Population.of(pd.concat([models, broken])), METRICS, draws=20)
    assert int(parts["and broken ones"].models[0]) == 10
    assert int(parts["anything (primary)"].models[0]) == 9


def test_without_kinds_there_is_one_part(models):
    parts = compare_by_kind(Population.of(models.drop(columns="kind")), METRICS, draws=20)
    assert list(parts) == ["anything (primary)"]


def test_a_kind_that_a_metric_cannot_tell_apart_is_left_out(models):
    alike = models.kind.isin(["loss", "none"])
    parts = compare_by_kind(
        Population.of(models.assign(opa=models.opa.mask(alike, 0.5))), METRICS, draws=20
    )
    assert "loss alone" not in parts and "all but loss" not in parts and "size alone" in parts


def test_the_table_holds_the_differences(models):
    parts = compare_by_kind(Population.of(models), METRICS, draws=50)
    names = {name: name.upper() for name in METRICS}
    table = differences_table(parts, "r_over_r_star", METRICS[1:], names)
    assert table["models differ in"].tolist() == list(parts)
    value, low, high = parts["size alone"].difference("r_over_r_star", "opa")
    row = table.set_index("models differ in").loc["size alone"]
    column = "R_OVER_R_STAR - OPA"
    assert row[[column, f"{column}, low", f"{column}, high"]].tolist() == [value, low, high]
    assert row["NDCG"] == parts["size alone"].value("ndcg")
