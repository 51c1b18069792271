"""Figures of notebook 05c: what was predicted of deployed sizes and what they earned."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lib.notebook import plots

PREDICTED, MEASURED = plots.BLUE, plots.RED
APART = 0.16  # of a row: the predicted interval above, the measured one below


def predicted_and_measured(ax: Axes, choices: pd.DataFrame, interval: float = 0.9) -> None:
    """Gain of each draw's choice, predicted above and measured below, with both intervals.

    Args:
      ax: where to draw.
      choices: a row a draw: draw, chosen, predicted, low, high, measured, measured_low,
        measured_high, inside.
      interval: probability of the intervals.
    """
    rows = np.arange(len(choices))
    ax.axvline(0, color=plots.GREY, linewidth=0.8)
    for name, lows, highs, colour, shift in (
        ("predicted", "low", "high", PREDICTED, -APART),
        ("measured", "measured_low", "measured_high", MEASURED, APART),
    ):
        ax.hlines(rows + shift, choices[lows], choices[highs], color=colour, linewidth=1.4)
        ax.plot(choices[name], rows + shift, "o", ms=4, color=colour)
    labels = [
        f"{row.chosen}\ndraw {row.draw}{'' if row.inside else ', outside'}"
        for row in choices.itertuples()
    ]
    ax.set(
        ylim=(len(rows) - 0.4, -0.9),
        xlabel="revenue gain over today",
        title=f"predicted and measured, {100 * interval:g} % intervals",
    )
    ax.set_yticks(rows, labels, parse_math=False)
    ax.grid(axis="y", visible=False)
    first = choices.iloc[0]
    plots.at_end(ax, first.predicted, -APART, "predicted", PREDICTED, dx=0, dy=9, ha="center")
    plots.at_end(ax, first.measured, APART, "measured", MEASURED, dx=0, dy=-9, ha="center")
    plots.percent(ax, "x")


def every_option(ax: Axes, options: pd.DataFrame, name: str) -> None:
    """Measured over predicted gain of all that could have been chosen; what was chosen is large.

    Args:
      ax: where to draw.
      options: a row a draw and option: predicted, measured, chosen; name: of one of them.
    """
    low, high = (bound([options.predicted, options.measured]) for bound in (np.min, np.max))
    ax.plot([low, high], [low, high], color=plots.GREY, linewidth=0.8, linestyle="--")
    chosen = options[options.chosen]
    others = options[~options.chosen]
    ax.plot(others.predicted, others.measured, "o", ms=3, color=plots.SKY, alpha=0.8)
    ax.plot(chosen.predicted, chosen.measured, "o", ms=6, color=plots.RED)
    plots.at_end(ax, high, high, "as predicted", plots.GREY, dx=-4, dy=0, ha="right")
    ax.set(
        xlabel="predicted gain",
        ylabel="measured gain",
        title=f"every {name}, the chosen ones large",
    )
    plots.percent(ax, "x")
    plots.percent(ax, "y")
