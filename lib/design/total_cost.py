"""What a size costs in all: beside serving, training, the Embedding Producer, embedding tables.

Algorithm 1 is to be run with the training graph as well (section 4.3), and a first layer whose ad
part is cached has to be computed for all ads at every export (appendix A). What is cheap to serve,
a wide input above all, need not be cheap there.
"""

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib.cost.algorithm import cost_per_hour
from lib.cost.embedding_producer import producer_machines
from lib.design.size_economics import SizeEconomics

GIGABYTE = 1e9
FLOAT = 4  # bytes of a weight
SERVING, GROWTH = "serving", "growth"


@dataclasses.dataclass(frozen=True)
class Training:
    """What training a size takes.

    Attributes:
      machines_base: that train the base now; price_per_hour: of one of them.
      ads: of an impression; the first layer's user part is computed once for all of them.
    """

    machines_base: float
    price_per_hour: float
    ads: float = 10

    def cost(
        self, sizes: ArrayLike, base: ArrayLike, measured: pd.DataFrame | None = None
    ) -> np.ndarray:
        """Of the machines that train each size on the base's impressions, currency per hour.

        Args:
          sizes: [sizes, layers + 1]; base: [layers + 1].
          measured: rows of `lib.cost.training_cost.measure_training`, size_parameters as lists;
            those of the form with a shared first layer count, where there are any. Time then
            follows a line through their logarithms, and beyond the largest of them FLOPs. None,
            or fewer than two sizes: time follows FLOPs.

        Returns: [sizes].
        """
        flops, base_flops = (impression_flops(x, self.ads) for x in (sizes, base))
        seconds = training_seconds(np.append(flops, base_flops), measured, self.ads)
        machines = self.machines_base * seconds[:-1] / seconds[-1]
        return cost_per_hour(machines, self.price_per_hour)


@dataclasses.dataclass(frozen=True)
class Producer:
    """The Embedding Producer: all ads' first-layer parts, anew at every update of the model.

    Attributes:
      ads: of the inventory; update_minutes: in which an update must be done.
      flops_per_second, memory_bytes: of a machine; price_per_hour: of one.
      part_bytes: of a cached number, 2 or 4.
    """

    ads: float
    update_minutes: float
    flops_per_second: float
    memory_bytes: float
    price_per_hour: float
    part_bytes: int = 2

    def cost(self, sizes: ArrayLike) -> np.ndarray:
        """Of the machines that compute or hold the parts, whichever need more, per hour, [sizes].

        Parts of machines count: what is left of one serves others.
        """
        sizes = np.asarray(sizes)
        need = producer_machines(
            sizes,
            sizes[..., 0] // 2,
            ads=self.ads,
            minutes=self.update_minutes,
            flops_per_second=self.flops_per_second,
            memory=self.memory_bytes,
            part_bytes=self.part_bytes,
            whole=False,
        )
        return cost_per_hour(np.maximum(need["computing"], need["holding"]), self.price_per_hour)

    def cache_bytes(self, sizes: ArrayLike) -> np.ndarray:
        """Bytes of all ads' parts, one version, [sizes]."""
        return self.ads * np.asarray(sizes)[..., 1] * float(self.part_bytes)


@dataclasses.dataclass(frozen=True)
class Tables:
    """Embedding tables in memory: rows of all sparse features, as wide as the input asks for.

    Attributes:
      rows: of all tables together; copies: of a table, the optimizer's state included.
      sparse_features, dense_width: what the input is made of (appendix B.1).
      price_per_gigabyte_hour: of memory.
    """

    rows: float
    copies: float
    sparse_features: int
    dense_width: int
    price_per_gigabyte_hour: float

    def cost(self, sizes: ArrayLike) -> np.ndarray:
        """Of the memory, currency per hour, [sizes].

        Raises: ValueError for an input narrower than the dense features.
        """
        inputs = np.asarray(sizes)[..., 0]
        if (inputs < self.dense_width).any():
            raise ValueError(
                f"Tables: dense_width must be at most the width of each input; got "
                f"{self.dense_width} for an input of {inputs.min()}"
            )
        width = (inputs - self.dense_width) / self.sparse_features
        gigabytes = self.rows * self.copies * width * FLOAT / GIGABYTE
        return gigabytes * self.price_per_gigabyte_hour


@dataclasses.dataclass(frozen=True)
class Growth:
    """How traffic and revenue grow over the planning horizon.

    Serving and training follow traffic; the Embedding Producer and tables do not.

    Attributes:
      traffic, revenue: per year, fractions; years: of the horizon.
    """

    traffic: float
    revenue: float
    years: float

    def mean(self, rate: float) -> float:
        """Mean over the horizon of what starts at 1 and grows by `rate` a year.

        >>> round(Growth(0.2, 0.0, 2.0).mean(0.2), 3), Growth(0.2, 0.0, 2.0).mean(0.0)
        (1.207, 1.0)
        """
        if not (rate > -1 and self.years > 0):
            raise ValueError(
                f"Growth: rates must be > -1 and years > 0; got {rate} and {self.years}"
            )
        log = np.log1p(rate)
        return 1.0 if rate == 0 else float(np.expm1(log * self.years) / (log * self.years))


def weight_bytes(sizes: ArrayLike) -> np.ndarray:
    """Bytes of an MLP's weights in single precision, [sizes].

    >>> weight_bytes([[6, 4, 1]]).tolist()
    [112.0]
    """
    sizes = np.asarray(sizes, float)
    return FLOAT * (sizes[..., :-1] * sizes[..., 1:]).sum(axis=-1)


def impression_flops(sizes: ArrayLike, ads: float = 10) -> np.ndarray:
    """FLOPs of training on an impression whose first layer's user part is shared, [...].

    Half of the inputs are the user's; `lib.models.flop_count.training_flops` of one size.

    >>> int(impression_flops([6, 4, 1], 10))  # half of a step of two impressions
    1032
    """
    sizes = np.asarray(sizes)
    products = (sizes[..., :-1].astype(float) * sizes[..., 1:]).sum(axis=-1)
    user = (sizes[..., 0] // 2) * sizes[..., 1].astype(float)
    return 3 * 2 * (ads * products - (ads - 1) * user)


def training_seconds(
    flops: ArrayLike, measured: pd.DataFrame | None = None, ads: float = 10
) -> np.ndarray:
    """Time of an impression, by its FLOPs, in any unit: see `Training.cost`.

    Raises: ValueError for measured rows without size_parameters and impressions_per_second.

    >>> rows = pd.DataFrame({"size_parameters": [[6, 4, 1], [60, 4, 1]],
    ...                      "impressions_per_second": [200.0, 100.0]})
    >>> flops = impression_flops(rows.size_parameters.tolist())
    >>> training_seconds([*flops, 2 * flops[1]], rows).round(4).tolist()
    [0.005, 0.01, 0.02]
    """
    flops = np.asarray(flops, float)
    rows = _measured_rows(measured)
    known = [] if rows is None else impression_flops(rows["size_parameters"].tolist(), ads)
    if len(np.unique(known)) < 2:
        return flops
    seconds = 1 / rows["impressions_per_second"].to_numpy(float)
    slope, height = np.polyfit(np.log(known), np.log(seconds), 1)
    slope = np.clip(slope, 0.0, 1.0)
    height = np.log(seconds).mean() - slope * np.log(known).mean()
    inside = np.minimum(flops, np.max(known))
    return np.exp(height + slope * np.log(inside)) * flops / inside


def economics_by_step(
    economics: SizeEconomics, parts: dict[str, np.ndarray], growth: Growth | None = None
) -> dict[str, SizeEconomics]:
    """The same sizes and draws with one cost after another added to serving's.

    Args:
      economics: with the cost of serving alone.
      parts: name -> currency per hour, [sizes], in the order in which they come in.
      growth: last of all; None: none.

    Returns: "serving", "+ name" for each part, "+ growth" -> `SizeEconomics`.

    >>> from lib.design.size_grids import Sizes
    >>> sizes = Sizes(np.array([[4, 2, 1], [8, 2, 1]]), np.array([20, 36]))
    >>> serving = SizeEconomics(sizes, 0, np.zeros(2), np.zeros((1, 2)), np.ones(2),
    ...                         np.ones((1, 2)), revenue_per_hour=10.0)
    >>> steps = economics_by_step(serving, {"training": np.array([1.0, 2.0])}, Growth(1, 0, 1))
    >>> {name: step.machine_cost.round(2).tolist() for name, step in steps.items()}
    {'serving': [1.0, 1.0], '+ training': [2.0, 3.0], '+ growth': [2.89, 4.33]}
    """
    steps, added = {SERVING: economics}, 0.0
    for name, cost in parts.items():
        added = added + np.asarray(cost, float)
        steps[f"+ {name}"] = _with_costs(economics, added)
    if growth is not None:
        follow = growth.mean(growth.traffic)
        # Training's machines follow the impressions, as serving's follow the requests.
        grown = sum(
            np.asarray(cost, float) * (follow if name == "training" else 1.0)
            for name, cost in parts.items()
        )
        steps[f"+ {GROWTH}"] = dataclasses.replace(
            _with_costs(economics, grown, follow),
            revenue_per_hour=economics.revenue_per_hour * growth.mean(growth.revenue),
        )
    return steps


def _with_costs(economics, added, factor=1.0):
    return dataclasses.replace(
        economics,
        machine_cost=factor * economics.machine_cost + added,
        machine_cost_draws=factor * economics.machine_cost_draws + added,
    )


def _measured_rows(measured):
    if measured is None or not len(measured):
        return None
    for name in ("size_parameters", "impressions_per_second"):
        if name not in measured:
            raise ValueError(
                f"training costs: column {name} is missing; got {', '.join(measured.columns)}"
            )
    rows = measured[measured["impressions_per_second"] > 0]
    shared = rows["form"] == "first_layer_optimised" if "form" in rows else np.array([False])
    return rows[shared] if shared.any() else rows
