"""Answers and claims of notebooks 01 and 01b: which offline metric predicts what models earn."""

import pandas as pd

from lib.infra.intervals import binomial_share
from lib.notebook.figures.metric_validation import sensitivity_name
from lib.notebook.plots import NAMES
from lib.notebook.report import LIKE_SYSTEM, THIS_SYSTEM, Report
from lib.validation.metric_comparison import SIZE, MetricComparison
from lib.validation.population import FULL_METRICS, PAPER_METRICS
from lib.validation.published import (
    FIGURES_3_TO_6,
    MODELS,
    published_difference,
    r_squared_interval,
)
from lib.validation.systems import LEAST_SYSTEMS, AcrossSystems

R = "r_over_r_star"
STATISTIC_NAMES = {"r_squared": "R²", "spearman": "Spearman's correlation"}
CONVERGED = 0.01  # a closed loop whose last round changed revenue by less
# Differences that would not matter: of R² or rank correlation between two metrics (the paper's
# smallest is 0.11), of R² from a published one, and of what two choices earn (0.1 % of revenue).
SAME, R_SQUARED_MARGIN, SAME_LIFT = 0.02, 0.2, 0.001
RIVAL_CHOICES = {
    "ndcg": "choosing by NDCG",
    "recall": "choosing by Recall",
    "opa": "choosing by OPA",
    "revenue_weighted_r_over_r_star": "choosing by R/R* of summed money",
    SIZE: "always taking the largest model",
}
MOST_DROPPED = 4  # models without a partner that the answer names
ASSUMPTIONS = "towards the assumptions"  # sensitivity parameter of the study
# Models of the study in which ARF sorts v at a temperature of its own, trained as AGAIN was.
AGAIN, OWN_TEMPERATURES = "base again", ("sharp labels", "public code's temperatures")


def decided(low: float, high: float) -> bool | None:
    """Whether a difference is above 0; None where its interval holds 0."""
    return True if low > 0 else False if high < 0 else None


def covers_of(comparison: MetricComparison) -> str:
    """What a comparison's intervals cover: over worlds they are another system's."""
    return LIKE_SYSTEM if len(comparison.worlds) >= LEAST_SYSTEMS else THIS_SYSTEM


def redrawn(comparison: MetricComparison, few: str = "resampled models") -> str:
    """What a comparison's intervals come from; `few`: below three worlds."""
    worlds = len(comparison.worlds)
    return f"Student's t over {worlds} worlds" if worlds >= LEAST_SYSTEMS else few


def place_of(comparison: MetricComparison, *, simulated: bool) -> str:
    """Where the models were tested, in words."""
    count = len(comparison.worlds)
    if simulated:
        return f"{count} simulated worlds" if count > 1 else "one simulated world"
    return f"{count} worlds" if count > 1 else "your system"


# ---- the answer --------------------------------------------------------------------------


def answer(
    comparison: MetricComparison,
    log_comparison: MetricComparison,
    fit,
    *,
    place: str,
    slope_place: str = "",
    lift: str = "revenue lift",
    earned: str = "revenue",
    interval: float = 0.9,
    choices: MetricComparison | None = None,
    changes: pd.DataFrame | None = None,
) -> str:
    """The answer in sentences.

    Args:
      comparison: of all metrics; log_comparison: of those that a log suffices for.
      fit: `LinearRevenueModel` of R/R* in the first world.
      place, slope_place: where the models, and those of the line, were tested.
      lift, earned: what the tests measured.
      interval: probability of all intervals.
      choices: of `lib.validation.metric_comparison.compare_choices`, said where it is given.
      changes: of R² where sensitivity parameters leave their plain value, if any do.
    """
    low, high = comparison.interval(R, interval=interval)
    slope = fit.slope_interval(interval)
    others = [name for name in PAPER_METRICS[1:] if name in comparison.metrics]
    full = [name for name in FULL_METRICS if name in comparison.metrics]
    sentences = [
        f"Over {int(comparison.models.max())} models in {place} the R² with {lift} is "
        f"{comparison.value(R):.2f} ({low:.2f} to {high:.2f}) for R/R*"
        + "".join(f", {comparison.value(name):.2f} for {NAMES[name]}" for name in others),
        _left_out(comparison.dropped),
        _beside_the_paper(comparison, interval),
        _best_of_the_log(log_comparison),
        f"0.01 of R/R* is worth {0.01 * fit.slope_:+.2%} of {earned} "
        f"({0.01 * slope[0]:+.2%} to {0.01 * slope[1]:+.2%}{slope_place}); the model that it puts "
        f"first earns {comparison.value(R, 'lift_of_selected'):+.2%} over the base, and the best "
        f"model would have earned {comparison.value(R, 'regret'):.2%} more",
        other_choices(choices, interval) if choices else "",
        *(f"{NAMES[name]} has {comparison.value(name):.2f}" for name in full),
    ]
    if changes is not None and len(changes):
        sentences.append(_where_it_falls(changes, interval))
    return ". ".join(sentence for sentence in sentences if sentence) + "."


def _left_out(dropped):
    """Which models of the reader's tables are in one of them alone, the first of them by name."""
    if not dropped:
        return ""
    more = len(dropped) - MOST_DROPPED
    rest = f", and {more} more" if more > 0 else ""
    return f"Left out: {'; '.join(dropped[:MOST_DROPPED])}{rest}"


def _beside_the_paper(comparison, interval):
    """How R² of R/R* differs from that of the paper's other metrics, and what the paper reports."""
    parts = []
    for name in PAPER_METRICS[1:]:
        if name not in comparison.metrics:
            continue
        value, low, high = comparison.difference(R, name, interval=interval)
        published = published_difference(R, name)
        if -SAME <= low and high <= SAME:
            text = f"{NAMES[name]} predicts as well as R/R*: their R² differ by at most {SAME}"
        elif low > 0:
            text = f"R/R* predicts better than {NAMES[name]}, by {value:.2f} of R²"
        elif high < 0:
            text = f"{NAMES[name]} predicts better than R/R*, by {-value:.2f} of R²"
        else:
            text = f"R/R* and {NAMES[name]} cannot be told apart ({low:+.2f} to {high:+.2f} of R²)"
        parts.append(f"{text} (the paper reports {published:.2f})")
    return "; ".join(parts)


def _best_of_the_log(comparison):
    if len(comparison.metrics) < 2:
        return ""
    best = max(comparison.metrics, key=comparison.value)
    wins = comparison.wins().set_index("metric").loc[best]
    return (
        f"Highest of the log's metrics is {NAMES[best]}, {comparison.value(best):.2f}: best in "
        f"{wins.worlds_won:.0f} of {len(comparison.worlds)} and in {wins.probability_best:.0%} of "
        "resamples"
    )


def _where_it_falls(changes, interval):
    falls = [
        f"{sensitivity_name(row.dial)}: {row.value:g} ({row.change:+.2f})"
        for row in changes.itertuples()
        if row.high < 0
    ]
    return f"Of the sensitivity parameters R² falls, with {interval:.0%} confidence, at " + (
        "; ".join(falls) or "none"
    )


def shared_start(gains: pd.DataFrame, others: MetricComparison, interval: float = 0.9) -> str:
    """What starting from the weights of the log's own model is worth, in sentences.

    Args:
      gains: of `lib.validation.worlds.gain_of_shared_start`; others: comparison without the
        trainings that share the start.
    """
    low, high = others.interval(R, interval=interval)
    listed = ", ".join(
        f"{row.world} {row.gain:+.2%} ± {row.gain_se:.2%}" for row in gains.itertuples()
    )
    return (
        "One training per world starts from the same random weights as the model that wrote the "
        f"log, and may profit from that. Its lift less that of other trainings: {listed}. Without "
        f"such trainings R² of R/R* is {others.value(R):.2f} ({low:.2f} to {high:.2f})."
    )


# ---- claims ------------------------------------------------------------------------------


def add_published(
    report: Report, comparison: MetricComparison, place: str, interval: float = 0.9
) -> None:
    """R² of each metric of the paper, held against Figures 3 to 6 and their own sampling error."""
    for name in comparison.metrics:
        if name in FIGURES_3_TO_6:
            published = FIGURES_3_TO_6[name]
            report.claim(
                f"R² of {NAMES[name]} with revenue lift",
                comparison.value(name),
                interval=comparison.interval(name, interval=interval),
                published=published.r_squared,
                published_interval=r_squared_interval(published.r_squared, interval=interval),
                margin=R_SQUARED_MARGIN,
                covers=covers_of(comparison),
                source=f"paper, Figures 3 to 6, as of {MODELS} models (it does not say how many); "
                f"here {place}",
            )


def add_differences(
    report: Report,
    comparison: MetricComparison,
    place: str,
    *,
    lift: str = "revenue lift",
    interval: float = 0.9,
) -> None:
    """R/R* against the paper's other metrics, and what may be better than R/R* against it.

    Models and worlds are the same for both: their difference is better known than either.
    Differences that the paper reports stand beside ours.
    """
    pairs = [(R, name, statistic) for statistic in STATISTIC_NAMES for name in PAPER_METRICS[1:]]
    pairs += [(name, R, "r_squared") for name in ("revenue_weighted_r_over_r_star", *FULL_METRICS)]
    for first, second, statistic in pairs:
        if first not in comparison.metrics or second not in comparison.metrics:
            continue
        value, low, high = comparison.difference(first, second, statistic, interval)
        report.difference(
            f"{NAMES[first]} predicts {lift} better than {NAMES[second]} "
            f"(difference of {STATISTIC_NAMES[statistic]})",
            value,
            (low, high),
            margin=SAME,
            published=published_difference(first, second) if statistic == "r_squared" else None,
            covers=covers_of(comparison),
            source=f"paper, section 4.1; {redrawn(comparison)}, {place}",
        )


def add_wins(report: Report, paper_comparison: MetricComparison) -> None:
    """Whether R/R* is the best of the paper's metrics in most worlds, as far as counts tell."""
    if len(paper_comparison.metrics) < 2:
        return
    wins = paper_comparison.wins().set_index("metric").loc[R]
    share = binomial_share(int(wins.worlds_won), len(paper_comparison.worlds))
    report.claim(
        "R/R* is the best of the paper's four in most worlds (share of worlds)",
        share.value,
        interval=(share.low, share.high),
        holds=share.exceeds(0.5),
        covers=LIKE_SYSTEM,
        source=f"best in {share.inside} of {share.count}; best in {wins.probability_best:.0%} of "
        "resamples",
    )


def add_selection(
    report: Report, choices: MetricComparison, place: str, interval: float = 0.9
) -> None:
    """Whether choosing by R/R* earns more than the base, and than other ways to choose.

    Args:
      choices: of `lib.validation.metric_comparison.compare_choices`.
    """
    lifts = choices.values_by_world(R, "lift_of_selected")
    report.difference(
        "the model that R/R* puts first earns more than the base (lift)",
        choices.value(R, "lift_of_selected"),
        choices.interval(R, "lift_of_selected", interval),
        covers=covers_of(choices),
        source=f"it does in {(lifts > 0).sum()} of {len(lifts)}: {place}. "
        + other_choices(choices, interval),
    )
    for name in choices.metrics:
        if name in RIVAL_CHOICES:
            value, low, high = choices.difference(R, name, "lift_of_selected", interval)
            report.difference(
                f"choosing by R/R* earns more than {RIVAL_CHOICES[name]} (difference of lift)",
                value,
                (low, high),
                margin=SAME_LIFT,
                covers=covers_of(choices),
                source=f"{redrawn(choices, 'jackknife over models')}, {place}",
            )


def other_choices(choices: MetricComparison, interval: float = 0.9) -> str:
    """What other ways to choose a model earn, and which of them R/R* is not told from.

    Args:
      choices: of `lib.validation.metric_comparison.compare_choices`.
    """
    others = [name for name in RIVAL_CHOICES if name in choices.metrics]
    if not others:
        return "No other choice was compared"
    earned = ", ".join(
        f"{RIVAL_CHOICES[name]} {choices.value(name, 'lift_of_selected'):+.2%}" for name in others
    )
    differences = {
        name: choices.difference(R, name, "lift_of_selected", interval) for name in others
    }
    as_well = [RIVAL_CHOICES[name] for name, (_, low, _) in differences.items() if low <= 0]
    told = (
        "each of them earns less"
        if not as_well
        else "none of them is surely worse"
        if len(as_well) == len(others)
        else f"not surely worse: {', '.join(as_well)}"
    )
    return f"Earned by other choices: {earned}; {told}"


def add_loops(report: Report, worlds: pd.DataFrame) -> None:
    """Whether the closed loops of the study's worlds had converged before anything was tested."""
    for label, loops in (
        ("worlds'", worlds[worlds.dial == ""]),
        ("dials'", worlds[worlds.dial != ""]),
    ):
        loops = loops.drop_duplicates(["world", "oracle_gap"])  # plain points share a loop
        if len(loops):
            largest = loops.change.abs().max()
            report.claim(
                f"the {label} closed loops had converged: last round within 1 %",
                largest,
                holds=bool(largest <= CONVERGED),
                source=f"the largest change of {len(loops)} loops",
            )


def add_label_temperatures(report: Report, models: pd.DataFrame, interval: float = 0.9) -> None:
    """Whether ARF earns more where v is sorted at a temperature of its own.

    Held against the base trained again from the same weights on the same order of impressions,
    and not against the base, which starts as the model that wrote the log did.

    Args:
      models: a row a world and model, as of `Population.primary`; of models that are not there
        nothing is claimed.
    """
    table = models.pivot(index="world", columns="model", values=["revenue_lift", R])
    trained = table.columns.unique("model")
    if AGAIN not in trained:
        return
    again = table.xs(AGAIN, axis=1, level="model")
    for model in [name for name in OWN_TEMPERATURES if name in trained]:
        gains = table.xs(model, axis=1, level="model") - again
        name = f"ARF with {model} earns more than the base trained again (difference of lift)"
        if len(gains) < LEAST_SYSTEMS:
            value = gains.revenue_lift.mean()
            report.claim(name, value, source=f"needs {LEAST_SYSTEMS} worlds")
            continue
        across = AcrossSystems(gains)  # of lift and of R/R*
        lows, highs = across.interval(interval)
        report.difference(
            name,
            across.mean[0],
            (lows[0], highs[0]),
            margin=SAME_LIFT,
            covers=LIKE_SYSTEM,
            source=f"Student's t over {len(gains)} worlds; same first weights, same order of data; "
            f"its R/R* differs by {across.mean[1]:+.4f} ({lows[1]:+.4f} to {highs[1]:+.4f})",
        )


def add_assumptions(report: Report, along: pd.DataFrame, changes: pd.DataFrame) -> None:
    """Whether R² of R/R* rises to its ceiling where the paper's assumptions hold.

    Args:
      along: of `lib.validation.metric_comparison.sensitivity`, for lifts as billed.
      changes: rows dial, value, change, low, high.
    """
    name = "R² of R/R* rises as the dials turn towards the paper's assumptions"
    turned = along[(along.dial == ASSUMPTIONS) & (along.metric == R)].sort_values("value")
    if turned.empty:
        report.claim(name, source=f"needs the dial {ASSUMPTIONS!r}: the full profile")
        return
    change = changes[changes.dial == ASSUMPTIONS].sort_values("value").iloc[-1]
    rises = decided(change.low, change.high)
    reaches = turned.high.iloc[-1] >= turned.ceiling.iloc[-1]
    report.claim(
        f"{name}, to the ceiling",
        change.change,
        interval=(change.low, change.high),
        holds=False if rises and not reaches else rises,
        covers=LIKE_SYSTEM,
        source="the second version's claim; change of R² over the dial, paired",
    )


def add_slope(report: Report, fit, *, lift: str = "revenue lift", interval: float = 0.9) -> None:
    """Whether the lift grows with R/R*, by the line of the first world."""
    low, high = fit.slope_interval(interval)
    with_errors = hasattr(fit, "r_squared_true_")
    report.difference(
        f"{lift} grows with R/R*",
        fit.slope_,
        (low, high),
        covers=THIS_SYSTEM,
        source=(
            "errors of metric and test, and scatter of models, in the interval"
            if with_errors
            else "scatter of models in the interval"
        ),
    )


def add_rank_agreement(report: Report, agreement: pd.DataFrame) -> None:
    """Whether R/R* orders models as the money of other lists does.

    Args:
      agreement: of `lib.experiments.held_out_revenue.rank_agreement`.
    """
    row = agreement.set_index("metric").loc[R]
    report.difference(
        "R/R* orders models as the money of other lists does (Kendall's τ)",
        row.kendall,
        (row.low, row.high),
        covers=THIS_SYSTEM,
        source="lists drawn again and dealt into halves, one for the metric, one for the money",
    )
