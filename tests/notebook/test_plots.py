"""Figures' helpers: labels that can be read, axes that say their unit, colours apart."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Annotation

from lib.notebook import plots
from tests.notebook.figures.drawn import ODD_NAMES, shown_size


@pytest.fixture
def ax():
    figure, ax = plt.subplots(figsize=(6, 4))
    yield ax
    plt.close(figure)


def ticks(ax, axis):
    """The labels of an axis that are shown."""
    ax.figure.canvas.draw()
    low, high = sorted(getattr(ax, f"get_{axis}lim")())
    line = getattr(ax, f"{axis}axis")
    shown = zip(line.get_majorticklocs(), line.get_majorticklabels(), strict=True)
    return [label.get_text() for place, label in shown if low <= place <= high]


def label_heights(ax):
    """{text: its height over the axes' lower end, in points of type}."""
    labels = [child for child in ax.get_children() if isinstance(child, Annotation)]
    ax.figure.canvas.draw()
    return {
        label.get_text(): ax.transData.transform(label.xy)[1] * 72 / ax.figure.dpi + label.xyann[1]
        for label in labels
    }


@pytest.mark.parametrize(
    "limits", [{"ylim": (0, 10)}, {"ylim": (10, 0)}, {"ylim": (1, 100), "yscale": "log"}]
)
def test_labels_that_would_touch_are_moved_apart_in_the_order_of_their_points(ax, limits):
    ax.set(**limits)
    named = {"a": 5.0, "b": 5.01, "c": 4.99, "d": 9.0}
    plots.at_ends(ax, 1, [(y, name, "black") for name, y in named.items()], gap=12)
    heights = label_heights(ax)
    by_place = sorted(heights, key=heights.get)
    assert by_place == sorted(named, key=lambda name: ax.transData.transform((1, named[name]))[1])
    assert min(np.diff(sorted(heights.values()))) > 12 - 1e-6
    # No more than needed: three labels in one place spread evenly about it, the fourth stays.
    wanted = {n: ax.transData.transform((1, y))[1] * 72 / ax.figure.dpi for n, y in named.items()}
    assert heights["d"] == pytest.approx(wanted["d"])
    assert heights["a"] == pytest.approx(np.mean([wanted[name] for name in "abc"]))


def test_labels_far_apart_stay_at_their_points(ax):
    ax.set(ylim=(0, 10))
    plots.at_ends(ax, 1, [(1, "a", "red"), (9, "b", "blue")])
    annotations = [child for child in ax.get_children() if isinstance(child, Annotation)]
    assert [label.xyann[1] for label in annotations] == pytest.approx([0, 0])
    assert [label.get_color() for label in annotations] == ["red", "blue"]


def test_dollars_in_names_are_drawn(ax):
    name = "CTR $& CVR^$"  # no TeX
    plots.at_end(ax, 0, 0, name, "black")
    plots.forest(ax, [1, 2], [0, 1], [2, 3], [name, "b"])
    plots.band(ax, [0, 1], [0, 1], [0, 1], [0, 2], "black", name)
    assert name in ticks(ax, "y")  # draws


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font:UserWarning")
@pytest.mark.parametrize("name", ODD_NAMES)
def test_no_name_breaks_a_figure(name):
    with mpl.rc_context():
        plots.use_style()
        figure, (left, right) = plots.panels(2, 5.0, 4.0)
        plots.forest(left, [1, 2], [0, 1], [2, 3], [plots.short_name(name), "b"])
        left.set(title=f"{name}: a title", xlabel=name, ylabel=name)
        plots.at_ends(right, 0, [(0.1, plots.short_name(name), "black"), (0.9, "b", "red")])
        assert (shown_size(figure) < [15, 8]).all()
        plt.close(figure)


def test_many_rows_are_a_figure_that_can_be_drawn():
    with mpl.rc_context():
        plots.use_style()
        figure, (ax,) = plots.panels(1, 6.4, 0.19 * 20_000)
        assert figure.get_size_inches()[1] == plots.MOST_INCHES
        plots.name_ticks(ax, range(20_000), [f"m{i}" for i in range(20_000)])
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert labels[:2] == ["m0", "m134"] and len(labels) == plots.MOST_ROWS
        plt.close(figure)


def test_a_forest_has_its_first_row_on_top(ax):
    plots.forest(ax, [1, -2], [0.5, -3], [1.5, -1], ["first", "second"])
    assert ticks(ax, "y") == ["first", "second"]
    assert ax.transData.transform((0, 0))[1] > ax.transData.transform((0, 1))[1]
    points, segments = ax.lines[-1], ax.collections[0].get_segments()
    assert points.get_xdata().tolist() == [1, -2]
    assert [segment[:, 0].tolist() for segment in segments] == [[0.5, 1.5], [-3, -1]]


@pytest.mark.parametrize("axis", ["x", "y"])
def test_percent(ax, axis):
    ax.set(**{f"{axis}lim": (-0.1, 0.1), f"{axis}ticks": [-0.1, 0, 0.005, 0.1]})
    plots.percent(ax, axis)
    assert ticks(ax, axis) == ["-10 %", "0 %", "0.5 %", "10 %"]


@pytest.mark.parametrize(
    ("limits", "labels"),
    [
        ((1e3, 5e4), ["1k", "2k", "5k", "10k", "20k", "50k"]),
        ((1e3, 1e7), ["1k", "10k", "100k", "1M", "10M"]),
        ((0.5, 20), ["500m", "1", "2", "5", "10", "20"]),
    ],
)
def test_log_axis(ax, limits, labels):
    ax.set_xlim(limits)
    plots.log_axis(ax)
    assert ticks(ax, "x") == labels


@pytest.mark.parametrize(
    ("size_parameters", "label"),
    [
        ([3328, 1024, 256, 1], "3328→1024-256"),
        (np.array([10128, 1024, 256, 1]), "10128→1024-256"),
        ((86, 32, 8), "86→32-8"),
        ([86, 1], "86→1"),
    ],
)
def test_short_size(size_parameters, label):
    assert plots.short_size(size_parameters) == label


WIDTHS = st.lists(st.integers(2, 40), min_size=1, max_size=3)


@given(st.lists(st.tuples(st.integers(2, 40), WIDTHS), min_size=2, max_size=5))
def test_two_sizes_of_a_family_have_two_labels(sizes):
    for tail in ([1], []):  # an MLP's score, a twin tower's vector
        lists = {(inputs, *widths, *tail) for inputs, widths in sizes}
        assert len({plots.short_size(size) for size in lists}) == len(lists)


def test_panels():
    for arguments, count in [((3,), 3), ((5, 2, 2, 3), 6)]:
        figure, axes = plots.panels(*arguments)
        assert axes.shape == (count,)
        plt.close(figure)
    assert figure.get_size_inches().tolist() == [2 * 3, 2 * 2]


def test_claims_are_never_cut():
    names = [f"R/R* predicts revenue lift better than NDCG ({end})" for end in ("R²", "slope")]
    with pd.option_context("display.max_colwidth", 50), mpl.rc_context():
        plots.use_style()
        table = pd.DataFrame({"name": [name * 3 for name in names]})
        for text in (table.to_html(), repr(table)):
            assert all(name * 3 in text for name in names)


def test_what_is_drawn_together_has_colours_apart():
    for group in (
        ("mlp", "twin_tower", "dlrm"),
        tuple(name for name in plots.COLOURS if name not in ("mlp", "twin_tower", "dlrm")),
    ):
        colours = [plots.COLOURS[name] for name in group]
        rgb = np.array([mpl.colors.to_rgb(colour) for colour in colours])
        assert min(np.abs(one - other).sum() for one, other in itertools.combinations(rgb, 2)) > 0.2
