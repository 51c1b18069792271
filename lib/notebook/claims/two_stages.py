"""Answer and claims of notebook 05b."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lib.allocation import per_request, surface
from lib.infra.intervals import mean_interval
from lib.notebook.report import LIKE_SYSTEM, THIS_SYSTEM, Report

MATTERS = 0.001  # of revenue: less would not pay for the work
ALL_BUDGETS = "mean of all budgets"


class Estimate(NamedTuple):
    """A number with its interval, and which re-draw that covers."""

    value: float
    low: float
    high: float
    covers: str

    def __str__(self):
        if np.isnan(self.low):
            return f"{self.value:+.2%} (no interval)"
        return f"{self.value:+.2%} ({self.low:+.2%} to {self.high:+.2%})"


def over_draws(values, errors=None, interval: float = 0.9) -> Estimate:
    """The mean over draws of the system; of a single one, its value with the test's own error.

    Draws without any spread, such as those in which two rules chose the same, say nothing of how
    far another draw may lie: there is no interval.

    Args:
      values: one a draw; errors: standard errors within each draw, that a single draw falls
        back on.

    >>> over_draws([0.01], [0.001]).covers, over_draws([0.01, 0.02]).covers
    ('this system measured again', 'another system like it')
    """
    values = np.asarray(values, float)
    if len(values) > 1:
        mean = mean_interval(values, interval)
        bounds = mean[1:] if np.ptp(values) else (np.nan, np.nan)
        return Estimate(mean.value, *bounds, LIKE_SYSTEM)
    error = np.nan if errors is None else float(np.asarray(errors)[0]) or np.nan
    half = stats.norm.ppf((1 + interval) / 2) * error
    return Estimate(float(values[0]), float(values[0] - half), float(values[0] + half), THIS_SYSTEM)


def of_rule(
    choices: pd.DataFrame, rule: str, column: str, budget=None, interval: float = 0.9
) -> Estimate:
    """A column of one rule over draws, at a budget (relative to today's) or its mean over all.

    Errors of several budgets count as if they were one: what errs in them is mostly the same.

    Args:
      choices: rows of `TwoStages.judge` with the columns draw and budget.
      column: "lift", "loss" or "gain".
    """
    rows = choices[choices.rule == rule]
    rows = rows if budget is None else rows[rows.budget == budget]
    means = rows.groupby("draw")[[column, f"{column}_se"]].mean()
    return over_draws(means[column], means[f"{column}_se"], interval)


def of_policy(
    requests: pd.DataFrame, menu: str, policy: str, column: str, interval: float = 0.9
) -> Estimate:
    """A column of one policy by request over draws."""
    rows = requests[(requests.menu == menu) & (requests.policy == policy)]
    return over_draws(rows[column], rows[f"{column}_se"], interval)


def answer(
    choices: pd.DataFrame, requests: pd.DataFrame, candidates: list, interval: float = 0.9
) -> str:
    """What each rule loses, and what choosing by request brings.

    Args:
      choices: see `of_rule`; requests: see `of_policy`; candidates: the numbers that were tested.
    """
    draws = choices.draw.nunique()
    arms = choices.groupby("rule")["arms tested"].first()

    def loses(rule):
        first = of_rule(choices, rule, "loss", 1.0, interval)
        return f"{first}, over all budgets {of_rule(choices, rule, 'loss', None, interval)}"

    by_request = "; ".join(
        f"{menu} {of_policy(requests, menu, per_request.PREDICTED, 'lift', interval)}"
        for menu in requests.menu.unique()
    )
    return (
        f"At today's cost, adding the lifts of sizes at today's number of candidates (Eq 9, "
        f"{arms[surface.EQ_9]} arms) loses {loses(surface.EQ_9)} of revenue against testing all "
        f"{arms[surface.EVERY_ARM]} arms. Adding the lift of the number of candidates as well "
        f"({arms[surface.ADDED]} arms) loses {loses(surface.ADDED)}; the surface fitted from "
        f"{arms[surface.FITTED]} arms {loses(surface.FITTED)}. "
        + _at_the_edge(choices, candidates)
        + "Choosing by request, by predicted gain, instead of one option for all at the same cost: "
        f"{by_request}. {100 * interval:g} % intervals, of "
        + (f"{draws} draws of the system." if draws > 1 else "one system's users.")
    )


def _at_the_edge(choices, candidates):
    """A sentence where the best arm of all always has the fewest, or the most, candidates tested.

    The optimum may then lie beyond.
    """
    best = set(choices.candidates[choices.rule == surface.EVERY_ARM])
    for name, edge in (("fewest", min(candidates)), ("most", max(candidates))):
        if best == {edge}:
            return f"The best of all arms always has the {name} candidates tested, {edge}. "
    return ""


def _choices_in_words(found):
    """What an interval of a difference between two choices leaves out."""
    if np.isnan(found.low) and found.value == 0:
        return "; both chose the same arms throughout"
    return "; the choices held fixed" if found.covers == THIS_SYSTEM else ""


def values(choices: pd.DataFrame, requests: pd.DataFrame, errors: pd.DataFrame) -> dict:
    """The answer's numbers, for summary.json."""
    return {
        "draws": int(choices.draw.nunique()),
        "loss": {
            rule: list(of_rule(choices, rule, "loss", 1.0)[:3]) for rule in choices.rule.unique()
        },
        "loss over all budgets": {
            rule: list(of_rule(choices, rule, "loss")[:3]) for rule in choices.rule.unique()
        },
        "lift by request": {
            menu: list(of_policy(requests, menu, per_request.PREDICTED, "lift")[:3])
            for menu in requests.menu.unique()
        },
        "error of untested arms": errors.drop(columns="draw").mean().to_dict(),
    }


def add(
    report: Report,
    choices: pd.DataFrame,
    requests: pd.DataFrame,
    errors: pd.DataFrame,
    interval: float = 0.9,
) -> None:
    """Add the claims to the report.

    Args:
      choices: see `of_rule`; requests: rows of `judge_requests` with draw and menu.
      errors: draw -> root mean square error of each rule's lifts of arms that neither tested.
    """
    for where, budget in (("today's cost", 1.0), (ALL_BUDGETS, None)):
        for name, rule, column in (
            ("testing every arm earns more than adding lifts (Eq 9)", surface.EVERY_ARM, "gain"),
            ("the fitted surface earns more than adding lifts (Eq 9)", surface.FITTED, "gain"),
            ("testing every arm earns more than the fitted surface", surface.FITTED, "loss"),
            (
                "testing every arm earns more than adding lifts, that of candidates too",
                surface.ADDED,
                "loss",
            ),
        ):
            found = of_rule(choices, rule, column, budget, interval)
            report.difference(
                f"{name}, {where}",
                found.value,
                found[1:3],
                margin=MATTERS,
                covers=found.covers,
                source="simulation; chosen from one window of visits, paid on another, same users"
                + _choices_in_words(found),
            )
    found = over_draws(errors[surface.ADDED] - errors[surface.FITTED], interval=interval)
    report.difference(
        "lifts of untested arms: the sum errs more than the fitted surface (root mean square)",
        found.value,
        found[1:3],
        covers=found.covers,
        source="simulation; arms that neither was fitted to, later visits",
    )
    for menu in requests.menu.unique():
        for name, column in (("one option for all", "lift"), ("the best mixture by lot", "gain")):
            found = of_policy(requests, menu, per_request.PREDICTED, column, interval)
            report.difference(
                f"choosing {menu} by request earns more than {name} of the same cost",
                found.value,
                found[1:3],
                margin=MATTERS,
                covers=found.covers,
                source="simulation; gains predicted for users that the model has not seen",
            )
