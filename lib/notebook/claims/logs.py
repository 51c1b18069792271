"""Answer and claims of notebook 00."""

from lib.notebook.report import Report

SETTLED = 0.01  # a round that changes revenue by less leaves nothing to wait for


def answer(summary, tenth: float, last_round=None) -> str:
    """What the log holds and, of a simulated one, whether its base has converged.

    Args:
      summary: `lib.logs.reader.LogSummary`; tenth: share of eCPM of the highest tenth of ads.
      last_round: last row of the closed loop's table; None: a log of the reader's own.
    """
    text = (
        f"{summary.impressions:,} impressions of {summary.shortest} to {summary.longest} ads "
        f"pass every check; {1 - summary.ranked_share:.0%} of the ads never reached Ranking, and "
        f"a tenth of the others hold {tenth:.0%} of the expected revenue."
    )
    if last_round is None:
        return text
    return (
        f"{text} The simulated base loses {-last_round.oracle_gap:.1%} of revenue to an oracle; "
        f"its last round changed revenue by {last_round.change:+.2%} "
        f"(± {last_round.change_se:.2%}), so it has {'' if settled(last_round) else 'not yet '}"
        "converged."
    )


def settled(last_round) -> bool:
    """Whether a round's change of revenue is 1 % at most, two standard errors allowed."""
    return bool(abs(last_round.change) <= SETTLED + 2 * last_round.change_se)


def add(report: Report, summary, last_round=None) -> None:
    """Add the claims to the report; arguments as of `answer`."""
    if last_round is not None:
        error = 2 * last_round.change_se
        report.claim(
            "the last round of the closed loop changed revenue by at most 1 %",
            last_round.change,
            interval=(last_round.change - error, last_round.change + error),
            holds=settled(last_round),
            source="simulation, paired test, 2 standard errors",
        )
    report.claim(
        "n is about 10, not always 10",
        summary.ads / summary.impressions,
        published=10,
        tolerance=0.5,
        source=f"{summary.shortest} to {summary.longest} ads an impression. "
        "Paper, appendix A: about 10 in training",
    )
    report.claim(
        "ads that never reached Ranking are in the log",
        1 - summary.ranked_share,
        holds=bool(summary.ranked_share < 1),
        source="Eq 1: their ecpm is 0",
    )
