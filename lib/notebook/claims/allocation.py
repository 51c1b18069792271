"""Answer and claims of notebook 05."""

from lib.allocation.stages import StageAllocation
from lib.experiments.matching_study import Additivity
from lib.notebook.report import THIS_SYSTEM, Report

PAPER_LIFT = 0.028
ADDITIVE = 0.001  # of revenue: lifts that add up to within it are said to add up
GAP = 1e-6  # of the revenue: nothing that a stage could earn is as little


def answer(
    chosen: StageAllocation, pairs: int, adding: Additivity | None = None, interval: float = 0.9
) -> str:
    """The pair of sizes, what it earns and costs, and whether lifts add up in the simulation.

    Args:
      chosen: the allocation; pairs: how many there were; interval: probability of its interval.
      adding: test of additivity by four arms; None with models of the reader's own.
    """
    text = (
        "At no more than today's cost, "
        + " with ".join(f"{name} {size}" for name, size in chosen.size_parameters.items())
        + f" is proven best of {pairs:,} pairs: {chosen.lift:+.2%} revenue "
        f"({100 * interval:g} %: {chosen.low:+.2%} to {chosen.high:+.2%}) at {chosen.cost:.2f} "
        "times the cost, if lifts add up."
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


def values(chosen: StageAllocation, pairs: int) -> dict:
    """The answer's numbers, for summary.json."""
    return {
        "lift": chosen.lift,
        "interval": [chosen.low, chosen.high],
        "cost": chosen.cost,
        "pairs": pairs,
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
