import numpy as np
import pytest

from lib.notebook.figures import shape_and_data as figures
from tests.notebook import shapes_and_data as made
from tests.notebook.figures.drawn import assert_texts_can_be_read, points, texts


@pytest.fixture(scope="module")
def law():
    return made.law()


@pytest.fixture(scope="module")
def money(law):
    return made.money(law)


def test_every_shape_of_a_level_is_drawn(ax):
    lost = made.lost()
    level = lost[lost.level == 34368]
    figures.lost_by_ratio(ax, level, made.broken_line(lost), "R/R*")
    drawn = np.vstack(points(ax))
    for row in level.itertuples():
        assert np.isclose(drawn, [row.drop, row.difference]).all(axis=1).any(), row.model
    assert texts(ax) == ["neck last"]
    assert "34k FLOPs" in ax.get_title(loc="left")
    assert_texts_can_be_read(ax)


@pytest.mark.parametrize("column", ["drop", "narrowest"])
def test_levels_over_a_property(ax, column):
    lost = made.lost()
    figures.by_property(ax, lost, column, "label", "R/R*")
    assert sorted(texts(ax)) == ["14k FLOPs", "34k FLOPs", "70k FLOPs"]
    assert sum(len(p) for p in points(ax)) == len(lost)


def test_lifts_measured_over_expected(ax):
    lost = made.lost()
    expected = made.differences.expected_lifts(lost, made.g())
    figures.lifts(ax, expected, lost)
    drawn = np.vstack(points(ax))
    np.testing.assert_allclose(drawn[:, 0], expected.lift)
    np.testing.assert_allclose(drawn[:, 1], lost.difference)


def test_a_curve_for_each_size(ax, law):
    table, _ = made.trainings()
    figures.by_data(ax, table, law, made.METRIC, "R/R*")
    assert texts(ax) == ["1.5k", "3.0k", "6.3k", "14k", "34k"]
    assert sum(len(p) for p in points(ax)) == len(table)
    assert_texts_can_be_read(ax)


def test_the_map_names_both_ways_to_spend(ax, law, money):
    table, _ = made.trainings()
    figures.map_of_law(ax, table, law, money[2], made.BASE)
    assert {"base", "training alone", "all costs"} <= set(texts(ax))


def test_the_return_by_price(ax, money):
    _, by_price, _ = money
    figures.by_price(ax, by_price, 0.1, 0.9, 1.0)
    line = ax.lines[1].get_xydata()
    np.testing.assert_allclose(line[:, 1], by_price.data_over_size)
    assert "90% interval" in ax.get_title(loc="left") and "today's price" in texts(ax)
    assert_texts_can_be_read(ax)


def test_what_a_budget_buys(ax, money):
    *_, split = money
    figures.splits(ax, split)
    np.testing.assert_allclose(points(ax)[0], split[["budget", "lift"]])
