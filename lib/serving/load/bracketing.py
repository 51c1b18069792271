"""The search for the highest load that a machine bears, and the interval of its result.

Whether a load passes is chance as well as load: one interruption of the machine makes a run
fail. So the search does not end at the first pair of loads of which one passed and the next
failed. It is a staircase: up a step after a load that passed, down after one that failed,
each time the outcome changes by a smaller step, and then back and forth about the load that it
looks for. Each change of outcome is a bracket; the median of those found with the smallest
step is the result, and it is a load that passed.

The interval is for what a further search would find, with a probability of 0.9. A load passes
with a probability that falls from 1 to 0 over some width about the load where it is one half
(probit; psychophysics finds thresholds so). What all runs of the search, passed and failed, make
plausible of both (flat priors on both logarithms) gives the scatter of a further search, to which
the machine's drift from search to search is added, which no single one can see. In a simulated
queue this held 96 % of other searches where the machine's speed drifts by 3 %, as many where it
also stops for 10 to 60 ms every 10 s, and 69 % where it stops for 50 to 150 ms, half of the limit
and more.
"""

import math
import time
from typing import NamedTuple

import numpy as np
from scipy import special

from lib.infra.intervals import check_interval
from lib.serving.load.loadgen import ServerRun

_STEP = 1.25  # the first; its root after each change of outcome, down to `resolution`
_SEARCH_SCATTER = 0.7  # scatter of a search's result beside the width (simulated: 0.64 to 0.84)
_DRIFT = 0.05  # of log speed from search to search; a shared virtual machine shows 0.02 to 0.08


class Bracket(NamedTuple):
    """Two loads tried one after the other, of which the lower passed and the higher failed."""

    passed: ServerRun
    failed_qps: float

    @property
    def width(self):
        """Ratio of the loads."""
        return self.failed_qps / self.passed.qps


class Search(NamedTuple):
    """How long and how closely to look; see `lib.serving.load.peak.peak_qps`."""

    min_queries: int = 459
    resolution: float = 1.1
    repeats: int = 5
    max_seconds: float = 60.0


def staircase(loads, offline_qps, search, end):
    """Searches until there are `repeats` brackets as narrow as `resolution`, or time is out.

    Args:
      loads: what is searched: run(qps) -> `ServerRun`; seconds(qps) that it takes;
        start(offline_qps, max_seconds), where to begin; latency_limit_ms.
      offline_qps: throughput of the machine.
      search: `Search`.
      end: time.monotonic() after which no run ends, once there is a bracket.

    Returns: (list of `Bracket`, list of all runs).
    Raises: RuntimeError where there is no bracket after three times max_seconds.
    """
    load, step = loads.start(offline_qps, search.max_seconds), _STEP
    last_end = end + 2 * search.max_seconds  # on a busy machine, until any load passes
    brackets, runs = [], []
    while sum(_narrow(bracket, search) for bracket in brackets) < search.repeats:
        if runs and time.monotonic() + loads.seconds(load) > (end if brackets else last_end):
            break
        run = loads.run(load)
        if runs and run.passed != runs[-1].passed:
            lower, higher = sorted((run, runs[-1]), key=lambda run: run.qps)
            brackets.append(Bracket(lower, higher.qps))
            step = max(math.sqrt(step), search.resolution)
        runs.append(run)
        load = _next(runs, step)
    if not brackets:
        _give_up(runs, loads, offline_qps, search)
    return brackets, runs


def best(brackets, search):
    """The run that passed at the median load of the narrow brackets, or of the narrowest."""
    narrow = [bracket for bracket in brackets if _narrow(bracket, search)] or [
        min(brackets, key=lambda bracket: bracket.width)
    ]
    ordered = sorted((bracket.passed for bracket in narrow), key=lambda run: run.qps)
    return ordered[(len(ordered) - 1) // 2]  # one that was run, not a mean of two


def qps_interval(
    points: list[tuple[float, bool]], resolution: float, interval: float = 0.9
) -> tuple[float, float]:
    """(low, high) that the result of a further search lies in with a probability of `interval`.

    Args:
      points: (qps, passed) of each run, at least one that passed and one that failed.
      resolution: of the search, a ratio of loads > 1.
      interval: probability, between 0 and 1.

    Returns: (low, high) in QPS.
    Raises: ValueError for an interval that is not between 0 and 1.

    >>> points = [(80.0, True), (100.0, True), (110.0, False), (100.0, True), (110.0, False)]
    >>> [round(qps, 1) for qps in qps_interval(points, resolution=1.1)]
    [78.4, 140.4]
    """
    check_interval(interval)
    load, passed = np.log([qps for qps, _ in points]), np.array([passed for _, passed in points])
    threshold = np.linspace(load.min() - 0.7, load.max() + 0.7, 81)  # log load of 1 : 1 odds
    width = np.geomspace(0.01, 0.6, 16)
    z = (threshold[:, None, None] - load) / width[:, None]
    log_weight = special.log_ndtr(np.where(passed, z, -z)).sum(axis=-1)
    weight = np.exp(log_weight - log_weight.max())
    scatter = np.hypot(_SEARCH_SCATTER * width, _DRIFT)
    # A search ends at a load that passed: up to a step below.
    below = math.log(resolution) * (np.arange(4) + 0.5) / 4
    result = np.linspace(threshold[0] - 1.0, threshold[-1] + 1.0, 301)
    deviation = (result[:, None, None, None] + below - threshold[:, None, None]) / scatter[:, None]
    probability = np.einsum(
        "rtwb,tw->r", special.ndtr(deviation), weight / weight.sum() / len(below)
    )
    low, high = np.interp([(1 - interval) / 2, (1 + interval) / 2], probability, result)
    return math.exp(low), math.exp(high)


def _narrow(bracket, search):
    return bracket.width <= (1 + 1e-9) * search.resolution


def _next(runs, step):
    last = runs[-1]
    if last.passed:
        return last.qps * step
    if any(run.passed for run in runs):
        return last.qps / step
    # An overloaded engine completes what it can at most.
    return min(last.qps / step, last.completed_qps)


def _give_up(runs, loads, offline_qps, search):
    last, outcome = runs[-1], "failed" if runs[-1].passed else "passed"
    raise RuntimeError(
        f"peak_qps: no load {outcome} in 3 x max_seconds = {search.max_seconds:g}; the last, "
        f"{last.qps:.3g} QPS, had a p99 of {last.p99_ms:.3g} ms against latency_limit_ms = "
        f"{loads.latency_limit_ms:g} (offline it reached {offline_qps:.3g} QPS); is the machine "
        f"busy?"
    )
