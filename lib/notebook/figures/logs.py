"""Figures of notebook 00: what a log holds, and whether the simulated base has converged."""

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from lib.logs.description import ecpm_concentration, top_share
from lib.notebook import plots


def list_lengths(ax: Axes, mask) -> None:
    """How many ads an impression has; mask: [impressions, ads], True for a real ad."""
    lengths, counts = np.unique(np.sum(mask, axis=1), return_counts=True)
    ax.bar(lengths, counts / counts.sum(), color=plots.BLUE, width=0.7)
    ax.set(
        xlabel="ads in an impression",
        ylabel="share of impressions",
        title="Lists are ragged" if len(lengths) > 1 else "All lists are of one length",
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    plots.percent(ax)


def concentration(ax: Axes, ecpm) -> None:
    """How few ads hold how much of the eCPM; ecpm: of ads, those of 0 are left out."""
    if not (np.asarray(ecpm) > 0).any():
        ax.text(0.5, 0.5, "no ad has an eCPM above 0", ha="center", transform=ax.transAxes)
        ax.set(title="This log holds no money", xticks=[], yticks=[])
        return
    ads, money = ecpm_concentration(ecpm)
    tenth = top_share(ecpm, 0.1)
    ax.plot(ads[1:], money[1:], color=plots.RED)
    ax.plot([0.1], [tenth], "o", color=plots.RED)
    plots.at_end(ax, 0.1, tenth, f"the top tenth holds {tenth:.0%}", plots.RED, -10, ha="right")
    ax.set(
        xscale="log",
        xlabel="share of ranked ads, highest eCPM first",
        ylabel="share of all eCPM",
        title="Few ads hold most of the money",
    )
    ax.xaxis.set_major_locator(ticker.LogLocator(numticks=4))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    plots.percent(ax, "x")
    plots.percent(ax)


def closed_loop(ax: Axes, rounds) -> None:
    """Revenue of each round's base against the oracle.

    Args:
      rounds: DataFrame with the columns round, oracle_gap (fraction of revenue) and
        oracle_gap_se.
    """
    number, gap = rounds["round"], rounds["oracle_gap"]
    plots.with_errors(ax, number, gap, rounds["oracle_gap_se"], colour=plots.BLUE)
    ax.plot(number, gap, color=plots.BLUE, alpha=0.5)
    ax.axhline(0, color=plots.GREY, lw=1)
    plots.at_end(ax, number.iloc[0], 0, "oracle Pre-ranking", plots.GREY, dx=0, dy=-9)
    for place, revenue in zip(number, gap, strict=True):
        plots.at_end(ax, place, revenue, f"{revenue:.1%}", plots.BLUE, dx=7, dy=-8)
    ax.set(
        xlabel="round of the closed loop: serve, log, train, deploy",
        ylabel="revenue less the oracle's",
        xticks=number,
        title="Revenue of the base against the oracle (± one standard error)",
    )
    ax.margins(x=0.09, y=0.12)
    plots.percent(ax)
