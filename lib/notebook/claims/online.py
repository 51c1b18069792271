"""Answer and claims of notebook 07: what staleness, size and asynchrony cost online."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lib.notebook.figures.online import ANEW, policy_name
from lib.notebook.report import LIKE_SYSTEM, Report
from lib.online.study.published import MONOLITH

COUNTS = 0.001  # R/R*: less is too little to matter
COUNTS_IN_MONEY = 0.001  # fraction of revenue
PAPER = "section 3.4 and appendix A: exports every 20 minutes"


def _row(table: pd.DataFrame, size: str, policy: str) -> Any:
    return table[(table["size"] == size) & (table.policy == policy)].iloc[0]


def answer(costs: pd.DataFrame, slopes: pd.DataFrame, base: str, freshest: str, day: str) -> str:
    """What a day's staleness costs, what 20 minutes cost, whether size pays online as offline.

    Args:
      costs: of `lib.online.study.results.costs_of_staleness`; slopes: of `size_slopes`.
      base: size; freshest: policy; day: policy of the longest interval.
    """
    text = []
    own = costs[(costs["size"] == base) & ~costs.policy.isin([freshest, ANEW])]
    own = own.assign(minutes=own.policy.str.split().str[0].astype(int)).sort_values("minutes")
    for row in own.itertuples():
        text.append(f"{policy_name(row.policy)} {row.cost:.4f} ({row.low:.4f} to {row.high:.4f})")
    slope = slopes.set_index("what")
    money = _row(costs, base, day)
    return (
        f"Against exports every {policy_name(freshest)}, longer intervals cost in R/R*: "
        f"{', '.join(text)}. Of revenue, an interval of {policy_name(day)} costs "
        f"{money.revenue_cost:.2%} ({money.revenue_low:.2%} to {money.revenue_high:.2%}). "
        f"A doubling of FLOPs gives {slope.slope['online']:.4f} online "
        f"({slope.low['online']:.4f} to {slope.high['online']:.4f}) and "
        f"{slope.slope['offline']:.4f} offline; the cost of a day's staleness changes by "
        f"{slope.slope['staleness']:.4f} with it ({slope.low['staleness']:.4f} to "
        f"{slope.high['staleness']:.4f})."
    )


def values(costs: pd.DataFrame, slopes: pd.DataFrame, base: str) -> dict[str, Any]:
    """The answer's numbers, for summary.json."""
    own = costs[costs["size"] == base].set_index("policy")
    return {
        "costs": own.cost.to_dict(),
        "revenue_costs": own.revenue_cost.to_dict(),
        "slopes": slopes.set_index("what").slope.to_dict(),
    }


def add(
    report: Report,
    *,
    costs: pd.DataFrame,
    anew: pd.DataFrame,
    drift: pd.DataFrame,
    slopes: pd.DataFrame,
    late: pd.DataFrame,
    closed: pd.DataFrame,
    base: str,
    freshest: str,
    served: str,
    day: str,
    draws: int,
) -> None:
    """All claims; tables as of `lib.online.study.results`, `anew` against the policy `served`."""
    by = {"covers": LIKE_SYSTEM}
    source = f"{draws} draws of the simulated system"
    _staleness(report, costs, base, freshest, day, by, source)
    row = drift[drift.policy == day].iloc[0]
    report.difference(
        f"exports every {policy_name(day)} lose more R/R* where the world drifts than where it "
        "stands still",
        row.difference,
        (row.difference_low, row.difference_high),
        margin=COUNTS,
        source=f"{source}; in a still world old weights have only been trained less",
        **by,
    )
    row = _row(anew, base, ANEW)
    for what, name, margin in (("R/R*", "", COUNTS), ("revenue", "revenue_", COUNTS_IN_MONEY)):
        value = row[f"{name}cost"]
        bounds = row[f"{name}low"], row[f"{name}high"]
        report.difference(
            f"training anew each day loses {what} against training online",
            value,
            bounds,
            margin=margin,
            source=f"{source}; exports every {policy_name(served)}; {MONOLITH}",
            **by,
        )
    _sizes(report, slopes, by, source)
    _asynchrony(report, late, by, source)
    if len(closed):
        row = closed[closed.run == "closed loop"].iloc[0]
        report.difference(
            "stale weights lose revenue also where the model makes the log it is trained on",
            row.cost,
            (row.low, row.high),
            margin=COUNTS_IN_MONEY,
            source=f"{source}; closed loop, longest against shortest interval",
            **by,
        )


def _staleness(report, costs, base, freshest, day, by, source):
    own = costs[(costs["size"] == base) & ~costs.policy.isin([freshest, ANEW])]
    for row in own.sort_values("cost").itertuples():
        report.difference(
            f"exports every {policy_name(row.policy)} lose R/R* against every "
            f"{policy_name(freshest)}",
            row.cost,
            (row.low, row.high),
            margin=COUNTS,
            source=f"{source}; {PAPER}",
            **by,
        )
    row = _row(costs, base, day)
    report.difference(
        f"exports every {policy_name(day)} lose revenue against every {policy_name(freshest)}",
        row.revenue_cost,
        (row.revenue_low, row.revenue_high),
        margin=COUNTS_IN_MONEY,
        source=f"{source}; paired tests",
        **by,
    )


def _sizes(report, slopes, by, source):
    said = {
        "online": "R/R* grows with FLOPs online",
        "difference": "a doubling of FLOPs gives more R/R* online than it did offline",
        "staleness": "bigger models lose more R/R* by a day's staleness, a doubling of FLOPs",
    }
    for row in slopes[slopes.what.isin(list(said))].itertuples():
        report.difference(
            said[row.what],
            row.slope,
            (row.low, row.high),
            margin=COUNTS,
            source=f"{source}; slope on log2 FLOPs",
            **by,
        )


def _asynchrony(report, late, by, source):
    for row in late[late.staleness > 0].itertuples():
        which = "all gradients" if row.delayed == "all" else "the embeddings' gradients"
        report.difference(
            f"{which} {row.staleness} steps late lose R/R*",
            row.cost,
            (row.low, row.high),
            margin=COUNTS,
            source=f"{source}; from a model trained in time, at the same learning rate",
            **by,
        )
