"""Which size to build: the grid of sizes (appendix B.1) and the best one under an
ROI limit (Eq 7, 8).

ROI is revenue over machine cost, both in one currency per hour, and the caller says
revenue and cost of what. *Total*: all the system earns and all its machines cost, as
Eq 7 is written. *Incremental*: both less the base model's, so that the limit asks what
each further unit of money brings in; the base itself is then (0, 0). The condition is
kept as revenue >= roi_min * cost, the same for a positive cost and right for a saving.
"""
import itertools
from typing import NamedTuple

import numpy as np

from lib.sizes import matrix_flops


class Sizes(NamedTuple):
    """Sizes of one family, a row each: what is built and what it computes."""
    size_parameters: np.ndarray  # [sizes, layers + 1] int: input, hidden layers, output
    flops: np.ndarray            # [sizes] int: matrix products of one user-ad pair


def size_grid(*, flops_max=143e6, embedding_min=16, embedding_step=16, sparse_features=200,
              dense_width=128, hidden_layers=4, units_min=128, units_step=128,
              first_layer_max=1024, ratio_max=20, ratio_from="input", family="mlp",
              output_units=1):
    """All sizes of appendix B.1, narrow inputs first.

    The input is sparse_features * embedding width + dense_width, no hidden layer is wider
    than the one before it, and the output has one unit (an MLP) or output_units (a tower).

    The text asks that every layer but the output have at least 1/20 of the units of the
    previous one, and does not say whether the input is a previous layer. `ratio_from`:
    "input" (it is) leaves 1,553 sizes of up to 46 MFLOPs; "hidden" (it is not) leaves
    9,241 of up to 143 MFLOPs, because the ratio then never binds. The paper counts
    "approximately 1000"; no reading of ours gives that.

    Args:
      flops_max: the largest size, in FLOPs per user-ad pair (matrix products).
      first_layer_max: most units of the first hidden layer (the ad cache's limit).
      ratio_max: most times that a layer may be narrower than the previous one.

    Returns: `Sizes`.
    Raises: ValueError where a parameter is out of range or no size is left.

    >>> grid = size_grid()
    >>> len(grid.flops), grid.size_parameters[0].tolist(), int(grid.flops[0])
    (1553, [3328, 256, 128, 128, 128, 1], 1835264)
    """
    _check_grid(locals())
    units = range(first_layer_max - (first_layer_max - units_min) % units_step,
                  units_min - 1, -units_step)
    hidden = np.array([*itertools.combinations_with_replacement(units, hidden_layers)], np.int64)
    # No input wider than this fits, even in front of the narrowest first layer.
    input_max = int(flops_max // (2 * units_min))
    inputs = np.arange(sparse_features * embedding_min + dense_width, input_max + 1,
                       sparse_features * embedding_step)
    size_parameters = np.concatenate([
        np.repeat(inputs, len(hidden))[:, None],
        np.tile(hidden, (len(inputs), 1)),
        np.full((len(inputs) * len(hidden), 1), output_units)], axis=1)
    first = 0 if ratio_from == "input" else 1
    layers = size_parameters[:, first:-1]
    kept = (ratio_max * layers[:, 1:] >= layers[:, :-1]).all(axis=1)
    flops = matrix_flops(size_parameters, family)
    kept &= flops <= flops_max
    if not kept.any():
        raise ValueError(f"size_grid: no size satisfies flops_max = {flops_max:g} together "
                         f"with first_layer_max = {first_layer_max} and ratio_max = {ratio_max}")
    order = np.lexsort((flops[kept], size_parameters[kept, 0]))
    return Sizes(size_parameters[kept][order], flops[kept][order])


def best_size(revenue, cost, roi_min):
    """Index of the size of most revenue among those whose ROI is at least roi_min (Eq 8).

    Equal revenues go to the lower cost. A cost of inf marks a size that cannot be served.

    Args:
      revenue, cost: [sizes], one currency per hour; total or incremental (see the
        module's head).
      roi_min: the paper's lambda, >= 0.

    Raises: ValueError where no size meets the limit, with the highest ROI there is.

    >>> revenue, cost = np.array([100.0, 104.0, 107.0]), np.array([20.0, 22.0, 30.0])
    >>> best_size(revenue, cost, roi_min=4)                              # 107 / 30 = 3.6
    1
    >>> best_size(revenue - revenue[0], cost - cost[0], roi_min=0.5)     # 7 / 10 = 0.7
    2
    """
    revenue, cost = check_money("best_size", revenue, cost, roi_min)
    if revenue.ndim != 1:
        raise ValueError(f"best_size: revenue must be [sizes]; got shape {revenue.shape} "
                         "(share_best takes draws)")
    best = int(_best(revenue, cost, roi_min))
    if best < 0:
        raise ValueError(f"best_size: no size reaches roi_min = {roi_min:g}; "
                         + highest_roi(revenue, cost))
    return best


def share_best(revenue, cost, roi_min):
    """How often each size is the best one over draws of revenue and cost.

    A row is one draw of everything uncertain at once, such as one refit of the law with
    one draw of the service times: rows drawn for each size by itself would make the
    winner look random, because the errors of neighbouring sizes move together.

    Args:
      revenue, cost: [draws, sizes], or [sizes] where one of the two is certain.
      roi_min: as in `best_size`.

    Returns: [sizes], shares of the draws; what they lack to 1 is the share of draws in
    which no size meets the limit.

    >>> share_best([[3.0, 4.0], [3.0, 5.0], [3.0, 2.0], [0.1, 0.2]], [1.0, 2.0], roi_min=1)
    array([0.25, 0.5 ])
    """
    revenue, cost = check_money("share_best", revenue, cost, roi_min)
    if revenue.ndim != 2:
        raise ValueError("share_best: revenue or cost must be [draws, sizes]; "
                         f"got shape {revenue.shape}")
    best = _best(revenue, cost, roi_min)
    return np.bincount(best[best >= 0], minlength=revenue.shape[1]) / len(best)


def meets_roi(revenue, cost, roi_min):
    """Where revenue >= roi_min * cost, elementwise (the constraint of Eq 8 and 9).

    >>> meets_roi(np.array([2.0, 2.0, 2.0]), np.array([1.0, 3.0, np.inf]), roi_min=1)
    array([ True, False, False])
    """
    served = np.isfinite(cost)
    return served & (revenue >= roi_min * np.where(served, cost, 0.0))


def highest_roi(revenue, cost):
    """The clause of an error that tells the highest ROI of [sizes].

    >>> highest_roi(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    'the highest ROI is 2 (size 0)'
    """
    priced = np.isfinite(cost) & (cost > 0)
    if not priced.any():
        return "no size has a positive, finite cost"
    roi = np.divide(revenue, cost, out=np.full(revenue.shape, -np.inf), where=priced)
    return f"the highest ROI is {roi.max():.4g} (size {roi.argmax()})"


def _best(revenue, cost, roi_min):
    """Best size along the last axis, -1 where none meets the limit."""
    feasible = meets_roi(revenue, cost, roi_min)
    value = np.where(feasible, revenue, -np.inf)
    tied = feasible & (value == value.max(axis=-1, keepdims=True))
    best = np.where(tied, cost, np.inf).argmin(axis=-1)
    return np.where(feasible.any(axis=-1), best, -1)


def check_money(name, revenue, cost, roi_min):
    """Revenue and cost as arrays of one shape."""
    revenue, cost = np.asarray(revenue, float), np.asarray(cost, float)
    try:
        revenue, cost = np.broadcast_arrays(revenue, cost)
    except ValueError:
        raise ValueError(f"{name}: revenue and cost must be of one shape; "
                         f"got {revenue.shape} and {cost.shape}") from None
    if revenue.shape[-1:] in ((), (0,)):
        raise ValueError(f"{name}: expected at least one size; got shape {revenue.shape}")
    if not np.isfinite(revenue).all():
        raise ValueError(f"{name}: revenue must be finite; "
                         f"got {revenue[~np.isfinite(revenue)][0]}")
    bad = np.isnan(cost) | (cost == -np.inf)
    if bad.any():
        raise ValueError(f"{name}: cost must be a number, or inf for a size that cannot be "
                         f"served; got {cost[bad][0]}")
    if not 0 <= roi_min < np.inf:
        raise ValueError(f"{name}: roi_min must be a number >= 0; got {roi_min}")
    return revenue, cost


def _check_grid(parameters):
    parameters = dict(parameters)
    ratio_from, family = parameters.pop("ratio_from"), parameters.pop("family")
    if ratio_from not in ("input", "hidden"):
        raise ValueError(f"size_grid: ratio_from must be 'input' or 'hidden'; got {ratio_from!r}")
    dense_width = parameters.pop("dense_width")
    if dense_width < 0:
        raise ValueError(f"size_grid: dense_width must be >= 0; got {dense_width}")
    if family == "mlp" and parameters["output_units"] != 1:
        raise ValueError("size_grid: output_units of an mlp must be 1; "
                         f"got {parameters['output_units']}")
    for name, value in parameters.items():
        if not value > 0:
            raise ValueError(f"size_grid: {name} must be > 0; got {value}")
    if parameters["units_min"] > parameters["first_layer_max"]:
        raise ValueError(f"size_grid: first_layer_max must be at least units_min = "
                         f"{parameters['units_min']}; got {parameters['first_layer_max']}")
