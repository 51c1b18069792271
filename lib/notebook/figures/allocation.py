"""Figures of notebook 05: what a budget buys, and the sizes of all stages."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from lib.allocation.knapsack import Allocation
from lib.allocation.stages import Stage, StageAllocation
from lib.notebook import plots


def frontier(
    ax: Axes, budgets: pd.DataFrame, chosen: StageAllocation, interval: float = 0.9
) -> None:
    """Lift over the cost of all stages; the allocation that costs no more than today, and today.

    Args:
      ax: where to draw.
      budgets: of `lib.allocation.stages.frontier`.
      chosen: the allocation at a budget of 0; interval: probability of its interval.
    """
    ax.plot(budgets["cost / today"], budgets["lift"], "o-", color=plots.BLUE, ms=4)
    ax.errorbar(
        chosen.cost,
        chosen.lift,
        yerr=[[chosen.lift - chosen.low], [chosen.high - chosen.lift]],
        fmt="o",
        color=plots.RED,
        capsize=2,
    )
    plots.at_end(ax, chosen.cost, chosen.lift, "no more than today", plots.RED, dx=8, dy=-10)
    ax.plot(1, 0, "s", color=plots.GREEN)
    plots.at_end(ax, 1, 0, "today", plots.GREEN, dx=7, dy=-2)
    ax.set(
        xlabel="machine cost of both stages, relative to today",
        ylabel="revenue lift",
        title=f"What a budget buys ({100 * interval:g} % interval)",
    )
    ax.margins(x=0.12)
    plots.percent(ax)


def revenue_frontier(ax: Axes, budgets: pd.DataFrame, chosen: Allocation) -> None:
    """Revenue over cost of a table's scenarios; the allocation at the budget that was asked for.

    Args:
      ax: where to draw.
      budgets: of `lib.allocation.tables.table_frontier`; chosen: the allocation.
    """
    ax.plot(budgets["cost"], budgets["revenue"], "o-", color=plots.BLUE, ms=4)
    ax.plot(chosen.cost, chosen.revenue, "o", color=plots.RED)
    label = f"the budget: +1 earns {chosen.shadow_price:.3g}"
    plots.at_end(ax, chosen.cost, chosen.revenue, label, plots.RED, dx=10, dy=-6)
    ax.set(
        xlabel="machine cost of all scenarios, per hour",
        ylabel="revenue, per hour",
        title="What a budget buys",
    )
    ax.margins(x=0.15, y=0.12)


def stage_sizes(
    ax: Axes, stages: Mapping[str, Stage], chosen: StageAllocation, price_per_hour: float
) -> None:
    """Lift over cost of every size of every stage that can be served, the chosen ones large.

    Args:
      ax: where to draw.
      stages: name -> stage; chosen: their allocation.
      price_per_hour: of a machine.
    """
    colours = (plots.RED, plots.BLUE, plots.GREEN, plots.ORANGE, plots.PINK)
    placed = []
    for i, (name, stage) in enumerate(stages.items()):
        colour = colours[i % len(colours)]
        cost = stage.sizes["machine_cost_per_hour"] / (stage.machines * price_per_hour)
        served = np.isfinite(cost) & (cost > 0)
        ax.plot(
            cost[served],
            stage.sizes["lift"][served],
            ".",
            color=colour,
            ms=2,
            alpha=0.35,
            rasterized=True,
        )
        row = chosen.choice[name]
        placed.append((cost.iloc[row], stage.sizes["lift"].iloc[row], name, colour))
    for x, y, name, colour in placed:  # above the dots of all stages
        ax.plot(x, y, "o", color=colour)
        plots.at_end(ax, x, y, name, colour, dx=0, dy=11, ha="center", weight="bold")
    ax.set(
        xlabel="machine cost of the stage, relative to its base",
        ylabel="revenue lift",
        title="All sizes of both stages, the chosen ones large",
        xscale="log",
    )
    ax.margins(y=0.08)
    ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    plots.percent(ax)
