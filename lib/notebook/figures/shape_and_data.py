"""The figures of notebook 02b: what a shape loses, the joint law of size and data, and money."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from lib.experiments.shape_study.breakpoint import Break, on_line
from lib.experiments.shape_study.shapes import RULE
from lib.laws.joint import JointPowerLaw
from lib.notebook import plots
from lib.notebook.figures.scaling_laws import FLOPS_LABEL

LEVELS = (plots.BLUE, plots.RED, plots.GREEN, plots.PINK, plots.ORANGE)
SHADES = ("#BBD4E6", "#8FBADB", "#5F9DCB", "#2F7EB8", "#0F5F9C", "#003C69")  # of sizes, by FLOPs
GRID = 60  # points of a curve or a side of a map


def lost_by_ratio(ax: Axes, shapes: pd.DataFrame, found: Break, name: str) -> None:
    """What each shape of one level has more or less of the metric than those within the rule.

    Args:
      ax: where to draw.
      shapes: a level's rows of `lib.experiments.shape_study.differences.by_level`.
      found: the break, fitted to the shapes with is_ratio; name: of the metric.
    """
    level = shapes.level.iloc[0]
    ax.axhline(0, color=plots.GREY, lw=0.8)
    ax.axvspan(found.low, found.high, color=plots.GREEN, alpha=0.12, lw=0)
    ax.axvline(RULE, color=plots.GREY, ls="--", lw=1)
    x = np.geomspace(shapes["drop"].min(), shapes["drop"].max(), GRID)
    ax.plot(x, on_line(found, x, level), color=plots.BLUE, lw=1)
    for is_ratio, marker, colour in ((True, "o", plots.BLUE), (False, "D", plots.RED)):
        part = shapes[shapes.is_ratio == is_ratio]
        errors = np.array([part.difference - part.low, part.high - part.difference])
        ax.errorbar(
            part["drop"],
            part.difference,
            yerr=errors,
            fmt=marker,
            ms=4,
            elinewidth=0.8,
            color=colour,
        )
    for row in shapes[~shapes.is_ratio].itertuples():
        plots.at_end(ax, row.drop, row.difference, row.shape, plots.RED, dx=7)
    _ratio_axis(ax)
    ax.set(
        xlabel="largest ratio of neighbouring layers",
        ylabel=f"{name} less that of shapes within the rule",
        title=f"{_engineering(level)} FLOPs",
    )


def same_heights(axes: Sequence[Axes]) -> None:
    """The same range on all vertical axes."""
    limits = np.array([ax.get_ylim() for ax in axes])
    for ax in axes:
        ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def by_property(ax: Axes, shapes: pd.DataFrame, column: str, label: str, name: str) -> None:
    """Differences of all levels over one property of a shape, a colour for each level.

    Args:
      ax: where to draw.
      shapes: of `by_level`; column: its property, "drop" or "narrowest"; label: of the axis.
      name: of the metric.
    """
    ax.axhline(0, color=plots.GREY, lw=0.8)
    for colour, (level, part) in zip(LEVELS, shapes.groupby("level"), strict=False):
        part = part.sort_values(column)
        errors = np.array([part.difference - part.low, part.high - part.difference])
        ax.errorbar(
            part[column], part.difference, yerr=errors, fmt="o", ms=4, elinewidth=0.8, color=colour
        )
        ends = part[part.is_ratio]
        ax.plot(ends[column], ends.difference, "-", color=colour, lw=0.8, alpha=0.6)
        worst = part.loc[part.difference.idxmin()]
        text = f"{_engineering(level)} FLOPs"
        plots.at_end(ax, worst[column], worst.difference, text, colour, dx=6, dy=-4)
    _ratio_axis(ax)
    ax.set(xlabel=label, ylabel=f"{name} less that of shapes within the rule")
    ax.margins(x=0.12)


def lifts(ax: Axes, expected: pd.DataFrame, measured: pd.DataFrame) -> None:
    """Revenue of each shape over those within the rule: measured online over what G expects.

    Args:
      ax: where to draw.
      expected: of `expected_lifts`; measured: of `by_level` of relative revenue, the same rows.
    """
    for colour, (level, part) in zip(LEVELS, measured.groupby("level"), strict=False):
        of_g = expected.loc[part.index]
        ax.errorbar(
            of_g.lift,
            part.difference,
            xerr=[of_g.lift - of_g.low, of_g.high - of_g.lift],
            yerr=[part.difference - part.low, part.high - part.difference],
            fmt="o",
            ms=4,
            elinewidth=0.6,
            color=colour,
            label=f"{_engineering(level)} FLOPs",
        )
    ends = [
        min(expected.lift.min(), measured.difference.min()),
        max(expected.lift.max(), measured.difference.max()),
    ]
    ax.plot(ends, ends, "--", color=plots.GREY, lw=1)
    ax.set(
        xlabel="expected by G from R/R*",
        ylabel="measured in a paired test",
        title="Revenue over shapes within the rule",
    )
    ax.legend(fontsize="small")
    plots.percent(ax, "x")
    plots.percent(ax)


def by_data(ax: Axes, table: pd.DataFrame, law: JointPowerLaw, metric: str, name: str) -> None:
    """The metric over data: a curve of the law and its trainings for each size.

    Args:
      ax: where to draw.
      table: a row for each size, seed and amount: flops, impressions and `metric`.
    """
    data = np.geomspace(table.impressions.min(), table.impressions.max(), GRID)
    labels = []
    for colour, (flops, part) in zip(
        _shades(table.flops.nunique()), table.groupby("flops"), strict=True
    ):
        curve = law.predict(np.column_stack([np.full(GRID, float(flops)), data]))
        ax.plot(data, curve, color=colour, lw=1.2)
        ax.plot(part.impressions, part[metric], "o", color=colour, ms=3)
        labels.append((curve[-1], _engineering(flops), colour))
    plots.log_axis(ax)
    ax.set(xlabel="impressions trained on", ylabel=name, title="A curve a size (FLOPs)")
    plots.at_ends(ax, data[-1], labels)


def map_of_law(
    ax: Axes, table: pd.DataFrame, law: JointPowerLaw, split: pd.DataFrame, base: Sequence[float]
) -> None:
    """Lines of equal metric over size and data, and two ways to spend more on both.

    Args:
      ax: where to draw.
      table: the trainings that the law was fitted to: flops and impressions.
      split: of `lib.experiments.shape_study.spending.best_split`; base: (FLOPs, impressions).
    """
    low, high = table[["flops", "impressions"]].min(), table[["flops", "impressions"]].max()
    bought = split[["size", "data"]].to_numpy()
    flops, data = (
        np.geomspace(
            min(low[c], bought[:, i].min()) / 2, 2 * max(high[c], bought[:, i].max()), GRID
        )
        for i, c in enumerate(("flops", "impressions"))
    )
    x = np.stack(np.meshgrid(flops, data), axis=-1)
    lines = ax.contour(flops, data, law.predict(x), levels=12, colors=plots.GREY, linewidths=0.7)
    ax.clabel(lines, fontsize="x-small", fmt="%.3f")
    points = table[["flops", "impressions"]].drop_duplicates()
    ax.plot(points.flops, points.impressions, "o", color=plots.SKY, ms=3)
    products = np.geomspace(low.prod(), high.prod() * 8, GRID)
    training = law.frontier(products, cost=1.0)
    inside = (training.size < flops[-1]) & (training.data < data[-1])
    inside &= (training.size > flops[0]) & (training.data > data[0])
    ax.plot(training.size[inside], training.data[inside], "--", color=plots.ORANGE)
    ax.plot(split["size"], split.data, "o-", color=plots.RED, ms=3)
    ax.plot(*base, "s", color=plots.GREEN)
    plots.log_axis(ax)
    plots.log_axis(ax, "y")
    ax.set(xlim=flops[[0, -1]], ylim=data[[0, -1]])
    plots.at_end(ax, *base, "base", plots.GREEN, dx=6, dy=-8)
    if inside.any():
        end = np.flatnonzero(inside)[-1]
        plots.at_end(
            ax, training.size[end], training.data[end], "training alone", plots.ORANGE, dy=8
        )
    last = split.iloc[-1]
    plots.at_end(ax, last["size"], last.data, "all costs", plots.RED, dy=-8)
    ax.set(xlabel=FLOPS_LABEL, ylabel="impressions trained on", title="R/R* by the joint law")


def by_price(
    ax: Axes, table: pd.DataFrame, today: float, interval: float, equal: float = np.nan
) -> None:
    """What a unit of money earns spent on data, over one spent on size, by training's price.

    Args:
      ax: where to draw.
      table: of `lib.experiments.shape_study.spending.by_training_price`.
      today: the base's training cost over its serving cost; interval: probability of the band.
      equal: where both earn the same.
    """
    x = table.training_over_serving.to_numpy()
    ax.axhline(1, color=plots.GREY, lw=0.8)
    low = table.low.clip(lower=0.01)
    plots.band(ax, x, table.data_over_size.to_numpy(), low, table.high, plots.BLUE)
    ax.axvline(today, color=plots.GREEN, ls="--", lw=1)
    ax.set(xscale="log", yscale="log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_ylim(bottom=min(0.2, ax.get_ylim()[0]))
    bottom, top = ax.get_ylim()
    plots.at_end(ax, today, bottom * (top / bottom) ** 0.06, "today's price", plots.GREEN)
    plots.at_end(ax, x[-1], 1, "more data", plots.GREY, dx=-58, dy=8)
    plots.at_end(ax, x[-1], 1, "bigger model", plots.GREY, dx=-70, dy=-8)
    if np.isfinite(equal):
        ax.plot(equal, 1, "o", color=plots.BLUE, ms=5)
    ax.set(
        xlabel="training cost of the base / its serving cost",
        ylabel="return on data / return on size",
        title=f"The next unit of money ({interval:.0%} interval)",
    )


def splits(ax: Axes, split: pd.DataFrame) -> None:
    """The lift that each budget buys at its best split of size and data."""
    plots.band(ax, split.budget, split.lift, split.lift_low, split.lift_high, plots.RED)
    ax.plot(split.budget, split.lift, "o", color=plots.RED, ms=3)
    ax.axhline(0, color=plots.GREY, lw=0.8)
    ax.plot(1, 0, "s", color=plots.GREEN)
    plots.at_end(ax, 1, 0, "base", plots.GREEN, dx=6, dy=-8)
    ax.set(
        xlabel="budget for serving, training and data, relative to today",
        ylabel="revenue lift",
        title="Best split of each budget",
    )
    plots.percent(ax)


def _shades(count):
    return [SHADES[round(i)] for i in np.linspace(0, len(SHADES) - 1, count)]


def _engineering(value):
    return ticker.EngFormatter(sep="", places=1 if 1e3 <= value < 1e4 else 0)(value)


def _ratio_axis(ax):
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
