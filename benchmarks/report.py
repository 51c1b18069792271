"""One row of a benchmark's table, and the table on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

COLUMNS = ["figure", "unit", "ours", "low", "high", "baseline", "target", "met"]


def row(
    figure: str,
    unit: str,
    ours: ArrayLike,
    target: float | None = None,
    better: str = "lower",
    *,
    low: float | None = None,
    high: float | None = None,
    baseline: float | None = None,
    name: str = "",
) -> dict[str, Any]:
    """A figure with its spread, beside a baseline and against a target.

    Args:
      figure, unit: what was measured, in what.
      ours: the value, or the values of all rounds: their median, from lowest to highest.
      target: what it is held against; None for a row that is only context.
      better: "lower" or "higher".
      low, high: interval of a single value.
      baseline, name: the alternative's value, and what the alternative is.

    Raises ValueError for another `better`, or an interval beside several values.

    >>> row("a step", "s", [0.3, 0.1, 0.2], 0.25)["met"]
    True
    """
    if better not in ("lower", "higher"):
        raise ValueError(f"row: better must be 'lower' or 'higher'; got {better!r}")
    values = np.asarray(ours, float)
    if values.ndim:
        if (low, high) != (None, None):
            raise ValueError(f"row: {figure!r} has several values, whose extremes are its interval")
        low, high = values.min(), values.max()
    value = float(np.median(values))
    met = None
    if target is not None:
        met = bool(value <= target if better == "lower" else value >= target)
    return {
        "figure": figure,
        "unit": unit,
        "ours": value,
        "low": _number(low),
        "high": _number(high),
        "baseline": _number(baseline),
        "baseline_name": name,
        "target": _number(target),
        "better": better,
        "met": met,
    }


def coverage_row(
    figure: str, covered: np.ndarray, baseline: float | None = None, name: str = ""
) -> dict[str, Any]:
    """Share of held-out points in 90 % intervals, [curves]; met between .85 and .97.

    >>> coverage_row("of two curves", np.array([0.8, 1.0]))["met"]
    True
    """
    low, high = spread(covered)
    share = float(np.mean(covered))
    given = {"low": low, "high": high, "baseline": baseline, "name": name}
    return row(figure, "share", share, 0.85, "higher", **given) | {"met": 0.85 <= share <= 0.97}


def spread(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """95 % bootstrap interval of a mean over curves."""
    rng = np.random.default_rng(seed)
    draws = rng.choice(values, size=(2000, len(values))).mean(axis=1)
    return np.quantile(draws, [0.025, 0.975])


def rmsle(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Root mean squared error of the natural logarithm."""
    return float(np.sqrt(np.mean(np.log(predicted / observed) ** 2)))


def _number(value):
    return None if value is None else float(value)


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows as a table; what is not known stays empty."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = ["ours", "low", "high", "baseline", "target"]
    table[numbers] = table[numbers].map(lambda x: "" if pd.isna(x) else f"{x:.4g}")
    table["met"] = table["met"].map({True: "met", False: "MISSED", None: ""})
    print(table.to_string(index=False))
