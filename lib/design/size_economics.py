"""What each size of a grid earns and costs beside the base, and which of them is best (Eq 7, 8).

Law and G (`lib.laws`, `lib.validation.revenue_model`) give the lifts, load tests
(`lib.cost.service_time`) the machines; here they become money.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib.cost.algorithm import cost_per_hour, required_machines
from lib.cost.service_time import ServiceTimeModel
from lib.design.roi_choice import best_size, revenue_and_cost, share_best
from lib.design.size_grids import Sizes
from lib.infra.intervals import interval_bounds
from lib.serving.queueing import time_at_load


@dataclasses.dataclass(frozen=True)
class SizeEconomics:
    """Lift and machine cost of a grid's sizes, with joint draws of both.

    A row of the draws is one draw of law, G and service times together (`share_best` says why).

    Attributes:
      sizes: the grid; base: index of the base in it.
      lift: revenue lift over the base, a fraction, [sizes]; lift_draws: [draws, sizes].
      machine_cost: of all machines that serve a size, currency per hour, [sizes], inf for a
        size that cannot be served; machine_cost_draws: [draws, sizes].
      revenue_per_hour: of the system with the base, same currency.
      roi: "incremental" or "total", as `revenue_and_cost`; roi_min: the paper's lambda.
      interval: probability of the lifts' intervals.
    """

    sizes: Sizes
    base: int
    lift: np.ndarray
    lift_draws: np.ndarray
    machine_cost: np.ndarray
    machine_cost_draws: np.ndarray
    revenue_per_hour: float
    roi: str = "incremental"
    roi_min: float = 1.0
    interval: float = 0.9

    def __post_init__(self):
        count = len(self.sizes.flops)
        for name in ("lift", "lift_draws", "machine_cost", "machine_cost_draws"):
            shape = np.shape(getattr(self, name))
            if len(shape) != (2 if name.endswith("draws") else 1) or shape[-1] != count:
                raise ValueError(
                    f"SizeEconomics: {name} must end in an axis of the {count} sizes; got {shape}"
                )
        if not np.isfinite(self.machine_cost[self.base]):
            raise ValueError(
                f"SizeEconomics: the base {self.sizes.size_parameters[self.base].tolist()} cannot "
                "be served within the latency limit; raise the limit or take fewer candidates"
            )

    @property
    def relative_flops(self) -> np.ndarray:
        """FLOPs of the sizes over the base's, [sizes]."""
        return self.sizes.flops / self.sizes.flops[self.base]

    @property
    def relative_cost(self) -> np.ndarray:
        """Machine cost of the sizes over the base's, [sizes]."""
        return self.machine_cost / self.machine_cost[self.base]

    @functools.cached_property
    def lift_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of the lifts, [sizes] each."""
        return interval_bounds(self.lift_draws, self.interval)

    def best(self, roi_min: float | None = None) -> int:
        """Index of the size that earns most under the ROI limit (Eq 8), or under another one."""
        return best_size(*self.money(self.lift, self.machine_cost), self._limit(roi_min))

    @functools.cached_property
    def share_best(self) -> np.ndarray:
        """Share of the joint draws in which a size is the best one, [sizes]."""
        return share_best(*self.money(self.lift_draws, self.machine_cost_draws), self.roi_min)

    def table(self) -> pd.DataFrame:
        """A row for each size: the table `sizes` that notebook 05 reads."""
        table = sizes_table(
            self.sizes, self.lift, self.lift_draws, self.machine_cost, self.interval
        )
        return table.assign(share_best=self.share_best)

    def picks(
        self, other_limits: Sequence[float] = (0, 2, 5, 10), published: int | None = None
    ) -> pd.DataFrame:
        """The base, the best size, the best ones under other ROI limits, the published one.

        Args:
          other_limits: further values of roi_min.
          published: index of the size that the paper chose, if the grid holds it.
        """
        indices = {"base": self.base, f"best, λ = {self.roi_min:g}": self.best()}
        indices |= {f"best, λ = {limit:g}": self.best(limit) for limit in other_limits}
        if published is not None:
            indices["the paper's"] = published
        table = self.table().iloc[list(indices.values())]
        return pd.DataFrame(
            {
                "size": list(indices),
                "size_parameters": table.size_parameters.tolist(),
                "flops / base": self.relative_flops[table.index],
                "machines / base": self.relative_cost[table.index],
                "lift": table.lift.to_numpy(),
                "lift low": table.lift_low.to_numpy(),
                "lift high": table.lift_high.to_numpy(),
                "share of draws best": table.share_best.to_numpy(),
            }
        )

    def money(self, lift: ArrayLike, machine_cost: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """(revenue, cost) per hour of such lifts and costs, as this ROI compares them."""
        return revenue_and_cost(
            lift, machine_cost, self.base, revenue_per_hour=self.revenue_per_hour, roi=self.roi
        )

    def _limit(self, roi_min):
        return self.roi_min if roi_min is None else roi_min


def sizes_table(
    sizes: Sizes,
    lift: np.ndarray,
    lift_draws: np.ndarray,
    machine_cost: np.ndarray,
    interval: float = 0.9,
) -> pd.DataFrame:
    """What the sizes of a stage earn and cost, as `lib.logs.tables.load_sizes` reads it.

    Args:
      lift: over the stage's base, fractions, [sizes]; lift_draws: [draws, sizes].
      machine_cost: of the whole stage with a size, currency per hour, [sizes].
      interval: probability of the lifts' intervals.
    """
    low, high = interval_bounds(lift_draws, interval)
    return pd.DataFrame(
        {
            "size_parameters": sizes.size_parameters.tolist(),
            "flops": sizes.flops,
            "lift": lift,
            "lift_low": low,
            "lift_high": high,
            "machine_cost_per_hour": machine_cost,
        }
    )


def machine_cost(
    qps: ArrayLike, qps_base: ArrayLike, machines_base: float, price_per_hour: float
) -> np.ndarray:
    """Cost per hour of the machines that carry the base's traffic with other sizes.

    Args:
      qps: of one machine with each size, [..., sizes]; qps_base: with the base, any shape that
        broadcasts; 0 for a size that cannot meet the latency limit, whose cost is inf.
      machines_base: machines that serve the base; price_per_hour: of one of them.

    The base serves now. Draws [draws, sizes] in which it could not contradict that, and others
    stand in their places.

    Raises: ValueError where the base itself cannot meet the limit, or not in most draws.

    >>> machine_cost(np.array([100.0, 40.0, 0.0]), 100.0, machines_base=20, price_per_hour=1.5)
    array([30., 75., inf])
    """
    qps, qps_base = _with_base_served(np.asarray(qps), np.asarray(qps_base))
    if not np.all(qps_base > 0):
        raise ValueError(
            "machine_cost: the base cannot be served within the latency limit, its QPS is "
            f"{np.min(qps_base):g}; raise latency_limit_ms, or let it score fewer candidates or ads"
        )
    return cost_per_hour(required_machines(qps_base, machines_base, qps), price_per_hour)


def _with_base_served(qps, qps_base):
    """Draws of qps [draws, sizes] and of the base's [draws, 1], all of them with a base served."""
    if qps.ndim != 2 or qps_base.shape != (len(qps), 1):
        return qps, qps_base
    served = qps_base[:, 0] > 0
    if served.mean() <= 0.5:
        return qps, qps_base
    rows = np.arange(len(qps))
    rows[~served] = np.resize(np.flatnonzero(served), np.count_nonzero(~served))
    return qps[rows], qps_base[rows]


def service_time_model(costs: pd.DataFrame, form: str, workers: int) -> ServiceTimeModel:
    """The model of a request's time fitted to the rows of one form in a costs table.

    Args:
      costs: as `lib.logs.tables.load_costs` reads it. A table without the column service_ms
        tells the time of a request by its QPS (`lib.serving.queueing.time_at_load`); rows of 0
        QPS, which could not meet their limit, then tell nothing and are left out.
      form: "naive", "first_layer_optimised" or "twin_tower".
      workers: requests that a machine serves at a time, where the table has no such column.

    Raises: ValueError naming the table's file where it holds fewer than 3 such rows.
    """
    rows = costs[costs["form"] == form]
    if "service_ms" not in rows:
        rows = rows[rows["qps"] > 0]
        if "workers" not in rows:
            rows = rows.assign(workers=workers)
        times = [
            float(time_at_load(row.qps, row.latency_limit_ms, workers=row.workers))
            for row in rows.itertuples()
        ]
        rows = rows.assign(service_ms=times)
    try:
        return ServiceTimeModel().fit(rows)
    except ValueError as error:
        raise ValueError(
            f"{costs.attrs.get('path', 'costs')}: rows of the form {form!r}: {error}"
        ) from None
