"""Figures of notebook 04: sizes by what they cost and earn."""

import numpy as np
from matplotlib.axes import Axes

from lib.design.size_economics import SizeEconomics
from lib.notebook import plots


def sizes(
    ax: Axes, economics: SizeEconomics, measured_flops: float = np.inf, published: int | None = None
) -> None:
    """Lift over machine cost of every size that can be served; the base, the best, the paper's.

    Args:
      ax: where to draw.
      economics: of the grid.
      measured_flops: most FLOPs of a trained model, relative to the base: sizes beyond are grey.
      published: index of the size that the paper chose, if the grid holds it.
    """
    cost, lift, best = economics.relative_cost, economics.lift, economics.best()
    low, high = (bounds[best] for bounds in economics.lift_bounds)
    _limits(ax, cost[np.isfinite(cost)], [*lift, low, high])
    beyond = economics.relative_flops > measured_flops
    for group, colour in ((beyond, plots.GREY), (~beyond, plots.SKY)):
        ax.plot(cost[group], lift[group], ".", color=colour, ms=3, alpha=0.6, rasterized=True)
    if economics.roi == "incremental":
        _roi_line(ax, economics)
    ax.errorbar(
        cost[best],
        lift[best],
        yerr=[[max(0, lift[best] - low)], [max(0, high - lift[best])]],
        fmt="o",
        color=plots.BLUE,
        capsize=2,
    )
    top = max(high, *lift)
    name = f"best: {economics.sizes.size_parameters[best].tolist()}"
    _label_above(ax, cost[best], lift[best], top, name, plots.BLUE, dy=8)
    if best != economics.base:
        ax.plot(1, 0, "s", color=plots.GREEN)
        plots.at_end(ax, 1, 0, "base", plots.GREEN, dx=7, dy=-8)
    if published not in (None, best, economics.base) and np.isfinite(cost[published]):
        ax.plot(cost[published], lift[published], "D", color=plots.ORANGE)
        _label_above(
            ax, cost[published], lift[published], top, "the paper's choice", plots.ORANGE, dy=21
        )
    ax.set(
        xlabel="machine cost, relative to the base",
        ylabel="revenue lift over the base",
        title=f"{len(lift):,} sizes; the best one with its {100 * economics.interval:g} % interval",
    )
    plots.percent(ax)


def sizes_caption(economics: SizeEconomics, measured_flops: float = np.inf) -> str:
    """What `sizes` shows, in words."""
    cost, best = economics.relative_cost, economics.best()
    relative = economics.relative_flops
    alike = np.abs(relative / relative[best] - 1) <= 0.05
    served = cost[alike & np.isfinite(cost)]
    sentences = ["Each dot is a size."]
    if economics.roi == "incremental":
        sentences.append(
            "Above the line what a size earns beyond the base is at least "
            f"{economics.roi_min:g} times what it costs beyond the base; the best is the highest "
            "dot above it."
        )
    if len(served) > 1:
        sentences.append(
            f"FLOPs do not tell the cost: the {len(served)} sizes within 5 % of the best one's "
            f"FLOPs cost {served.min():.2f} to {served.max():.2f} times as much as the base."
        )
    beyond = relative > measured_flops
    if beyond.any():
        sentences.append(
            f"Grey: {np.count_nonzero(beyond):,} sizes of more FLOPs, relative to the base, than "
            "any trained model; their lifts are extrapolated."
        )
    unserved = np.count_nonzero(~np.isfinite(cost))
    if unserved:
        sentences.append(f"{unserved:,} sizes cannot meet the latency limit and are not shown.")
    return f"*{' '.join(sentences)}*"


def _limits(ax, cost, lift):
    """Limits that follow the sizes, whatever lines and labels are drawn later."""
    margin, height = 0.04 * max(np.ptp(cost), 0.1), max(np.ptp(lift), 1e-6)
    ax.set(
        xlim=(min(cost.min(), 1) - margin, max(cost.max(), 1) + margin),
        ylim=(min(*lift, 0) - 0.1 * height, max(*lift, 0) + 0.2 * height),
    )


def _label_above(ax, x, y, top, name, colour, dy):
    """A name above all dots, tied to its point by a thin line."""
    ax.plot([x, x], [y, top], color=colour, linewidth=0.6)
    ax.annotate(
        "",
        (x, top),
        (0, dy),
        textcoords="offset points",
        arrowprops={
            "arrowstyle": "-",
            "color": colour,
            "linewidth": 0.6,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
    side = "left" if x < np.mean(ax.get_xlim()) else "right"
    plots.at_end(ax, x, top, name, colour, dx=2 if side == "left" else -2, dy=dy, ha=side)


def _roi_line(ax, economics):
    """The lift at which a size's incremental ROI is roi_min, labelled where it enters the axes."""
    slope = (
        economics.roi_min
        * economics.machine_cost[economics.base]
        / economics.revenue_per_hour  # lift for each multiple of the base's cost
    )
    ax.axline((1, 0), slope=slope, color=plots.RED, linewidth=1)
    right, top = ax.get_xlim()[1], ax.get_ylim()[1]
    name = f"ROI of {economics.roi_min:g}"
    if slope * (right - 1) < top:  # it leaves on the right: the label stands below its end
        plots.at_end(ax, right, slope * (right - 1), name, plots.RED, dx=-4, dy=-10, ha="right")
    else:
        end = 1 + top / slope
        plots.at_end(ax, end, top, name, plots.RED, dx=6, dy=-8)
