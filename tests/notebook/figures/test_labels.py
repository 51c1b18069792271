"""Labels stand beside their points, inside the axes, over nothing."""

import numpy as np
import pytest

from lib.notebook.figures.labels import LEADER, Label, place_labels
from tests.notebook.figures.drawn import assert_texts_can_be_read, boxes


def label_all(ax, x, y):
    names = [f"model number {index}" for index in range(len(x))]
    place_labels(
        ax, [Label(*row) for row in zip(names, ["black"] * len(x), [[p] for p in zip(x, y)])], x, y
    )
    return names


@pytest.mark.parametrize("seed", range(4))
def test_scattered_points_are_labelled_without_overlap(ax, seed):
    x, y = np.random.default_rng(seed).uniform(size=(2, 12))
    ax.plot(x, y, "o")
    names = label_all(ax, x, y)
    assert [text.get_text() for text in ax.texts] == names
    assert_texts_can_be_read(ax, axes_only=True)


def test_a_free_point_has_its_label_close_by(ax):
    ax.plot([0, 1, 2], [0, 1, 2], "o")
    label_all(ax, np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]))
    places = ax.transData.transform([(0, 0), (1, 1), (2, 2)])
    limit = (LEADER + 1) * ax.figure.dpi / 72
    for box, (x, y) in zip(boxes(ax), places, strict=True):
        across = max(box.x0 - x, x - box.x1, 0)
        up = max(box.y0 - y, y - box.y1, 0)
        assert np.hypot(across, up) < limit
    assert all(text.arrow_patch is None for text in ax.texts)


def test_points_are_not_covered(ax):
    x, y = np.array([0.5, 0.56, 0.62, 0.44, 0.38, 0.0, 1.0]), np.array([0.5] * 5 + [0.0, 1.0])
    ax.plot(x, y, "o")
    place_labels(ax, [Label("in the middle", "black", [(0.5, 0.5)])], x, y)
    (box,) = boxes(ax)
    assert box.count_contains(ax.transData.transform(np.column_stack([x, y]))) == 0


def test_of_several_anchors_a_free_one_is_taken(ax):
    x, y = np.linspace(0, 0.45, 40), np.full(40, 0.5)
    ax.set(xlim=(0, 1), ylim=(0.4, 0.6))
    place_labels(ax, [Label("a line", "black", [(0.0, 0.5), (1.0, 0.5)])], x, y)
    (box,) = boxes(ax)
    assert box.x0 > ax.transData.transform((0.5, 0.5))[0]
