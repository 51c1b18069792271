"""The figures of notebook 02: what is drawn is what was given, and every label is on the page."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.laws import BNSL, distance_to_asymptote, fit_without_largest, predict_next_size
from lib.notebook import plots
from lib.notebook.figures import scaling_laws
from tests.laws.points import FLOPS, R
from tests.notebook.figures.drawn import ODD_NAMES, shown_size

ROWS = pd.DataFrame({"flops": FLOPS, "r_over_r_star": R})
SHAPE = {"direction": "rising", "bound": 1.0}
COLOUR = "#123456"
NEXT = pd.DataFrame(
    {
        "law": 3 * ["average of laws", "basin-hopping, t = 6"],
        "sizes": np.repeat([5, 6, 7], 2),
        "x": np.repeat(FLOPS[5:8], 2),
        "measured": np.repeat(R[5:8], 2),
        "predicted": [0.85, 0.86, 0.86, 0.87, 0.86, 3.5],
        "low": [0.84, np.nan, 0.85, np.nan, 0.85, np.nan],
        "high": [0.86, np.nan, 0.87, np.nan, 0.87, np.nan],
        "error": [0.001, -0.002, 0.003, 0.002, -0.001, 2.64],
    }
)


@pytest.fixture
def ax():
    plots.use_style()
    figure, ax = plt.subplots(figsize=(4.6, 3.6))
    yield ax
    plt.close(figure)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def check_texts_are_on_the_page(ax):
    """No label is cut at the figure's edge or covers another one."""
    figure = ax.figure
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    for box, text in zip(boxes, texts(ax), strict=True):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 + 1, text
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 + 1, text
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def drawn(ax, marker):
    """Points drawn with a marker, [points, 2]."""
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return np.concatenate([line.get_xydata() for line in lines])


@pytest.mark.parametrize("held_out", [0, 1, 2])
def test_sizes_that_the_law_knows_are_round(ax, held_out):
    fit = fit_without_largest(FLOPS, R, held_out, **SHAPE)
    scaling_laws.fitted_and_held_out(ax, fit, ROWS, "r_over_r_star", "R/R*", COLOUR, 0.9)
    known = len(FLOPS) - held_out
    np.testing.assert_array_equal(drawn(ax, "o"), np.column_stack([FLOPS, R])[:known])
    np.testing.assert_array_equal(drawn(ax, "D"), np.column_stack([FLOPS, R])[known:])
    assert ("not seen" in texts(ax)) == (held_out > 0)
    assert {"average of laws", "power law"} <= set(texts(ax))
    assert ("without" in ax.get_title(loc="left")) == (held_out > 0)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("FLOPs per user-ad pair", "R/R*")
    check_texts_are_on_the_page(ax)


def show_distance(ax, y, x=FLOPS):
    law = fit_without_largest(x, y, 0, **SHAPE).full_law
    distance = distance_to_asymptote(law, y, scaling_laws.curve_grid(x))
    scaling_laws.distance_to_asymptote(ax, distance, x, "R/R*", COLOUR)
    return distance


def test_distances_are_to_the_asymptote_of_the_curve_that_is_drawn(ax):
    distance = show_distance(ax, R)
    np.testing.assert_allclose(drawn(ax, "o")[:, 1], distance.asymptote - R)
    curve = ax.lines[0].get_ydata()
    np.testing.assert_array_equal(curve, distance.curve)
    np.testing.assert_allclose(np.diff(np.diff(np.log(curve))), 0, atol=1e-9)  # a power law
    assert f"{distance.asymptote:.3f}" in ax.get_title(loc="left")
    assert distance.reached_from is None and not ax.texts
    check_texts_are_on_the_page(ax)


def test_a_cut_band_and_points_beyond_the_asymptote_are_marked(ax):
    """Sizes whose noise passes the asymptote: the band is cut, and the panel says from where."""
    rng = np.random.default_rng(3)
    x = np.repeat(np.geomspace(1e3, 1e6, 8), 3)
    y = 0.9 - 0.1 * (x / 1e3) ** -0.8 + rng.normal(0, 0.003, x.size)
    distance = show_distance(ax, y, x)
    assert distance.reached_from is not None and distance.measured_beyond > 0
    floor = ax.get_ylim()[0]
    beyond = drawn(ax, "v")
    assert len(beyond) == distance.measured_beyond and (beyond[:, 1] == floor).all()
    assert len(drawn(ax, "o")) + len(beyond) == x.size
    assert any("holds the asymptote" in text for text in texts(ax))
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(floor)
    check_texts_are_on_the_page(ax)


def test_laws_of_the_first_sizes_are_drawn_up_to_twice_the_largest(ax):
    law = BNSL(**SHAPE).fit(FLOPS, R)
    scaling_laws.back_tests(ax, law, "R/R*", COLOUR, 0.9)
    np.testing.assert_array_equal(drawn(ax, "o"), np.column_stack([FLOPS, R]))
    dashed = [line.get_xydata() for line in ax.lines if line.get_linestyle() == "--"]
    assert len(dashed) == 2 * len(law.back_tests_) == 4  # where it knows the points, and beyond
    for test, (x, y) in zip(law.back_tests_, [part[-1] for part in dashed[1::2]], strict=True):
        known = test.largest_x >= FLOPS
        first = BNSL(**SHAPE).fit(FLOPS[known], R[known])
        assert x == pytest.approx(max(2 * test.largest_x, FLOPS[~known][0]))
        assert y == pytest.approx(first.predict(x))
    assert texts(ax)[0] == "law of all sizes"
    assert texts(ax)[1] == (
        f"of sizes up to 49.3M: misses the next size by {law.back_tests_[0].missed:.1f} sd"
    )
    check_texts_are_on_the_page(ax)


def test_points_that_hardly_count_are_crosses(ax):
    x = np.geomspace(1e3, 1e7, 40)
    y = (0.3 + 5 * x**-0.3) * np.exp(0.01 * np.random.default_rng(0).normal(size=40))
    y[11] *= 1.4
    scaling_laws.back_tests(ax, BNSL().fit(x, y), "loss", COLOUR, 0.9)
    np.testing.assert_array_equal(drawn(ax, "x"), [[x[11], y[11]]])
    assert len(drawn(ax, "o")) == 39 and "x hardly counts" in texts(ax)
    assert ax.get_ylim()[1] > y[11]
    check_texts_are_on_the_page(ax)


def test_the_size_that_decides_is_circled(ax):
    y = R + 0.03 * (FLOPS == FLOPS[-1])
    law = BNSL(direction="rising").fit(FLOPS, y)
    assert any("one point decides" in text for text in law.warnings_)
    scaling_laws.back_tests(ax, law, "R/R*", COLOUR, 0.9)
    np.testing.assert_array_equal(drawn(ax, "o")[-1], [FLOPS[-1], y[-1]])
    assert "circled: decides" in texts(ax)
    low, high = ax.get_ylim()  # whatever the intervals, the points fill a part of the panel
    assert np.ptp(y) > 0.2 * (high - low) and low < y.min() and y.max() < high
    check_texts_are_on_the_page(ax)


def test_the_share_of_asymptotes_at_each_distance(ax):
    law = BNSL(**SHAPE).fit(FLOPS, R)
    scaling_laws.where_the_asymptote_lies(ax, law, "R/R*", COLOUR)
    (stems,) = [part for part in ax.collections if hasattr(part, "get_segments")]
    tops = np.array([segment[1] for segment in stems.get_segments()])
    assert tops[:, 1].sum() == pytest.approx(1)
    members, points = law.members_, law.points_
    distance = (members.asymptote - points.best) / points.range
    far = tops[:, 0] > 0.2
    expected = members.weight[np.round(np.log10(distance), 1) > np.log10(0.2) + 0.01].sum()
    assert tops[far, 1].sum() == pytest.approx(expected, abs=1e-9)
    single = (law.asymptote_ / points.unit - points.best) / points.range
    np.testing.assert_allclose(drawn(ax, "D"), [[single, 0]])
    assert texts(ax) == ["one range"] and "0.87" in ax.get_title(loc="left")
    check_texts_are_on_the_page(ax)


def test_asymptotes_out_of_the_panel_are_at_its_edge(ax):
    law = BNSL(**SHAPE).fit(FLOPS, R)
    near = law.members_.asymptote.copy()
    near[:] = law.points_.asymptote(1e-5)
    near[0] = law.points_.asymptote(1e9)
    law.members_ = dataclasses.replace(law.members_, asymptote=near)
    scaling_laws.where_the_asymptote_lies(ax, law, "R/R*", COLOUR)
    assert drawn(ax, "<")[0, 1] + drawn(ax, ">")[0, 1] == pytest.approx(1)
    low, high = ax.get_xlim()
    assert low < 1e-3 and 1e3 < high < 1e4


def test_a_wild_error_is_an_arrow_with_its_value(ax):
    scaling_laws.errors_at_next_sizes(ax, NEXT, "R/R*")
    points = np.concatenate([drawn(ax, "o"), drawn(ax, "D")])
    assert sorted(points[:, 0]) == sorted(NEXT.error[:5])
    edge = ax.get_xlim()[1]
    np.testing.assert_allclose(drawn(ax, ">"), [[edge, 1]])
    assert texts(ax) == ["+2.6"] and np.abs(points[:, 0]).max() < edge
    assert [label.get_text() for label in ax.get_yticklabels()] == list(NEXT.law.unique())
    check_texts_are_on_the_page(ax)


def test_errors_of_one_scale_have_no_arrows(ax):
    scaling_laws.errors_at_next_sizes(ax, NEXT[:5], "R/R*")
    points = np.concatenate([drawn(ax, "o"), drawn(ax, "D")])
    assert sorted(points[:, 0]) == sorted(NEXT.error[:5]) and not ax.texts
    assert drawn(ax, "D")[:, 0].tolist() == [-0.001]  # of the largest size


def test_next_sizes_are_the_average_s_own(ax):
    table = predict_next_size(FLOPS, R, least=7, **SHAPE)
    scaling_laws.predicted_and_measured(ax, table, "R/R*", COLOUR, 0.9)
    np.testing.assert_array_equal(drawn(ax, "D"), np.column_stack([FLOPS, R])[7:])
    ours = table[table.law == "average of laws"]
    np.testing.assert_array_equal(drawn(ax, "o")[:, 1], ours.predicted)
    assert set(texts(ax)) == {"predicted", "measured"}
    check_texts_are_on_the_page(ax)


@pytest.mark.parametrize("published", [True, False])
def test_lifts_of_sizes(ax, published):
    tests = pd.DataFrame(
        {
            "model": ["base", "5128", "$10128"],
            "flops": [7.6e6, 1.26e7, 2.28e7],
            "revenue_lift": [0.0, 0.0038, np.nan],
            "by_law": [0.0, 0.0034, 0.0066],
            "low": [0.0, 0.0031, 0.0064],
            "high": [0.0, 0.0037, 0.0068],
        }
    )
    if published:
        tests["published_prediction"] = [0.0, 0.0033, 0.0062]
    scaling_laws.lifts_of_sizes(ax, tests, COLOUR, 0.9, exclude=("base",))
    assert len(drawn(ax, "o")) == len(drawn(ax, "D")) == 2
    # The last size is only asked for: no label where there is no point.
    assert set(texts(ax)) == {"this law, 90%"} | ({"published prediction"} if published else set())
    assert [label.get_text().split("\n")[0] for label in ax.get_xticklabels()] == ["5128", "$10128"]
    check_texts_are_on_the_page(ax)


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font:UserWarning")
@pytest.mark.parametrize("name", ODD_NAMES)
def test_no_name_of_a_model_or_metric_breaks_a_figure(name):
    numbers = {"flops": [7e6, 1e7], "revenue_lift": 0.0, "by_law": 0.0, "low": 0.0, "high": 0.01}
    tests = pd.DataFrame({"model": [name, "b"], **numbers})
    figure, (left, right) = plots.panels(2, 5.0, 4.0)
    scaling_laws.lifts_of_sizes(left, tests, COLOUR, 0.9)
    fit = fit_without_largest(FLOPS, R, 1, **SHAPE)
    scaling_laws.fitted_and_held_out(right, fit, ROWS, "r_over_r_star", name, COLOUR, 0.9)
    assert (shown_size(figure) < [20, 8]).all()


@pytest.mark.parametrize("count", [1, 4])
def test_held_out_lifts(count):
    value = np.linspace(-0.01, 0.01, count)
    worth = pd.DataFrame(
        {
            "world": [f"D seed {i}" for i in range(count)],
            "model": "48-12-12-12",
            "predicted": value,
            "low": value - 0.004,
            "high": value + 0.004,
            "measured": value + 0.001,
            "measured_low": value,
            "measured_high": value + 0.002,
        }
    )
    plots.use_style()
    figure, ax = plt.subplots(figsize=(6.2, 1.2 + 0.36 * count))
    scaling_laws.lifts_held_out(ax, worth, COLOUR, 0.9)
    np.testing.assert_allclose(drawn(ax, "o")[:, 0], worth.predicted)
    np.testing.assert_allclose(drawn(ax, "D")[:, 0], worth.measured)
    assert set(texts(ax)) == {"predicted", "measured"}
    assert ax.get_yticklabels()[0].get_text() == "D seed 0: 48-12-12-12"
    check_texts_are_on_the_page(ax)
    plt.close(figure)
