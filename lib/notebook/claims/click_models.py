"""Answers and claims of notebook 06: data, parameters or compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lib.experiments.dlrm_study.gains import COUNTS, DATA
from lib.experiments.dlrm_study.resource_laws import COMPUTE, NAMES, ResourceLaw
from lib.notebook.figures.click_models import FAMILIES, SHORT
from lib.notebook.report import LIKE_SYSTEM, THIS_SYSTEM, Report

PAPER = "Ardalani et al. 2022, abstract"


def _law_of(law: ResourceLaw) -> str:
    """A resource's law as half a sentence."""
    exponent, constant = law.intervals
    text = f"exponent {law.law.exponent_:.2f} ({exponent.low:.2f} to {exponent.high:.2f}"
    text += ")" if exponent.identified else ", not identified)"
    text += f", constant {law.law.constant_:.3f} ({constant.low:.3f} to {constant.high:.3f}"
    return text + (")" if constant.identified else ", not identified)")


def answer(
    laws: Mapping[str, ResourceLaw],
    ranked: pd.DataFrame,
    steam: pd.DataFrame,
    samples: int,
    verdicts: pd.DataFrame | None,
    dataset: str,
) -> str:
    """What doubling each resource gives here, and in how many streams data win.

    Args:
      laws: of `resource_laws`; ranked: of `gains.returns`; steam: of `gains.out_of_steam`.
      samples: at which the two stand; verdicts: of `worlds.where_data_wins`, or None.
      dataset: where it was measured.
    """
    gain = ranked.set_index("way")
    doubled = gain.loc[DATA]
    best = gain.drop(index=DATA).gain.idxmax()
    text = (
        f"On {dataset} clicks, after {samples:,} samples, doubling the data lowers the loss by "
        f"{doubled.gain:.2%} ({doubled.low:.2%} to {doubled.high:.2%}), doubling the best part of "
        f"the model, its {SHORT[best]}, by {gain.gain[best]:.2%} ({gain.low[best]:.2%} to "
        f"{gain.high[best]:.2%})"
    )
    out = [row.way for row in steam.itertuples() if row.out_of_steam is True]
    text += (
        f"; out of steam (less than {COUNTS:.2%}): {', '.join(SHORT[w] for w in out)}."
        if out
        else f"; no way of scaling is shown to be out of steam (less than {COUNTS:.2%})."
    )
    if DATA in laws:
        text += f" The law of data has {_law_of(laws[DATA])}."
    if verdicts is None:
        return text
    last = verdicts[verdicts.samples == verdicts.samples.max()]
    count = last.verdict.value_counts()
    return text + (
        f" Of {len(last)} simulated streams, after {last.samples.iloc[0]:,} samples, four times "
        f"the data gain more than four times any part in {count.get('data', 0)}, less in "
        f"{count.get('parameters', 0)}; {count.get('undecided', 0)} are undecided, and in "
        f"{count.get('nothing', 0)} neither counts."
    )


def values(laws: Mapping[str, ResourceLaw], steam: pd.DataFrame) -> dict[str, Any]:
    """The answer's numbers, for summary.json."""
    return {
        "exponents": {resource: law.law.exponent_ for resource, law in laws.items()},
        "constants": {resource: law.law.constant_ for resource, law in laws.items()},
        "gain_over_data": dict(zip(steam.way, steam.ratio)),
    }


def questions(
    laws: Mapping[str, ResourceLaw],
    steam: pd.DataFrame,
    best: pd.DataFrame | None,
    verdicts: pd.DataFrame | None,
    floor: float | None,
) -> str:
    """The abstract's four questions, each with evidence, limits and verdict, as Markdown."""
    return "\n\n".join(
        [
            _as_predicted(laws),
            _far_off(laws),
            _limits(laws, floor),
            _implications(steam, best, verdicts),
        ]
    )


def _names(laws, of):
    names = [NAMES[resource] for resource, law in laws.items() if of(law)]
    return ", ".join(names) if names else "none"


def _as_predicted(laws):
    follows = {resource: law.follows for resource, law in laws.items()}
    yes = _names(laws, lambda law: follows[law.resource] is True)
    no = _names(laws, lambda law: follows[law.resource] is False)
    open_ = _names(laws, lambda law: follows[law.resource] is None)
    return (
        "**1. Does a recommendation model scale sustainably, as scaling laws predict?** "
        f"A power law plus constant fits, and neither a flat nor a straight line does: {yes}. "
        f"It does not fit, or nothing falls: {no}. Not decided between it and a straight line in "
        f"the logarithm: {open_}. Limit: a law that fits the measured range may bend beyond it."
    )


def _far_off(laws):
    tested = {r: law.held_out for r, law in laws.items() if law.held_out}
    held = [NAMES[r] for r, out in tested.items() if out.held]
    missed = [
        f"{NAMES[r]} ({out.predicted:.4f} predicted, {out.measured:.4f} measured)"
        for r, out in tested.items()
        if not out.held
    ]
    return (
        "**2. Or are we far off from what the laws predict?** Laws of all but the largest size "
        f"foresaw it, within their interval, for {', '.join(held) or 'none'}; they missed it for "
        f"{', '.join(missed) or 'none'}. Limit: one step of two is a short look ahead."
    )


def _limits(laws, floor):
    parts = []
    for resource, law in laws.items():
        constant = law.intervals.constant
        if constant.identified:
            parts.append(
                f"{NAMES[resource]} alone: {law.law.constant_:.3f} ({constant.low:.3f} to "
                f"{constant.high:.3f})"
            )
    text = "; ".join(parts) or "for no resource do the points settle one"
    text = f"**3. What are the limits of scaling?** Constants that the points settle: {text}."
    if floor is not None:
        text += f" The truth's own loss is {floor:.4f}: no resource alone gets there."
    left = [
        f"{NAMES[r]} {law.left.low:.0%} to {law.left.high:.0%}"
        for r, law in laws.items()
        if law.left.identified
    ]
    return text + (
        f" Of what each could still reach alone, the next doubling takes: {', '.join(left)}."
        if left
        else " How much of the reachable is left is not settled for any of them."
    )


def _implications(steam, best, verdicts):
    text = (
        "**4. What does it mean for hardware and systems?** After the same samples, doubling a "
        "part gives, of what doubling the data gives: "
        + ", ".join(
            f"{SHORT[row.way]} {row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"
            for row in steam.itertuples()
        )
        + "."
    )
    if best is not None:
        last = best.iloc[-1]
        text += (
            f" At {last.budget:g} times today's cost (prices made up) the best is {last.option} "
            f"with {last.samples:,.0f} samples: {last.lift:+.2%} revenue, {last.serving_share:.0%} "
            f"of the cost for serving, {last.training_share:.0%} for training, "
            f"{last.storage_share:.0%} for storage."
        )
    if verdicts is not None:
        share = verdicts.groupby("samples").verdict.apply(lambda v: (v == "data").mean())
        text += (
            " Where tastes, popularity and noise differ, so does the answer: data win in "
            + ", ".join(f"{value:.0%} of the streams after {n:,}" for n, value in share.items())
            + " samples."
        )
    return text


def add(
    report: Report,
    laws: Mapping[str, ResourceLaw],
    compared: pd.DataFrame,
    steam: pd.DataFrame,
    samples: int,
    verdicts: pd.DataFrame | None,
    dataset: str,
    interval: float,
    further: pd.DataFrame | None = None,
) -> None:
    """Add the claims to the report.

    Args:
      laws: of `resource_laws`; compared: of `gains.architectures`; steam: of `out_of_steam`.
      samples: at which doublings stand; verdicts: of the map; dataset: where it was measured.
      further: of `resource_laws.beyond`, the base's, or None.
    """
    covers = LIKE_SYSTEM if dataset == "simulated" else THIS_SYSTEM
    shared = any(law.rows_shared for law in laws.values())
    over = "draws of weights alone, the rows being the same" if shared else "draws"
    where = f"{dataset} clicks, Student's {100 * interval:g} % over {over}"
    for resource in (DATA, "rows", "width", "all_mlps", COMPUTE):
        if resource in laws:
            law = laws[resource]
            report.claim(
                f"the loss follows a power law plus a constant in {NAMES[resource]} (its exponent)",
                law.law.exponent_,
                interval=law.intervals.exponent[:2],
                holds=law.follows,
                covers=covers,
                source=f"{PAPER}: in data, parameters and compute; {where}",
            )
    for row in steam.itertuples():
        report.claim(
            f"scaling {SHORT[row.way]} is out of steam: doubled, the loss falls by less than "
            f"{COUNTS:.2%}",
            row.gain,
            interval=(row.low, row.high),
            holds=row.out_of_steam,
            covers=covers,
            source=f"{PAPER}: parameter scaling is; {where}, after {samples:,} samples",
        )
        report.difference(
            f"doubling the data gains more than doubling {SHORT[row.way]}",
            row.less_than_data,
            (row.less_low, row.less_high),
            margin=COUNTS,
            covers=covers,
            source=f"{PAPER}: data scaling is the way forward; {where}, after {samples:,} samples",
        )
    for row in compared[compared.family != "dlrm"].itertuples():
        report.difference(
            f"{FAMILIES[row.family]} has a lower loss than a DLRM of the same sizes",
            row.better,
            (row.better_low, row.better_high),
            margin=COUNTS,
            covers=covers,
            source=f"{where}, after {row.samples:,} samples",
        )
    if further is not None:
        last = further.iloc[-1]
        report.claim(
            f"the law of data foresees the loss after {last.samples:,.0f} samples, which it has "
            "not seen (what was measured, worlds moved to its level)",
            last.measured,
            interval=(last.low, last.high),
            holds=bool(last.low <= last.measured <= last.high),
            covers=covers,
            source=f"the law's interval; {last.worlds:.0f} worlds trained on a GPU",
        )
    if verdicts is not None:
        for n, part in verdicts.groupby("samples"):
            share = (part.verdict == "data").mean()
            report.claim(
                f"data return more than parameters in every stream of the map, after {n:,} samples",
                float(share),
                holds=bool(share == 1)
                if (part.verdict != "undecided").all()
                else (False if part.verdict.isin(["parameters", "nothing"]).any() else None),
                source=f"{PAPER}, turned round; share of {len(part)} streams",
            )
