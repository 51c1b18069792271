"""Answer and claims of notebook 03."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lib.cost.algorithm import HERE
from lib.cost.relative_cost import not_proportional
from lib.cost.service_time import ServiceTimeModel
from lib.design.cost_models_compared import STEP_MEANING
from lib.design.size_search import SearchResult
from lib.infra.intervals import binomial_share
from lib.notebook.report import THIS_MACHINE, Report

T4 = "T4, analytic"  # column of `machines`: what the analytic model says of a T4
SAME_SCORES, SAME_HALF_SCORES = 1e-4, 5e-3  # differences, as a share of the largest score
CLOSE, CLOSE_T4 = 0.1, 0.2  # errors of predicted times, as a share of the measured one
PAPER_INPUT_WIDTH = 16128
WIDTH_MARGIN = PAPER_INPUT_WIDTH // 10


def largest_differences(scores: pd.DataFrame) -> tuple[float, float]:
    """(in single, in half precision): the largest of `lib.serving.equivalence.score_differences`.

    >>> largest_differences(pd.DataFrame({"precision": ["fp32", "fp32", "fp16"],
    ...                                   "difference": [0.0, 1e-6, 2e-3]}))
    (1e-06, 0.002)
    """
    by_precision = scores.groupby("precision").difference.max()
    return float(by_precision["fp32"]), float(by_precision["fp16"])


def answer(
    machines: pd.DataFrame,
    decisive: str,
    gain: tuple[float, float, float] | None = None,
    machine: str = "",
    source: str = "",
) -> str:
    """What the paper's sizes need beside the base, and what decides it.

    Args:
      machines: `lib.cost.relative_machines`, with the column `T4`.
      decisive: a step of `lib.design.cost_models_compared.STEP_MEANING`.
      gain: of the cached first layer, (times the QPS, low, high); None where not measured.
      machine: that the costs were measured on.
      source: of the costs, as in the column of `lib.cost.priced_or_recorded`; said where they
        were not measured in this run.
    """
    sentences = []
    for row in machines.to_dict("records"):
        interval = f"{row['low']:.2f} to {row['high']:.2f}, " if row["low"] > 0 else ""
        sentences.append(
            f"{row['size_parameters']} has {row['flops']:.2f} times the FLOPs of the base and "
            f"needs {row['here']:.2f} times its machines ({interval}{row['how']}; T4 by the "
            f"analytic model: {row[T4]:.2f})"
        )
    text = "; ".join(sentences) or "None of the paper's sizes was measured or predicted"
    text += f". What matters most is {STEP_MEANING[decisive]}."
    if gain:
        text += (
            f" Caching it lets a machine serve {gain[0]:.1f} times the requests of the "
            f"base ({gain[1]:.1f} to {gain[2]:.1f}) on {machine}."
        )
    if source and source != HERE:
        text += f" The costs were not measured in this run, but on {machine} ({source})."
    return text


def add_measured(
    report: Report,
    scores: pd.DataFrame,
    gain: tuple[float, float, float] | None,
    model: ServiceTimeModel | None,
    engine: str,
) -> None:
    """Claims about this machine: what caching gains, equal scores, predicted times."""
    if gain:
        report.claim(
            "the first-layer optimization raises the base's QPS",
            gain[0],
            interval=gain[1:],
            holds=True if gain[1] > 1 else False if gain[2] < 1 else None,
            covers=THIS_MACHINE,
            source="paper, section 3.4; measured here",
        )
    single, half = largest_differences(scores)
    report.check("both forms and all engines give the same scores", single < SAME_SCORES)
    report.check("the FP16 graph gives the same scores", half < SAME_HALF_SCORES)
    if model:
        errors = np.abs(model.leave_one_out_)
        close = binomial_share(int((errors < CLOSE).sum()), len(errors))
        report.claim(
            f"sizes not measured are predicted within {CLOSE:.0%} (median error)",
            float(np.median(errors)),
            holds=close.exceeds(0.5),
            source=f"leave-one-out, {engine}: {close.inside} of {close.count} sizes within",
        )


def add_t4(report: Report, published: pd.DataFrame, chosen: pd.DataFrame, roi_min: float) -> None:
    """Claims about the T4: its published times, and the size that it would choose.

    Args:
      published: `lib.cost.published.published_t4`.
      chosen: `lib.design.cost_models_compared.best_by_cost`.
      roi_min: of the choice.
    """
    misses = published.error[~published.calibrates].abs()
    close = binomial_share(int((misses < CLOSE_T4).sum()), len(misses))
    report.claim(
        f"the T4's published times are predicted within {CLOSE_T4:.0%} (median error)",
        float(misses.median()),
        holds=close.exceeds(0.5),
        source=f"{close.inside} of {close.count} published rows that the factors were not fitted "
        f"to; nine of ten miss by less than {misses.quantile(0.9):.0%}",
    )
    best = chosen.set_index("cost_model").size_parameters["T4, first layer cached"]
    report.claim(
        "on a T4 the best size has the input width that the paper chose",
        float(best[0]),
        published=PAPER_INPUT_WIDTH,
        margin=WIDTH_MARGIN,
        source=f"best by the paper's law, the analytic T4 and an ROI of {roi_min:g}: {best}",
    )


def add_sizes(
    report: Report, machines: pd.DataFrame, result: SearchResult | None, sizes: np.ndarray
) -> None:
    """Claims about the paper's sizes, and about the search for the best one.

    Args:
      machines: `lib.cost.relative_machines`.
      result: of the search over `sizes`; None where there was none.
    """
    share, any_size = not_proportional(machines)
    if len(machines):
        report.claim(
            "machines are not proportional to FLOPs",
            share,
            holds=any_size,
            source=f"share of the paper's {len(machines)} sizes whose "
            "interval of machines leaves out their FLOPs, both relative to the base",
        )
    if result:
        report.claim(
            "the best size of the grid is known from a few measurements",
            result.probability_best,
            holds=result.enough or None,
            source=f"{len(result.rows)} of {len(sizes):,} sizes measured; best: "
            f"{sizes[result.best].tolist()}",
        )
