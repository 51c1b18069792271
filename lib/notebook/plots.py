"""The figures' common look: direct labels, intervals, colours that all readers can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.optimize import isotonic_regression

# Okabe and Ito 2008.
BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#666666",
)
COLOURS = {
    "mlp": BLUE,
    "twin_tower": RED,
    "dlrm": GREEN,
    "r_over_r_star": BLUE,
    "ndcg": GREEN,
    "recall": ORANGE,
    "opa": PINK,
    "revenue_ndcg": SKY,
    "joint_recall": RED,
    "revenue_weighted_r_over_r_star": GREY,
    "r_over_r_star_full": "black",
}
NAMES = {
    "mlp": "MLP",
    "twin_tower": "twin tower",
    "r_over_r_star": "R/R*",
    "ndcg": "NDCG",
    "recall": "Recall",
    "opa": "OPA",
    "revenue_ndcg": "revenue NDCG",
    "joint_recall": "joint Recall",
    "revenue_weighted_r_over_r_star": "R/R* by money",
    "r_over_r_star_full": "R/R* of whole lists",
}

LONGEST_NAME = 40  # characters of a name of the reader's in a label
LONGEST_INSIDE = 28  # of one that stands inside the axes
LONGEST_ROW = 64  # of what names a row
LONGEST_LINE = 90  # of any other text
LONGEST_UPRIGHT = 45  # of the label of a y axis: figures are wider than high
MOST_INCHES = 60.0  # of a figure's side, whatever the number of rows
MOST_ROWS = 150  # of an axis that are named


def use_style() -> None:
    """Set the defaults of Matplotlib and of pandas' tables; called once a notebook."""
    pd.set_option("display.max_colwidth", None)  # a claim is a sentence: never cut
    plt.rcParams.update(
        {
            "figure.figsize": (7.0, 4.2),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.titlelocation": "left",
            "axes.titlesize": "medium",
            "axes.labelsize": "medium",
            "font.size": 10,
            "legend.frameon": False,
        }
    )


def panels(
    count: int, width: float = 3.6, height: float = 3.2, columns: int | None = None
) -> tuple[Figure, np.ndarray]:
    """A row (or rows) of axes, flat; `width` and `height` of one of them, in inches.

    A figure for thousands of rows ends at `MOST_INCHES`: beyond some 400 none can be drawn.
    """
    columns = columns or count
    rows = -(-count // columns)
    sides = (min(MOST_INCHES, side) for side in (width * columns, height * rows))
    figure, axes = plt.subplots(rows, columns, figsize=tuple(sides), squeeze=False)
    return figure, axes.ravel()


def short_name(name: Any, most: int = LONGEST_NAME) -> str:
    """A name as a label: on one line, what cannot be printed as ?, a long one without its middle.

    >>> short_name("m\\n1"), short_name("abcdefghij", 7)
    ('m 1', 'abc…hij')
    """
    line = " ".join(str(name).split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    if len(line) <= most:
        return line
    end = (most - 1) // 2
    return f"{line[: most - 1 - end]}…{line[-end:]}"


def name_ticks(ax: Axes, places: Any, names: Sequence[Any], axis: str = "y") -> None:
    """Names of the reader's at places of an axis, as they are written; of many only every k-th."""
    step = -(-len(names) // MOST_ROWS) if len(names) else 1
    labels = [short_name(name, LONGEST_ROW) for name in names[::step]]
    getattr(ax, f"set_{axis}ticks")(np.asarray(places)[::step], labels, parse_math=False)


def as_written(figure: Figure) -> None:
    """Keep Matplotlib from reading "$" in a text as TeX, its own exponents apart; cut long lines.

    Names come from data, and none of our texts is TeX.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_ticklabels(which="both")  # sets the texts of ticks, which findobj then finds
    upright = {axes.yaxis.label for axes in figure.axes}
    for text in figure.findobj(Text):
        written = text.get_text()
        if "$" in written and "\\mathdefault" not in written:
            text.set_parse_math(False)
        lines = written.split("\n")
        most = LONGEST_UPRIGHT if text in upright else LONGEST_LINE
        if any(len(line) > most or not line.isprintable() for line in lines):
            text.set_text("\n".join(short_name(line, most) for line in lines))


def lay_out(figure: Figure) -> None:
    """Set limits and layout to what they will be, without drawing."""
    as_written(figure)
    figure.draw_without_rendering()


def band(
    ax: Axes, x: Any, mean: Any, low: Any, high: Any, colour: str, label: str | None = None
) -> None:
    """A curve with its interval and its name at its end."""
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.plot(x, mean, color=colour)
    if label:
        at_end(ax, x[-1], mean[-1], label, colour)


def at_end(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    colour: str,
    dx: float = 5,
    dy: float = 0,
    **kwargs: Any,
) -> None:
    """A label beside a point, in the colour of what it names.

    Args:
      ax: where to draw.
      x, y: the point, in data.
      text: shown as it stands, also where a "$" is in it.
      colour: of the text.
      dx, dy: from the point to the text, in points of type.
      kwargs: of `Axes.annotate`.
    """
    ax.annotate(
        text,
        (x, y),
        (dx, dy),
        textcoords="offset points",
        color=colour,
        va="center",
        fontsize="small",
        annotation_clip=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
        parse_math=False,
        **kwargs,
    )


def at_ends(ax: Axes, x: float, labels: Sequence[tuple[float, str, str]], gap: float = 11) -> None:
    """Labels beside points at one x, moved apart where they would cover each other.

    Args:
      ax: where to draw, with all but these labels drawn.
      x: of all points, in data.
      labels: (y, text, colour) of each.
      gap: least distance of two labels, in points of type.
    """
    lay_out(ax.figure)  # limits are only now what they will be
    heights = ax.transData.transform([(x, y) for y, *_ in labels])[:, 1] * 72 / ax.figure.dpi
    order = np.argsort(heights)
    # The least moved places that are far enough apart: isotonic once the gaps are taken out.
    gaps = gap * np.arange(len(labels))
    places = isotonic_regression(heights[order] - gaps).x + gaps
    for label, place in zip(order, places, strict=True):
        y, text, colour = labels[label]
        at_end(ax, x, y, text, colour, dy=place - heights[label])


def with_errors(
    ax: Axes,
    x: Any,
    y: Any,
    y_error: Any = None,
    x_error: Any = None,
    colour: str = BLUE,
    **kwargs: Any,
) -> None:
    """Points with one standard error on either axis."""
    ax.errorbar(
        x, y, yerr=y_error, xerr=x_error, fmt="o", ms=4, color=colour, elinewidth=0.8, **kwargs
    )


def forest(
    ax: Axes, values: Any, lows: Any, highs: Any, labels: Sequence[str], colour: str = BLUE
) -> None:
    """Values with their intervals, one a row, the first on top, against a line at 0."""
    rows = np.arange(len(labels))
    values, lows, highs = (np.asarray(x, float) for x in (values, lows, highs))
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.hlines(rows, lows, highs, color=colour, linewidth=1.2)
    ax.plot(values, rows, "o", ms=4, color=colour)
    ax.set(ylim=(len(labels) - 0.4, -0.6))
    name_ticks(ax, rows, labels)


def percent(ax: Axes, axis: str = "y") -> None:
    """Show fractions of an axis in per cent."""
    formatter = ticker.FuncFormatter(lambda value, _: f"{100 * value:g} %")
    getattr(ax, f"{axis}axis").set_major_formatter(formatter)


def log_axis(ax: Axes, axis: str = "x") -> None:
    """A logarithmic axis labelled 1, 2, 5 times powers of ten, as in 2k or 5M.

    Over more than 2.5 decades the powers of ten alone. Call it once the data are drawn.
    """
    getattr(ax, f"set_{axis}scale")("log")
    line = getattr(ax, f"{axis}axis")
    low, high = getattr(ax, f"get_{axis}lim")()
    many_decades = np.log10(high / low) > 2.5
    line.set_major_locator(ticker.LogLocator(subs=(1,) if many_decades else (1, 2, 5)))
    line.set_major_formatter(ticker.EngFormatter(sep=""))
    line.set_minor_formatter(ticker.NullFormatter())


def short_size(size_parameters: Sequence[int]) -> str:
    """Size parameters as a label, without the single output of an MLP.

    >>> short_size([3328, 1024, 256, 256, 1])
    '3328→1024-256-256'
    >>> short_size([86, 32, 8])  # a twin tower's
    '86→32-8'
    >>> short_size([86, 1])
    '86→1'
    """
    inputs, *widths = (int(width) for width in size_parameters)
    if len(widths) > 1 and widths[-1] == 1:
        widths.pop()
    return f"{inputs}→{'-'.join(map(str, widths))}"
