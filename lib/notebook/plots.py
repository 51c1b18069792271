"""The figures' common look: direct labels, intervals, colours that all readers can tell apart."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker
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


def use_style():
    """Set Matplotlib's defaults; called once a notebook."""
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
            # Text of an SVG or PNG does not change between runs.
            "svg.hashsalt": "lib",
        }
    )


def panels(count, width=3.6, height=3.2, columns=None):
    """A row (or rows) of axes, flat."""
    columns = columns or count
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False
    )
    return figure, axes.ravel()


def band(ax, x, mean, low, high, colour, label=None):
    """A curve with its interval and its name at its end."""
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.plot(x, mean, color=colour)
    if label:
        at_end(ax, x[-1], mean[-1], label, colour)


def at_end(ax, x, y, text, colour, dx=5, dy=0, **kwargs):
    """A label beside a point, in the colour of what it names."""
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
        **kwargs,
    )


def at_ends(ax, x, labels, gap=11):
    """Labels (y, text, colour) beside points at x, `gap` points of type apart at least."""
    labels = sorted(labels, key=lambda label: label[0])
    height = np.diff(ax.get_window_extent().intervaly)[0] * 72 / ax.figure.dpi
    low, high = ax.get_ylim()
    wanted = height * (np.array([y for y, *_ in labels]) - low) / (high - low)
    # The least moved places that are far enough apart: isotonic once the gaps are taken out.
    gaps = gap * np.arange(len(labels))
    places = isotonic_regression(wanted - gaps).x + gaps
    for (y, text, colour), by in zip(labels, places - wanted, strict=True):
        at_end(ax, x, y, text, colour, dy=by)


def with_errors(ax, x, y, y_error=None, x_error=None, colour=BLUE, **kwargs):
    """Points with one standard error on either axis."""
    ax.errorbar(
        x, y, yerr=y_error, xerr=x_error, fmt="o", ms=4, color=colour, elinewidth=0.8, **kwargs
    )


def forest(ax, values, lows, highs, labels, colour=BLUE):
    """Values with their intervals, one a row, the first on top, against a line at 0."""
    rows = np.arange(len(labels))
    values, lows, highs = (np.asarray(x, float) for x in (values, lows, highs))
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.hlines(rows, lows, highs, color=colour, linewidth=1.2)
    ax.plot(values, rows, "o", ms=4, color=colour)
    ax.set(yticks=rows, yticklabels=labels, ylim=(len(labels) - 0.4, -0.6))


def percent(ax, axis="y"):
    """Show fractions of an axis in per cent."""
    formatter = ticker.FuncFormatter(lambda value, _: f"{100 * value:g} %")
    getattr(ax, f"{axis}axis").set_major_formatter(formatter)


def log_axis(ax, axis="x"):
    """A logarithmic axis labelled 1, 2, 5 times powers of ten, as in 2k or 5M."""
    getattr(ax, f"set_{axis}scale")("log")
    line = getattr(ax, f"{axis}axis")
    low, high = getattr(ax, f"get_{axis}lim")()
    wide = np.log10(high / low) > 2.5
    line.set_major_locator(ticker.LogLocator(subs=(1,) if wide else (1, 2, 5)))
    line.set_major_formatter(ticker.EngFormatter(sep=""))
    line.set_minor_formatter(ticker.NullFormatter())


def short_size(size_parameters):
    """Size parameters as a label: [86, 32, 8, 8, 8, 1] -> "32-8-8-8".

    >>> short_size([86, 32, 8, 8, 8, 1])
    '32-8-8-8'
    """
    return "-".join(str(int(width)) for width in np.asarray(size_parameters)[1:-1])
