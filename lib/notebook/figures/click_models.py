"""The figures of notebook 06: what click models gain by data, by parameters and by compute.

Losses are normalised entropies: 1 is what the base rate alone reaches.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lib.experiments.dlrm_study.gains import COUNTS, DATA
from lib.experiments.dlrm_study.resource_laws import NAMES, ResourceLaw
from lib.notebook import plots

LOSS = "normalised entropy"
LEAST_LIFT = -0.03  # options that lose more of the revenue are left out of the figure
COLOURS = {
    DATA: "black",
    "rows": plots.BLUE,
    "width": plots.RED,
    "tables_per_field": plots.PINK,
    "top_mlp": plots.GREEN,
    "all_mlps": plots.ORANGE,
    "compute": plots.GREY,
}
SHORT = {
    DATA: "data",
    "rows": "rows",
    "width": "width",
    "tables_per_field": "tables",
    "top_mlp": "top MLP",
    "all_mlps": "all MLPs",
    "compute": "compute",
    "base": "more data",
}
FAMILIES = {
    "logistic_regression": "logistic regression",
    "factorisation_machine": "factorisation machine",
    "mlp": "MLP",
    "dlrm": "DLRM",
    "dcn_v2": "DCN v2",
}
VERDICT_COLOURS = {
    "data": plots.BLUE,
    "parameters": plots.RED,
    "undecided": "#BBBBBB",
    "nothing": "white",
}


def law_of_resource(
    ax: Axes, found: ResourceLaw, interval: float, floor: float | None = None
) -> None:
    """A resource's measurements, each draw by itself, their law and its interval.

    Args:
      found: law and measurements; interval: probability of the band, of the mean over draws.
      floor: the loss of the true probabilities, where the stream knows them.
    """
    colour = COLOURS[found.resource]
    grid = np.geomspace(found.x[0], 4 * found.x[-1], 100)
    plots.band(ax, grid, *found.law.predict(grid, interval=interval), colour)
    for draw in found.loss:
        ax.plot(found.x, draw, "o", color=colour, ms=3, alpha=0.6)
    # The points' own range: an interval of a law that is not settled may be many times as wide.
    shown = [found.loss.min(), found.loss.max(), *([] if floor is None else [floor])]
    margin = 0.1 * np.ptp(shown)
    ax.set_ylim(min(shown) - margin, max(shown) + margin)
    if floor is not None:
        ax.axhline(floor, color=plots.GREY, ls=":", lw=1)
        plots.at_end(ax, grid[-1], floor, "truth", plots.GREY)
    plots.log_axis(ax)
    low, high, is_settled = found.intervals.exponent
    settled = f"{low:.2f} to {high:.2f}" if is_settled else "not settled"
    ax.set(
        xlabel=NAMES[found.resource],
        ylabel=LOSS,
        title=f"{SHORT[found.resource]}: exponent {found.law.exponent_:.2f} ({settled})",
    )


def one_more_decade(
    ax: Axes, law: ResourceLaw, predicted: pd.DataFrame, curves: pd.DataFrame, interval: float
) -> None:
    """The law of data beyond what it knows, and what was measured there.

    Args:
      law: of data; predicted, curves: of `lib.experiments.dlrm_study.resource_laws.beyond`.
      interval: probability of the band.
    """
    grid = np.geomspace(law.x[0], predicted.samples.max(), 100)
    mean, low, high = law.law.predict(grid, interval=interval)
    ax.fill_between(grid, low, high, color=plots.GREY, alpha=0.18, linewidth=0)
    ax.plot(grid, mean, "--", color=plots.GREY, lw=1)
    ax.axvline(law.x[-1], color=plots.GREY, lw=0.8, ls=":")
    ends = [(float(mean[-1]), "law of data", plots.GREY)]
    for way, part in curves[curves.samples >= law.x[0]].groupby("way"):
        colour = COLOURS[DATA if way == "base" else way]
        ax.plot(part.samples, part.loss, "o-", color=colour, ms=3, lw=1.2)
        label = "base" if way == "base" else f"{SHORT[way]} x 4"
        ends.append((float(part.loss.iloc[-1]), label, colour))
    plots.log_axis(ax)
    ax.set(xlabel="samples", ylabel=LOSS)
    plots.at_ends(ax, predicted.samples.max(), ends)


def gains_by_doubling(ax: Axes, gains: pd.DataFrame, factor: float = 2.0) -> None:
    """How much doubling each resource lowers the loss, over the samples seen before.

    Args:
      gains: of `lib.experiments.dlrm_study.gains.gains`; factor: of the ways that are shown.
    """
    ends, shift = [], 0.9
    for way in gains.way.unique():
        part = gains[(gains.way == way) & (gains.factor == factor)].sort_values("samples")
        if part.empty:
            continue
        colour = COLOURS[way]
        ax.vlines(part.samples * shift, part.low, part.high, color=colour, lw=0.8, alpha=0.7)
        ax.plot(part.samples * shift, part.gain, "o-", color=colour, ms=3, lw=1.2)
        shift *= 1.06  # so that no interval hides another
        ends.append((float(part.gain.iloc[-1]), SHORT[way], colour))
    ax.axhline(0, color=plots.GREY, lw=0.8)
    ax.axhline(COUNTS, color=plots.GREY, ls=":", lw=1)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1e-3)
    ax.yaxis.set_major_locator(ticker.FixedLocator([-1e-2, -1e-3, 0, 1e-3, 1e-2, 1e-1]))
    plots.percent(ax)
    plots.log_axis(ax)
    ax.set(xlabel="samples before doubling", ylabel="fall of the loss by doubling")
    plots.at_ends(ax, gains.samples.max(), ends)


def architectures(ax: Axes, table: pd.DataFrame) -> None:
    """The loss of each family at one number of samples.

    Args:
      table: family, loss, low, high; the best first.
    """
    labels = [FAMILIES[family] for family in table.family]
    rows = np.arange(len(table))
    ax.hlines(rows, table.low, table.high, color=plots.BLUE, lw=1.2)
    ax.plot(table.loss, rows, "o", color=plots.BLUE, ms=4)
    ax.set(ylim=(len(table) - 0.4, -0.6), xlabel=LOSS)
    ax.set_yticks(rows, labels)


def map_of_streams(
    ax: Axes, verdicts: pd.DataFrame, x: tuple[str, str], y: tuple[str, str]
) -> None:
    """Where data return more than parameters: a square a stream, with the ratio of the two.

    Args:
      verdicts: of `lib.experiments.dlrm_study.worlds.where_data_wins`, one number of samples,
        with the columns named.
      x, y: (column, label) of the axes.
    """
    columns, lines = (sorted(verdicts[name].unique()) for name, _ in (x, y))
    for row in verdicts.itertuples():
        place = columns.index(getattr(row, x[0])), lines.index(getattr(row, y[0]))
        colour = VERDICT_COLOURS[row.verdict]
        ax.add_patch(_square(place, colour, alpha=0.25 if row.verdict != "nothing" else 1.0))
        ratio = f"{row.ratio:.2f}" if np.isfinite(row.ratio) else "–"
        ax.text(*place, f"{ratio}\n{row.verdict}", ha="center", va="center", fontsize="small")
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(lines) - 0.5))
    ax.set_xticks(range(len(columns)), [_number(value) for value in columns])
    ax.set_yticks(range(len(lines)), [_number(value) for value in lines])
    ax.grid(False)
    ax.set(xlabel=x[1], ylabel=y[1])


def _square(place, colour, alpha):
    corner = place[0] - 0.5, place[1] - 0.5
    return Rectangle(corner, 1, 1, facecolor=colour, alpha=alpha, edgecolor="white", lw=2)


def _number(value):
    if value == 0:
        return "none"
    return f"{value:g}" if value < 1e4 else ticker.EngFormatter(sep="")(value)


def maps(left: Axes, right: Axes, verdicts: pd.DataFrame, samples: int) -> None:
    """Both halves of the map at one number of samples: popularity x spectrum, drift x noise.

    Args:
      verdicts: of `lib.experiments.dlrm_study.worlds.where_data_wins`, of that number.
    """
    centre = verdicts[["drift_rows", "noise"]].mode().iloc[0]
    first = verdicts[(verdicts.drift_rows == centre.drift_rows) & (verdicts.noise == centre.noise)]
    own = verdicts.drop(first.index)
    own = own[["popularity_exponent", "spectrum_exponent"]].drop_duplicates()
    map_of_streams(
        left,
        first,
        ("popularity_exponent", "popularity exponent (larger: fewer ids matter)"),
        ("spectrum_exponent", "spectrum exponent (larger: fewer factors)"),
    )
    left.set_title(f"after {samples:,} samples")
    if own.empty:
        right.remove()
        return
    at = (verdicts.popularity_exponent == own.popularity_exponent.iloc[0]) & (
        verdicts.spectrum_exponent == own.spectrum_exponent.iloc[0]
    )
    map_of_streams(
        right,
        verdicts[at],
        ("drift_rows", "rows in which tastes turn"),
        ("noise", "share of clicks by chance"),
    )
    right.set_title(
        f"at popularity {own.popularity_exponent.iloc[0]:g}, "
        f"spectrum {own.spectrum_exponent.iloc[0]:g}"
    )


def budget(ax: Axes, options: pd.DataFrame, best: pd.DataFrame) -> None:
    """Revenue against cost of every option, and the best under each budget.

    Args:
      options: of `lib.design.price_options`; best: of `lib.design.best_under`.
    """
    today = options.cost[options.extra_cost == 0].iloc[0]
    options = options[options.lift > LEAST_LIFT]
    for option, part in options.groupby("option"):
        way = option.split(" x ")[0]
        ax.plot(part.cost / today, part.lift, "o", color=COLOURS.get(way, "black"), ms=3, alpha=0.7)
    ax.plot(best.cost / today, best.lift, "-", color="black", lw=1, drawstyle="steps-post")
    ax.plot(1, 0, "D", color="black", ms=6)
    plots.at_end(ax, 1, 0, "today", "black", dy=-9)
    plots.percent(ax)
    plots.log_axis(ax)
    ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    ax.set(xlabel="cost / today's cost", ylabel="revenue lift", ylim=(LEAST_LIFT, None))
    for way, colour in COLOURS.items():
        part = options[options.option.str.startswith(f"{way} x ")]
        if len(part):
            top = part.sort_values("lift").iloc[-1]
            plots.at_end(ax, top.cost / today, top.lift, SHORT[way], colour, dy=8)
