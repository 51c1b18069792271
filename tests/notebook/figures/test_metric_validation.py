"""The figures of notebooks 01 and 01b show the numbers that they are given."""

import numpy as np
import pandas as pd
import pytest

from lib.notebook import plots
from lib.notebook.figures import metric_validation as figures
from lib.simulation.parameters import WorldParameters
from lib.validation.metric_comparison import compare_metrics, standardised_residuals
from lib.validation.population import Population
from lib.validation.revenue_model import fit_to_models
from lib.validation.subsets import compare_by_kind
from tests.notebook.figures.drawn import (
    ODD_NAMES,
    assert_texts_can_be_read,
    points,
    shown_size,
    texts,
)
from tests.validation.models import METRICS, made_up_models


@pytest.fixture(scope="module")
def models():
    return made_up_models(cuts=(1, 2, 3))


@pytest.fixture(scope="module")
def first(models):
    return models[models.world == "A seed 0"]


@pytest.mark.parametrize("metric", METRICS)
def test_r_squared_stands_on_the_figure_about_it(ax, first, metric):
    fit, comparison = fit_to_models(first, metric, draws=50), compare_metrics(first, METRICS)
    figures.metric_and_lift(ax, first, metric, fit, comparison)
    low, high = comparison.interval(metric)
    title = ax.get_title(loc="left")
    assert f"R² {comparison.value(metric):.2f} ({low:.2f} to {high:.2f})" in title
    assert f"0.01 more is worth {0.01 * fit.slope_:+.2%}" in title
    assert (ax.get_xlabel(), ax.get_ylabel()) == (plots.NAMES[metric], "revenue lift over the base")
    assert any(
        np.allclose(drawn, first[[metric, "revenue_lift"]])
        for drawn in points(ax)
        if len(drawn) > 1
    )
    residual = np.abs(first.revenue_lift - fit.predict(first[metric]))
    worst = first.model[residual.sort_values().index[-2:]]
    assert {"the base", "none 0", *worst} == set(texts(ax))
    assert_texts_can_be_read(ax, axes_only=True)


def test_a_base_among_the_models_is_not_named_twice(ax, first):
    table = first.assign(revenue_lift=first.revenue_lift.where(first.kind != "none", 0.0))
    fit, comparison = fit_to_models(table, "ndcg", draws=50), compare_metrics(table, ["ndcg"])
    figures.metric_and_lift(ax, table, "ndcg", fit, comparison, lift="money of other lists")
    assert "none 0" in texts(ax) and "the base" not in texts(ax)
    assert ax.get_ylabel() == "money of other lists over the base"


def test_errors_are_drawn_only_where_they_are_known(ax, first):
    bare = first[["model", "ndcg", "revenue_lift"]]
    fit, comparison = fit_to_models(bare, "ndcg", draws=50), compare_metrics(bare, ["ndcg"])
    figures.metric_and_lift(ax, bare, "ndcg", fit, comparison)
    (container,) = ax.containers
    assert not container.has_xerr and not container.has_yerr


def test_each_metric_has_its_row(ax, models):
    comparison = compare_metrics(models, METRICS, draws=50)
    figures.r_squared_of_metrics(ax, comparison)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["R/R*", "NDCG", "Recall", "OPA"]
    markers = [line for line in ax.lines if line.get_marker() == "D"]
    for row, (metric, line) in enumerate(zip(METRICS, markers, strict=True)):
        np.testing.assert_allclose(line.get_xydata(), [[comparison.value(metric), row]])
    published = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "x"]
    assert published == [0.902, 0.793, 0.509, 0.14]
    low, high = ax.get_ylim()
    assert low > len(METRICS) - 1 and high < 0  # the first on top


def test_one_metric_in_one_world_can_be_drawn(ax, first):
    figures.r_squared_of_metrics(ax, compare_metrics(first, ["r_over_r_star"], draws=50))
    assert len(ax.get_yticklabels()) == 1


def test_curves_over_cuts_are_named_at_their_ends(ax, models):
    metrics, cuts = ["r_over_r_star", "recall"], [1, 2, 3]
    names = [f"{metric}@{cut}" for metric in metrics for cut in cuts]
    comparison = compare_metrics(models, names, draws=50)
    figures.r_squared_of_cuts(ax, comparison, metrics, cuts)
    assert sorted(texts(ax)) == ["R/R*", "Recall"]
    for line, metric in zip(ax.lines, metrics, strict=True):
        expected = [comparison.value(f"{metric}@{cut}") for cut in cuts]
        np.testing.assert_allclose(line.get_ydata(), expected)
    assert_texts_can_be_read(ax)


def test_the_farthest_models_name_their_world(models):
    missed = models[["world", "model"]].assign(distance=standardised_residuals(models, "opa"))
    _, (ax,) = plots.panels(1, 6.4, 3)
    figures.residuals(ax, missed, labelled=3)
    farthest = missed.loc[missed.distance.abs().sort_values().index[-3:], "world"]
    assert sorted(texts(ax)) == sorted(farthest)
    means = missed.groupby("model").distance.mean()
    drawn = [label.get_text() for label in ax.get_yticklabels()]
    assert drawn == means.sort_values().index.tolist()
    assert_texts_can_be_read(ax, axes_only=True)


def test_names_with_dollars_are_shown_as_they_stand(ax, models):
    missed = models[["world"]].assign(model="50 $ of $bids", distance=0.5)
    figures.residuals(ax, missed, labelled=1)
    (label,) = ax.get_yticklabels()
    assert label.get_text() == "50 $ of $bids" and not label.get_parse_math()


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font:UserWarning")
@pytest.mark.parametrize("name", ODD_NAMES)
def test_no_name_of_a_model_or_world_breaks_a_figure(first, name):
    table = first.assign(model=[name, *first.model[1:]], world=name)
    fit, comparison = (
        fit_to_models(table, "ndcg", draws=20),
        compare_metrics(table, ["ndcg"], draws=20),
    )
    figure, (left, right) = plots.panels(2, 5.0, 3.0)
    figures.metric_and_lift(left, table, "ndcg", fit, comparison)
    missed = table.assign(distance=np.arange(len(table)), world=[name, *first.world[1:]])
    figures.residuals(right, missed)
    assert (shown_size(figure) < [15, 6]).all()


def test_differences_have_an_axes_a_metric(models):
    parts = compare_by_kind(Population.of(models), METRICS, draws=50)
    _, axes = plots.panels(3, 3.4, 3)
    figures.differences_by_kind(axes, parts, "r_over_r_star", METRICS[1:])
    assert [ax.get_title(loc="left") for ax in axes] == [
        "R/R* less NDCG",
        "R/R* less Recall",
        "R/R* less OPA",
    ]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == list(parts)
    (drawn,) = points(axes[2])
    expected = [part.difference("r_over_r_star", "opa")[0] for part in parts.values()]
    np.testing.assert_allclose(drawn[:, 0], expected)


CHANGES = pd.DataFrame(
    {
        "dial": ["logged_losers", "my_own_dial"],
        "value": [8.0, 0.25],
        "change": [-0.7, 0.1],
        "low": [-0.9, -0.05],
        "high": [-0.2, 0.3],
    }
)


def test_changes_are_called_as_a_reader_would(ax):
    figures.changes(ax, CHANGES)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "losers of Pre-ranking among ten logged ads: 8",
        "my own dial: 0.25",
    ]
    low, high = ax.get_xlim()
    assert low < -0.9 and high > 0.3
    assert ax.get_xlabel() == "change of R/R*'s R² against the plain world"


def test_the_names_are_of_parameters_that_there_are():
    of_the_study = {"exposures", "towards the assumptions"}
    assert set(figures.SENSITIVITY_NAMES) - of_the_study <= set(WorldParameters.model_fields)


def test_rank_agreement_has_its_whole_scale(ax):
    table = pd.DataFrame(
        {"metric": ["ndcg", "opa"], "kendall": [0.5, -0.1], "low": -0.2, "high": 0.9}
    )
    figures.rank_agreement(ax, table)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["NDCG", "OPA"]
    assert ax.get_xlim() == (-1.02, 1.02)
    np.testing.assert_allclose(points(ax)[-1], [[0.5, 0], [-0.1, 1]])
