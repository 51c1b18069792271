"""Which differences between models tell metrics apart: comparisons on parts of a population."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.validation.metric_comparison import MetricComparison, compare_metrics
from lib.validation.population import Population

FEWEST = 4  # models of each world in a part


def compare_by_kind(
    population: Population, metrics: Sequence[str], *, draws: int = 2000, seed: int = 0
) -> dict[str, MetricComparison]:
    """Comparisons among models that differ in one kind of thing alone, and in all but it.

    Models of the kind "none" (the base trained again) belong to every kind.

    Returns: label -> comparison; "anything (primary)" and "and broken ones" are of all kinds, the
      latter with secondary models. A kind with fewer than 4 models in a world, or in whose models
      a metric or the lift does not differ, is left out.
    """
    primary = population.primary
    kinds = [kind for kind in primary.kind.unique() if kind not in ("", "none")]
    alone = {f"{kind} alone": primary[primary.kind.isin([kind, "none"])] for kind in kinds}
    alone = {label: part for label, part in alone.items() if _differ(part, metrics)}
    kinds = [kind for kind in kinds if f"{kind} alone" in alone]
    but = {f"all but {kind}": primary[primary.kind != kind] for kind in kinds}
    parts = dict(reversed(alone.items())) | {"anything (primary)": primary}
    if len(population.plain) > len(primary):
        parts["and broken ones"] = population.plain
    parts |= {label: part for label, part in but.items() if _differ(part, metrics)}
    return {
        label: compare_metrics(part, metrics, draws=draws, seed=seed)
        for label, part in parts.items()
    }


def differences_table(
    comparisons: dict[str, MetricComparison],
    reference: str,
    others: Sequence[str],
    names: dict[str, str],
    interval: float = 0.9,
) -> pd.DataFrame:
    """R² of each comparison's metrics, and the reference's less the others' with intervals.

    Args:
      comparisons: of `compare_by_kind`; reference, others: metrics; names: metric -> how it is
        called in the columns.
    """
    rows = []
    for label, comparison in comparisons.items():
        row = {"models differ in": label, "models": int(comparison.models[0])}
        row |= {names[metric]: comparison.value(metric) for metric in comparison.metrics}
        for metric in others:
            value, low, high = comparison.difference(reference, metric, interval=interval)
            column = f"{names[reference]} - {names[metric]}"
            row |= {column: value, f"{column}, low": low, f"{column}, high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _differ(part, metrics):
    """Whether in every world there are enough models, not all alike."""
    worlds = part.groupby("world")
    return bool(
        len(part)
        and (worlds.size() >= FEWEST).all()
        and all((worlds[name].agg(np.ptp) > 0).all() for name in (*metrics, "revenue_lift"))
    )
