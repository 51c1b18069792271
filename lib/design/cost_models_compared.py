"""Why FLOPs predict quality but not cost: from one to the other, step by step.

Each step adds one thing that the FLOPs of a user-ad pair leave out. Algorithm 1 only asks
what a size costs relative to the base, so every step is given in multiples of the base.
"""

import dataclasses
import itertools

import numpy as np
import pandas as pd

from lib.cost.algorithm import cost_per_hour, required_machines
from lib.cost.roofline import TERMS, Roofline
from lib.design.roi_choice import best_size
from lib.models.flop_count import matrix_flops

_SERVED = "first_layer_optimised"


def cost_steps(sizes, base, candidates, device, factors=None, *, batch_requests=8):
    """Time of a request relative to the base's, as one consideration after another is added.

    flops       all layers for all candidates, as the FLOPs of a user-ad pair count them
    cached      the first layer's ad part is cached, its user part done once a request
    memory      reading weights and activations counts where it takes longer
    transfer    the inputs come from the host
    overhead    operators and requests must be started
    batching    `batch_requests` requests run as one and share weights and overheads

    Args:
      sizes: [sizes, layers + 1]; base: the base's size parameters.
      device, factors: as of `Roofline`.

    Returns: DataFrame [sizes] of size_parameters and a column a step.

    >>> from lib.cost.device import T4
    >>> base, wide = [3328, 1024, 256, 256, 256, 1], [16128, 1024, 256, 256, 256, 1]
    >>> cost_steps([wide], base, 1500, T4)[["flops", "cached"]].round(2).values.tolist()
    [[4.45, 1.01]]
    """
    sizes = np.concatenate([[base], np.asarray(sizes)])
    full = Roofline(device, factors)
    computing = dataclasses.replace(
        device, memory_bandwidth=np.inf, cache_bandwidth=np.inf, transfer_bandwidth=np.inf
    )
    without_transfer = dataclasses.replace(device, transfer_bandwidth=np.inf)
    without_overhead = full.factors | {"request": 0.0, "launch": 0.0}
    times = {
        "flops": matrix_flops(sizes).astype(float),
        "cached": Roofline(computing, without_overhead).predict(sizes, _SERVED, candidates),
        "memory": Roofline(without_transfer, without_overhead).predict(sizes, _SERVED, candidates),
        "transfer": Roofline(device, without_overhead).predict(sizes, _SERVED, candidates),
        "overhead": full.predict(sizes, _SERVED, candidates),
        "batching": full.predict(sizes, _SERVED, candidates, requests=batch_requests),
    }
    relative = {name: time[1:] / time[0] for name, time in times.items()}
    return pd.DataFrame({"size_parameters": sizes[1:].tolist(), **relative})


# What each step adds, as the end of "what matters most is ...".
STEP_MEANING = {
    "cached": "that the first layer's ad part is cached",
    "memory": "how fast memory is",
    "transfer": "where the cached parts lie",
    "overhead": "what starting a request takes",
    "batching": "whether requests share a run",
}


def decisive_step(steps):
    """The step of `cost_steps` that changes a size's cost most, by ratio.

    Args:
      steps: one row of `cost_steps`.

    Returns: a key of `STEP_MEANING`.

    >>> decisive_step({"flops": 4.0, "cached": 2.0, "memory": 2.5, "transfer": 2.5,
    ...                "overhead": 2.4, "batching": 2.4})
    'cached'
    """
    changes = {
        after: abs(np.log(steps[after] / steps[before]))
        for before, after in itertools.pairwise(["flops", *STEP_MEANING])
    }
    return max(changes, key=changes.get)


def step_errors(rows, base, device, factors=None):
    """How far each of `cost_steps` is from measured times, all relative to the base's.

    Args:
      rows: measured sizes of the served form with one number of candidates, the base among
        them: columns size_parameters, candidates, service_ms.

    Returns: DataFrame of step, median_error and largest_error (relative, absolute values).
    """
    rows = pd.DataFrame(rows)
    is_base = np.array([list(size) == list(base) for size in rows["size_parameters"]])
    if not is_base.any() or rows["candidates"].nunique() != 1:
        raise ValueError(
            f"step_errors: rows must hold the base {list(base)} and one number of "
            f"candidates; got {is_base.sum()} rows of the base and candidates "
            f"{sorted(set(rows['candidates']))}"
        )
    measured = rows["service_ms"].to_numpy(float)
    measured = (measured / np.median(measured[is_base]))[~is_base]
    table = cost_steps(
        rows["size_parameters"][~is_base].tolist(),
        base,
        int(rows["candidates"].iloc[0]),
        device,
        factors,
    )
    error = table.drop(columns=["size_parameters", "batching"]).div(measured, axis=0).sub(1).abs()
    return pd.DataFrame(
        {
            "step": error.columns,
            "median_error": error.median().to_numpy(),
            "largest_error": error.max().to_numpy(),
        }
    )


def time_shares(roofline, sizes, form, candidates):
    """Where a request's time goes: share of each of `lib.cost.roofline.TERMS`.

    Returns: DataFrame [sizes] of size_parameters, ms, and a column a term.
    """
    times = roofline.times(sizes, form, candidates) * [roofline.factors[name] for name in TERMS]
    ms = times.sum(axis=-1)
    shares = pd.DataFrame(times / ms[:, None], columns=list(TERMS))
    shares.insert(0, "ms", ms)
    shares.insert(0, "size_parameters", np.asarray(sizes).tolist())
    return shares


def best_by_cost(sizes, revenue, base, times, machines_base, price_per_hour, roi_min=1.0):
    """The best size under each of several models of cost, by Eq 8 beyond the base.

    Args:
      sizes: [sizes, layers + 1]; base: the index of the base.
      revenue: [sizes] per hour, beyond the base's.
      times: dict of name -> [sizes], what a request takes, in any unit.

    Returns: DataFrame of cost_model, size_parameters, flops and cost in multiples of the
    base, revenue, and roi beyond the base.
    """
    rows = []
    for name, request_time in times.items():
        request_time = np.asarray(request_time, float)
        machines = required_machines(1 / request_time[base], machines_base, 1 / request_time)
        cost = cost_per_hour(machines - machines_base, price_per_hour)
        best = best_size(revenue, cost, roi_min)
        rows.append(
            {
                "cost_model": name,
                "size_parameters": np.asarray(sizes)[best].tolist(),
                "flops": float(matrix_flops(sizes[best]) / matrix_flops(sizes[base])),
                "cost": float(machines[best] / machines_base),
                "revenue": float(revenue[best]),
                "roi": float(revenue[best] / cost[best]) if cost[best] > 0 else np.inf,
            }
        )
    return pd.DataFrame(rows)
