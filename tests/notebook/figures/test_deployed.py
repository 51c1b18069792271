import numpy as np

from lib.notebook.figures import deployed
from tests.notebook.figures.drawn import assert_texts_can_be_read, points, texts
from tests.notebook.made_choices import made_choices, made_options


def test_every_draw_has_both_gains_and_both_intervals(ax):
    rows = made_choices()
    rows = rows[rows.decision == "size"].reset_index(drop=True)
    rows.loc[1, "inside"] = False
    deployed.predicted_and_measured(ax, rows, interval=0.8)
    predicted, measured = points(ax)
    np.testing.assert_allclose(predicted[:, 0], rows.predicted)
    np.testing.assert_allclose(measured[:, 0], rows.measured)
    assert (predicted[:, 1] < measured[:, 1]).all()  # drawn above: the axis points down
    bars = [bar for lines in ax.collections for bar in lines.get_segments()]
    np.testing.assert_allclose(
        [bar[:, 0] for bar in bars],
        [*rows[["low", "high"]].values, *rows[["measured_low", "measured_high"]].values],
    )
    assert texts(ax) == ["predicted", "measured"]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "64-16-16-16\ndraw 0" and labels[1] == "64-16-16-16\ndraw 1, outside"
    assert "80 % intervals" in ax.get_title(loc="left")
    assert_texts_can_be_read(ax)


def test_every_option_is_drawn_and_the_chosen_ones_large(ax):
    options = made_options()
    part = options[(options.decision == "size") & ~options.today]
    deployed.every_option(ax, part, "size")
    line, *dots = ax.lines
    low, high = line.get_xdata()[[0, -1]]
    assert (line.get_xdata() == line.get_ydata()).all()
    for drawn, chosen in zip(dots, (False, True), strict=True):
        np.testing.assert_allclose(
            drawn.get_xydata(), part[part.chosen == chosen][["predicted", "measured"]]
        )
        assert low <= drawn.get_xydata().min() and drawn.get_xydata().max() <= high
    assert dots[1].get_markersize() > dots[0].get_markersize()
    assert_texts_can_be_read(ax)
