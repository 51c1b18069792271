"""Tables as notebooks show them."""

import pytest

from lib.notebook import tables
from lib.validation.metric_comparison import compare_metrics
from tests.validation.models import METRICS, made_up_models


def test_variants_are_primary_unless_they_say_otherwise():
    table = tables.variants([{"model": "x", "hidden": [1]}, {"model": "y", "set": "secondary"}])
    assert table.columns.tolist() == ["model", "kind", "reason", "set"]
    assert table.set.tolist() == ["primary", "secondary"]


def test_wins_are_among_the_metrics_of_the_log():
    models = made_up_models().assign(r_over_r_star_full=0.5)
    models["r_over_r_star_full"] = models.revenue_lift
    metrics = [*METRICS, "r_over_r_star_full"]
    full, logged = (compare_metrics(models, names, draws=50) for names in (metrics, METRICS))
    table = tables.metric_comparison(full, logged).set_index("metric")
    assert table.worlds_won.sum() == 2 and table.worlds_won.isna()["r_over_r_star_full"]
    assert table["published R²"].dropna().tolist() == [0.902, 0.793, 0.509, 0.14]


def test_lifts_are_shown_in_percent():
    comparison = compare_metrics(made_up_models(), METRICS, draws=50)
    shown = tables.readable_comparison(tables.metric_comparison(comparison, comparison))
    row = shown.set_index("metric").loc["NDCG"]
    assert row["regret, %"] == pytest.approx(100 * comparison.value("ndcg", "regret"), abs=5e-4)
    assert row["R²"] == pytest.approx(comparison.value("ndcg"), abs=5e-4)


def test_published_differences_stand_beside_ours():
    comparison = compare_metrics(made_up_models(), METRICS, draws=50)
    table = tables.differences(comparison)
    assert table.iloc[:, 0].tolist() == ["NDCG", "Recall", "OPA"]
    assert table.published.tolist() == [0.109, 0.393, 0.762]
    assert table.here[2] == comparison.difference("r_over_r_star", "opa")[0]
    assert (table.low <= table.here).all() and (table.here <= table.high).all()
