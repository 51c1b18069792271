"""The paper's own case: what must be assumed for its size to be the answer to Eq 8.

Section 5.1 tells the base, the size that was found and what it earned; it does not tell lambda,
what machines cost beside revenue, or what a size costs. Eq 8 knows these only together. With
lifts l over the base and costs c in multiples of the base's serving cost, a size keeps an
incremental ROI of lambda if

    l >= k (c - 1),    k = lambda x (serving cost of the base) / (revenue),    both per hour

The found size is the answer if it keeps this and no size that earns more does. So each other size
that earns more bounds k from below, the found size itself bounds it from above, and where the
bounds cross no lambda, no price and no revenue make it the answer: the cost must be another.
A cost of inputs beside serving (training, tables of embeddings: `lib.design.total_cost`) is the
second axis of the map.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

# Section 5.1: the base, the size that was found for it, and what that earned.
BASE = (3328, 1024, 256, 256, 256, 1)
FOUND = (16128, 1024, 512, 512, 512, 1)
LIFT = 0.0085


def lifts_by_one(metric: ArrayLike, base: int, reference: int, lift: float) -> np.ndarray:
    """Lifts of all sizes by a linear G whose slope one published lift gives, [sizes].

    Args:
      metric: of each size, by a law, [sizes]; base, reference: indices; lift: the reference's.

    >>> lifts_by_one([0.85, 0.86, 0.87], 0, 2, 0.01).round(4).tolist()
    [0.0, 0.005, 0.01]
    """
    gain = np.asarray(metric, float) - np.asarray(metric, float)[base]
    if not gain[reference] > 0:
        raise ValueError(
            f"lifts_by_one: the reference's metric must be above the base's; got {gain[reference]}"
        )
    return lift * gain / gain[reference]


def answer_region(
    lift: ArrayLike, serving: ArrayLike, inputs: ArrayLike, index: int, prices: ArrayLike
) -> pd.DataFrame:
    """The k (see the module's head) with which one size is the answer, for prices of inputs.

    Args:
      lift: over the base, fractions, [sizes].
      serving: cost of serving, in multiples of the base's, [sizes]; inf: cannot be served.
      inputs: what grows with the input, such as the width of embedding tables or the FLOPs of
        training, in multiples of the base's, [sizes].
      index: of the size; it must earn more than the base.
      prices: cost of the base's inputs beside serving, as a multiple of its serving cost, [prices].

    Returns: DataFrame, a row a price: price, low (k must be above), high (k may be this), possible
      (whether any k is left), rival (index of the size that sets low; -1 for none).
    Raises: ValueError for a size that earns no more than the base, or cannot be served.

    >>> region = answer_region([0.0, 0.01, 0.012], [1.0, 2.0, 2.1], [1.0, 2.0, 4.0], 1, [0.0, 1.0])
    >>> region.round(4)[["price", "low", "high", "possible"]].values.tolist()
    [[0.0, 0.0109, 0.01, False], [1.0, 0.0029, 0.005, True]]
    """
    lift, serving, inputs = (np.asarray(x, float) for x in (lift, serving, inputs))
    prices = np.atleast_1d(np.asarray(prices, float))
    if not (lift[index] > 0 and np.isfinite(serving[index])):
        raise ValueError(
            "answer_region: the size must earn more than the base and be served; got a lift of "
            f"{lift[index]} and a serving cost of {serving[index]}"
        )
    extra = (serving - 1) + prices[:, None] * (inputs - 1)  # [prices, sizes]
    # A size that costs no more than the base keeps any bound if it earns at all.
    limits = np.divide(lift, extra, out=np.full(extra.shape, np.inf), where=extra > 0)
    same = (lift == lift[index]) & (extra < extra[:, [index]])
    rivals = np.where((lift > lift[index]) | same, limits, 0.0)
    low, high = rivals.max(axis=1), limits[:, index]
    return pd.DataFrame(
        {
            "price": prices,
            "low": low,
            "high": high,
            "possible": low < high,
            "rival": np.where(low > 0, rivals.argmax(axis=1), -1),
        }
    )


def least_price(region: pd.DataFrame) -> float:
    """The lowest price of `answer_region` at which the size can be the answer; inf for none.

    >>> least_price(pd.DataFrame({"price": [0.0, 0.5, 1.0], "possible": [False, True, True]}))
    0.5
    """
    possible = region.loc[region["possible"], "price"]
    return float(possible.min()) if len(possible) else float("inf")
