"""The two tasks of a study: a world with its base, and a variant trained, evaluated and tested.

`variant_task` puts the steps together: `train` a variant, `install` it in the world, `evaluate` it
on the log's test impressions and on whole lists, test it online against the world's `Reference`.
"""

import functools
from typing import NamedTuple

import numpy as np

from lib.experiments import converged_system
from lib.experiments.converged_system import ConvergedSystem
from lib.experiments.study import full_candidates
from lib.experiments.study.plan import Variant
from lib.infra.files import fingerprint
from lib.logs import reader
from lib.logs.reader import Impressions
from lib.metrics import ranking
from lib.models.flop_count import flops
from lib.models.scorer import Scorer
from lib.simulation.ab_tests import ABTest, Arm, ab_test, run_arm
from lib.simulation.cascade import System, install_pre_ranking
from lib.simulation.keyed_random import normal, visit_keys
from lib.simulation.logs import sample_logs
from lib.simulation.matching import Matched, match
from lib.training import loop
from lib.training.scoring import predict
from lib.training.targets import RankTarget

FULL = "r_over_r_star_full"
BLOCK_USERS = 256  # whose scores tell how wide a model's scores spread


class Reference(NamedTuple):
    """What all variants of a world are compared with.

    Attributes:
      system: the world with its base.
      matched: candidates of every user at the time of the test.
      test: impressions that all are measured on, with the base's features.
      arm: the base's arm of the test.
      values: the base's metrics, name -> [impressions]; of `FULL`, [users].
    """

    system: ConvergedSystem
    matched: Matched
    test: Impressions
    arm: Arm
    values: dict[str, np.ndarray]


class Trained(NamedTuple):
    """A trained variant, and the user-ad pairs that it has seen."""

    scorer: Scorer
    samples: int


class Installed(NamedTuple):
    """A variant as the world's Pre-ranking model, and the noise added to its scores."""

    system: System
    noise: float


# ---- tasks ----------------------------------------------------------------


def world_task(task: dict, path) -> dict:
    """Task: a converged base system, and a stale log of it; see `run`."""
    system = (
        converged_system.load(task["system"])
        if "system" in task
        else converged_system.build(path, **task["build"])
    )
    stale = ""
    if task["stale"]:
        stale = f"{path}.stale.parquet"
        _write_stale_log(stale, system, task["stale"])
    last = system.rounds.iloc[-1]
    return {
        "system": str(system.folder),
        "stale": stale,
        "logs_sha256": fingerprint(system.logs),
        **{name: float(last[name]) for name in ("oracle_gap", "oracle_gap_se", "change")},
    }


def variant_task(task: dict, path) -> dict:
    """Task: train one variant, evaluate it offline, test it online; see `run`."""
    variant, cuts = _variant(task), tuple(task["cuts"])
    reference = load_reference(
        task["system"],
        task["logs_sha256"],
        variant.test_start,
        variant.test_stop,
        cuts,
        task["visits"],
    )
    trained = train(variant, task["stale"] if variant.log == "stale" else variant.logs)
    installed = install(trained.scorer, variant, reference)
    values = evaluate(trained.scorer, variant, installed, reference.test, cuts)
    test = ab_test(reference.arm, installed.system, model=variant.model)
    return _row(variant, trained, values, reference, test)


# ---- steps ----------------------------------------------------------------


@functools.lru_cache(maxsize=1)  # the tasks of a world come one after the other
def load_reference(
    folder: str, logs_sha256: str, start: int, stop: int, cuts: tuple, visits: int
) -> Reference:
    """The base of a world, evaluated and tested; kept until another one is asked for.

    Args:
      folder: of a ConvergedSystem; logs_sha256: of its log, so that one rebuilt is another.
      start, stop: test impressions of the log.
      cuts: the m of `offline`; visits: of every user.
    """
    system = converged_system.load(folder)
    parameters, scorer = system.parameters, system.base_scorer()
    matched = match(system.world.later())
    installed = install_pre_ranking(matched, system.compiled(scorer))
    arm = run_arm(installed, visits=visits, seed=parameters.seed)
    test = reader.read(system.logs, scorer.features, start=start, stop=stop)
    values = metrics_at(predict(scorer, test), test, parameters.m, parameters.k, cuts)
    values[FULL] = full_candidates.r_over_r_star(installed, parameters.m)
    return Reference(system, matched, test, arm, values)


def train(variant: Variant, log) -> Trained:
    """Train a variant on a log, its epochs one after the other."""
    scorer, samples = variant.scorer(), 0
    learner = variant.learner(scorer)
    for epoch in range(variant.epochs):
        learner.reset()
        seed = variant.seed + 1000 * epoch
        report = loop.train(
            learner,
            variant.source(log, scorer.features, seed),
            target=RankTarget(variant.label_noise, seed),
            progress=False,
        )
        samples += report.samples
    return Trained(scorer, samples)


def install(scorer: Scorer, variant: Variant, reference: Reference) -> Installed:
    """The system of a world's test with a variant as its Pre-ranking model."""
    model = reference.system.compiled(scorer)
    noise = 0.0
    if variant.score_noise:
        noise = variant.score_noise * _score_spread(model, reference.matched)
    noisy = _with_score_noise(model, noise, variant.seed)
    return Installed(install_pre_ranking(reference.matched, noisy), noise)


def evaluate(
    scorer: Scorer, variant: Variant, installed: Installed, test: Impressions, cuts
) -> dict:
    """Metrics of a variant as in `Reference.values`, from test impressions and whole lists."""
    values = offline(scorer, variant, cuts, installed.noise, test)
    return values | {FULL: full_candidates.r_over_r_star(installed.system, variant.m)}


def offline(
    scorer: Scorer, spec, cuts, noise: float = 0.0, test: Impressions | None = None
) -> dict:
    """Metrics of each test impression, name -> [impressions], NaN where undefined.

    Args:
      scorer: trained.
      spec: `TrainingSpec` that says which impressions of which log, m and k.
      cuts: the m at which R/R* and Recall@m@m are measured as well.
      noise: standard deviation of what is added to every score.
      test: those impressions where they have been read; features beyond the scorer's are left.
    """
    if test is None:
        test = reader.read(spec.logs, scorer.features, start=spec.test_start, stop=spec.test_stop)
    scores = predict(scorer, test)
    scores = scores + noise * np.random.default_rng([spec.seed, 2]).normal(size=scores.shape)
    return metrics_at(scores, test, spec.m, spec.k, cuts)


def metrics_at(scores, test: Impressions, m: int, k: int, cuts) -> dict:
    """`lib.metrics.per_impression` at m and k, and R/R* and Recall@m@m at each cut.

    Args:
      scores: [impressions, ads] of the impressions `test`.

    Returns: name -> [impressions], NaN where undefined.
    """
    v, ecpm, mask = test.v, test.ecpm, test.mask
    values = ranking.per_impression(scores, v, ecpm, m, k, mask)
    for cut in cuts:
        values |= {
            f"r_over_r_star@{cut}": ranking.r_over_r_star(scores, v, ecpm, cut, mask),
            f"recall@{cut}": ranking.recall(scores, v, cut, cut, mask),
        }
    return values


# ---- helpers --------------------------------------------------------------


def _variant(task):
    logs, features = (
        f"{task['system']}/{name}" for name in (converged_system.LOGS, converged_system.FEATURES)
    )
    return Variant(logs=logs, features=features, **task["variant"])


def _row(variant, trained, values, reference, test: ABTest):
    """A variant's row of the study's table; a metric's error is of its difference to the base."""
    row = {
        "model": variant.model,
        "family": variant.family,
        "size_parameters": list(trained.scorer.size_parameters),
        "flops": flops(trained.scorer.head),
        "samples": trained.samples,
        "seed": variant.seed,
        "undefined": int(np.isnan(values["r_over_r_star"]).sum()),
    }
    for name, value in values.items():
        difference = value - reference.values[name]
        row |= {
            name: ranking.mean(value).value,
            f"{name}_se": ranking.mean(difference).standard_error,
        }
    return row | test.as_row()


def _write_stale_log(path, system, angle):
    """A log of the base from before the truth turned by `angle` radians."""
    matched = match(system.world.turned(-angle))
    parameters = system.parameters
    reader.write_logs(
        path,
        sample_logs(
            install_pre_ranking(matched, system.base()),
            parameters.train_impressions,
            seed=parameters.seed,
        ),
    )


def _score_spread(model, matched):
    """Standard deviation of a model's scores of one user's candidates, mean over users."""
    scores = model(matched.users[:BLOCK_USERS], matched.ads[:BLOCK_USERS])
    return float(scores.std(axis=1).mean())


def _with_score_noise(model, noise, seed):
    """The model with noise that stays with user and ad, like an error of the model."""
    if not noise:
        return model
    return lambda users, ads: (
        model(users, ads) + noise * normal(visit_keys(seed, "score noise", users, 0), ads)
    )
