"""All runs of the study as tables: draws of the system x sizes x ways to keep them fresh."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pydantic

from lib.infra import sweep
from lib.online.study.exposures import SystemParameters, log_task
from lib.online.study.tasks import (
    TrainingParameters,
    asynchronous_task,
    closed_loop_task,
    open_loop_task,
)
from lib.simulation.drifting import DAY, DriftParameters

STILL = {"taste_radians": 0.0, "ad_days": 1e9, "user_days": 1e9}  # of a world that never moves


class StudyPlan(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What the study runs.

    Attributes:
      system: what differs from `SystemParameters`, without its seed; seeds: one a draw.
      sizes: [a_1, ..., a_L] of each; base: that of the sizes on which all but sizes is compared.
      training: what differs from `TrainingParameters`, without hidden.
      intervals: between exports, minutes; those below `served` for the base size alone.
      delay: until an export is served; block: minutes whose R/R* is one row, which divides all of
        these.
      warm_up_days: of training before anything is measured.
      tests_a_day: of revenue; a number that divides no interval sees versions of all ages.
      visits: per user in a test.
      staleness: steps by which gradients come late in asynchronous training, each > 0.
      asynchrony_minutes: after the warm-up, in which training is asynchronous and measured.
      served: interval at which sizes are compared and asynchronous training is exported.
      closed_intervals: of the closed loop; closed_minutes: after the warm-up, how long it runs.
    """

    system: dict[str, Any]
    seeds: list[int] = pydantic.Field(min_length=1)
    sizes: list[list[pydantic.PositiveInt]] = pydantic.Field(min_length=1)
    base: list[pydantic.PositiveInt]
    training: dict[str, Any]
    intervals: list[pydantic.PositiveInt] = pydantic.Field(min_length=2)
    delay: pydantic.NonNegativeInt = 5
    block: pydantic.PositiveInt = 5
    warm_up_days: pydantic.PositiveInt = 1
    tests_a_day: pydantic.PositiveInt = 7
    visits: pydantic.PositiveInt = 4
    staleness: list[pydantic.PositiveInt] = []
    asynchrony_minutes: pydantic.PositiveInt = 720
    served: pydantic.PositiveInt = 20
    closed_intervals: list[pydantic.PositiveInt] = []
    closed_minutes: pydantic.PositiveInt = 720

    @pydantic.model_validator(mode="after")
    def _fits(self):
        if self.base not in self.sizes:
            raise ValueError(f"base must be one of the sizes {self.sizes}; got {self.base}")
        odd = [m for m in (*self.intervals, self.delay) if m % self.block]
        if odd:
            raise ValueError(f"block must divide intervals and delay; got {self.block} and {odd}")
        start, stop = self.measured
        if not start < stop:
            raise ValueError(
                f"warm_up_days must leave a stretch to measure of the drift's {stop / DAY:g} days; "
                f"got {self.warm_up_days}"
            )
        if self.served not in self.intervals:
            raise ValueError(f"served must be one of {self.intervals}; got {self.served}")
        self.systems()
        return self

    @property
    def measured(self) -> tuple[int, int]:
        """From which minute to which: once the export at the warm-up's end is served."""
        drift = DriftParameters(**self.system.get("drift", {}))
        return self.warm_up_days * DAY + self.delay, drift.minutes

    @property
    def test_minutes(self) -> list[int]:
        """Minutes of the tests of revenue: in the middle of equal stretches."""
        start, stop = self.measured
        count = round(self.tests_a_day * (stop - start) / DAY)
        middles = start + (np.arange(count) + 0.5) * (stop - start) / count
        return [start + int((m - start) // self.block) * self.block for m in middles]

    def systems(self, **drift: float) -> list[SystemParameters]:
        """The system of each draw, with changes of its drift."""
        changes = {"drift": {**self.system.get("drift", {}), **drift}}
        return [SystemParameters(**{**self.system, **changes, "seed": s}) for s in self.seeds]

    def task(self, log: dict, hidden: list[int], **changes: Any) -> dict:
        """A task of `open_loop_task`, with changes."""
        seed = {"hidden": hidden, "seed": log["system"]["seed"]}
        training = TrainingParameters(**{**self.training, **seed})
        task = {
            "log": log,
            "training": training.model_dump(mode="json"),
            "intervals": self.intervals,
            "delay": self.delay,
            "block": self.block,
            "measured": list(self.measured),
            "test_minutes": self.test_minutes,
            "visits": self.visits,
            "anew": False,
        }
        return task | changes


class Runs(NamedTuple):
    """Of a study.

    Attributes:
      blocks: a row a draw, run, size, policy and block of minutes; run is "drifting", "still" or
        "asynchronous"; size a label, flops its FLOPs a pair; policy "5 min", ..., "anew"; minute,
        version (minute of its export), impressions, r_over_r_star, new_ads; staleness, steps.
      revenue: a row a draw, run ("drifting" or "closed loop"), size, policy and test; revenue,
        revenue_true, currency units, visits; policy "oracle" is the best there is.
    """

    blocks: pd.DataFrame
    revenue: pd.DataFrame


def run(plan: StudyPlan, folder: str | Path, *, n_jobs: int = 1, backend: str = "loky") -> Runs:
    """Log, train, evaluate, test; what is done is kept in `folder` and not done again."""
    settings = {"folder": folder, "n_jobs": n_jobs, "backend": backend}
    parameters = [p.model_dump(mode="json") for p in (*plan.systems(), *plan.systems(**STILL))]
    logs = sweep.run(log_task, parameters, **settings)
    count = len(plan.seeds)
    blocks, revenue = [], []
    for function, runs in _tasks(plan, logs[:count], logs[count:]).items():
        results = sweep.run(function, [task for _, task in runs], **settings)
        for (kind, task), result in zip(runs, results, strict=True):
            about = _about(kind, task) | {"flops": result.get("flops")}
            blocks += [about | row for row in result.get("blocks", [])]
            revenue += [about | row for row in result.get("revenue", [])]
    return Runs(pd.DataFrame(blocks), pd.DataFrame(revenue))


def _tasks(plan, logs, still):
    """Task's function -> [(run, task)], those of a log together."""
    start, stop = plan.measured
    others = {"intervals": [i for i in plan.intervals if i >= plan.served]}
    late = {"intervals": [plan.served], "ways": _ways(plan.staleness)}
    late["measured"] = [start, min(start + plan.asynchrony_minutes, stop)]
    closed = {"intervals": plan.closed_intervals}
    closed["measured"] = [start, min(start + plan.closed_minutes, stop)]
    tasks = {open_loop_task: [], asynchronous_task: [], closed_loop_task: []}
    for log, same in zip(logs, still, strict=True):
        for hidden in plan.sizes:
            own = {"anew": True} if hidden == plan.base else others
            tasks[open_loop_task].append(("drifting", plan.task(log, hidden, **own)))
        held = plan.task(same, plan.base, test_minutes=[], **others)
        tasks[open_loop_task].append(("still", held))
        if plan.staleness:
            tasks[asynchronous_task].append(("asynchronous", plan.task(log, plan.base, **late)))
        if plan.closed_intervals:
            tasks[closed_loop_task].append(("closed loop", plan.task(log, plan.base, **closed)))
    return tasks


def _ways(staleness):
    """[what is late, steps]: all of the gradient by each, the tables' alone by the most."""
    return [
        *(["all", steps] for steps in staleness),
        *([["tables", max(staleness)]] if staleness else []),
    ]


def _about(kind, task):
    training = task["training"]
    return {
        "draw": task["log"]["system"]["seed"],
        "run": kind,
        "size": label(training["hidden"]),
        "staleness": 0,
        "delayed": "none",
    }


def label(hidden: list[int]) -> str:
    """A size as tables name it, without the single output.

    >>> label([32, 8, 8, 1])
    '32-8-8'
    """
    return "-".join(map(str, hidden[:-1]))
