import numpy as np

from lib.allocation import surface
from lib.notebook.claims import two_stages as claims
from lib.notebook.figures import two_stages
from tests.notebook.figures.drawn import assert_texts_can_be_read, points, texts
from tests.notebook.two_stages import RULES, choices


def test_a_line_for_each_size_with_its_name_at_the_end(ax):
    rng = np.random.default_rng(0)
    lift = np.arange(6) * 0.004 + rng.normal(0, 1e-3, (3, 4, 6))
    names = [f"{units} units" for units in (8, 16, 32, 48, 64, 128)]
    two_stages.lines(ax, [100, 200, 400, 800], lift, names, "candidates", "all")
    drawn = points(ax)
    for i, line in enumerate(drawn[:6]):
        np.testing.assert_allclose(line[:, 1], lift[:, :, i].mean(axis=0))
    assert texts(ax) == names
    ax.figure.draw_without_rendering()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["100", "200", "400", "800"]
    assert_texts_can_be_read(ax)


def test_every_draw_is_a_dot_and_the_mean_has_its_interval(ax):
    table = choices()
    rules = [surface.EQ_9, surface.FITTED]
    estimates = {rule: claims.of_rule(table, rule, "loss", 1.0) for rule in rules}
    values = {
        rule: table.loss[(table.rule == rule) & (table.budget == 1)].tolist() for rule in rules
    }
    two_stages.by_draw(ax, values, estimates, "loss", "all rules")
    dots = points(ax)
    np.testing.assert_allclose(dots[0][:, 0], values[surface.EQ_9])
    np.testing.assert_allclose(dots[2][:, 0], [estimate.value for estimate in estimates.values()])
    assert [label.get_text() for label in ax.get_yticklabels()] == rules


def test_the_frontier_of_every_rule(ax):
    table = choices()
    two_stages.frontier(ax, table, list(RULES))
    mean = table[table.rule == surface.FITTED].groupby("budget").lift.mean()
    np.testing.assert_allclose(points(ax)[2], np.column_stack([mean.index, mean]))
    assert sorted(texts(ax)) == sorted(RULES)  # from below


def test_predictions_beside_the_line_where_they_would_be_right(ax):
    measured = np.array([0.0, 0.01, 0.02])
    two_stages.predictions(ax, measured, {"sum": measured + 0.001, "fit": measured})
    np.testing.assert_allclose(points(ax)[1], np.column_stack([measured, measured]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["sum", "fit"]
