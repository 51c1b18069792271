"""The figures of notebook 00 show the numbers that they are given."""

import numpy as np
import pandas as pd
import pytest

from lib.notebook.figures import logs
from tests.notebook.figures.drawn import assert_texts_can_be_read, points, texts


def test_lengths_are_counted_without_padding(ax):
    logs.list_lengths(ax, [[True, True, False], [True, True, True], [True, True, False]])
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == pytest.approx([2, 3])
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([2 / 3, 1 / 3])
    assert ax.get_title(loc="left") == "Lists are ragged"


def test_equal_lengths_are_not_called_ragged(ax):
    logs.list_lengths(ax, np.ones((3, 5), bool))
    assert ax.get_title(loc="left") == "All lists are of one length"


def test_the_top_tenth_is_named(ax):
    logs.concentration(ax, [9.0] + [1.0] * 9 + [0.0] * 5)
    assert texts(ax) == ["the top tenth holds 50%"]
    np.testing.assert_allclose(points(ax)[-1], [[0.1, 0.5]])
    assert_texts_can_be_read(ax)


def test_a_log_without_money_is_said_to_have_none(ax):
    logs.concentration(ax, np.zeros(9))
    assert texts(ax) == ["no ad has an eCPM above 0"]
    assert_texts_can_be_read(ax)


def test_rounds_are_labelled_with_their_gap(ax):
    rounds = pd.DataFrame(
        {"round": [1, 2, 3], "oracle_gap": [-0.2, -0.09, -0.08], "oracle_gap_se": 0.01}
    )
    logs.closed_loop(ax, rounds)
    assert texts(ax) == ["oracle Pre-ranking", "-20.0%", "-9.0%", "-8.0%"]
    assert ax.get_ylabel() == "revenue less the oracle's"
    assert_texts_can_be_read(ax)
