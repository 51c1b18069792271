"""Figures of notebook 04: sizes by what they cost and earn, and how sure a choice among them is."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lib.design.decision import Decision
from lib.design.size_economics import SizeEconomics
from lib.notebook import plots

PARTS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PINK, plots.RED)


def sizes(
    ax: Axes,
    economics: SizeEconomics,
    measured_flops: float = np.inf,
    published: int | None = None,
    choice: int | None = None,
) -> None:
    """Lift over machine cost of every size that can be served; the base, the best, the paper's.

    Args:
      ax: where to draw.
      economics: of the grid.
      measured_flops: most FLOPs of a trained model, relative to the base: sizes beyond are grey.
      published: index of the size that the paper chose, if the grid holds it.
      choice: index of the size to mark; by default the best one of the point estimates.
    """
    cost, lift = economics.relative_cost, economics.lift
    best = economics.best() if choice is None else choice
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
    name = "best" if choice is None else "the choice"
    name = f"{name}: {economics.sizes.size_parameters[best].tolist()}"
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
        title=f"{len(lift):,} sizes, one with its {100 * economics.interval:g} % interval",
    )
    plots.percent(ax)


def sizes_caption(
    economics: SizeEconomics, measured_flops: float = np.inf, choice: int | None = None
) -> str:
    """What `sizes` shows, in words."""
    cost, best = economics.relative_cost, economics.best() if choice is None else choice
    relative = economics.relative_flops
    alike = np.abs(relative / relative[best] - 1) <= 0.05
    served = cost[alike & np.isfinite(cost)]
    sentences = ["Each dot is a size."]
    if economics.roi == "incremental":
        sentences.append(
            "Above the line what a size earns beyond the base is at least "
            f"{economics.roi_min:g} times what it costs beyond the base, by the point estimates."
        )
    if len(served) > 1:
        sentences.append(
            f"FLOPs do not tell the cost: the {len(served)} sizes within 5 % of the marked one's "
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


def regret(ax: Axes, decision: Decision) -> None:
    """Expected regret of every size over its cost; the choice, the smallest regret, the base."""
    economics = decision.economics
    cost = decision.expected_cost + (
        economics.machine_cost[economics.base] if economics.roi == "incremental" else 0.0
    )
    cost = cost / economics.machine_cost[economics.base]
    sure = decision.probability_of_bound >= decision.confidence
    for group, colour in ((~sure, plots.GREY), (sure, plots.SKY)):
        ax.plot(
            cost[group], decision.regret[group], ".", color=colour, ms=3, alpha=0.6, rasterized=True
        )
    ax.set(
        xlabel="expected cost, relative to the base",
        ylabel="expected regret, per hour",
        title="What choosing a size would lose",
        yscale="log" if decision.regret.min() > 0 else "linear",
    )
    if decision.regret.min() > 0:
        plots.log_axis(ax, "y")
    marks = {
        "the choice": (decision.choice, plots.BLUE, "o"),
        "least regret": (decision.least_regret, plots.ORANGE, "D"),
        "base": (economics.base, plots.GREEN, "s"),
    }
    named = {}  # one size may be all of them
    for name, (index, colour, marker) in marks.items():
        named.setdefault(index, ([], colour, marker))[0].append(name)
    for index, (_, colour, marker) in named.items():
        ax.plot(cost[index], decision.regret[index], marker, color=colour, ms=6)
    labels = [
        (decision.regret[index], ", ".join(names), colour)
        for index, (names, colour, _) in named.items()
    ]
    right = ax.get_xlim()[1]
    ax.set_xlim(right=right + 0.35 * (right - ax.get_xlim()[0]))
    for (y, _, colour), index in zip(labels, named, strict=True):
        ax.plot([cost[index], right], [y, y], color=colour, linewidth=0.6, linestyle=":")
    plots.at_ends(ax, right, labels)


def frontier(ax: Axes, table: pd.DataFrame, decision: Decision) -> None:
    """What the choice earns under each ROI bound, and what whoever knew every draw would earn.

    Args:
      table: of `Decision.frontier`.
      decision: whose bound is marked.
    """
    known = table.dropna(subset=["revenue"])
    places = np.arange(len(known))
    ax.fill_between(places, known.low, known.high, color=plots.BLUE, alpha=0.18, linewidth=0)
    ax.plot(places, known.perfect, color=plots.GREY, linestyle="--")
    ax.plot(places, known.revenue, "o-", color=plots.BLUE, ms=4)
    ax.axhline(0, color=plots.GREY, linewidth=0.8)
    ax.set_xticks(places, [f"{limit:g}" for limit in known.roi_min])
    ax.set(
        xlabel="ROI bound, λ",
        ylabel="revenue per hour" + (" beyond the base's" * _incremental(decision)),
        title="What the choice earns under other bounds",
    )
    if len(known):
        ends = [
            (known.perfect.iloc[-1], "if all were known", plots.GREY),
            (known.revenue.iloc[-1], "the choice", plots.BLUE),
        ]
        ax.set_xlim(-0.3, (len(known) - 1) * 1.45 + 0.3)
        plots.at_ends(ax, places[-1], ends)


def decision_caption(decision: Decision, table: pd.DataFrame) -> str:
    """What `regret` and `frontier` show, in words."""
    sure = np.count_nonzero(decision.probability_of_bound >= decision.confidence)
    interval = 100 * decision.economics.interval
    none = int(table["revenue"].isna().sum())
    unkept = f" {none} bounds that no size keeps so surely are left out." if none else ""
    return (
        "*Left: regret is what the best size of a draw earns more, and what a size falls short of "
        f"the ROI bound; its mean over draws. Blue dots: the {sure:,} sizes that keep the bound "
        f"with {100 * decision.confidence:g} % confidence. Right: the choice's revenue with its "
        f"{interval:g} % interval; the distance to the dashed line is what better measurements "
        f"could bring at most.{unkept}*"
    )


def cost_by_input(ax: Axes, economics: SizeEconomics, parts: Mapping[str, np.ndarray]) -> list[int]:
    """What sizes with the base's hidden layers cost, part by part, over the width of the input.

    Args:
      economics: of serving alone; parts: further costs, per hour, [sizes].

    Returns: indices of the sizes drawn, narrow inputs first; those that cannot be served left out.
    """
    sizes, base = economics.sizes.size_parameters, economics.base
    same = (sizes[:, 1:] == sizes[base, 1:]).all(axis=1) & np.isfinite(economics.machine_cost)
    rows = np.flatnonzero(same)[np.argsort(sizes[same, 0], kind="stable")]
    costs = {"serving": economics.machine_cost, **parts}
    total = sum(cost[base] for cost in costs.values())
    places, below = np.arange(len(rows)), np.zeros(len(rows))
    for (name, cost), colour in zip(costs.items(), PARTS, strict=False):
        height = cost[rows] / total
        ax.bar(places, height, 0.7, bottom=below, color=colour, alpha=0.8, label=name)
        below = below + height
    ax.set_xticks(places, [f"{width:,}" for width in sizes[rows, 0]], rotation=30)
    hidden = "-".join(str(width) for width in sizes[base, 1:-1])
    ax.set(
        xlabel="width of the input",
        ylabel="cost, relative to the base",
        title=f"What a wider input costs: hidden layers {hidden}",
        ylim=(0, 1.3 * max([1.0, *below])),
    )
    ax.legend(fontsize="small", loc="upper left", ncols=2)
    return rows.tolist()


def steps(ax: Axes, table: pd.DataFrame) -> None:
    """The choice as one cost after another comes in, and what it earns and costs beyond the base.

    Args:
      table: of `lib.design.decision.choices`.
    """
    places = np.arange(len(table))
    for shift, column, colour in (
        (-0.18, "extra_revenue", plots.BLUE),
        (0.18, "extra_cost", plots.ORANGE),
    ):
        ax.barh(places + shift, table[column], 0.32, color=colour, alpha=0.8)
    ax.axvline(0, color=plots.GREY, linewidth=0.8)
    ax.set_yticks(places, table["decision"])
    ax.invert_yaxis()
    values = np.append(table[["extra_revenue", "extra_cost"]].to_numpy().ravel(), 0.0)
    low, span = values.min(), np.ptp(values) or 1.0
    ax.set_xlim(low - 0.05 * span, values.max() + 1.1 * span)
    for place, row in zip(places, table.itertuples(), strict=True):
        end = max(row.extra_revenue, row.extra_cost, 0)
        plots.at_end(ax, end, place, plots.short_size(row.size_parameters), "black")
    ax.set(
        xlabel="per hour beyond the base: revenue (blue), cost (orange)",
        title="The choice, one cost after another",
    )


def paper_map(ax: Axes, regions: Mapping[str, pd.DataFrame]) -> None:
    """Where the paper's size is the answer: λ x serving cost / revenue, and the price of inputs.

    Args:
      regions: name of a model of the serving cost -> table of `answer_region`.
    """
    drawn = []
    for (name, region), colour in zip(regions.items(), PARTS, strict=False):
        possible = region[region["possible"]]
        if possible.empty:
            continue
        ax.fill_betweenx(possible.price, possible.low, possible.high, color=colour, alpha=0.35)
        ax.plot(possible.low, possible.price, color=colour, linewidth=1)
        ax.plot(possible.high, possible.price, color=colour, linewidth=1)
        drawn.append((name, colour, possible))
    ax.set(
        xscale="log",
        xlabel="λ x serving cost of the base / revenue",
        ylabel="cost of the base's inputs / its serving cost",
        title="Where the paper's size is the answer to Eq 8",
        ylim=(0, max(region.price.max() for region in regions.values())),
    )
    plots.percent(ax, "x")
    if drawn:
        ax.set_xlim(left=ax.get_xlim()[0] / 1.6)
    left_most = min((possible.high.median() for *_, possible in drawn), default=0.0)
    for place, (name, colour, possible) in enumerate(drawn):
        row = possible.iloc[int((0.15 + 0.25 * place) % 1 * (len(possible) - 1))]
        if len(drawn) > 1 and possible.high.median() == left_most:
            plots.at_end(ax, row.low, row.price, name, colour, dx=-5, ha="right")
        else:
            plots.at_end(ax, row.high, row.price, name, colour)


def paper_map_caption(regions: Mapping[str, pd.DataFrame], least: Mapping[str, float]) -> str:
    """What `paper_map` shows, in words.

    Args:
      least: name -> `lib.design.paper_case.least_price`.
    """
    sentences = [
        "Left of an area a size that earns more keeps the bound as well; right of it the paper's "
        "size does not keep it. Where an area looks like a line, λ must be known that well."
    ]
    for name in regions:
        if not np.isfinite(least[name]):
            most = regions[name].price.max()
            text = (
                f"no price of inputs up to {most:g} times that of serving makes the paper's size "
                "the answer, whatever λ is"
            )
        else:
            possible = regions[name][regions[name]["possible"]]
            needs = (
                "even if inputs cost nothing beside serving"
                if least[name] == 0
                else f"only if inputs cost the base at least {least[name]:.0%} of serving"
            )
            width = (possible.high / possible.low).replace(np.inf, np.nan).max() - 1
            text = f"it can be the answer {needs}, for λ within {width:.1%} of each other at most"
        sentences.append(f"Serving cost by {name}: {text}.")
    return f"*{' '.join(sentences)}*"


def _incremental(decision):
    return decision.economics.roi == "incremental"


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
