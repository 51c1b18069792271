"""One draw of the two-stage study: a system, its models, and a test of every combination.

All models are trained on the log of the system as it runs today, and not again after another stage
has changed.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib.experiments import converged_system
from lib.experiments.train_and_evaluate import TrainingSpec, load_trained, train_and_evaluate
from lib.infra import sweep
from lib.infra.files import replacing
from lib.models.flop_count import graph_flops
from lib.serving.graphs.export import random_graph
from lib.simulation.ab_tests import run_arm
from lib.simulation.cascade import install_pre_ranking
from lib.simulation.matching import match
from lib.simulation.parameters import WorldParameters

PAST, LATER = 0, 1  # windows of visits by the same users: decided from one, judged on the other
_TEST_SEED = 10_000  # far from those of logs: no visit is both learned from and tested


def measure(task: dict, path) -> dict:
    """Task: one draw's system, models and arms; their revenue goes to `path`.npz, see `run`."""
    system = converged_system.build(f"{path}_system", **task["system"])
    towers, mlps = _trained(system, task, Path(f"{path}_models"))
    shape = tuple(len(task[axis]) for axis in ("towers", "mlps", "candidates"))
    first = _TEST_SEED + 2 * task["system"]["seed"]
    revenue = np.empty((2, *shape, system.world.parameters.users))
    for i, tower in enumerate(towers):
        for k, count in enumerate(task["candidates"]):
            matched = match(handing_on(system.world, count), tower)
            for j, mlp in enumerate(mlps):
                installed = install_pre_ranking(matched, mlp)
                for window in (PAST, LATER):
                    arm = run_arm(installed, visits=task["visits"], seed=first + window)
                    revenue[window, i, j, k] = arm.revenue
    names, features = _known_of_users(system, towers[task["towers"].index(task["base_tower"])])
    with replacing(path.with_name(f"{path.name}.npz")) as temporary:
        np.savez(temporary, revenue=revenue, features=features)
    width = system.base_scorer().size_parameters[0]
    return {
        "feature_names": names,
        "matching_flops": [
            request_flops("twin_tower", [width, *layers], system.world.parameters.ads)
            for layers in task["towers"]
        ],
        "pre_ranking_flops": [
            [
                request_flops("first_layer_optimised", [width, *layers], count)
                for count in task["candidates"]
            ]
            for layers in task["mlps"]
        ],
    }


def handing_on(world, candidates: int):
    """The same world, whose Matching hands on another number of candidates.

    Raises: ValueError where Pre-ranking would have too few to choose from.
    """
    other = copy.copy(world)
    other.parameters = WorldParameters(
        **{**world.parameters.model_dump(), "matching_ads": candidates}
    )
    return other


def request_flops(form: str, size_parameters: Sequence[int], ads: int) -> int:
    """FLOPs of a request that scores so many ads, what can be cached computed beforehand.

    Args:
      form: a graph of `lib.serving.graphs.export`.
      size_parameters: of the model; ads: that are scored.

    >>> request_flops("first_layer_optimised", [6, 4, 2, 1], 10)
    224
    """
    return int(graph_flops(random_graph(form, size_parameters, seed=0), candidates=ads))


def _trained(system, task, folder):
    """Towers and MLPs of a draw as the cascade calls them, in the task's order."""
    parameters, base = system.parameters, system.base()
    deployed = install_pre_ranking(match(system.world), base)
    # One batch beyond what trains is measured, since a training measures; nobody asks for more.
    impressions, batch = task["matching_impressions"], parameters.batch_impressions
    log = system.matching_log(
        folder / "matching_logs.parquet", deployed, impressions + batch, parameters.seed
    )
    shared = {
        "features": str(system.features),
        "seed": parameters.seed,
        "learning_rate": parameters.learning_rate,
        "batch_impressions": batch,
        "m": parameters.m,
        "k": parameters.k,
        "test_impressions": batch,
    }
    towers = [
        TrainingSpec(
            model=f"tower {layers}",
            family="twin_tower",
            hidden=layers,
            logs=str(log),
            train_impressions=impressions,
            test_start=impressions,
            **shared,
        )
        for layers in task["towers"]
    ]
    mlps = [
        TrainingSpec(
            model=f"MLP {layers}",
            hidden=layers,
            logs=str(system.logs),
            train_impressions=parameters.train_impressions,
            test_start=parameters.train_impressions,
            **shared,
        )
        for layers in task["mlps"]
        if tuple(layers) != parameters.hidden
    ]
    specs = [*towers, *mlps]
    tasks = [spec.task() for spec in specs]
    sweep.run(train_and_evaluate, tasks, folder, n_jobs=1, progress=False)
    models = {
        spec.model: system.compiled(
            load_trained(spec, sweep.result_path(train_and_evaluate, one, folder))
        )
        for spec, one in zip(specs, tasks, strict=True)
    }
    return (
        [models[f"tower {layers}"] for layers in task["towers"]],
        [models.get(f"MLP {layers}", base) for layers in task["mlps"]],
    )


def _known_of_users(system, tower):
    """(names, [users, F]) of what a platform knows when a request comes and Matching is done."""
    world = system.world
    users, kept = np.arange(world.parameters.users), world.parameters.matching_ads
    known = world.user_features(users)
    best = np.sort(tower(users), axis=1)[:, -kept:]
    columns = {
        "impressions": np.log1p(known["user_impressions"]),
        "clicks": np.log1p(known["user_clicks"]),
        "best Matching score": best[:, -1],
        "mean Matching score": best.mean(axis=1),
        "spread of Matching scores": best.std(axis=1),
    }
    embedding = known["user_embedding"]
    columns |= {f"embedding {i}": embedding[:, i] for i in range(embedding.shape[1])}
    return list(columns), np.column_stack([np.ravel(x) for x in columns.values()])
