"""The two tasks of a study: a world with its base, and a variant trained, measured and tested."""

import functools
from typing import NamedTuple

import numpy as np

from lib import metrics, simulation, training
from lib.experiments import converged_system, train_and_evaluate
from lib.experiments.study import full_candidates
from lib.experiments.study.plan import Variant
from lib.infra.files import fingerprint
from lib.logs import reader
from lib.models.flop_count import flops
from lib.simulation.keyed_random import normal, visit_keys

FULL = "r_over_r_star_full"
BLOCK_USERS = 256  # whose scores tell how wide a model's scores spread


def world_task(task, path):
    """Task: a converged base system, and a stale log of it; see `run`."""
    system = (
        converged_system.load(task["system"])
        if "system" in task
        else converged_system.build(path, **task["build"])
    )
    stale = ""
    if task["stale"]:
        before = simulation.match(system.world.turned(-task["stale"]))
        stale = f"{path}.stale.parquet"
        reader.write_logs(
            stale,
            simulation.sample_logs(
                simulation.install_pre_ranking(before, system.base()),
                system.parameters["train_impressions"],
                seed=system.parameters["seed"],
            ),
        )
    last = system.rounds.iloc[-1]
    return {
        "system": str(system.folder),
        "stale": stale,
        "logs_sha256": fingerprint(system.logs),
        **{name: float(last[name]) for name in ("oracle_gap", "oracle_gap_se", "change")},
    }


def variant_task(task, path):
    """Task: train one variant, measure it offline, test it online; see `run`."""
    system = _system(task["system"])
    variant = Variant(logs=str(system.logs), features=str(system.features), **task["variant"])
    stand = _stand(
        task["system"], variant.test_start, variant.test_stop, tuple(task["cuts"]), task["visits"]
    )
    log = task["stale"] if variant.log == "stale" else variant.logs
    scorer, samples = train(variant, log)
    model = system.compiled(scorer)
    noise = variant.score_noise * _spread(model, stand.matched) if variant.score_noise else 0.0
    variant_arm = simulation.install_pre_ranking(stand.matched, _noisy(model, noise, variant.seed))
    values = offline(scorer, variant, task["cuts"], noise)
    values[FULL] = full_candidates.r_over_r_star(variant_arm, variant.m)
    row = {
        "model": variant.model,
        "family": variant.family,
        "size_parameters": list(scorer.size_parameters),
        "flops": flops(scorer.head),
        "samples": samples,
        "seed": variant.seed,
        "undefined": int(np.isnan(values["r_over_r_star"]).sum()),
    }
    for name, value in values.items():
        row |= {
            name: metrics.mean(value).value,
            f"{name}_se": metrics.mean(value - stand.values[name]).standard_error,
        }
    return row | simulation.ab_test(stand.arm, variant_arm, model=variant.model).as_row()


def train(variant, log):
    """A variant trained on a log: the scorer, and how many user-ad pairs it has seen."""
    scorer, samples = variant.scorer(), 0
    loss = train_and_evaluate.LOSSES[variant.loss](variant)
    for epoch in range(variant.epochs):
        report = training.train(
            scorer,
            log,
            loss=loss,
            stop=variant.train_impressions,
            window=variant.window,
            batch_impressions=variant.batch_impressions,
            seed=variant.seed + 1000 * epoch,
            learning_rate=variant.learning_rate,
            epsilon=variant.epsilon,
            label_noise=variant.label_noise,
            progress=False,
        )
        samples += report.samples
    return scorer, samples


class Reference(NamedTuple):
    """What all variants of a world are held against: candidates, the base's arm and metrics."""

    matched: simulation.Matched
    arm: simulation.Arm
    values: dict


@functools.lru_cache(maxsize=1)  # the tasks of a world come one after the other
def _system(folder):
    return converged_system.load(folder)


@functools.lru_cache(maxsize=1)
def _stand(folder, start, stop, cuts, visits):
    system = _system(folder)
    p = system.parameters
    matched = simulation.match(system.world.later())
    deployed = simulation.install_pre_ranking(matched, system.base())
    arm = simulation.run_arm(deployed, visits=visits, seed=p["seed"])
    base = Variant(
        model="base",
        logs=str(system.logs),
        features=str(system.features),
        hidden=p["hidden"],
        m=p["m"],
        k=p["k"],
        test_start=start,
        train_impressions=min(start, p["train_impressions"]),
        test_impressions=stop - start,
    )
    values = offline(system.base_scorer(), base, cuts)
    return Reference(matched, arm, values | {FULL: full_candidates.r_over_r_star(deployed, base.m)})


def offline(scorer, spec, cuts, noise=0.0):
    """Metrics of each test impression, name -> [impressions], NaN where undefined.

    Those of `lib.metrics.per_impression` at `spec.m` and `spec.k`; R/R* and Recall@m@m at each cut.
    """
    test = reader.read(spec.logs, scorer.features, start=spec.test_start, stop=spec.test_stop)
    v, ecpm, mask = test.v, test.ecpm, test.mask
    scores = training.predict(scorer, test)
    scores = scores + noise * np.random.default_rng([spec.seed, 2]).normal(size=scores.shape)
    values = metrics.per_impression(scores, v, ecpm, spec.m, spec.k, mask)
    for m in cuts:
        values |= {
            f"r_over_r_star@{m}": metrics.r_over_r_star(scores, v, ecpm, m, mask),
            f"recall@{m}": metrics.recall(scores, v, m, m, mask),
        }
    return values


def _spread(model, matched):
    scores = model(matched.users[:BLOCK_USERS], matched.ads[:BLOCK_USERS])
    return float(scores.std(axis=1).mean())


def _noisy(model, noise, seed):
    """The model with noise that stays with user and ad, like an error of the model."""
    if not noise:
        return model
    return lambda users, ads: (
        model(users, ads) + noise * normal(visit_keys(seed, "score noise", users, 0), ads)
    )
