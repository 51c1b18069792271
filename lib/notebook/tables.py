"""Tables as notebooks show them: names that read, units that are said."""

from collections.abc import Sequence

import pandas as pd

from lib.notebook.plots import NAMES
from lib.validation.metric_comparison import MetricComparison
from lib.validation.published import FIGURES_3_TO_6, published_difference

IN_POINTS = ["mean_deviation", "max_deviation", "lift_of_selected", "regret"]


def variants(lines: Sequence[dict]) -> pd.DataFrame:
    """What a study trains: model, kind of change, reason, and the set that it is of."""
    table = pd.DataFrame(lines).reindex(columns=["model", "kind", "reason"])
    return table.assign(set=[line.get("set", "primary") for line in lines])


def metric_comparison(
    comparison: MetricComparison, log_comparison: MetricComparison, interval: float = 0.9
) -> pd.DataFrame:
    """All statistics of all metrics, with the wins among those that a log suffices for."""
    table = comparison.table(interval).merge(log_comparison.wins(), on="metric", how="left")
    published = {name: figures.r_squared for name, figures in FIGURES_3_TO_6.items()}
    return table.assign(**{"published R²": table.metric.map(published)})


def differences(comparison: MetricComparison, interval: float = 0.9) -> pd.DataFrame:
    """R² of R/R* less that of the paper's other metrics, beside the published difference."""
    rows = []
    for name in comparison.metrics:
        published = published_difference("r_over_r_star", name)
        if name != "r_over_r_star" and published is not None:
            value, low, high = comparison.difference("r_over_r_star", name, interval=interval)
            rows.append([NAMES[name], value, low, high, published])
    return pd.DataFrame(
        rows, columns=["R² of R/R* less that of", "here", "low", "high", "published"]
    )


def readable_comparison(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of `metric_comparison` that a reader looks at; lifts and deviations in points."""
    columns = {
        "metric": "metric",
        "r_squared": "R²",
        "r_squared_low": "R², low",
        "r_squared_high": "R², high",
        "published R²": "published R²",
        "spearman": "Spearman",
        "kendall": "Kendall",
        "slope": "slope",
        **{name: f"{name.replace('_', ' ')}, %" for name in IN_POINTS},
        "worlds_won": "worlds won",
        "probability_best": "probability best",
    }
    shown = table.assign(metric=table.metric.map(NAMES), **100 * table[IN_POINTS])
    return shown[list(columns)].rename(columns=columns).round(3)
