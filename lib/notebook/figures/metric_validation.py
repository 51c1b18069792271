"""Figures of notebooks 01 and 01b: offline metrics against what models earn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lib.notebook import plots
from lib.notebook.figures.labels import Label, place_labels
from lib.validation.metric_comparison import MetricComparison
from lib.validation.published import FIGURES_3_TO_6

# The simulated system's parameters and the study's own, as a reader would call them.
SENSITIVITY_NAMES = {
    "pre_ranking_interest_share": "share of Pre-ranking filled by other pathways",
    "pre_ranking_ads": "ads that Pre-ranking keeps",
    "ranking_slope": "slope of predicted over true log eCPM",
    "ranking_bias_sd": "Ranking's bias of single ads (sd, log eCPM)",
    "ranking_error_sd": "Ranking's error over users and ads (sd, log eCPM)",
    "logged_losers": "losers of Pre-ranking among ten logged ads",
    "exposures": "ads shown in a visit",
    "organic_share": "slots that organic content wins",
    "drift": "turn of the truth between log and test (radians)",
    "ad_turnover": "share of ads that are new in the test",
    "budget_tightness": "demand over advertisers' budgets",
    "towards the assumptions": "way to the paper's assumptions (0 to 1)",
}


def sensitivity_name(dial: str) -> str:
    """A sensitivity parameter as a reader would call it.

    >>> sensitivity_name("ad_turnover"), sensitivity_name("my_own")
    ('share of ads that are new in the test', 'my own')
    """
    return SENSITIVITY_NAMES.get(dial, dial.replace("_", " "))


def metric_and_lift(
    ax: Axes,
    models: pd.DataFrame,
    metric: str,
    fit,
    comparison: MetricComparison,
    *,
    lift: str = "revenue lift",
    interval: float = 0.9,
) -> None:
    """The models of one world: offline metric against lift, the line and its R².

    Args:
      models: rows with model, kind, the metric and revenue_lift (fraction), and their `_se` where
        known.
      fit: `LinearRevenueModel` of these models; comparison: `compare_metrics` of them alone.
      lift: what revenue_lift is of; interval: probability of the band and of R²'s interval.
    """
    colour, x, y = plots.COLOURS[metric], models[metric], models["revenue_lift"]
    grid = np.linspace(x.min(), x.max(), 50)
    mean, low, high = fit.predict(grid, interval=interval)
    plots.band(ax, grid, mean, low, high, colour)
    errors = models.get("revenue_lift_se"), models.get(f"{metric}_se")
    plots.with_errors(ax, x, y, *errors, colour)
    again = models[models.get("kind", pd.Series("", models.index)) == "none"]
    ax.plot(again[metric], again["revenue_lift"], "o", ms=4, color=colour, mfc="white", zorder=3)
    ax.axhline(0, color=plots.GREY, linewidth=0.8, linestyle="--")
    r_squared, bounds = comparison.value(metric), comparison.interval(metric, interval=interval)
    ax.set(xlabel=plots.NAMES[metric], ylabel=f"{lift} over the base")
    ax.set_title(
        f"{plots.NAMES[metric]}: R² {r_squared:.2f} ({bounds[0]:.2f} to {bounds[1]:.2f})\n"
        f"0.01 more is worth {0.01 * fit.slope_:+.2%}"
    )
    ax.margins(x=0.06, y=0.1)
    plots.percent(ax)
    worst = np.argsort(-np.abs(y.to_numpy() - fit.predict(x)))[:2]
    named = models.iloc[worst].model.tolist() + again.model.tolist()
    labels = [
        Label(_inside(row.model), plots.GREY, [(row[metric], row.revenue_lift)])
        for _, row in models[models.model.isin(named)].iterrows()
    ]
    if not (again["revenue_lift"] == 0).any():  # else the base is one of the models
        labels.append(Label("the base", plots.GREY, [(end, 0.0) for end in ax.get_xlim()]))
    place_labels(ax, labels, *_obstacles(x, y, errors, grid, mean))


def _inside(name):
    """A name of the reader's as a label inside the axes."""
    return plots.short_name(name, plots.LONGEST_INSIDE)


def _obstacles(x, y, errors, grid, mean):
    """Points that labels must not cover: dots, their error bars, the line."""
    up, right = (np.zeros(len(x)) if error is None else np.nan_to_num(error) for error in errors)
    return (
        np.concatenate([x, x, x, x - right, x + right, grid]),
        np.concatenate([y, y - up, y + up, y, y, mean]),
    )


def r_squared_of_metrics(
    ax: Axes, comparison: MetricComparison, *, lift: str = "revenue lift", interval: float = 0.9
) -> None:
    """R² of each metric: mean over worlds, its interval, each world, and the published value."""
    several = len(comparison.worlds) > 1
    for row, metric in enumerate(comparison.metrics):
        colour = plots.COLOURS[metric]
        ax.plot(comparison.interval(metric, interval=interval), [row, row], color=colour)
        if several:
            worlds = comparison.values_by_world(metric)
            ax.plot(worlds, np.full(len(worlds), row), "o", ms=3, alpha=0.5, color=colour)
        ax.plot(comparison.value(metric), row, "D", color=colour)
        if metric in FIGURES_3_TO_6:
            ax.plot(FIGURES_3_TO_6[metric].r_squared, row, "x", color="black")
    ax.set(
        yticks=range(len(comparison.metrics)),
        yticklabels=[plots.NAMES[metric] for metric in comparison.metrics],
        ylim=(len(comparison.metrics) - 0.5, -0.7),
        xlim=(0, 1),
        xlabel=f"R² with {lift}",
        title="R² of each metric (x: published in the paper)",
    )


def r_squared_of_cuts(
    ax: Axes,
    comparison: MetricComparison,
    metrics: Sequence[str],
    cuts: Sequence[int],
    *,
    lift: str = "revenue lift",
    interval: float = 0.9,
) -> None:
    """R² of the same models where a metric is taken at other m.

    Args:
      comparison: of METRIC@m for all `metrics` and `cuts`.
    """
    ends = []
    for metric in metrics:
        names, colour = [f"{metric}@{cut}" for cut in cuts], plots.COLOURS[metric]
        bounds = np.array([comparison.interval(name, interval=interval) for name in names])
        values = [comparison.value(name) for name in names]
        ax.fill_between(cuts, *bounds.T, color=colour, alpha=0.15, linewidth=0)
        ax.plot(cuts, values, "o-", color=colour)
        ends.append((values[-1], plots.NAMES[metric], colour))
    ax.set(
        xlabel="m, ads that R/R* and Recall ask for",
        ylabel=f"R² with {lift}",
        ylim=(0, 1),
        xticks=cuts,
        title="R² by the choice of m",
    )
    plots.lay_out(ax.figure)
    plots.at_ends(ax, cuts[-1], ends)


def residuals(
    ax: Axes, models: pd.DataFrame, *, lift: str = "revenue lift", labelled: int = 6
) -> None:
    """How far each model lies from the line of its world.

    Args:
      models: DataFrame with the columns world, model, distance (in standard deviations of the
        world's lifts); labelled: how many of the farthest name their world.
    """
    order = models.groupby("model").distance.mean().sort_values().index
    rows = models.model.map({name: row for row, name in enumerate(order)})
    ax.axvline(0, color=plots.GREY, linewidth=0.8)
    ax.plot(models.distance, rows, "o", ms=4, alpha=0.5, color=plots.BLUE)
    ax.margins(x=0.15)  # the names of the farthest stand outside
    ax.set(
        ylim=(-0.7, len(order) - 0.3),
        xlabel=f"{lift} less the line's, in standard deviations of a world's lifts",
    )
    plots.name_ticks(ax, range(len(order)), [plots.short_name(name) for name in order])
    if models.world.nunique() > 1:
        farthest = models.assign(row=rows).sort_values("distance", key=np.abs).iloc[-labelled:]
        labels = [
            Label(_inside(dot.world), plots.GREY, [(dot.distance, dot.row)])
            for dot in farthest.itertuples()
        ]
        place_labels(ax, labels, models.distance, rows)


def differences_by_kind(
    axes: Sequence[Axes],
    comparisons: dict[str, MetricComparison],
    reference: str,
    others: Sequence[str],
    *,
    interval: float = 0.9,
) -> None:
    """R² of one metric less that of others, among the models of each part; one axes a metric."""
    for place, (ax, metric) in enumerate(zip(axes, others, strict=True)):
        differences = [
            comparison.difference(reference, metric, interval=interval)
            for comparison in comparisons.values()
        ]
        names = [plots.short_name(name) for name in comparisons]
        labels = names if place == 0 else [""] * len(names)
        plots.forest(ax, *np.transpose(differences), labels, plots.COLOURS[metric])
        ax.set(
            xlabel="difference of R²", title=f"{plots.NAMES[reference]} less {plots.NAMES[metric]}"
        )
        ax.locator_params(axis="x", nbins=5)


def changes(ax: Axes, table: pd.DataFrame, *, metric: str = "r_over_r_star") -> None:
    """How R² changes where a sensitivity parameter leaves its plain value.

    Args:
      table: DataFrame with the columns dial, value, change, low, high; drawn in its order.
    """
    labels = [f"{sensitivity_name(row.dial)}: {row.value:g}" for row in table.itertuples()]
    plots.forest(ax, table.change, table.low, table.high, labels, plots.BLUE)
    low, high = min(0, table.low.min()), max(0, table.high.max())
    room = 0.05 * (high - low)
    ax.set(
        xlim=(low - room, high + room),
        xlabel=f"change of {plots.NAMES[metric]}'s R² against the plain world",
    )
    ax.locator_params(axis="x", nbins=6)


def rank_agreement(ax: Axes, table: pd.DataFrame) -> None:
    """Kendall's rank correlation of each metric's order of models with that by money.

    Args:
      table: of `lib.experiments.held_out_revenue.rank_agreement`.
    """
    labels = [plots.NAMES[metric] for metric in table.metric]
    plots.forest(ax, table.kendall, table.low, table.high, labels, plots.BLUE)
    ax.set(xlim=(-1.02, 1.02), xlabel="Kendall's τ with the order by money of other lists")
