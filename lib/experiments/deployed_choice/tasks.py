"""A draw's system, and the tests before and after the choice: tasks of a sweep."""

from pathlib import Path

import numpy as np

from lib.experiments import converged_system
from lib.experiments.deployed_choice.plan import LOGS
from lib.experiments.study.tasks import offline
from lib.experiments.train_and_evaluate import TrainingSpec, load_trained, train_and_evaluate
from lib.infra import sweep
from lib.infra.files import fingerprint, replacing
from lib.logs import reader
from lib.metrics import ranking
from lib.simulation.ab_tests import ab_test, run_arm
from lib.simulation.cascade import install_pre_ranking
from lib.simulation.matching import match


def system_of_draw(task: dict, path: Path) -> dict:
    """Task: a converged system, and a log of it for Matching."""
    system = converged_system.build(path, **task["system"])
    running = install_pre_ranking(match(system.world), system.base())
    seed = system.parameters.seed
    system.matching_log(
        system.folder / LOGS["matching"], running, task["tower_log_impressions"], seed
    )
    return {
        "system": str(system.folder),
        "logs_sha256": fingerprint(system.logs),
        "last_change": float(system.rounds["change"].iloc[-1]),
    }


def known_tests(task: dict, path: Path) -> dict:
    """Task: the models of both stages measured and tested on the first users; see `learn`."""
    system = converged_system.load(task["system"])
    users, pre_ranking = np.arange(task["users"]), system.base()
    matched = match(system.world, users=users)

    def with_pre_ranking(scorer):
        return install_pre_ranking(matched, system.compiled(scorer))

    def with_tower(scorer):
        candidates = match(system.world, system.compiled(scorer), users)
        return install_pre_ranking(candidates, pre_ranking)

    today_tower, _ = _load(task["matching"][0], task["models"])
    return {
        "pre_ranking": _tested(task, "pre_ranking", system.base_scorer(), with_pre_ranking),
        "matching": _tested(task, "matching", today_tower, with_tower),
    }


def deployed_tests(task: dict, path: Path) -> dict:
    """Task: every size and pair tested on the other users; leaves `path`.npz, see `Deployed`."""
    system = converged_system.load(task["system"])
    users = np.arange(task["users"], system.world.parameters.users)
    base, place = system.base(), task["base_size"]
    models = []
    for row in task["sizes"]:
        trained = [system.compiled(_load(one, task["models"])[0]) for one in row]
        models.append([*trained[:place], base, *trained[place:]])

    def revenue(matched, row):
        return [
            run_arm(
                install_pre_ranking(matched, model),
                visits=task["visits"],
                seed=system.parameters.seed + 1,  # other visits than before the choice
            ).revenue
            for model in row
        ]

    matched = match(system.world, users=users)
    sizes = np.array([revenue(matched, row) for row in models])
    pairs = np.array(
        [
            revenue(match(system.world, system.compiled(tower), users), models[0])
            for tower, _ in (_load(one, task["models"]) for one in task["towers"])
        ]
    )
    with replacing(path.with_suffix(".npz")) as temporary:
        np.savez(temporary, sizes=sizes, pairs=pairs)
    return {"users": len(users)}


def _load(training, models):
    """(trained scorer, its `TrainingSpec`) of a task of `train_and_evaluate`."""
    spec = TrainingSpec(**{name: training[name] for name in TrainingSpec.model_fields})
    return load_trained(spec, sweep.result_path(train_and_evaluate, training, models)), spec


def _tested(task, stage, today, system_of):
    """A row a training of a stage: its metric's error, and its test against today's model.

    Args:
      today: scorer; system_of: callable scorer -> the system that runs it.
    """
    trainings, metric = task[stage], task["metric"]
    _, spec = _load(trainings[0], task["models"])
    test = reader.read(spec.logs, today.features, start=spec.test_start, stop=spec.test_stop)
    values_today = offline(today, spec, (), test=test)[metric]
    system = system_of(today)
    seed = system.matched.world.parameters.seed
    arm = run_arm(system, visits=task["visits"], seed=seed)
    rows = []
    for training in trainings:
        scorer, spec = _load(training, task["models"])
        difference = offline(scorer, spec, (), test=test)[metric] - values_today
        tested = ab_test(arm, system_of(scorer), model=spec.model)
        error = ranking.mean(difference).standard_error
        rows.append({**tested.as_row(), f"{metric}_se": float(error)})
    return rows
