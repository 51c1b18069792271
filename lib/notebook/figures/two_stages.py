"""Figures of notebook 05b: a surface of lifts, what rules lose on it, and choosing by request."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lib.notebook import plots
from lib.notebook.claims.two_stages import Estimate

LINES = (plots.SKY, plots.ORANGE, plots.GREEN, plots.PINK, plots.BLUE, plots.RED)


def lines(
    ax: Axes, x: Sequence[float], lift: np.ndarray, labels: Sequence[str], xlabel: str, title: str
) -> None:
    """Lift over one axis of the surface, a line for each size of the other; parallel if they add.

    Args:
      ax: where to draw.
      x: places on the axis, [n]; lift: of each draw, [draws, n, lines]: points are means, bars
        one standard error over draws, where there are several.
      labels: of the lines.
    """
    draws, mean = len(lift), lift.mean(axis=0)
    error = lift.std(axis=0, ddof=1) / np.sqrt(draws) if draws > 1 else np.zeros_like(mean)
    for i in range(len(labels)):
        colour = LINES[i % len(LINES)]
        ax.errorbar(x, mean[:, i], yerr=error[:, i], fmt="o-", ms=4, lw=1.2, color=colour)
    ax.set(xlabel=xlabel, ylabel="revenue lift over today", title=title)
    ax.margins(x=0.05)
    plots.log_axis(ax)
    ax.set_xticks(x, [f"{value:g}" for value in x])
    plots.percent(ax)
    ends = [(mean[-1, i], label, LINES[i % len(LINES)]) for i, label in enumerate(labels)]
    plots.at_ends(ax, x[-1], ends)


def by_draw(
    ax: Axes,
    values: Mapping[str, Sequence[float]],
    estimates: Mapping[str, Estimate],
    xlabel: str,
    title: str,
) -> None:
    """A row for each name: every draw as a small dot, mean and interval as a large one.

    Args:
      ax: where to draw.
      values: name -> one value a draw; estimates: name -> mean with its interval.
    """
    found = list(estimates.values())
    for row, name in enumerate(estimates):
        ax.plot(values[name], np.full(len(values[name]), row + 0.22), ".", ms=5, color=plots.GREY)
    plots.forest(
        ax,
        *([getattr(estimate, field) for estimate in found] for field in ("value", "low", "high")),
        list(estimates),
    )
    ax.set(xlabel=xlabel, title=title)
    plots.percent(ax, "x")


def frontier(ax: Axes, choices: pd.DataFrame, rules: Sequence[str]) -> None:
    """Mean lift over draws of what each rule chooses, over the budget.

    Args:
      ax: where to draw.
      choices: rows of `TwoStages.judge` with the columns draw and budget, relative to today's.
      rules: to draw.
    """
    mean = choices.pivot_table(index="budget", columns="rule", values="lift")
    ends = []
    for i, (rule, colour) in enumerate(zip(rules, LINES[1:], strict=False)):
        # Thinner above thicker: rules that choose alike stay visible.
        width = 1.2 * (len(rules) - i)
        ax.plot(mean.index, mean[rule], "o-", ms=3 + width, lw=width, color=colour)
        ends.append((mean[rule].iloc[-1], rule, colour))
    ax.set(
        xlabel="budget of both stages, relative to today",
        ylabel="revenue lift on later visits",
        title="What a budget buys by each rule",
    )
    ax.margins(y=0.25)
    plots.percent(ax)
    plots.at_ends(ax, mean.index[-1], ends)


def predictions(ax: Axes, measured: np.ndarray, predicted: Mapping[str, np.ndarray]) -> None:
    """Lifts of untested arms as rules predict them, against what was measured.

    Args:
      ax: where to draw.
      measured: [arms]; predicted: name of a rule -> [arms].
    """
    low, high = measured.min(), measured.max()
    ax.axline((low, low), (high, high), color=plots.GREY, lw=0.8)
    for (name, values), colour in zip(predicted.items(), (plots.ORANGE, plots.BLUE), strict=False):
        ax.plot(measured, values, "o", ms=3, alpha=0.6, color=colour, label=name)
    ax.set(
        xlabel="measured lift of an untested arm",
        ylabel="predicted lift",
        title="Arms that no rule had tested",
    )
    ax.legend()
    plots.percent(ax, "x")
    plots.percent(ax)
