"""Labels beside the points that they name, where they cover nothing."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from lib.notebook import plots

DISTANCES = (6, 12, 20, 32)  # from the point to the text, in points of type
DIRECTIONS = [(1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1)]
LEADER = 9  # from this distance on a line joins label and point


class Label(NamedTuple):
    """A text, its colour, and the points (x, y), in data, beside any of which it may stand."""

    text: str
    colour: str
    anchors: Sequence[tuple[float, float]]


class Place(NamedTuple):
    anchor: tuple[float, float]
    offset: tuple[float, float]  # in points of type
    box: Bbox  # in pixels


def place_labels(ax: Axes, labels: Sequence[Label], x, y) -> None:
    """Draw labels inside the axes, away from the points x, y and from each other.

    The axes' limits must be final. Of the places around a label's anchors the nearest that covers
    least is taken; where it is not close by, a thin line joins both.
    """
    plots.lay_out(ax.figure)
    points = ax.transData.transform(np.column_stack([x, y]))
    taken = []
    for label in labels:
        width, height = _size(ax, label.text)
        places = [
            _place(ax, anchor, direction, distance, width, height)
            for distance, direction, anchor in itertools.product(
                DISTANCES, DIRECTIONS, label.anchors
            )
        ]
        place = min(places, key=lambda place: _cost(ax, place, points, taken))
        taken.append(place.box)
        _draw(ax, label, place)


def _size(ax, text):
    """Width and height of a label in pixels."""
    shown = ax.text(0, 0, text, fontsize="small", parse_math=False)
    box = shown.get_window_extent(ax.figure.canvas.get_renderer())
    shown.remove()
    return box.width, box.height


def _place(ax, anchor, direction, distance, width, height):
    """Where a label's box lies; (1, 0) is right of its anchor, on the same height."""
    scale = ax.figure.dpi / 72
    across, up = direction
    step = distance / np.hypot(across, up)
    dx, dy = across * step * scale, up * step * scale
    x, y = ax.transData.transform(anchor)
    left = x + dx - {1: 0, 0: width / 2, -1: width}[across]
    bottom = y + dy - height / 2 + up * height / 2
    offset = ((left + width / 2 - x) / scale, (bottom + height / 2 - y) / scale)
    return Place(anchor, offset, Bbox.from_bounds(left, bottom, width, height))


def _cost(ax, place, points, taken):
    """Lies outside the axes, covers labels, covers points or crosses them: in this order."""
    box, page = place.box, ax.bbox
    outside = box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < page.y0 or box.y1 > page.y1
    covered = box.padded(3).count_contains(points)
    if _gap(ax, place) > LEADER:
        covered += _crossed(ax, place, points)
    return outside, sum(box.padded(2).overlaps(other) for other in taken), covered


def _gap(ax, place):
    """Distance of a label's box from its point, in points of type."""
    half = np.array([place.box.width, place.box.height]) * 36 / ax.figure.dpi
    return np.hypot(*np.maximum(np.abs(place.offset) - half, 0))


def _crossed(ax, place, points, near=4, own=8):
    """How many points the line to the label passes within `near` pixels, its own ones apart."""
    start = ax.transData.transform(place.anchor)
    centre = (place.box.p0 + place.box.p1) / 2
    line = start + np.linspace(0, 1, 30)[:, None] * (centre - start)
    others = points[np.hypot(*(points - start).T) > own]
    distances = np.hypot(*(others[:, None] - line).transpose(2, 0, 1))
    return int((distances.min(axis=1, initial=np.inf) < near).sum())


def _draw(ax, label, place):
    leader = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.5, "shrinkA": 0}
    plots.at_end(
        ax,
        *place.anchor,
        label.text,
        label.colour,
        *place.offset,
        ha="center",
        arrowprops=leader | {"shrinkB": 3} if _gap(ax, place) > LEADER else None,
    )
