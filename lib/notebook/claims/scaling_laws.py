"""Answer and claims of notebook 02: laws, and what they say of sizes not seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from lib.experiments.study.held_out_sizes import Skill
from lib.infra.intervals import Share
from lib.laws.bnsl import BNSL
from lib.laws.growth import Growth, gap_closed
from lib.laws.held_out import HeldOutFit
from lib.laws.next_size import AVERAGE, Difference, errors_by_law, paired_error_difference
from lib.notebook.report import LIKE_SYSTEM, THIS_SYSTEM, Report
from lib.validation.published import FIGURE_7, r_squared_interval
from lib.validation.systems import LEAST_SYSTEMS, AcrossSystems

R_SQUARED_MARGIN = 0.05  # of a fit in sample: a straight line has as much
LIFT_MARGIN = 0.001  # the paper's own predictions miss by 0.05 and 0.07 % of revenue


def answer(
    fit: HeldOutFit, growth: Growth, name: str, direction: str, interval: float = 0.9
) -> str:
    """How the metric goes with FLOPs, what the law expects next, and how single trainings scatter.

    Args:
      fit: laws of a metric over FLOPs; growth: of the same measurements.
      name: of the metric; direction: of its growth; interval: probability of the intervals.
    """
    sizes = fit.table
    text = (
        f"From {sizes.x.iloc[0]:,.0f} to {sizes.x.iloc[-1]:,.0f} FLOPs {name} goes from "
        f"{sizes['mean'].iloc[0]:.3f} to {sizes['mean'].iloc[-1]:.3f}, "
        f"{growth.per_doubling:+.4f} a doubling on average ({interval:.0%}: {growth.low:+.4f} to "
        f"{growth.high:+.4f})"
    )
    if growth.is_towards(direction):
        law, largest = fit.full_law, sizes.x.iloc[-1]
        gain, low, high = law.gain(2 * largest, largest, interval=interval)
        breaks = len(law.params_["c"])
        text += (
            f". The law (R² {law.r_squared_:.3f} in sample, {breaks} "
            f"break{'' if breaks == 1 else 's'}), which supposes growth, expects the next doubling "
            f"to add {gain:+.4f} ({low:+.4f} to {high:+.4f}); its most plausible curve closes "
            f"{gap_closed(law, largest):.0%} of what is left to its asymptote {law.asymptote_:.3f}."
        )
    else:
        text += ": no growth can be told from noise here, so no law of it can be either."
    if not fit.repeat_sd >= 0:
        return f"{text} One training a size: its noise is not known here."
    small, large = fit.full_law.noise_at(sizes.x.iloc[[0, -1]]) * sizes["mean"].iloc[[0, -1]]
    return (
        f"{text} Two trainings of one size differ by about {fit.repeat_sd:.4f} (standard "
        f"deviation); about the law single trainings of the smallest size scatter by {small:.4f}, "
        f"of the largest by {large:.4f}."
    )


def law_warnings(law: BNSL) -> str:
    """What a law says of itself, as Markdown: a list of its warnings, or that there are none."""
    if law.warnings_:
        return "\n".join(f"- {text[0].upper()}{text[1:]}." for text in law.warnings_)
    tests = law.back_tests_
    if not tests:
        return "No warnings; and no back-test, for which the sizes are too few."
    missed = ", ".join(f"{test.missed:.1f}" for test in tests)
    return (
        f"No warnings: laws of the first sizes miss the next by {missed} times what they expect, "
        "nothing says that the tail steepens or that one size decides, and the range of plausible "
        "asymptotes is not wider than what is measured."
    )


def add_law(
    report: Report, fit: HeldOutFit, growth: Growth, name: str, direction: str, interval: float
) -> None:
    """How well the law fits, and how far it misses sizes that it did not see."""
    r_squared, sizes = fit.full_law.r_squared_, len(fit.table)
    report.claim(
        f"a broken neural scaling law fits {name} over FLOPs (R² in sample)",
        r_squared,
        source="paper, Figure 7: 0.996 of ten sizes with t = 6, 21 parameters. A fit without "
        "breaks reaches that, and one of t = 6 that converges goes through all ten points: R² in "
        "sample does not choose t. Here as many breaks as the data bear",
        **(
            {
                "interval": r_squared_interval(r_squared, sizes, interval),
                "published": FIGURE_7.r_squared,
                "published_interval": r_squared_interval(
                    FIGURE_7.r_squared, FIGURE_7.sizes, interval
                ),
                "margin": R_SQUARED_MARGIN,
                "covers": THIS_SYSTEM,
            }
            if growth.is_towards(direction) and 0 < r_squared < 1
            else {}
        ),
    )
    margin = abs(growth.per_doubling)
    for size in fit.table[fit.table.held_out].itertuples():
        low, high = size.low - size.mean, size.high - size.mean
        report.claim(
            f"the law predicts {name} at {size.x:,.0f} FLOPs, a size it did not see (error)",
            size.predicted - size.mean,
            interval=(low, high),
            margin=margin,
            holds=_within(low, high, margin),
            covers=THIS_SYSTEM,
            source=f"predicted {size.predicted:.4f}, measured {size.mean:.4f} ({size.count:.0f} "
            "trainings); within what a doubling of FLOPs is worth",
        )


def next_sizes_compared(next_sizes: pd.DataFrame, fit: HeldOutFit, interval: float) -> str:
    """Which law misses the next sizes by least and by most, and what the differences bear out.

    Args:
      next_sizes: of `lib.laws.predict_next_size`; interval: probability of the differences'.
      fit: of the same measurements, for the error of a size's mean.
    """
    errors = errors_by_law(next_sizes).mean_error.sort_values(kind="stable")
    count, most = next_sizes.x.nunique(), np.isclose(errors, errors.iloc[-1], rtol=1e-6).sum()
    alike = f" (and {most - 1} alike)" if most > 1 else ""
    text = (
        f"Over {count} next size{'' if count == 1 else 's'} {errors.index[0]} misses by least "
        f"({errors.iloc[0]:.4f} on average), {errors.index[-1]}{alike} by most "
        f"({errors.iloc[-1]:.4f}); the {AVERAGE} ({errors[AVERAGE]:.4f}) is number "
        f"{errors.index.get_loc(AVERAGE) + 1} of {len(errors)}."
    )
    found, rivals = {True: [], False: [], None: []}, errors.index.drop(AVERAGE)
    for rival in rivals:
        difference = paired_error_difference(next_sizes, AVERAGE, rival, interval)
        found[difference.holds].append(rival)
    for holds, words in (
        (True, f"The {AVERAGE} misses by less than"),
        (False, f"The {AVERAGE} misses by more than"),
        (None, "So few sizes cannot tell it from"),
    ):
        if len(found[holds]) == len(rivals):
            text += f" {words} any other."
        elif found[holds]:
            text += f" {words} {'; '.join(found[holds])}."
    text += f" (Student's t of paired differences, {interval:.0%}.)"
    if fit.repeat_sd >= 0:
        error = fit.repeat_sd / np.sqrt(fit.table["count"].mean())
        text += f" What was measured of a size is itself off by about {error:.4f} (standard error)."
    return text


def add_next_sizes(
    report: Report, share: Share, differences: dict[str, Difference], interval: float
) -> None:
    """Which law misses the next size by less, and whether intervals hold it.

    Args:
      share: of the average's intervals; differences: name of a rival -> error of the average less
        the rival's (`lib.laws.paired_error_difference`).
    """
    for rival, difference in differences.items():
        report.difference(
            f"averaging misses the next size by less than {rival} (difference of errors)",
            -difference.mean,
            (-difference.high, -difference.low),
            covers=THIS_SYSTEM,
            source=f"mean over {difference.count} next sizes, Student's t",
        )
    report.claim(
        f"{interval:.0%} intervals hold the next sizes",
        share.value,
        interval=(share.low, share.high),
        holds=share.agrees_with(interval),
        covers=THIS_SYSTEM,
        source=f"{share.inside} of {share.count} next sizes; exact binomial interval; below 20 a "
        "count can only exclude",
    )


def add_lifts(report: Report, tests: pd.DataFrame, reference: str, interval: float) -> None:
    """Lifts of sizes by the law and G beside what online tests measured.

    Args:
      tests: of `lib.validation.revenue_model.lifts_by_reference`, without base and reference;
        optional revenue_lift_se: without it a test's error is not known, and a difference from it
        decides nothing.
    """
    quantile = stats.norm.ppf((1 + interval) / 2)
    for size in tests.dropna(subset="revenue_lift").itertuples():
        error = quantile * getattr(size, "revenue_lift_se", np.nan)
        low, high = size.low - size.revenue_lift, size.high - size.revenue_lift
        near = -LIFT_MARGIN <= low and high <= LIFT_MARGIN
        given = {}
        if np.isfinite(error) or near:
            error = np.nan_to_num(error)
            given = {
                "published": size.revenue_lift,
                "published_interval": (size.revenue_lift - error, size.revenue_lift + error),
                "margin": LIFT_MARGIN,
            }
        published = getattr(size, "published_prediction", None)
        report.claim(
            f"revenue lift of {size.model}, by the law and G",
            size.by_law,
            interval=(size.low, size.high),
            covers=THIS_SYSTEM,
            source=f"measured online {size.revenue_lift:.2%}"
            + ("" if given else ", its error not given")
            + f"; G from the lift of {reference}"
            + (f". Published prediction: {published:.2%}" if published else ""),
            **given,
        )


def add_skill(report: Report, skill: Skill, lifts: pd.DataFrame) -> None:
    """Whether law and G predict lifts of sizes not seen better than "no lift", and how they err.

    Args:
      lifts: of `lib.experiments.study.predict_lifts`; skill: of them.
    """
    report.difference(
        "G(law(FLOPs)) predicts the lifts of sizes not seen better than no lift (error saved)",
        skill.saved,
        (skill.low, skill.high),
        covers=LIKE_SYSTEM,
        source=f"mean error {skill.error:.2%} of revenue beside {skill.no_lift:.2%} over "
        f"{len(lifts)} lifts in {skill.worlds} simulated worlds. Bias {skill.bias:+.2%}: "
        f"{skill.law_bias:+.2%} by the law's metric, {skill.g_bias:+.2%} by G of the measured one. "
        f"Intervals hold {lifts.inside.sum()}. Paper, section 4.2: .33 and .62 % predicted, .38 "
        "and .69 % measured",
    )


def add_growth(
    report: Report, growth: Growth, name: str, direction: str, trainings: int, interval: float
) -> None:
    """Whether the metric gets better with FLOPs at all, by a line and not by a law."""
    sign = -1 if direction == "falling" else 1
    report.difference(
        f"{name} improves with FLOPs (mean gain a doubling)",
        sign * growth.per_doubling,
        sorted((sign * growth.low, sign * growth.high)),
        covers=THIS_SYSTEM,
        source=f"straight line in log FLOPs over sizes; {trainings} trainings, {interval:.0%}",
    )


def add_growth_elsewhere(
    report: Report, growth: pd.Series, name: str, direction: str, interval: float
) -> None:
    """The same of systems like this one; nothing where they are fewer than three.

    Args:
      growth: a change a doubling for each system (`lib.experiments.study.growth_by_system`).
    """
    if len(growth) < LEAST_SYSTEMS:
        return
    across = AcrossSystems(-growth if direction == "falling" else growth)
    report.difference(
        f"{name} improves with FLOPs in systems like this one (mean gain a doubling)",
        float(across.mean),
        [float(bound) for bound in across.interval(interval)],
        covers=LIKE_SYSTEM,
        source=f"a straight line in each of {across.systems} systems, Student's t over them, "
        f"{interval:.0%}",
    )


def _within(low, high, margin):
    """Whether a difference lies within the margin; None where its interval holds 0 and more."""
    if -margin <= low and high <= margin:
        return True
    return None if low <= 0 <= high else False
