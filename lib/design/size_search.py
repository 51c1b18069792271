"""The best size of a grid from a few measurements instead of all of them.

Revenue of every size is known (law and G); its cost is known only where it was measured,
and elsewhere by `ServiceTimeModel`, within its uncertainty. The search measures, one at a
time, the size whose measurement promises most: the expected gain of revenue (or profit)
over the best size measured so far, over joint draws of all costs. Only a measured size is
ever recommended. Where the best one's ROI is in doubt, that doubt may be worth more than any
new size: it, or the base that its cost is counted from, is then measured once more.
"""

import collections
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from lib.cost.algorithm import cost_per_hour, required_machines
from lib.cost.device import CPU_CORE, Device
from lib.cost.roofline import Roofline
from lib.cost.service_time import LEAST_ROWS, ServiceTimeModel
from lib.design.roi_choice import check_money, meets_roi
from lib.infra.timings import Timings
from lib.serving.queueing import load_at_limit, time_at_load


class Goal(NamedTuple):
    """What makes a size the best: most revenue at an incremental ROI, or most profit.

    Revenue and cost count from the base (see `lib.design`), per hour, in one currency.
    """

    revenue: np.ndarray  # [sizes] or [draws, sizes], beyond the base's
    base: int  # index of the base
    machines_base: float  # that serve it now
    price_per_hour: float  # of one machine
    roi_min: float | None = 1.0  # None: revenue less cost is maximised, without a limit

    def cost(self, qps):
        """Cost beyond the base's of [..., sizes] QPS; inf where it is 0."""
        machines = required_machines(qps[..., [self.base]], self.machines_base, qps)
        return cost_per_hour(machines - self.machines_base, self.price_per_hour)

    def value(self, qps):
        """What each size is worth, [..., sizes]; -inf where it cannot be chosen."""
        revenue, cost = check_money("Goal", self.revenue, self.cost(qps), self.roi_min or 0.0)
        if self.roi_min is None:
            return revenue - cost
        return np.where(meets_roi(revenue, cost, self.roi_min), revenue, -np.inf)


class Requests(NamedTuple):
    """The requests under which sizes are measured, the same for all of them."""

    candidates: int
    latency_limit_ms: float
    form: str = "first_layer_optimised"
    workers: int = 1
    user_width: int | None = None


# Why a size was measured. All but the first two are measurements of a size once more.
FIRST = "among the first, apart from each other"
PROMISING = "may be worth more than the best so far"
RIVAL = "measured before, may still be worth more than the best so far"
DOUBTED = "the best so far, its ROI in doubt"
DOUBTED_BASE = "the base, from which the cost of the best one is counted"
REPEATED = {RIVAL: "a rival", DOUBTED: "the best size so far", DOUBTED_BASE: "the base"}


class SearchResult(NamedTuple):
    """The result of a search."""

    best: int  # index of the size
    probability_best: float  # that no other size is worth more by over `tolerance`
    expected_gain: float  # of the next measurement, in the goal's currency
    enough: bool  # the asked probability was reached within the budget
    rows: list  # measured rows, in order, `purpose` saying why; enough to go on later
    model: ServiceTimeModel

    def explain(self) -> str:
        """Why these sizes were measured, and why the search ended, in two or three sentences."""
        purposes = collections.Counter(row.get("purpose", "") for row in self.rows)
        different = len({str(row["size_parameters"]) for row in self.rows})
        text = f"{len(self.rows)} measurements of {different} sizes."
        repeats = {REPEATED[key]: purposes[key] for key in REPEATED if purposes[key]}
        if repeats:
            counts = ", ".join(f"{name}: {count}" for name, count in repeats.items())
            text += (
                f" {sum(repeats.values())} of them measured a size once more ({counts}): whether "
                f"the best one reaches the asked ROI was in doubt, and settling that promised more "
                f"than any size not measured yet."
            )
        end = "the asked probability was reached" if self.enough else "the budget was spent"
        return (
            f"{text} The search ended because {end}; the best size is worth more than all others "
            f"with a probability of {self.probability_best:.2f}."
        )


def search(
    sizes: np.ndarray,
    goal: Goal,
    measure: Callable[[list[int]], dict],
    requests: Requests,
    *,
    budget: int,
    initial: int = 4,
    probability_best: float = 0.95,
    tolerance: float = 0.005,
    device: Device = CPU_CORE,
    draws: int = 256,
    seed: int = 0,
    rows: list[dict] | tuple = (),
    progress: bool = True,
) -> SearchResult:
    """Find the best size in as few measurements as it takes.

    Args:
      sizes: [sizes, layers + 1] size parameters, up to a few thousand.
      goal: `Goal`, over the same sizes.
      measure: size parameters (list) -> dict with qps, or with service_ms (and no qps, or NaN)
        if the load that queueing theory gives for it will do; a qps of 0, neither of the two,
        or an error raised is a size that cannot be served. With `measure_with` every
        measurement is kept.
      requests: `Requests`.
      budget: most measurements in all, `initial` and the given rows included.
      initial: measurements before the first choice: the base and sizes apart from each other.
      probability_best, tolerance: the search ends when no size is worth `tolerance` (relative)
        more than the best measured one in this share of draws.
      device: prior of `ServiceTimeModel`.
      rows: measured before, such as those of an interrupted search.
      seed: of the first sizes and of the draws.

    Returns: `SearchResult`.
    Raises: ValueError for a bad argument, or where the base cannot be served or fewer than
      three sizes can.
    """
    sizes = np.asarray(sizes)
    _check(sizes, goal, budget, initial, probability_best)
    state = _State(sizes, requests, rows)
    with tqdm(
        total=budget,
        initial=len(state.rows),
        desc="sizes measured",
        leave=False,
        disable=not progress,
    ) as bar:

        def measured(index, purpose):
            state.add(index, measure, purpose)
            bar.update()

        _begin(state, goal.base, measured, device, initial, budget, seed)
        while True:
            model, qps = state.posterior(device, draws, seed)
            best, gain, probability = _outlook(goal, qps, list(state.loads), tolerance)
            enough = probability >= probability_best or gain.max() <= 0
            if enough or len(state.rows) >= budget:
                return SearchResult(best, probability, float(gain.max()), enough, state.rows, model)
            promising = int(gain.argmax())
            if promising != best:
                measured(promising, RIVAL if promising in state.loads else PROMISING)
            # The best size's ROI depends on the base's load too: measure whichever was less often.
            elif state.times(best) > state.times(goal.base):
                measured(goal.base, DOUBTED_BASE)
            else:
                measured(best, DOUBTED)


def sizes_with_base(sizes: np.ndarray, base: list[int]) -> tuple[np.ndarray, int]:
    """(sizes, the base's index among them): the base is put in front where it is not there.

    Raises: ValueError where the base has another number of layers than the sizes.

    >>> sizes_with_base(np.array([[4, 2, 1], [8, 2, 1]]), [8, 2, 1])[1]
    1
    >>> sizes_with_base(np.array([[4, 2, 1], [8, 2, 1]]), [6, 2, 1])[0].tolist()
    [[6, 2, 1], [4, 2, 1], [8, 2, 1]]
    """
    sizes = np.asarray(sizes)
    if len(base) != sizes.shape[1]:
        raise ValueError(
            f"base must have {sizes.shape[1]} size parameters, as the sizes it is compared with; "
            f"got {list(base)}"
        )
    (places,) = (sizes == base).all(axis=1).nonzero()
    return (sizes, int(places[0])) if len(places) else (np.vstack([[base], sizes]), 0)


def measure_with(timings: Timings, function: Callable, task: dict) -> Callable[[list[int]], dict]:
    """A `measure` for `search` that keeps its measurements, or takes them from a record.

    A size asked for once more is measured once more, as another task: `repeat` counts them.

    Args:
      timings: `lib.infra.timings.Timings`.
      function: such as `lib.serving.load.service_time.service_time_task`.
      task: its task but for size_parameters and repeat.
    """
    asked = collections.Counter()

    def measure(size):
        asked[str(size)] += 1
        size_task = {**task, "size_parameters": size, "repeat": asked[str(size)]}
        return timings.run(function, [size_task], progress=False)[0]

    return measure


def _begin(state, base, measured, device, initial, budget, seed):
    """Measure what a first model needs."""
    for index in first_sizes(state.sizes, base, state.requests, device, initial, seed):
        if index not in state.loads and len(state.rows) < budget:
            measured(index, FIRST)
    if base in state.failed():
        raise ValueError(
            f"search: the base {state.sizes[base].tolist()} must be served; its row "
            f"says {state.row(base)}"
        )
    for index in np.random.default_rng(seed).permutation(len(state.sizes)).tolist():
        if len(state.served()) >= LEAST_ROWS or len(state.rows) >= budget:
            break
        if index not in state.loads:
            measured(index, FIRST)
    if len(state.served()) < LEAST_ROWS:
        raise ValueError(
            f"search: {LEAST_ROWS} sizes must be served for a model of the others; "
            f"of {len(state.rows)} measured, {len(state.served())} were"
        )


def first_sizes(sizes, base, requests, device, count, seed, tries=64):
    """The base and `count` - 1 sizes that tell the kinds of work apart.

    Of `tries` random designs the one whose shares of work (by the device's own figures)
    span most, by determinant.
    """
    times = Roofline(device).times(
        sizes, requests.form, requests.candidates, user_width=requests.user_width
    )
    shares = np.log(times[:, times.min(axis=0) > 0])
    rng = np.random.default_rng(seed)
    without_base = np.setdiff1d(np.arange(len(sizes)), [base])
    designs = [
        np.append(base, rng.choice(without_base, min(count, len(sizes)) - 1, replace=False))
        for _ in range(tries)
    ]

    def spanned(design):
        differences = shares[design] - shares[design].mean(axis=0)
        return np.linalg.slogdet(differences @ differences.T + 1e-3 * np.eye(len(design)))[1]

    return [int(index) for index in max(designs, key=spanned)]


class _State:
    """Rows measured so far, and what they make known of all sizes."""

    def __init__(self, sizes, requests, rows):
        self.sizes, self.requests = sizes, requests
        self._index = {tuple(size): i for i, size in enumerate(sizes.tolist())}
        self.rows, self.loads = [], {}  # loads: index -> QPS of its measurements
        for row in rows:
            size = tuple(row["size_parameters"])
            if size not in self._index:
                raise ValueError(
                    f"search: rows hold the size {list(size)}, which is not among the sizes"
                )
            self._keep(self._index[size], dict(row))

    def add(self, index, measure, purpose):
        size = self.sizes[index].tolist()
        try:
            row = dict(measure(size))
        except Exception as error:  # whatever a size did to the engine, the others go on
            row = {"qps": 0.0, "failure": f"{type(error).__name__}: {error}"}
        self._keep(index, {**row, "size_parameters": size, "purpose": purpose})

    def _keep(self, index, row):
        service_ms = row.get("service_ms", np.nan)
        if np.isnan(row.get("qps", np.nan)) and service_ms > 0:
            row["qps"] = float(
                load_at_limit(
                    service_ms, self.requests.latency_limit_ms, workers=self.requests.workers
                )
            )
        self.rows.append(row)
        self.loads.setdefault(index, []).append(float(np.nan_to_num(row.get("qps", 0.0))))

    def failed(self):
        """Indices of the sizes that could not be served when measured."""
        return [index for index, loads in self.loads.items() if min(loads) <= 0]

    def served(self):
        """Indices of the other measured sizes."""
        return [index for index, loads in self.loads.items() if min(loads) > 0]

    def times(self, index):
        """How often a size was measured."""
        return len(self.loads.get(index, ()))

    def row(self, index):
        return next(
            (row for row in self.rows if row["size_parameters"] == self.sizes[index].tolist()),
            "nothing",
        )

    def posterior(self, device, draws, seed):
        """The model, and joint draws of all sizes' QPS [draws, sizes]; 0 for what failed."""
        index, loads = zip(*((i, qps) for i in self.served() for qps in self.loads[i]), strict=True)
        requests = self.requests
        # The time that explains the measured load: a search decides by loads.
        table = pd.DataFrame(
            {
                "size_parameters": self.sizes[list(index)].tolist(),
                "form": requests.form,
                "candidates": requests.candidates,
                "user_width": requests.user_width,
                "service_ms": time_at_load(
                    loads, requests.latency_limit_ms, workers=requests.workers
                ),
            }
        )
        model = ServiceTimeModel(device).fit(table)
        qps = model.sample_qps(
            self.sizes,
            requests.form,
            requests.candidates,
            requests.latency_limit_ms,
            workers=requests.workers,
            user_width=requests.user_width,
            draws=draws,
            seed=seed,
        )
        qps[:, self.failed()] = 0.0
        return model, qps


def _outlook(goal, qps, known, tolerance):
    """Best measured size; expected gain of measuring each size; probability that it is the best."""
    value = goal.value(qps)
    # A size counts with its median over draws: -inf where it misses the ROI in most.
    median = np.median(value[:, known], axis=0)
    best = int(known[median.argmax()]) if median.max() > -np.inf else goal.base
    best_value = max(float(median.max()), 0.0)
    improvement = np.maximum(value - best_value, 0.0)
    improvement[:, best] = 0.0
    gain = improvement.mean(axis=0)
    misses_roi = value[:, best] == -np.inf
    gain[best] = best_value * misses_roi.mean()  # what choosing it would lose
    beaten = (improvement > tolerance * abs(best_value)).any(axis=1)
    return best, gain, float(1 - (beaten | misses_roi).mean())


def _check(sizes, goal, budget, initial, probability_best):
    revenue = np.asarray(goal.revenue)
    if sizes.ndim != 2 or revenue.shape[-1] != len(sizes):
        raise ValueError(
            "search: sizes must be [sizes, layers + 1] and revenue [..., sizes]; "
            f"got {sizes.shape} and {revenue.shape}"
        )
    if not 0 <= goal.base < len(sizes):
        raise ValueError(
            f"search: base must be an index of the {len(sizes)} sizes; got {goal.base}"
        )
    if not 3 <= initial <= budget:
        raise ValueError(
            f"search: initial must be at least 3 and at most the budget; "
            f"got initial = {initial}, budget = {budget}"
        )
    if not 0 < probability_best <= 1:
        raise ValueError(f"search: probability_best must lie in 0 .. 1; got {probability_best}")
