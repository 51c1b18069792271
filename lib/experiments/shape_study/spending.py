"""Is the next unit of money better spent on a bigger model or on more data?

A size is paid for twice: at every request that it serves, and at every sample that it is trained
on. Data are paid for by the training that goes over them (and by whatever keeping them costs).
Size and data count from a base, which serves today.
"""

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib.infra.arrays import check_positive, real_array
from lib.infra.intervals import check_interval, interval_bounds

STEP = 0.01  # of a derivative, relative
MOST = 1e3  # a ratio of returns beyond it is cut
SPLITS = 400  # sizes that a budget is split at


@dataclasses.dataclass(frozen=True)
class Prices:
    """What the base costs and earns, money per hour.

    Attributes:
      serving: of its machines; in proportion to FLOPs.
      training: of its training, spread over the hours that a trained model serves; in proportion
        to FLOPs x samples.
      data: of keeping the samples that it trains on; in proportion to these.
      revenue: of the system.

    Raises: ValueError for what is not finite, for negative prices, serving or revenue of 0, and
      data that are free to train on and to keep: of these nobody would take less than all.
    """

    serving: float
    training: float
    data: float
    revenue: float

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            least = "> 0" if name in ("serving", "revenue") else ">= 0"
            if not (np.isfinite(value) and (value > 0 or (least == ">= 0" and value == 0))):
                raise ValueError(f"Prices: {name} must be finite and {least}; got {value}")
        if not self.training + self.data > 0:
            raise ValueError(
                "Prices: training or data must cost something; got training = 0, data = 0"
            )

    def cost(self, size: ArrayLike, data: ArrayLike) -> np.ndarray:
        """Money per hour of a size and an amount of data relative to the base's.

        >>> float(Prices(serving=100, training=10, data=0, revenue=1e4).cost(2.0, 3.0))
        260.0
        """
        size, data = np.asarray(size, float), np.asarray(data, float)
        return self.serving * size + self.training * size * data + self.data * data

    def data_for(self, cost: ArrayLike, size: ArrayLike) -> np.ndarray:
        """The amount of data that a cost leaves for a size; below 0 where it leaves none."""
        size = np.asarray(size, float)
        return (cost - self.serving * size) / (self.training * size + self.data)


def next_unit(
    law, revenue_model, base: tuple[float, float], prices: Prices, interval: float = 0.9
) -> pd.DataFrame:
    """What one more unit of money earns, spent on size or on data, at the base.

    Args:
      law: `lib.laws.JointPowerLaw` of the metric over (FLOPs, impressions).
      revenue_model: G, `lib.validation.revenue_model.LinearRevenueModel`; each draw of the law
        goes through a line of its own.
      base: (FLOPs, impressions) of the base.

    Returns: DataFrame of two rows: spent_on ("a bigger model", "more data"), a_doubling (revenue
      lift of twice as much), return (revenue per unit of money, at the margin), each with _low
      and _high, and probability (that it returns more than the other).
    """
    check_interval(interval)
    x = _around(base)
    lift = _lifts(revenue_model.predict(law.predict(x)))
    drawn = _lifts(revenue_model.sample(law.sample(x)))
    margin = prices.revenue / np.array(_marginal_costs(prices))
    returns, drawn_returns = margin * lift[..., 2:], margin * drawn[..., 2:]
    is_data = drawn_returns[:, 1] > drawn_returns[:, 0]
    rows = []
    for i, name in enumerate(("a bigger model", "more data")):
        row = {"spent_on": name}
        for column, value, draws in (
            ("a_doubling", lift[i], drawn[:, i]),
            ("return", returns[i], drawn_returns[:, i]),
        ):
            low, high = interval_bounds(draws, interval)
            row |= {column: value, f"{column}_low": low, f"{column}_high": high}
        rows.append(row | {"probability": float(is_data.mean() if i else 1 - is_data.mean())})
    return pd.DataFrame(rows)


def by_training_price(
    law, base: tuple[float, float], prices: Prices, ratios: ArrayLike, interval: float = 0.9
) -> pd.DataFrame:
    """Return of a unit of money spent on data over that of one spent on size, by training's price.

    G cancels: both move the same metric. Above 1 data are the better buy.

    Args:
      ratios: training cost of the base over its serving cost, > 0, [ratios].

    Returns: DataFrame, a row a ratio: training_over_serving, data_over_size, low, high and
      probability (that data return more).
    """
    check_interval(interval)
    ratios = real_array(ratios, "by_training_price: ratios")
    check_positive(ratios, "by_training_price: ratios")
    x = _around(base)
    size, data = _lifts(law.predict(x))[2:]
    drawn = _lifts(law.sample(x))[:, 2:]
    rows = []
    for ratio in ratios:
        of_size, of_data = _marginal_costs(
            dataclasses.replace(prices, training=ratio * prices.serving)
        )
        price = of_size / of_data
        # A size that is worth nothing makes data endlessly better.
        draws = price * drawn[:, 1] / np.maximum(drawn[:, 0], drawn[:, 1].clip(0) / MOST)
        low, high = interval_bounds(draws, interval)
        rows.append(
            {
                "training_over_serving": float(ratio),
                "data_over_size": float(price * data / size),
                "low": low,
                "high": high,
                "probability": float((draws > 1).mean()),
            }
        )
    return pd.DataFrame(rows)


def best_split(
    law,
    revenue_model,
    base: tuple[float, float],
    prices: Prices,
    budgets: ArrayLike,
    *,
    most_data: float,
    interval: float = 0.9,
) -> pd.DataFrame:
    """Size and data that earn most for each budget, serving included.

    Args:
      law, revenue_model, base, prices: as for `next_unit`.
      budgets: money per hour of serving, training and data, over the base's, > 0, [budgets].
      most_data: impressions that there are; a budget that buys more is not spent.

    Returns: DataFrame, a row a budget: budget, size (FLOPs) and data (impressions), each with
      _low and _high, lift over the base with lift_low and lift_high, and cost (over the base's).
    """
    check_interval(interval)
    budgets = real_array(budgets, "best_split: budgets")
    check_positive(budgets, "best_split: budgets")
    flops, impressions = base
    today = prices.cost(1.0, 1.0)
    # A size may take up to all that the budget leaves without data.
    size = budgets[:, None] * today / prices.serving * np.geomspace(1e-3, 0.999, SPLITS)
    data = np.minimum(prices.data_for(budgets[:, None] * today, size), most_data / impressions)
    x = np.stack([size * flops, data * impressions], axis=-1)
    base_x = np.array(base, float)
    best = np.argmax(law.predict(x), axis=1)
    chosen = _at(x, best)
    lift = revenue_model.predict(law.predict(chosen)) - revenue_model.predict(law.predict(base_x))
    drawn_best = np.argmax(law.sample(x), axis=2)
    drawn = np.stack([_at(x, row) for row in drawn_best])  # [refits, budgets, 2]
    lifts = revenue_model.sample(law.sample(np.vstack([chosen, base_x])))
    lift_low, lift_high = interval_bounds(lifts[:, :-1] - lifts[:, -1:], interval)
    low, high = interval_bounds(drawn, interval)
    return pd.DataFrame(
        {
            "budget": budgets,
            "size": chosen[:, 0],
            "size_low": low[:, 0],
            "size_high": high[:, 0],
            "data": chosen[:, 1],
            "data_low": low[:, 1],
            "data_high": high[:, 1],
            "lift": lift,
            "lift_low": lift_low,
            "lift_high": lift_high,
            "cost": prices.cost(chosen[:, 0] / flops, chosen[:, 1] / impressions) / today,
        }
    )


def _around(base):
    """x [5, 2]: the base, twice its size, twice its data, a step of each."""
    base = np.array(base, float)
    return base * [[1, 1], [2, 1], [1, 2], [1 + STEP, 1], [1, 1 + STEP]]


def _lifts(values):
    """[..., 5] of `_around` -> [..., 4]: gains of doubling size and data, derivatives by their
    logarithms."""
    gains = values[..., 1:] - values[..., :1]
    return gains * [1, 1, 1 / STEP, 1 / STEP]


def _marginal_costs(prices):
    """Money of one unit of log size, and of log data, at the base."""
    return prices.serving + prices.training, prices.training + prices.data


def _at(x, places):
    """x [budgets, splits, 2] at a split of each budget, [budgets, 2]."""
    return x[np.arange(len(x)), places]
