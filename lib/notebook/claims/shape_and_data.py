"""Answer and claims of notebook 02b: what a shape costs, and whether size or data come next."""

import numpy as np
import pandas as pd

from lib.experiments.shape_study.breakpoint import Break
from lib.experiments.shape_study.differences import Spread
from lib.experiments.shape_study.shapes import RULE
from lib.laws.growth import Growth
from lib.laws.joint import JointPowerLaw
from lib.notebook.report import THIS_SYSTEM, Report

BREAK_MARGIN = 10.0  # a rule of 10 or of 30 would say another thing
EQUAL_SHARES = 0.5
SHARE_MARGIN = 0.1


def answer(
    shapes: pd.DataFrame,
    found: Break,
    within: Spread,
    growth: Growth,
    next_unit: pd.DataFrame,
    name: str,
    interval: float = 0.9,
) -> str:
    """What the paper's bad shape loses, where losing begins, and what the next unit is best for.

    Args:
      shapes: of `by_level`; found: the break of the ratio; within: spread of shapes within the
        rule; growth: of the metric by doublings of FLOPs, of those shapes.
      next_unit: of `lib.experiments.shape_study.spending.next_unit`; name: of the metric.
    """
    bad = _nearest_to_paper(shapes)
    lost = ", ".join(
        f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f}) at {row.flops:,} FLOPs"
        for row in bad.itertuples()
    )
    better = next_unit.loc[next_unit["return"].idxmax()]
    return (
        f"Against shapes within the 1/20 rule, [w, w/32, w/32, w/32, 1] moves {name} by {lost}. "
        f"Losing begins at a ratio of {_bounds(found)}; within the rule shapes of equal FLOPs "
        f"scatter by {within.sd:.4f} (standard deviation, {interval:.0%}: {within.low:.4f} to "
        f"{within.high:.4f}), a doubling of FLOPs adds {growth.per_doubling:+.4f}. At the base "
        f"the next unit of money is better spent on {better.spent_on} (probability "
        f"{better.probability:.2f}): it returns {_returns(next_unit)}."
    )


def values(found: Break, within: Spread, law: JointPowerLaw, next_unit: pd.DataFrame) -> dict:
    """The answer's numbers, for summary.json."""
    by_use = next_unit.set_index("spent_on")
    return {
        "break": [found.value, found.low, found.high],
        "spread_within_rule": [within.sd, within.low, within.high],
        "noise_of_a_training": within.noise,
        "joint_law": law.params_,
        "return_of_size": by_use.loc["a bigger model", "return"],
        "return_of_data": by_use.loc["more data", "return"],
        "probability_of_data": by_use.loc["more data", "probability"],
    }


def add_shapes(
    report: Report,
    shapes: pd.DataFrame,
    found: Break,
    within: Spread,
    growth: Growth,
    name: str,
    seeds: int,
) -> None:
    """What bad shapes lose, where it begins, and whether FLOPs decide within the rule."""
    source = f"{seeds} seeds a shape, paired with those within the rule; over seeds and impressions"
    for row in _nearest_to_paper(shapes).itertuples():
        report.difference(
            f"a shape of ratio {row.drop:.0f} has less {name} at {row.flops:,} FLOPs "
            "(shapes within the rule less it)",
            -row.difference,
            (-row.high, -row.low),
            covers=THIS_SYSTEM,
            source=f"paper, appendix C.1: degrades significantly. Here {source}",
        )
    report.claim(
        "shapes lose from a ratio of neighbouring layers of 20 on (where losing begins)",
        found.value,
        interval=(found.low, found.high),
        published=RULE,
        margin=BREAK_MARGIN,
        covers=THIS_SYSTEM,
        source="paper, appendix C.1, from experience; here a broken line through all levels"
        + ("" if all(found.is_bounded) else ", which the shapes do not bound on both sides"),
    )
    gain = growth.per_doubling
    report.claim(
        "within the rule FLOPs decide: shapes of equal FLOPs scatter by less than a doubling adds",
        within.sd,
        interval=(within.low, within.high),
        holds=True if within.high < gain else False if within.low > gain else None,
        covers=THIS_SYSTEM,
        source=f"standard deviation of shapes' true means (p = {within.p_value:.2g} that all are "
        f"alike); a doubling adds {gain:+.4f} ({growth.low:+.4f} to {growth.high:+.4f})",
    )


def add_carried_over(report: Report, carried: pd.DataFrame) -> None:
    """Whether the ratio, rather than the units of the narrowest layer, carries over to other FLOPs.

    Args:
      carried: of `lib.experiments.shape_study.breakpoint.compared`, by "ratio" and by another.
    """
    error = carried.groupby("property", sort=False).error.mean()
    other = error.index[error.index != "ratio"][0]
    none = carried.groupby("property").no_loss.mean()["ratio"]
    report.claim(
        f"the ratio says better than the {other} what a shape loses at other FLOPs",
        error[other] - error["ratio"],
        holds=bool(error["ratio"] < error[other]) if min(error) < none else None,
        source=f"mean absolute error at levels left out: by ratio {error['ratio']:.4f}, by {other} "
        f"{error[other]:.4f}, by no loss at all {none:.4f}",
    )


def add_revenue(report: Report, expected: pd.DataFrame, measured: pd.DataFrame) -> None:
    """Whether G says what a shape beyond the rule costs, in revenue."""
    beyond = ~measured.within_rule
    if not beyond.any():
        return
    error = (expected.lift - measured.difference)[beyond].abs().mean()
    no_loss = measured.difference[beyond].abs().mean()
    noise = ((measured.high - measured.low) / 2)[beyond].mean()
    worst = measured[beyond].loc[measured.difference[beyond].idxmin()]
    report.claim(
        "G says what shapes beyond the rule cost in revenue (mean absolute error of the lift)",
        error,
        holds=bool(error < no_loss) if no_loss > noise else None,
        source=f"{beyond.sum()} shapes, paired tests, each known to {noise:.2%}; predicting no "
        f"loss is off by {no_loss:.2%}. The worst, {worst.model}, earns {worst.difference:+.2%} "
        f"({worst.low:+.2%} to {worst.high:+.2%})",
    )


def add_joint_law(
    report: Report, law: JointPowerLaw, unseen: pd.DataFrame, name: str, interval: float
) -> None:
    """How the law does at the largest size with most data, which it was fitted without.

    Args:
      law: of all passes; unseen: of `lib.experiments.shape_study.joint_fit.unseen_corner`.
    """
    for row in unseen.itertuples():
        report.claim(
            f"the joint law predicts {name} of the largest size with most data, not seen (error)",
            row.predicted - row.measured,
            interval=(row.low - row.measured, row.high - row.measured),
            holds=bool(row.low <= row.measured <= row.high),
            covers=THIS_SYSTEM,
            source=f"predicted {row.predicted:.4f}, measured {row.measured:.4f}; fitted without "
            "the largest size and without the most data",
        )
    share, low, high = law.exponents(interval)["size"]
    report.claim(
        "were training all that costs, size and data would deserve equal shares (power of the "
        "budget that the best size grows by)",
        share,
        interval=(low, high),
        published=EQUAL_SHARES,
        margin=SHARE_MARGIN,
        covers=THIS_SYSTEM,
        source="joint law; Hoffmann et al. 2022 of language models",
    )


def add_money(
    report: Report, next_unit: pd.DataFrame, by_price: pd.DataFrame, today: float
) -> None:
    """Where the next unit of money goes at today's prices, and at which price that turns."""
    data = next_unit.set_index("spent_on").loc["more data"]
    ratio = by_price.iloc[(by_price.training_over_serving - today).abs().argmin()]
    report.claim(
        "at the base the next unit of money earns more spent on data than on size (ratio)",
        ratio.data_over_size,
        interval=(ratio.low, ratio.high),
        holds=True if ratio.low > 1 else False if ratio.high < 1 else None,
        covers=THIS_SYSTEM,
        source=f"joint law; training costs {today:g} of serving; probability {data.probability:.2f}"
        f"; {_turn(by_price)}",
    )


def turning_price(by_price: pd.DataFrame) -> float:
    """Training over serving cost at which data and size return the same; NaN beyond the table.

    >>> table = pd.DataFrame({"training_over_serving": [0.1, 10], "data_over_size": [10, 0.1]})
    >>> round(turning_price(table), 6)
    1.0
    """
    x, y = np.log(by_price.training_over_serving), np.log(by_price.data_over_size)
    if not y.iloc[0] > 0 > y.iloc[-1]:
        return float("nan")
    return float(np.exp(np.interp(0, y[::-1], x[::-1])))


def _turn(by_price):
    turn = turning_price(by_price)
    if np.isfinite(turn):
        return f"both return the same where training costs {turn:.2g} of serving"
    return "the better one is the same at all prices drawn"


def _nearest_to_paper(shapes):
    """The row of each level whose shape is [w, w/32, w/32, w/32, 1], or of the largest ratio."""
    ratios = shapes[shapes.is_ratio]
    papers = ratios[ratios["shape"] == "ratio 32"]
    return papers if len(papers) else ratios.loc[ratios.groupby("level")["drop"].idxmax()]


def _bounds(found):
    low, high = found.is_bounded
    text = f"{found.value:.0f} (90 %: {found.low:.0f} to {found.high:.0f})"
    return text + ("" if low and high else ", not bounded " + _side(low, high))


def _side(low, high):
    return "on either side" if not (low or high) else "from above" if low else "from below"


def _returns(next_unit):
    parts = [
        f"{row['return']:.2f} ({row.return_low:.2f} to {row.return_high:.2f}) spent on "
        f"{row.spent_on}"
        for _, row in next_unit.iterrows()
    ]
    return " and ".join(parts)
