"""Answer and claims of notebook 04."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.design import paper_case
from lib.design.decision import Decision
from lib.notebook.report import Report

PAPER_SIZES, PAPER_LIFT = 1000, paper_case.LIFT
ABOUT = PAPER_SIZES // 10  # what "approximately" leaves open


def answer(decision: Decision, ranked: pd.DataFrame, choices: pd.DataFrame) -> str:
    """The choice, its confidence, its price and regret, and what to measure next.

    Args:
      ranked: of `rank_measurements`; choices: of `lib.design.decision.choices`, the last row that
        of `decision`.
    """
    economics, choice = decision.economics, decision.choice
    low, high = (bounds[choice] for bounds in economics.lift_bounds)
    money = economics.revenue_per_hour
    sizes = economics.sizes.size_parameters
    text = (
        f"Of {len(economics.lift):,} sizes {sizes[choice].tolist()} earns most of those that keep "
        f"an {economics.roi} ROI of {economics.roi_min:g} with {decision.confidence:.0%} "
        f"confidence: {_revenue_lift(decision):+.2%} revenue "
        f"({100 * economics.interval:g} %: {low:+.2%} to {high:+.2%}) for "
        f"{economics.relative_cost[choice]:.2f} times the base's cost. Its expected regret is "
        f"{decision.regret[choice] / money:.2%} of revenue; "
    )
    if decision.least_regret != choice:
        least = decision.least_regret
        text += (
            f"the smallest, {decision.regret[least] / money:.2%}, is that of "
            f"{sizes[least].tolist()}, which keeps the bound with a probability of "
            f"{decision.probability_of_bound[least]:.0%}. "
        )
    else:
        text += "no size has a smaller one. "
    alike, near = np.count_nonzero(decision.near_equivalent), decision.near_best.max()
    text += (
        f"{alike or 'No'} {'size is' if alike <= 1 else 'sizes are'} within "
        f"{decision.tolerance:.2%} of revenue of the best in {decision.near_share:.0%} of draws"
    )
    text += "" if alike else f" (the nearest in {near:.0%})"
    return text + f". {_next(ranked)}{_steps(choices)}"


def _revenue_lift(decision):
    economics = decision.economics
    extra = np.subtract(*decision.expected_revenue[[decision.choice, economics.base]])
    return extra / economics.revenue_per_hour


def _next(ranked):
    first = ranked.iloc[0]
    if not first.per_hour > ranked.attrs["resolution"]:
        return "No single measurement would change the decision for the better. "
    return (
        f"Worth most to measure next: {first.kind} with {first.size_parameters}, "
        f"{first.of_perfect:.0%} of what knowing everything would bring. "
    )


def _steps(choices):
    serving, last = choices.iloc[0], choices.iloc[-1]
    if len(choices) == 1:
        return "Only the cost of serving was counted."
    if serving.size_parameters == last.size_parameters:
        return "By the cost of serving alone the choice would be the same."
    return f"By the cost of serving alone the choice would be {serving.size_parameters}."


def values(decision: Decision, ranked: pd.DataFrame) -> dict:
    """The answer's numbers, for summary.json."""
    economics, choice = decision.economics, decision.choice
    return {
        "size_parameters": economics.sizes.size_parameters[choice].tolist(),
        "lift": _revenue_lift(decision),
        "sizes": len(economics.lift),
        "probability_of_bound": decision.probability_of_bound[choice],
        "regret_per_hour": decision.regret[choice],
        "perfect_information_per_hour": decision.perfect_information,
        "near_equivalent": int(np.count_nonzero(decision.near_equivalent)),
        "next_measurement": f"{ranked.kind[0]} with {ranked.size_parameters[0]}",
        "next_measurement_per_hour": ranked.per_hour[0],
    }


def add(
    report: Report,
    decision: Decision,
    ratio_from: str,
    covers: str,
    published: int | None = None,
    choices: pd.DataFrame | None = None,
) -> None:
    """Add the claims to the report.

    Args:
      ratio_from: how the grid reads the 1/20 rule (`lib.design.size_grid`); "" for a grid of the
        reader's own, which is not held against the paper's.
      covers: which re-draw the lifts' intervals are for (`lib.notebook.report.COVERS`).
      published: index of the size that the paper chose, if the grid holds it.
      choices: of `lib.design.decision.choices`, serving's first; None, or one row: no other cost.
    """
    economics, choice = decision.economics, decision.choice
    low, high = economics.lift_bounds
    if ratio_from:
        report.claim(
            "sizes in the grid of B.1",
            len(economics.lift),
            published=PAPER_SIZES,
            published_interval=(PAPER_SIZES - ABOUT, PAPER_SIZES + ABOUT),
            margin=ABOUT,
            source=f"paper: 'approximately 1000'; 1/20 rule read from '{ratio_from}'",
        )
    if choice == economics.base:
        report.claim(
            "the choice earns more than the base",
            0.0,
            holds=False,
            source="the base is the choice: no other size keeps the bound so surely and earns more",
        )
    else:
        report.difference(
            "the choice earns more than the base",
            _revenue_lift(decision),
            (low[choice], high[choice]),
            covers=covers,
            source=f"{100 * economics.interval:g} % over joint draws of law and G",
        )
    report.claim(
        f"a size is within {decision.tolerance:.2%} of revenue of the best in "
        f"{decision.near_share:.0%} of draws",
        float(decision.near_best.max()),
        holds=bool(decision.near_equivalent.any()),
        source="highest share of the joint draws of law, G and cost",
    )
    if choices is not None and len(choices) > 1:
        serving, last = choices.size_parameters.iloc[0], choices.size_parameters.iloc[-1]
        report.claim(
            "all costs together lead to another choice than serving's alone",
            holds=serving != last,
            source=f"{serving} by serving, {last} by all",
        )
    if published is not None:
        report.claim(
            "the paper's size earns 0.85 % more than the base",
            economics.lift[published],
            interval=(low[published], high[published]),
            published=PAPER_LIFT,
            margin=PAPER_LIFT / 2,  # a wider interval holds no lift as well
            covers=covers,
            source="paper, 5.1, measured online, its own error not given; here by the scale "
            "model's law and G",
        )


def add_paper_case(report: Report, regions: Mapping[str, pd.DataFrame]) -> None:
    """Whether the paper's size can be the answer where inputs cost nothing beside serving.

    Args:
      regions: name of a model of the serving cost -> table of `answer_region`, price 0 first.
    """
    for name, region in regions.items():
        first = region.iloc[0]
        report.claim(
            f"by serving cost alone some λ makes the paper's size the answer ({name})",
            first.high / first.low if np.isfinite(first.low) and first.low > 0 else None,
            holds=bool(first.possible),
            source="largest over smallest λ that Eq 8 allows; below 1 there is none",
        )
