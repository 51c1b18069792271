"""Answer and claims of notebook 05."""

import pandas as pd

from lib.allocation.knapsack import Allocation
from lib.allocation.stages import StageAllocation
from lib.experiments.matching_study import Additivity
from lib.notebook.report import THIS_SYSTEM, Report

PAPER_LIFT = 0.028
ADDITIVE = 0.001  # of revenue: lifts that add up to within it are said to add up
GAP = 1e-6  # of the revenue: nothing that a stage could earn is as little


def answer(
    chosen: StageAllocation,
    pairs: int,
    adding: Additivity | None = None,
    interval: float = 0.9,
    ways: pd.DataFrame | None = None,
) -> str:
    """The pair of sizes, what it earns and costs, and whether lifts add up in the simulation.

    Args:
      chosen: the allocation; pairs: how many there were; interval: probability of its interval.
      adding: test of additivity by four arms; None with models of the reader's own.
      ways: of `lib.allocation.stages.ways_compared`.
    """
    text = (
        "At no more than today's cost, "
        + " with ".join(f"{name} {size}" for name, size in chosen.size_parameters.items())
        + f" is proven best of {pairs:,} pairs: {chosen.lift:+.2%} revenue "
        f"({100 * interval:g} %: {chosen.low:+.2%} to {chosen.high:+.2%}) at {chosen.cost:.2f} "
        "times the cost, if lifts add up."
    )
    if ways is not None:
        lift = ways.set_index("way")["lift"]
        text += (
            f" One factor for all base models would earn {lift['proportional']:+.2%} by the same "
            f"estimates, steps of highest marginal ROI {lift['greedy']:+.2%}; one unit of money "
            f"more for machines would earn {chosen.shadow_price:.2f}."
        )
    if adding is None:
        return text
    tower, model, both = adding.matching_alone, adding.pre_ranking_alone, adding.both
    return (
        f"{text} Of the models trained in the simulation, tower {adding.tower} and Pre-ranking "
        f"{adding.pre_ranking} have the sizes nearest to these: alone they are worth "
        f"{tower.revenue_lift:+.2%} (± {tower.revenue_lift_se:.2%}) and {model.revenue_lift:+.2%} "
        f"(± {model.revenue_lift_se:.2%}), together {both.revenue_lift:+.2%} "
        f"(± {both.revenue_lift_se:.2%}), which is {adding.difference:+.2%} "
        f"(± {adding.standard_error:.2%}) beyond the sum."
    )


def answer_of_scenarios(chosen: Allocation, rows: pd.DataFrame) -> str:
    """What the chosen sizes of a table's scenarios (a row each) earn and cost, and how proven."""
    changed = ""
    if "today" in rows:
        changed = f", of which {int((~rows['today'].astype(bool)).sum()):,} leave today's size"
    own = {name: price for name, price in chosen.pool_shadow_prices.items() if price > 0}
    pools = "".join(f", of pool {name} {price:.4g}" for name, price in own.items())
    return (
        f"{len(rows):,} scenarios{changed}, earn {chosen.revenue:,.2f} per hour at a cost of "
        f"{chosen.cost:,.2f}; no allocation within the bounds earns more than {chosen.gap:.2g} "
        f"beyond it (proven). One unit of budget more would earn {chosen.shadow_price:.4g}{pools}."
    )


def values_of_scenarios(chosen: Allocation) -> dict:
    """The numbers of that answer, for summary.json."""
    return {
        "revenue": chosen.revenue,
        "cost": chosen.cost,
        "gap": chosen.gap,
        "shadow_price": chosen.shadow_price,
    }


def values(chosen: StageAllocation, pairs: int) -> dict:
    """The answer's numbers, for summary.json."""
    return {
        "lift": chosen.lift,
        "interval": [chosen.low, chosen.high],
        "cost": chosen.cost,
        "pairs": pairs,
        "shadow_price": chosen.shadow_price,
    }


def add(
    report: Report,
    chosen: StageAllocation,
    revenue_per_hour: float,
    adding: Additivity | None = None,
) -> None:
    """Add the claims to the report; that lifts add up only where it was tested."""
    report.claim(
        "allocation over both stages at no more cost, revenue lift",
        chosen.lift,
        interval=(chosen.low, chosen.high),
        published=PAPER_LIFT,
        margin=PAPER_LIFT / 2,  # a wider interval holds no lift as well
        covers=THIS_SYSTEM,
        source="paper, 5.2, measured online; here the scale model's laws, and its base was not "
        "badly allocated to begin with",
    )
    report.check("the solver's gap is zero", chosen.gap <= GAP * revenue_per_hour)
    if adding is not None:
        error = 2 * adding.standard_error
        low, high = adding.difference - error, adding.difference + error
        report.claim(
            "lifts of the two stages add up (both together less the sum)",
            adding.difference,
            interval=(low, high),
            margin=ADDITIVE,
            holds=True
            if -ADDITIVE <= low and high <= ADDITIVE
            else None
            if low <= 0 <= high
            else False,
            covers=THIS_SYSTEM,
            source=f"simulation, four arms: tower {adding.tower}, Pre-ranking "
            f"{adding.pre_ranking}; 2 standard errors, paired by user",
        )
