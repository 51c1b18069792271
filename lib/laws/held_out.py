"""A law fitted without the largest sizes, beside what those sizes then measured."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib.laws.bnsl import BNSL, PowerLaw
from lib.laws.observations import check_points

LEAST_SIZES = 4  # a law is fitted to


@dataclass(frozen=True)
class HeldOutFit:
    """Laws of the smaller sizes and of all sizes, from `fit_without_largest`.

    Attributes:
      law: `BNSL` of all sizes but the largest `held_out`.
      power_law: `PowerLaw` of the same sizes.
      full_law: `BNSL` of all sizes.
      table: one row a size in order: x, mean, std, count (of its repeats), predicted, low, high
        (`law`, for a new mean of as many repeats), power_law, held_out (bool).
    """

    law: BNSL
    power_law: PowerLaw
    full_law: BNSL
    table: pd.DataFrame

    @property
    def repeat_sd(self) -> float:
        """Standard deviation between repeats of one size, pooled; NaN if none is repeated.

        Sizes count alike, as the root mean of their variances.
        """
        repeated = self.table[self.table["count"] > 1]
        return float(np.sqrt((repeated["std"] ** 2).mean())) if len(repeated) else np.nan


def fit_without_largest(
    x: ArrayLike,
    y: ArrayLike,
    held_out: int,
    *,
    breaks: int | str = "auto",
    direction: str = "auto",
    bound: float | None = None,
    interval: float = 0.9,
) -> HeldOutFit:
    """Fits laws to all sizes but the largest, and to all.

    Args:
      x, y: measurements, as `BNSL.fit` takes them; equal x are repeats of one size.
      held_out: number of the largest sizes to leave out, >= 0.
      breaks, direction, bound: as in `BNSL`.
      interval: probability of the predicted intervals.

    Returns: `HeldOutFit`.
    Raises: ValueError for a negative `held_out`, for fewer than 4 sizes beside those, and as
      `BNSL.fit`.

    >>> x = np.geomspace(1e6, 1e8, 7)
    >>> fit = fit_without_largest(x, 0.9 - 0.1 * (x / 1e6) ** -0.4, held_out=2)
    >>> bool(fit.table.predicted.sub(fit.table["mean"]).abs().max() < 2e-3)  # an exact power law
    True
    """
    if held_out < 0:
        raise ValueError(f"fit_without_largest: held_out must be >= 0; got {held_out}")
    given_type = np.asarray(x).dtype  # whole FLOPs stay whole in the table
    x, y, _ = check_points(x, y, name="fit_without_largest", least=1)
    sizes = np.unique(x)
    if len(sizes) < LEAST_SIZES + held_out:
        raise ValueError(
            f"fit_without_largest: a law needs {LEAST_SIZES} sizes beside the largest held_out = "
            f"{held_out}; got {len(sizes)} sizes"
        )
    is_known = x <= sizes[len(sizes) - held_out - 1]
    shape = {"direction": direction, "bound": bound}
    law = BNSL(breaks=breaks, **shape).fit(x[is_known], y[is_known], groups=x[is_known])
    power_law = PowerLaw(**shape).fit(x[is_known], y[is_known], groups=x[is_known])
    full_law = BNSL(breaks=breaks, **shape).fit(x, y, groups=x)
    table = pd.DataFrame({"x": x, "y": y}).groupby("x").y.agg(["mean", "std", "count"])
    predicted, low, high = law.predict(sizes, interval, repeats=table["count"].to_numpy())
    table = table.reset_index().astype({"x": given_type})
    table = table.assign(
        predicted=predicted,
        low=low,
        high=high,
        power_law=power_law.predict(sizes),
        held_out=sizes > x[is_known].max(),
    )
    return HeldOutFit(law, power_law, full_law, table)
