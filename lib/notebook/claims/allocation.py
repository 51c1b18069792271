"""Answer and claims of notebook 05."""

from lib.allocation.stages import StageAllocation
from lib.experiments.matching_study import Additivity
from lib.notebook.report import Report

PAPER_LIFT = 0.028
GAP = 1e-6  # of the revenue: nothing that a stage could earn is as little


def answer(
    chosen: StageAllocation, pairs: int, adding: Additivity | None = None, interval: float = 0.9
) -> str:
    """The pair of sizes, what it earns and costs, and whether lifts add up in the simulation.

    Args:
      chosen: the allocation; pairs: how many there were; interval: probability of its interval.
      adding: test of additivity; None with models of the reader's own.
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
    base, oracle = adding.under_base, adding.under_oracle
    return (
        f"{text} In the simulation the largest tower is worth {base.revenue_lift:+.2%} "
        f"(± {base.revenue_lift_se:.2%}) with the trained Pre-ranking and "
        f"{oracle.revenue_lift:+.2%} (± {oracle.revenue_lift_se:.2%}) with a perfect one."
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
        source="paper, 5.2, measured online; here the scale model's laws, and its base was not "
        "badly allocated to begin with",
    )
    report.claim(
        "the solver's gap is zero",
        chosen.gap,
        tolerance=GAP,
        holds=chosen.gap <= GAP * revenue_per_hour,
        source="HiGHS",
    )
    if adding is not None:
        error = 2 * adding.standard_error
        report.claim(
            "lifts of the two stages add up",
            adding.difference,
            interval=(adding.difference - error, adding.difference + error),
            holds=bool(abs(adding.difference) <= error),
            source="simulation: difference of the tower's lift under two Pre-rankings",
        )
