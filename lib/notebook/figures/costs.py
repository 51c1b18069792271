"""Figures of notebook 03: loads, latencies, predicted times, and where a request's time goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from lib.cost.roofline import TERMS
from lib.notebook.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    SKY,
    log_axis,
    short_name,
    short_size,
)

FORM_COLOURS = {"first_layer_optimised": BLUE, "naive": RED, "twin_tower": GREEN}
FORM_NAMES = {
    "first_layer_optimised": "MLP, first layer cached",
    "naive": "MLP, naive",
    "twin_tower": "twin tower",
}
TERM_COLOURS = dict(zip(TERMS, (GREY, PINK, BLUE, ORANGE, GREEN, RED), strict=True))
PRECISION_COLOURS = {"fp16": BLUE, "fp32": ORANGE, "int8": GREEN}
SIZE_MARKERS = "o^sDvP*X"
PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")


def loads(
    ax: Axes,
    costs: pd.DataFrame,
    latency_limit_ms: float,
    grid: tuple[Any, Any, Any, Any] | None = None,
    interval: float = 0.9,
) -> None:
    """Loads that one machine bears against FLOPs, each with its interval, a colour a form.

    Args:
      ax: where to draw.
      costs: table of costs: form, flops, qps, qps_low, qps_high; rows without a load, or of
        other forms, are not drawn.
      latency_limit_ms: of the loads, for the label.
      grid: (flops, qps, low, high) of further sizes, predicted.
      interval: probability of their interval, for the legend.
    """
    if grid is not None:
        flops, qps, low, high = grid
        ax.vlines(flops, low, high, color=SKY, lw=0.6, alpha=0.6)
        label = f"sizes of the grid, predicted (first layer cached, {100 * interval:g} %)"
        ax.plot(flops, qps, ".", color=SKY, ms=3, label=label)
    for form, colour in FORM_COLOURS.items():
        rows = costs[(costs["form"] == form) & (costs["qps"] > 0)]
        if len(rows):
            ax.errorbar(
                rows["flops"],
                rows["qps"],
                yerr=[rows["qps"] - rows["qps_low"], rows["qps_high"] - rows["qps"]],
                fmt="o",
                ms=4,
                color=colour,
                label=FORM_NAMES[form],
            )
    for axis in "xy":
        log_axis(ax, axis)
    ax.set(
        xlabel="FLOPs per user-ad pair",
        ylabel=f"QPS of one machine, p99 within {latency_limit_ms:g} ms",
        title="Equal FLOPs, different loads",
    )
    _legend_below(ax, columns=1)


def latencies(ax: Axes, costs: pd.DataFrame, latency_limit_ms: float) -> None:
    """Percentiles of the latency at the highest load that passed, a row a measured size.

    Args:
      ax: where to draw.
      costs: table of costs: form, size_parameters, p50_ms, p95_ms, p99_ms.
      latency_limit_ms: drawn as a line.
    """
    tested = costs[costs["p99_ms"].notna()]
    rows = np.arange(len(tested))
    colours = [FORM_COLOURS.get(form, GREY) for form in tested["form"]]
    ax.hlines(rows, tested["p50_ms"], tested["p99_ms"], color=GREY, lw=0.6, zorder=1)
    fills = {"p50_ms": ["white"] * len(rows), "p95_ms": colours, "p99_ms": colours}
    for name, marker in zip(PERCENTILES, "o|D", strict=True):
        ax.scatter(
            tested[name],
            rows,
            s=60 if marker == "|" else 24,
            marker=marker,
            **({"c": colours} if marker == "|" else {"c": fills[name], "edgecolors": colours}),
            zorder=2,
        )
        style = {"mfc": "white"} if name == "p50_ms" else {}
        ax.plot([], [], marker, color=GREY, label=name.removesuffix("_ms"), **style)
    ax.axvline(latency_limit_ms, color=GREY, lw=0.8, ls="--", label="the limit")
    ax.set_yticks(rows, [short_size(size) for size in tested["size_parameters"]], fontsize="small")
    for label, colour in zip(ax.get_yticklabels(), colours, strict=True):
        label.set_color(colour)
    for form, colour in FORM_COLOURS.items():
        if (tested["form"] == form).any():
            ax.plot([], [], "s", color=colour, label=FORM_NAMES[form])
    ax.set(
        xlabel="ms from a request's arrival to its scores",
        xlim=(0, 1.05 * max([latency_limit_ms, *tested["p99_ms"]])),
        ylim=(max(len(rows), 1) - 0.5, -0.5),
        title="Latency at the highest load that passed",
    )
    _legend_below(ax, columns=4)


def predicted_times(ax: Axes, sizes: Any, measured_ms: Any, error: Any) -> None:
    """Times of a request as predicted from the other sizes, against the measured ones.

    Args:
      ax: where to draw.
      sizes: [sizes] size parameters, for the legend.
      measured_ms: [sizes] measured.
      error: [sizes] relative error of the prediction.
    """
    measured = np.asarray(measured_ms, float)
    predicted = measured * (1 + np.asarray(error, float))
    ends = np.array([min(measured.min(), predicted.min()), max(measured.max(), predicted.max())])
    ends = ends * [0.85, 1.15]
    ax.fill_between(ends, 0.9 * ends, 1.1 * ends, color=GREY, alpha=0.15, lw=0, label="within 10 %")
    ax.plot(ends, ends, color=GREY, lw=0.8)
    colours = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
    for place, (size, x, y) in enumerate(zip(sizes, measured, predicted, strict=True)):
        marker = SIZE_MARKERS[place % len(SIZE_MARKERS)]
        ax.plot(x, y, marker, color=colours[place % len(colours)], ms=5, label=short_size(size))
    ax.set(xscale="log", yscale="log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.set_minor_formatter(ticker.NullFormatter())
    ax.set(
        xlim=ends,
        ylim=ends,
        xlabel="measured ms of a request",
        ylabel="predicted from the other sizes, ms",
        title="Each size predicted from the others",
    )
    _legend_below(ax, columns=2)


def cost_steps(ax: Axes, steps: dict[str, pd.DataFrame]) -> None:
    """Cost relative to the base as one consideration after another is added.

    Args:
      ax: where to draw.
      steps: machine -> `lib.design.cost_models_compared.cost_steps`, of the same sizes; up to
        three machines.
    """
    fills = ("black", "white", "silver")
    tables = list(steps.values())
    names = [name for name in tables[0] if name != "size_parameters"]
    sizes = tables[0]["size_parameters"].tolist()
    # Side by side within a category: machines in groups, and in each the sizes.
    width = 0.72 / (len(tables) * len(sizes))
    for group, (table, fill) in enumerate(zip(tables, fills, strict=False)):
        for place, row in enumerate(table.to_dict("records")):
            offset = width * (group * len(sizes) + place) - 0.36 + width / 2
            marker = SIZE_MARKERS[place % len(SIZE_MARKERS)]
            heights = [row[name] for name in names]
            ax.plot(np.arange(len(names)) + offset, heights, marker, color="black", mfc=fill, ms=5)
    for size, marker in zip(sizes, SIZE_MARKERS, strict=False):
        ax.plot([], [], marker, color=GREY, label=short_size(size))
    for machine, fill in zip(steps, fills, strict=False):
        ax.plot([], [], "h", color="black", mfc=fill, ms=8, label=short_name(machine))
    for edge in np.arange(len(names) - 1) + 0.5:
        ax.axvline(edge, color=GREY, lw=0.4, alpha=0.5)
    ax.set_xticks(np.arange(len(names)), [_step_name(name) for name in names])
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.axhline(1, color=GREY, lw=0.8)
    ax.grid(False, axis="x")
    ax.set(
        ylabel="time of a request, relative to the base",
        ylim=(0, None),
        title="From FLOPs to cost, one step after another",
    )
    _legend_below(ax, columns=2)


def time_shares(ax: Axes, shares: pd.DataFrame) -> None:
    """What a request's time is spent on, a bar a size.

    Args:
      ax: where to draw.
      shares: `lib.design.cost_models_compared.time_shares`.
    """
    places, left = np.arange(len(shares)), np.zeros(len(shares))
    for term, colour in TERM_COLOURS.items():
        widths = shares[term].to_numpy(float)
        ax.barh(places, widths, left=left, color=colour, height=0.7, label=term)
        left += widths
    labels = [
        f"{short_size(size)}\n{ms:.2g} ms"
        for size, ms in zip(shares["size_parameters"], shares["ms"], strict=True)
    ]
    ax.set_yticks(places, labels, fontsize="small")
    ax.grid(False, axis="y")
    ax.set(
        xlabel="share of a request's time",
        xlim=(0, 1),
        ylim=(len(shares) - 0.5, -0.5),
        title="Where the time goes",
    )
    _legend_below(ax, columns=3)


def published_times(ax: Axes, rows: pd.DataFrame) -> None:
    """Published times of batches against the analytic model's, a colour a precision.

    Args:
      ax: where to draw.
      rows: `lib.cost.published.published_t4`.
    """
    for precision, colour in PRECISION_COLOURS.items():
        for calibrates, fill in ((True, colour), (False, "none")):
            part = rows[(rows["precision"] == precision) & (rows["calibrates"] == calibrates)]
            if len(part):
                label = f"{precision.upper()}, {'fitted to' if calibrates else 'not seen'}"
                times = part["published_ms"], part["predicted_ms"]
                ax.plot(*times, "o", ms=5, color=colour, mfc=fill, label=label)
    ends = np.array([rows["published_ms"].min(), rows["published_ms"].max()])
    ax.plot(ends, ends, color=GREY, lw=0.8)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="published ms of a batch",
        ylabel="analytic model's ms",
        title="T4: published against predicted",
    )
    ax.legend(loc="upper left", fontsize="small")


def _step_name(step):
    return "FLOPs" if step == "flops" else step


def _legend_below(ax, columns):
    """A legend under the axes, where it covers no point; none where nothing is named."""
    if not ax.get_legend_handles_labels()[0]:
        return
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=columns,
        fontsize="small",
        columnspacing=1.2,
        handletextpad=0.4,
    )
