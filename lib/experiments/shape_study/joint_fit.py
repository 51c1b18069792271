"""The joint law of passes of several sizes: its intervals over seeds and test impressions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.experiments.shape_study.differences import redrawn_means
from lib.infra.intervals import check_interval
from lib.laws.joint import JointPowerLaw

REDRAWS = 200  # of the test impressions
X = ["flops", "impressions"]
# Errors of log y beyond it count linearly: more than seeds cause, so that trainings that failed
# weigh little and all others as in least squares.
DELTA = 0.05


def fit(
    table: pd.DataFrame,
    values: Mapping[str, np.ndarray],
    metric: str,
    *,
    refits: int = 200,
    seed: int = 0,
) -> JointPowerLaw:
    """The law of a rising metric that does not pass 1 over (FLOPs, impressions).

    A pass over growing data errs as one: what a seed has learnt early it keeps. Passes are the
    groups of the bootstrap; the test impressions, which all share, are drawn again.

    Args:
      table: of `lib.experiments.shape_study.passes.Passes`, or some rows of it, in its order.
      values: model -> [seeds, marks, impressions]; metric: column of the table.
      refits, seed: of the bootstrap.
    """
    means = redrawn_means(_of_rows(table, values), REDRAWS, seed)
    law = JointPowerLaw(direction="rising", bound=1.0, delta=DELTA, refits=refits, seed=seed)
    groups = table.model + " seed " + table.seed.astype(str)
    return law.fit(table[X].to_numpy(float), table[metric].to_numpy(), groups, means)


def unseen_corner(
    table: pd.DataFrame,
    values: Mapping[str, np.ndarray],
    metric: str,
    interval: float = 0.9,
    **settings,
) -> pd.DataFrame:
    """The largest size with most data, by a law that has seen neither that size nor so much data.

    Returns: DataFrame of one row: flops, impressions, predicted with low and high (for the mean of
      as many new trainings, each with an error of its own), measured; of no row where fewer than
      three sizes or amounts are left to fit.
    """
    check_interval(interval)
    columns = [*X, "predicted", "low", "high", "measured", "trainings"]
    size, data = table[X].max()
    known = table[(table.flops < size) & (table.impressions < data)]
    if known.flops.nunique() < 3 or known.impressions.nunique() < 3:
        return pd.DataFrame(columns=columns)
    corner = table[(table.flops == size) & (table.impressions == data)]
    law = fit(known, values, metric, **settings)
    x = np.array([[size, data]], float)
    predicted, low, high = (float(value[0]) for value in law.predict(x, interval=interval))
    row = [size, data, predicted, low, high, corner[metric].mean(), len(corner)]
    return pd.DataFrame([row], columns=columns)


def _of_rows(table, values):
    """Test impressions' values of each row, [impressions] each; rows may have been left out."""
    seeds, marks = (np.unique(table[column]) for column in ("seed", "impressions"))
    rows = zip(
        table.model,
        np.searchsorted(seeds, table.seed),
        np.searchsorted(marks, table.impressions),
        strict=True,
    )
    return [values[model][seed, mark] for model, seed, mark in rows]
