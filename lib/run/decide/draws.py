"""The draws that the page computes with: few sizes, and none missing that it may choose.

Which sizes meet the bound depends on one number alone, the slope at which revenue must grow with
cost: roi_min * price / revenue. So whatever the sliders say, a draw's sizes are compared at some
slope of a known range. The range is cut into cells. The gain less slope times cost is linear in
the slope: a size that meets the bound at both ends of a cell meets it in all of the cell, one that
misses it at both ends misses it everywhere. A size is left out if in every cell, whatever the
slope, others that meet the bound throughout are better.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.logs.errors import InputError

NAMES = (
    "size_parameters",
    "flops",
    "lift",
    "machine_cost",
    "lift_draws",
    "machine_cost_draws",
    "base",
)
BLOCK = 2**18  # values of [draws, sizes] at a time
CELLS = 64  # of the range of slopes
SLACK = 1e-9  # what rounding may move a slope by, relative


@dataclass(frozen=True)
class Draws:
    """Joint draws of what sizes earn and cost, as notebook 04 leaves them in draws.npz.

    Attributes:
      size_parameters: [sizes, layers + 1]; flops: [sizes].
      lift: revenue over the base's, a fraction, [sizes]; lift_draws: [draws, sizes].
      machine_cost: of all machines that serve a size, currency per hour, [sizes], inf for one
        that cannot be served; machine_cost_draws: [draws, sizes].
      base: index of the base.
      revenue_per_hour: of the system with the base, over the horizon that costs are for; None
        where the file has none: what the reader gave.
    """

    size_parameters: np.ndarray
    flops: np.ndarray
    lift: np.ndarray
    machine_cost: np.ndarray
    lift_draws: np.ndarray
    machine_cost_draws: np.ndarray
    base: int
    revenue_per_hour: float | None = None

    def take(self, sizes: np.ndarray) -> "Draws":
        """The draws of some sizes, by index; the base must be one of them."""
        return Draws(
            self.size_parameters[sizes],
            self.flops[sizes],
            self.lift[sizes],
            self.machine_cost[sizes],
            self.lift_draws[:, sizes],
            self.machine_cost_draws[:, sizes],
            int(np.flatnonzero(sizes == self.base)[0]),
            self.revenue_per_hour,
        )


def read_draws(path: str | Path) -> Draws:
    """The draws in a file of notebook 04.

    Raises: InputError naming file, array, what it holds and what was expected.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected arrays that numpy.savez wrote; {error}") from None
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise InputError(f"{path}: array {missing[0]!r} is missing; found {', '.join(arrays)}")
    sizes, count = len(arrays["flops"]), len(arrays["lift_draws"])
    for name, shape in {
        "lift": (sizes,),
        "machine_cost": (sizes,),
        "lift_draws": (count, sizes),
        "machine_cost_draws": (count, sizes),
    }.items():
        if arrays[name].shape != shape:
            raise InputError(
                f"{path}: array {name!r}: found the shape {arrays[name].shape}, expected {shape}"
            )
    base = int(arrays["base"])
    if not 0 <= base < sizes:
        raise InputError(f"{path}: array 'base': found {base}, expected an index of {sizes} sizes")
    revenue = arrays.get("revenue_per_hour")
    return Draws(
        **{name: arrays[name] for name in NAMES if name != "base"},
        base=base,
        revenue_per_hour=None if revenue is None else float(revenue),
    )


def kept_sizes(
    draws: Draws, slopes: tuple[float, float], confidences: Sequence[float], roi: str
) -> np.ndarray:
    """Indices of the sizes that the page may choose, the base among them.

    Kept is what may be the best size of a draw, the best one of the central estimates, or the
    choice that earns most in expectation with the bound holding at a stated confidence.

    Args:
      slopes: lowest and highest roi_min * price / revenue, lifts and costs as in `draws`.
      confidences: that the page lets its reader ask for.
      roi: "incremental" or "total", as `lib.design.revenue_and_cost`.

    >>> draws = Draws(np.array([[1], [2], [3]]), np.arange(3), np.array([0, 0.02, 0.01]),
    ...               np.array([1.0, 2.0, 3.0]), np.array([[0, 0.02, 0.01]]),
    ...               np.array([[1.0, 2.0, 3.0]]), base=0)
    >>> kept_sizes(draws, (0, 1), [0.9], "incremental")  # the last earns less for more
    array([0, 1])
    """
    ends = _ends(*slopes)
    kept = np.arange(len(draws.flops)) == draws.base
    central = draws.lift[None].astype(float), draws.machine_cost[None].astype(float)
    for cell in _cells(*central, draws.base, roi, ends):
        kept |= _may_be_best(central[0], *cell)[0]
    least, most = np.zeros((2, CELLS, len(kept)))  # shares of draws that meet the bound
    expected, count = np.zeros(len(kept)), len(draws.lift_draws)
    step = max(1, BLOCK // len(kept))
    for start in range(0, count, step):
        lift = draws.lift_draws[start : start + step].astype(float)
        cost = draws.machine_cost_draws[start : start + step].astype(float)
        # A size that cannot be served is not deployed, and earns what the base does.
        expected += np.where(np.isfinite(cost), lift, lift[:, [draws.base]]).sum(axis=0) / count
        for place, (always, ever) in enumerate(_cells(lift, cost, draws.base, roi, ends)):
            kept |= _may_be_best(lift, always, ever).any(axis=0)
            least[place] += always.sum(axis=0) / count
            most[place] += ever.sum(axis=0) / count
    for confidence in confidences:
        sure, perhaps = least >= confidence + SLACK, most >= confidence - SLACK
        kept |= _may_be_best(expected + np.zeros_like(least), sure, perhaps, SLACK).any(axis=0)
    return np.flatnonzero(kept)


def _ends(low, high):
    """The ends of the cells, [CELLS + 1]; the first reaches down to 0 where the range does."""
    if high <= 0:
        return np.zeros(CELLS + 1)
    if low <= 0:
        return np.append(0.0, np.geomspace(high / 1000, high, CELLS))
    return np.geomspace(low, high, CELLS + 1)


def _cells(lift, cost, base, roi, ends):
    """Per cell where sizes meet the bound throughout, and where somewhere in it.

    A size meets it from the slope `first` to the slope `last`, between which it loses nothing.
    """
    gain = 1 + lift if roi == "total" else lift
    served = np.isfinite(cost)
    paid = np.where(served, cost, 0.0)
    paid = paid - paid[:, [base]] if roi == "incremental" else paid
    slope = np.divide(gain, paid, out=np.zeros_like(gain), where=paid != 0)
    last = np.where(paid > 0, slope, np.where((paid < 0) | (gain >= 0), np.inf, -np.inf))
    last[~served] = -np.inf
    first = np.where(paid < 0, slope, -np.inf)
    less, more = 1 - SLACK, 1 + SLACK
    for low, high in itertools.pairwise(ends):
        always = (first * more <= low) & (high <= last * less)
        ever = (first * less <= high) & (low <= last * more)
        yield always, ever


def _may_be_best(worth, always, ever, room=0.0):
    """Sizes that meet the bound somewhere and are not worth less than one that always does."""
    floor = np.where(always, worth, -np.inf).max(axis=-1, keepdims=True)
    return ever & (worth >= floor - room)
