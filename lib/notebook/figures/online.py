"""The figures of notebook 07: what staleness, size and asynchrony cost a system trained online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from lib.notebook import plots

ANEW = "anew"
COLOURS = [plots.BLUE, plots.GREEN, plots.ORANGE, plots.PINK, plots.RED, plots.SKY]
DELAYED = {"all": ("all gradients late", plots.RED), "tables": ("tables alone", plots.BLUE)}
SLOPES = {
    "offline": "R/R* offline",
    "online": "R/R* online",
    "difference": "online less offline",
    "staleness": "cost of a day's staleness",
}


def policy_name(policy: str) -> str:
    """A policy as a reader says it.

    >>> policy_name("20 min"), policy_name("1440 min"), policy_name("anew")
    ('20 min', '1 day', 'anew daily')
    """
    if policy == ANEW:
        return "anew daily"
    minutes = int(policy.split()[0])
    if minutes % 1440 == 0:
        return f"{minutes // 1440} day" + "s" * (minutes > 1440)
    return f"{minutes // 60} h" if minutes % 60 == 0 else policy


def _colours(policies):
    """Policy -> colour: intervals in order, what is trained anew in grey."""
    intervals = sorted((p for p in policies if p != ANEW), key=lambda p: int(p.split()[0]))
    return dict(zip(intervals, COLOURS, strict=False)) | {ANEW: plots.GREY}


def over_time(ax: Axes, table: pd.DataFrame, column: str, label: str) -> None:
    """A curve a policy against simulated hours.

    Args:
      table: hour, policy and `column`, of `lib.online.study.results.over_time` or
        `revenue_over_time`.
    """
    ends = []
    for policy, colour in _colours(table.policy.unique()).items():
        part = table[table.policy == policy].sort_values("hour")
        if len(part):
            style = "--" if policy == ANEW else "-"
            ax.plot(part.hour, part[column], style, color=colour, lw=1.4)
            ends.append((float(part[column].iloc[-1]), policy_name(policy), colour))
    ax.set(xlabel="simulated hours since the start", ylabel=label)
    plots.at_ends(ax, table.hour.max(), ends)


def costs(ax: Axes, table: pd.DataFrame, column: str, low: str, high: str, label: str) -> None:
    """What each export interval loses against the shortest, a curve a size.

    Args:
      table: of `lib.online.study.results.costs_of_staleness`, of all sizes.
    """
    rows = table[table.policy != ANEW]
    rows = rows.assign(minutes=rows.policy.str.split().str[0].astype(int))
    rows = rows[rows.minutes > rows.minutes.min()]
    sizes = sorted(rows["size"].unique(), key=lambda size: int(size.split("-")[0]))
    ends, shift = [], np.linspace(0.94, 1.06, len(sizes)) if len(sizes) > 1 else [1.0]
    for place, size in enumerate(sizes):
        part = rows[rows["size"] == size].sort_values("minutes")
        x, colour = part.minutes * shift[place], COLOURS[place]
        ax.vlines(x, part[low], part[high], color=colour, lw=0.8, alpha=0.7)
        ax.plot(x, part[column], "o-", color=colour, ms=3, lw=1.2)
        ends.append((float(part[column].iloc[-1]), size, colour))
    _minutes(ax, rows.minutes)
    ax.axhline(0, color=plots.GREY, lw=0.8)
    ax.set(xlabel="time between two exports", ylabel=label)
    plots.at_ends(ax, rows.minutes.max() * 1.06, ends)


def published(ax: Axes, table: pd.DataFrame, batch_cost: float) -> None:
    """Monolith's published costs: of longer intervals, and of batch training.

    Args: table: of `lib.online.study.published.published_staleness`.
    """
    ax.plot(table.minutes, table.cost, "o-", color=plots.BLUE, ms=4, lw=1.2)
    ax.axhline(batch_cost, color=plots.GREY, ls="--", lw=1)
    plots.at_end(ax, table.minutes.min(), batch_cost, "batch training", plots.GREY, dy=-8)
    _minutes(ax, table.minutes)
    ax.set(xlabel="time between two synchronisations", ylabel="AUC lost against 30 min")


def by_age(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> None:
    """What weights lose as they age, in worlds that drift and that stand still.

    Args: tables: name -> table of `lib.online.study.results.cost_by_age`.
    """
    ends, last = [], 0.0
    for (name, table), colour in zip(tables.items(), COLOURS, strict=False):
        ax.fill_between(table.age, table.low, table.high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(table.age, table.cost, "o-", color=colour, ms=3)
        ends.append((float(table.cost.iloc[-1]), name, colour))
        last = max(last, table.age.max())
    ax.axhline(0, color=plots.GREY, lw=0.8)
    ax.set(xlabel="age of the weights, hours", ylabel="R/R* lost against the freshest")
    plots.at_ends(ax, last, ends)


def sizes(ax: Axes, table: pd.DataFrame, column: str, label: str) -> None:
    """A measure of each size: each draw by itself, and their mean.

    Args: table: of `lib.online.study.results.sizes_online`.
    """
    for _, part in table.groupby("draw"):
        ax.plot(part.flops, part[column], "o-", color=plots.SKY, ms=2, lw=0.8)
    mean = table.groupby("flops")[column].mean()
    ax.plot(mean.index, mean, "o-", color=plots.BLUE, ms=4)
    plots.log_axis(ax)
    plots.at_end(ax, mean.index[-1], mean.iloc[-1], "mean", plots.BLUE)
    ax.set(xlabel="FLOPs per user-ad pair", ylabel=label)


def slopes(ax: Axes, table: pd.DataFrame) -> None:
    """What a doubling of FLOPs gives; table of `lib.online.study.results.size_slopes`."""
    names = [SLOPES[what] for what in table.what]
    plots.forest(ax, table.slope, table.low, table.high, names)
    ax.set(xlabel="R/R* per doubling of FLOPs")


def asynchrony(ax: Axes, table: pd.DataFrame) -> None:
    """R/R* lost by late gradients; table of `lib.online.study.results.cost_of_asynchrony`."""
    ends = []
    for delayed, (name, colour) in DELAYED.items():
        part = table[(table.delayed == delayed) & (table.staleness > 0)]
        if len(part):
            shift = 1.0 if delayed == "all" else 1.06
            ax.vlines(part.staleness * shift, part.low, part.high, color=colour, lw=0.9)
            ax.plot(part.staleness * shift, part.cost, "o-", color=colour, ms=4)
            ends.append((float(part.cost.iloc[-1]), name, colour))
    steps = sorted(table.staleness[table.staleness > 0].unique())
    ax.set_xscale("log", base=2)
    ax.set_xticks(steps, [str(step) for step in steps])
    ax.axhline(0, color=plots.GREY, lw=0.8)
    ax.set(xlabel="steps by which gradients come late", ylabel="R/R* lost")
    plots.at_ends(ax, max(steps) * 1.06, ends)


def _minutes(ax, minutes: Sequence[int]) -> None:
    ticks = sorted(set(minutes))
    ax.set_xscale("log")
    ax.set_xticks(ticks, [policy_name(f"{tick} min") for tick in ticks])
    ax.xaxis.set_minor_locator(ticker.NullLocator())
