import numpy as np
import pandas as pd
import pytest

from lib.design import best_under
from lib.notebook import plots
from lib.notebook.figures import click_models as figures
from tests.notebook import made_click_models as made
from tests.notebook.figures.drawn import assert_texts_can_be_read, points, texts


def drawn_at(ax):
    return np.concatenate(points(ax)).tolist()


def test_a_law_with_its_measurements(ax):
    law = made.made_law("width")
    figures.law_of_resource(ax, law, 0.9, floor=0.65)
    assert drawn_at(ax) == [[x, y] for draw in law.loss for x, y in zip(law.x, draw, strict=True)]
    exponent = law.intervals.exponent
    assert ax.get_title(loc="left") == (
        f"width: exponent {law.law.exponent_:.2f} ({exponent.low:.2f} to {exponent.high:.2f})"
    )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("width of embeddings", "normalised entropy")
    assert texts(ax) == ["truth"] and ax.get_xscale() == "log"
    curve = ax.lines[0].get_xydata()
    np.testing.assert_allclose(curve[:, 1], law.law.predict(curve[:, 0]))
    assert curve[-1, 0] == pytest.approx(4 * law.x[-1])


def test_without_a_floor_there_is_no_truth(ax):
    figures.law_of_resource(ax, made.made_law(), 0.9)
    assert texts(ax) == []


@pytest.mark.parametrize("resource", figures.COLOURS)
def test_every_resource_can_be_drawn(ax, resource):
    figures.law_of_resource(ax, made.made_law(resource), 0.9)
    assert figures.SHORT[resource] in ax.get_title(loc="left")


def test_one_more_decade(ax):
    law = made.made_law()
    figures.one_more_decade(ax, law, made.further(), made.curves(), 0.9)
    assert sorted(texts(ax)) == ["base", "law of data", "rows x 4", "width x 4"]
    lines = points(ax)
    assert len(lines) == 3 and all(line[0, 0] == 10_000 for line in lines)  # not before the law
    marks = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert marks == [law.x[-1]]  # where what the law knows ends


def test_gains_of_doublings_alone(ax):
    figures.gains_by_doubling(ax, made.gains())
    assert sorted(texts(ax)) == ["data", "rows", "width"]
    heights = sorted(line[:, 1].tolist() for line in points(ax))
    assert heights == [[0.005, 5 / 8000], [0.01, 10 / 8000], [0.02, 20 / 8000]]
    assert (ax.get_xlabel(), ax.get_xscale()) == ("samples before doubling", "log")
    assert_texts_can_be_read(ax)


def test_gains_of_another_factor(ax):
    figures.gains_by_doubling(ax, made.gains(), factor=4.0)
    assert texts(ax) == ["width"]


def test_architectures_stand_under_each_other(ax):
    figures.architectures(ax, made.compared())
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["DCN v2", "DLRM", "MLP", "logistic regression"]
    assert drawn_at(ax) == [[0.70, 0], [0.71, 1], [0.7101, 2], [0.75, 3]]
    low, high = ax.get_ylim()
    assert low > high  # the best on top


AXES = ("popularity_exponent", "popularity"), ("spectrum_exponent", "spectrum")


def test_a_map_has_a_square_a_stream(ax):
    table = made.verdicts("data", "parameters", "undecided", "nothing")
    table.loc[3, "ratio"] = np.inf
    figures.map_of_streams(ax, table, *AXES)
    places = {text.get_text(): text.get_position() for text in ax.texts}
    assert places == {
        "0.25\ndata": (0, 0),
        "0.50\nparameters": (1, 0),
        "0.75\nundecided": (0, 1),
        "–\nnothing": (1, 1),
    }
    assert len(ax.patches) == 4
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("popularity", "spectrum")


def test_both_halves_of_the_map(ax):
    table = made.verdicts("data", "data", "parameters", "undecided")
    other = made.verdicts("nothing", "data").assign(drift_rows=[0.0, 1e5], noise=[0.5, 0.0])
    other = other.assign(popularity_exponent=0.5, spectrum_exponent=2.0, cell=[4, 5])
    figure, (left, right) = plots.panels(2)
    figures.maps(left, right, pd.concat([table, other], ignore_index=True), 1000)
    assert len(left.patches) == 4 and left.get_title(loc="left") == "after 1,000 samples"
    # The study's own stream stands in both.
    assert sorted(texts(right)) == ["0.25\nnothing", "0.50\ndata", "0.75\nparameters"]
    assert right.get_title(loc="left") == "at popularity 0.5, spectrum 2"
    assert [label.get_text() for label in right.get_xticklabels()] == ["none", "100k"]
    assert right in figure.axes


def test_without_drift_and_noise_the_right_half_is_left_out():
    figure, (left, right) = plots.panels(2)
    figures.maps(left, right, made.verdicts("data", "data", "parameters", "undecided"), 1000)
    assert figure.axes == [left]


def test_a_budget_s_options(ax):
    options = made.priced()
    figures.budget(ax, options, best_under(options, [1.0, 1.5, 2.0]))
    assert sorted(texts(ax)) == ["rows", "today", "width"]
    drawn = drawn_at(ax)
    assert [0.6, -0.2] not in drawn  # loses too much
    for place in ([1.0, 0.0], [1.5, 0.02], [1.2, 0.01], [2.0, 0.03]):
        assert place in drawn
    (steps,) = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert steps.get_xydata().tolist() == [[1.0, 0.0], [1.5, 0.02], [2.0, 0.03]]
    assert_texts_can_be_read(ax)
