"""Answer and claims of notebook 00."""

from lib.logs.description import WITHOUT_MONEY
from lib.notebook.report import THIS_SYSTEM, Report

SETTLED = 0.01  # a round that changes revenue by less leaves nothing to wait for
CONVERGENCE = {
    True: "it has converged",
    False: "it has not yet converged",
    None: "whether it has converged cannot be told",
}


def answer(summary, tenth: float, last_round=None) -> str:
    """What the log holds and, of a simulated one, whether its base has converged.

    Args:
      summary: `lib.logs.reader.LogSummary`; tenth: share of eCPM of the highest tenth of ads
        (not read where the log holds no money).
      last_round: last row of the closed loop's table; None: a log of the reader's own.
    """
    text = (
        f"{summary.impressions:,} impressions of {summary.shortest} to {summary.longest} ads "
        f"pass every check; "
    )
    if summary.ranked_share > 0:
        text += (
            f"{1 - summary.ranked_share:.0%} of the ads never reached Ranking, and "
            f"a tenth of the others hold {tenth:.0%} of the expected revenue."
        )
    else:
        text += (
            "no ad has an eCPM above 0. Without money R/R\\* does not exist: "
            f"{', '.join(WITHOUT_MONEY[:-1])} and {WITHOUT_MONEY[-1]} remain as the metric "
            "of notebook 02, and nothing can be said of revenue."
        )
    if last_round is None:
        return text
    return (
        f"{text} The simulated base loses {-last_round.oracle_gap:.1%} of revenue to an oracle; "
        f"its last round changed revenue by {last_round.change:+.2%} "
        f"(± {last_round.change_se:.2%}), so {CONVERGENCE[settled(last_round)]}."
    )


def settled(last_round) -> bool | None:
    """Whether a round changes revenue by 1 % at most; None where two standard errors hide it."""
    change, error = abs(last_round.change), 2 * last_round.change_se
    return True if change + error <= SETTLED else False if change - error > SETTLED else None


def add(report: Report, summary, last_round=None) -> None:
    """Add the claims to the report; arguments as of `answer`."""
    if last_round is not None:
        error = 2 * last_round.change_se
        report.claim(
            "the last round of the closed loop changed revenue by at most 1 %",
            last_round.change,
            interval=(last_round.change - error, last_round.change + error),
            holds=settled(last_round),
            covers=THIS_SYSTEM,
            source="simulation, paired test, 2 standard errors",
        )
        # The simulated log is made so: the paper's n of about 10 (appendix A), losers among them.
        report.check("n is about 10", 9.5 <= summary.ads / summary.impressions <= 10.5)
        report.check("ads that never reached Ranking are in the log", summary.ranked_share < 1)
