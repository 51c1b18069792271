"""Answer and claims of notebook 05c."""

import pandas as pd

from lib.infra.intervals import binomial_share, mean_interval
from lib.notebook.report import LIKE_SYSTEM, Report

LEAST_DRAWS = 5  # fewer decide nothing
MOST_MISSES = 5  # one draw of so many may miss
LITTLE = 0.001  # of revenue: a regret that does not matter


def errors(choices: pd.DataFrame) -> dict[str, float]:
    """Mean absolute error of the predicted gains, of predicting 0, and the mean of the first.

    Args:
      choices: a row a draw: predicted, measured.

    >>> table = pd.DataFrame({"predicted": [0.25, 0.75], "measured": [0.5, 0.5]})
    >>> errors(table)
    {'error': 0.25, 'no_gain': 0.5, 'bias': 0.0}
    """
    wrong = choices.predicted - choices.measured
    return {
        "error": float(wrong.abs().mean()),
        "no_gain": float(choices.measured.abs().mean()),
        "bias": float(wrong.mean()),
    }


def answer(
    choices: pd.DataFrame, options: pd.DataFrame, behind: pd.DataFrame, interval: float = 0.9
) -> str:
    """What the choices earned beside what was predicted, and what they lost against the best.

    Args:
      choices: a row a draw and decision; options: a row a draw, decision and option.
      behind: a row a draw and other size of Pre-ranking: its lifts behind_log and behind_today,
        behind the Matching that wrote the log and behind today's tower.
      interval: probability of the predicted intervals.
    """
    sentences = []
    for decision, rows in choices.groupby("decision", sort=False):
        size, count = errors(rows), len(rows)
        others = options[(options.decision == decision) & ~options.today]
        stay = int(rows.stays.sum())
        sentences.append(
            f"The chosen {decision} was predicted to earn {rows.predicted.mean():+.2%} and earned "
            f"{rows.measured.mean():+.2%} in {_mean_of(count)}"
            f"{f' ({stay} of them stay with today)' if stay else ''}: "
            f"{int(rows.inside.sum())} of {count} lie inside the {100 * interval:g} % interval, "
            f"predictions are off by {size['error']:.2%} where predicting no gain is off by "
            f"{size['no_gain']:.2%}; of all {decision}s {others.inside.mean():.0%} lie inside. "
            f"The best {decision} by the same test would have earned {rows.regret.mean():.2%} more "
            f"(at most {LITTLE:.1%} in {int((rows.regret <= LITTLE).sum())} of {count})."
        )
    sentences.append(
        "The sum of Eq 9 takes what a Pre-ranking earns behind the Matching that wrote its log, "
        f"{behind.behind_log.mean():+.2%} over all other sizes; behind today's tower the same "
        f"models earn {behind.behind_today.mean():+.2%}."
    )
    return " ".join(sentences)


def values(choices: pd.DataFrame) -> dict:
    """The answer's numbers, for summary.json."""
    return {
        decision: {
            "draws": len(rows),
            "inside": int(rows.inside.sum()),
            **errors(rows),
            "regret": rows.regret.tolist(),
            "regret_crossed": rows.regret_crossed.tolist(),
        }
        for decision, rows in choices.groupby("decision", sort=False)
    }


def add(report: Report, choices: pd.DataFrame, behind: pd.DataFrame, interval: float = 0.9) -> None:
    """Add the claims to the report.

    Args:
      choices, behind: as for `answer`; interval: probability of the predicted intervals.
    """
    for decision, rows in choices.groupby("decision", sort=False):
        count, stay = len(rows), int(rows.stays.sum())
        source = (
            f"world, loop, log and tests drawn anew each time, {count} in all; {stay} of the "
            "choices stay with today"
        )
        for name, hits in (
            (f"gain inside its predicted {100 * interval:g} % interval", rows.inside),
            (f"regret at most {LITTLE:.1%} of revenue", rows.regret <= LITTLE),
        ):
            share = binomial_share(int(hits.sum()), count)
            report.claim(
                f"deployed {decision}: {name}, in 4 of 5 draws",
                share.value,
                interval=(share.low, share.high),
                holds=_often_enough(share.inside, count),
                covers=LIKE_SYSTEM,
                source=source,
            )
        saved = rows.measured.abs() - (rows.predicted - rows.measured).abs()
        mean = mean_interval(saved, interval)
        report.difference(
            f"deployed {decision}: predicting the gain errs less than predicting none",
            mean.value,
            (mean.low, mean.high),
            covers=LIKE_SYSTEM,
            source=f"{source}; mean absolute errors, Student's t over draws",
        )
    more = (behind.behind_today - behind.behind_log).groupby(behind.draw).mean()
    mean = mean_interval(more, interval)
    report.difference(
        "Pre-ranking's other sizes earn more behind today's tower than behind the Matching that "
        "wrote their log",
        mean.value,
        (mean.low, mean.high),
        margin=LITTLE,
        covers=LIKE_SYSTEM,
        source="mean over sizes, Student's t over draws; Eq 9 takes them as equal",
    )


def _mean_of(count):
    return f"the mean of {count} draws" if count > 1 else "one draw, which decides nothing"


def _often_enough(hits, count):
    """Whether at most one draw of 5 misses; None for fewer draws."""
    return None if count < LEAST_DRAWS else (count - hits) * MOST_MISSES <= count
