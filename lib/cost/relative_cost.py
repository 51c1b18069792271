"""What sizes need beside the base: measured where a table has them, else predicted."""

import numpy as np
import pandas as pd

from lib.cost.algorithm import machines_interval
from lib.cost.service_time import ServiceTimeModel
from lib.infra.intervals import interval_bounds
from lib.models.flop_count import matrix_flops

SERVED = "first_layer_optimised"


def relative_machines(
    sizes: list[list[int]],
    base: list[int],
    served: pd.DataFrame,
    machines_base: float,
    model: ServiceTimeModel | None = None,
    *,
    candidates: int,
    latency_limit_ms: float,
    workers: int = 1,
    interval: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Machines of each size as multiples of the base's, with their interval.

    Args:
      sizes: size parameters; base: those of the base model.
      served: rows of the costs table in the served form, with machines; machines_low and
        machines_high where their interval is known.
      machines_base: that serve the base, in the units of `served`.
      model: predicts the sizes that `served` does not hold; None leaves them out.
      candidates, latency_limit_ms, workers: of the requests that the model predicts for.
      interval: probability of the predicted sizes' interval; draws, seed: of its draws.

    Returns: DataFrame, its index the places in `sizes`, of size_parameters, flops (multiple of
      the base's), here (machines as a multiple of the base's; inf for a size that cannot meet
      the limit), low, high (NaN where the table has no interval) and how ("measured" or
      "predicted").

    >>> rows = pd.DataFrame({"size_parameters": [[4, 2, 1], [8, 2, 1]], "machines": [10.0, 25.0]})
    >>> relative_machines([[8, 2, 1], [6, 2, 1]], [4, 2, 1], rows, 10.0,
    ...                   candidates=5, latency_limit_ms=9.0)[["flops", "here", "how"]]
       flops  here       how
    0    1.8   2.5  measured
    """
    rows = {}
    for place, size in enumerate(sizes):
        measured = served[[list(row) == list(size) for row in served["size_parameters"]]]
        if len(measured):
            here, low, high = (
                float(measured[name].iloc[0]) / machines_base if name in measured else np.nan
                for name in ("machines", "machines_low", "machines_high")
            )
        elif model is not None:
            qps = model.sample_qps(
                np.array([base, size]),
                SERVED,
                candidates,
                latency_limit_ms,
                draws=draws,
                seed=seed,
                workers=workers,
            )
            # The base is served: draws in which it could not be say nothing. Those in which the
            # size cannot meet the limit need inf machines, and a quantile between two of them is
            # NaN by its interpolation.
            qps = qps[qps[:, 0] > 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = qps[:, 0] / qps[:, 1]
                bounds = interval_bounds(ratio, interval)
            here = float(np.median(ratio))
            low, high = (np.inf if np.isnan(bound) else bound for bound in bounds)
        else:
            continue
        rows[place] = {
            "size_parameters": list(size),
            "flops": float(matrix_flops(size) / matrix_flops(base)),
            "here": here,
            "low": float(low),
            "high": float(high),
            "how": "measured" if len(measured) else "predicted",
        }
    columns = ["size_parameters", "flops", "here", "low", "high", "how"]
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=columns)


def not_proportional(machines: pd.DataFrame) -> tuple[float | None, bool | None]:
    """Share of the sizes of `relative_machines` whose interval leaves out their FLOPs.

    Returns: (share, whether any does), over the sizes that have an interval; (None, None) where
      none has.

    >>> not_proportional(pd.DataFrame({"flops": [2.0, 4.0], "low": [1.0, 1.0], "high": [3.0, 3.0]}))
    (0.5, True)
    """
    known = machines[machines["low"].notna() & machines["high"].notna()]
    if known.empty:
        return None, None
    inside = (known["low"] <= known["flops"]) & (known["flops"] <= known["high"])
    return float((~inside).mean()), bool((~inside).any())


def first_layer_gain(table: pd.DataFrame, base: list[int]) -> tuple[float, float, float] | None:
    """How many times the QPS of the base its cached first layer gives, and the interval.

    Args:
      table: of costs, with form, qps, qps_low, qps_high.

    Returns: (ratio, low, high); None where the base is not there in both forms.

    >>> first_layer_gain(pd.DataFrame({"form": ["naive", "first_layer_optimised"],
    ...     "size_parameters": [[4, 2, 1]] * 2, "qps": [10.0, 30.0], "qps_low": [10.0, 30.0],
    ...     "qps_high": [10.0, 30.0]}), [4, 2, 1])
    (3.0, 3.0, 3.0)
    """
    rows = table[[list(size) == list(base) for size in table["size_parameters"]]]
    rows = rows.drop_duplicates("form").set_index("form")
    if not {SERVED, "naive"} <= set(rows.index):
        return None
    cached, naive = (
        tuple(rows.loc[form, ["qps", "qps_low", "qps_high"]]) for form in (SERVED, "naive")
    )
    gain, low, high = machines_interval(cached, 1, naive)
    return float(gain), float(low), float(high)
