"""What is drawn on axes: texts, lines, and whether labels can be read."""

import io
import itertools
import xml.etree.ElementTree

from lib.notebook import plots

ODD_NAMES = [
    *("$x$ | $y$", r"$\frac{", "a|b*c_d^e", "two\nlines", "tab\there", "\x07bell", "\u202eabc"),
    *("%s {} {0}", "\\", "<b>&amp;", "x" * 5000, "نموذج", "👍", "模型", "_hidden", " ", "1e6"),
]


def shown_size(figure):
    """The figure as SVG that parses; its width and height as shown, in inches."""
    plots.as_written(figure)
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    xml.etree.ElementTree.fromstring(file.getvalue())
    figure.savefig(io.BytesIO(), format="png")
    return figure.get_tightbbox().size


def texts(ax):
    """Texts beside the points, as drawn."""
    return [text.get_text() for text in ax.texts]


def points(ax):
    """(x, y) of all markers drawn as lines, [points, 2] a line."""
    return [line.get_xydata() for line in ax.lines if line.get_marker() not in ("None", None, "")]


def boxes(ax):
    """Where each text beside a point is drawn, in pixels."""
    ax.figure.draw_without_rendering()
    renderer = ax.figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in ax.texts]


def assert_texts_can_be_read(ax, *, axes_only=False):
    """No text off the figure (or the axes), none over another."""
    drawn = boxes(ax)
    page = ax.get_window_extent() if axes_only else ax.figure.bbox
    for text, box in zip(ax.texts, drawn, strict=True):
        assert page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1, f"{text.get_text()} is cut"
        assert page.y0 - 1 <= box.y0 and box.y1 <= page.y1 + 1, f"{text.get_text()} is cut"
    for (one, first), (two, second) in itertools.combinations(zip(ax.texts, drawn), 2):
        overlap = first.intersection(first, second)
        assert overlap is None or min(overlap.width, overlap.height) < 1, (
            f"{one.get_text()!r} covers {two.get_text()!r}"
        )
