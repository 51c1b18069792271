"""What is learned before the choice and deployed after it, draw after draw."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.experiments import converged_system
from lib.experiments.deployed_choice.plan import (
    LOGS,
    SEEDS_A_DRAW,
    Plan,
    deployed_lines,
    pre_ranking_lines,
    tower_lines,
)
from lib.experiments.deployed_choice.tasks import deployed_tests, known_tests, system_of_draw
from lib.experiments.train_and_evaluate import train_and_evaluate
from lib.infra import sweep


class Known(NamedTuple):
    """What is known of a draw's system before sizes are chosen.

    Attributes:
      draw: its seed.
      pre_ranking, matching: a row a training: kind ("none" for today's size), what
        `train_and_evaluate` says, the metric's error (of its difference to today's model, on the
        same impressions), the columns of `ab_tests`.
      last_change: revenue gained in the closed loop's last round, a fraction.
    """

    draw: int
    pre_ranking: pd.DataFrame
    matching: pd.DataFrame
    last_change: float


class Deployed(NamedTuple):
    """Revenue of the deployed test's users in every arm; pairs of one draw share all visits.

    Attributes:
      sizes: Pre-ranking's sizes, Matching as it wrote the log, [trainings, sizes, users].
      pairs: Matching's sizes with Pre-ranking's, of the first training, [towers, sizes, users].
    """

    sizes: np.ndarray
    pairs: np.ndarray


def learn(
    plan: Plan, draws: Sequence[int], folder: str | Path, n_jobs: int | None = None
) -> list[Known]:
    """Build every draw's system, train the plan's models on its logs and test them.

    Args:
      draws: seeds, a system each; folder: of all results, resumed where it was left.
      n_jobs: tasks at a time.

    Returns: a `Known` a draw.
    """
    folder = Path(folder).absolute()  # workers may stand elsewhere
    systems = _systems(plan, draws, folder, n_jobs)
    lines = {"pre_ranking": pre_ranking_lines(plan), "matching": tower_lines(plan)}
    tasks = []
    for draw, system in zip(draws, systems, strict=True):
        models = {stage: _trainings(plan, draw, system, stage, lines[stage]) for stage in lines}
        tasks.append(
            {
                **_test_task(plan, system, folder),
                **models,
                "visits": plan.choice_visits,
                "metric": plan.metric,
            }
        )
    trained = _train(
        [one for task in tasks for stage in lines for one in task[stage]], folder, n_jobs
    )
    tests = sweep.run(known_tests, tasks, f"{folder}/tests", n_jobs=n_jobs)
    rows, known = iter(trained), []
    for draw, system, test in zip(draws, systems, tests, strict=True):
        tables = {
            stage: _table(lines[stage], [next(rows) for _ in lines[stage]], test[stage])
            for stage in lines
        }
        known.append(Known(draw, **tables, last_change=system["last_change"]))
    return known


def deploy(
    plan: Plan, draws: Sequence[int], folder: str | Path, n_jobs: int | None = None
) -> list[Deployed]:
    """Train all sizes that can be chosen from new seeds and test them on the other users.

    Args:
      draws, folder, n_jobs: as for `learn`.
    """
    folder = Path(folder).absolute()
    systems = _systems(plan, draws, folder, n_jobs)
    size_lines, tower_lines = deployed_lines(plan)
    tasks = [
        {
            **_test_task(plan, system, folder),
            "sizes": [_trainings(plan, draw, system, "pre_ranking", row) for row in size_lines],
            "towers": _trainings(plan, draw, system, "matching", tower_lines),
            "visits": plan.deployed_visits,
            "base_size": plan.base_size,
        }
        for draw, system in zip(draws, systems, strict=True)
    ]
    models = [[*itertools.chain(*task["sizes"]), *task["towers"]] for task in tasks]
    _train([*itertools.chain(*models)], folder, n_jobs)
    sweep.run(deployed_tests, tasks, f"{folder}/tests", n_jobs=n_jobs)
    deployed = []
    for task in tasks:
        path = sweep.result_path(deployed_tests, task, f"{folder}/tests")
        with np.load(path.with_suffix(".npz")) as arrays:
            deployed.append(Deployed(arrays["sizes"], arrays["pairs"]))
    return deployed


def _systems(plan, draws, folder, n_jobs):
    tasks = [
        {
            "system": plan.parameters(draw).model_dump(mode="json"),
            "tower_log_impressions": plan.tower_log_impressions,
        }
        for draw in draws
    ]
    return sweep.run(system_of_draw, tasks, f"{folder}/systems", n_jobs=n_jobs)


def _test_task(plan, system, folder):
    """What the tests before and after the choice have in common."""
    named = {name: system[name] for name in ("system", "logs_sha256")}
    return {**named, "models": f"{folder}/models", "users": plan.choice_users}


def _trainings(plan, draw, system, stage, lines):
    """Tasks of `train_and_evaluate`: a stage's models in one draw's system."""
    folder = system["system"]
    return [
        plan.spec(
            stage,
            line | {"seed": SEEDS_A_DRAW * draw + line["seed"]},
            logs=f"{folder}/{LOGS[stage]}",
            features=f"{folder}/{converged_system.FEATURES}",
        ).task()
        for line in lines
    ]


def _train(tasks, folder, n_jobs):
    """A row a training; each is trained once."""
    return sweep.run(train_and_evaluate, tasks, f"{folder}/models", n_jobs=n_jobs)


def _table(lines, trained, tested):
    """A row a training."""
    return pd.DataFrame(
        [
            {"kind": line["kind"], **row, **test}
            for line, row, test in zip(lines, trained, tested, strict=True)
        ]
    )
