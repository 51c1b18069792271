"""Answer and claims of notebook 03."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lib.cost.algorithm import HERE
from lib.cost.relative_cost import not_proportional
from lib.cost.service_time import ServiceTimeModel
from lib.design.cost_models_compared import STEP_MEANING
from lib.design.size_search import SearchResult
from lib.notebook.report import Report

T4 = "T4, analytic"  # column of `machines`: what the analytic model says of a T4
SAME_SCORES, SAME_HALF_SCORES = 1e-4, 5e-3  # differences, as a share of the largest score
PAPER_INPUT_WIDTH = 16128


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
            holds=bool(gain[1] > 1),
            source="paper, section 3.4; measured here",
        )
    single, half = largest_differences(scores)
    report.claim(
        "both forms and all engines give the same scores",
        _bound(single),
        tolerance=SAME_SCORES,
        holds=single < SAME_SCORES,
        source="appendix A: equivalent results; the power of ten that bounds the differences, as "
        "shares of the largest score",
    )
    report.claim(
        "the FP16 graph gives the same scores",
        _bound(half),
        tolerance=SAME_HALF_SCORES,
        holds=half < SAME_HALF_SCORES,
        source="bounded likewise; the paper serves in FP16",
    )
    if model:
        error = float(np.median(np.abs(model.leave_one_out_)))
        report.claim(
            "sizes not measured are predicted within 10 % (median)",
            error,
            holds=error < 0.1,
            source=f"leave-one-out over {len(model.leave_one_out_)} sizes, {engine}",
        )


def _bound(difference):
    """The power of ten that a difference stays below; its digits are the processor's.

    >>> _bound(1.6e-06), _bound(0.0)
    (1e-05, 0.0)
    """
    return float(f"1e{np.ceil(np.log10(difference)):.0f}") if difference else 0.0


def add_t4(report: Report, published: pd.DataFrame, chosen: pd.DataFrame, roi_min: float) -> None:
    """Claims about the T4: its published times, and the size that it would choose.

    Args:
      published: `lib.cost.published.published_t4`.
      chosen: `lib.design.cost_models_compared.best_by_cost`.
      roi_min: of the choice.
    """
    misses = published.error[~published.calibrates].abs()
    report.claim(
        "the T4's published times are predicted within 20 % (median)",
        float(misses.median()),
        interval=tuple(misses.quantile([0.05, 0.95])),
        holds=bool(misses.median() < 0.2),
        source=f"{len(misses)} published rows that the factors were not fitted to; the "
        "interval holds 90 % of them",
    )
    best = chosen.set_index("cost_model").size_parameters["T4, first layer cached"]
    report.claim(
        "on a T4 the best size has the input width that the paper chose",
        float(best[0]),
        published=PAPER_INPUT_WIDTH,
        tolerance=1600,
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
