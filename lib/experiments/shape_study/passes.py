"""One size trained from several seeds together, and measured as its data grow.

Training is one pass at a constant learning rate, so a model that has seen the first D impressions
of a longer pass *is* the model that a pass over D impressions gives, to the last bit (a test holds
it): five amounts of data cost one training. Seeds of one size share what is compiled.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pydantic

from lib.experiments import converged_system
from lib.experiments.train_and_evaluate import TrainingSpec
from lib.infra import sweep
from lib.logs import reader
from lib.logs.features import load_features
from lib.metrics import ranking
from lib.models.flop_count import flops
from lib.simulation.ab_tests import run_arm
from lib.simulation.cascade import install_pre_ranking
from lib.simulation.matching import match
from lib.training.loop import train
from lib.training.scoring import predict
from lib.training.targets import RankTarget

METRIC = "r_over_r_star"


class PassSpec(TrainingSpec, frozen=True, extra="forbid"):
    """A size, the seeds it is trained from and where its passes are measured.

    Attributes, beside those of `TrainingSpec` (whose seed is not used, and whose train_impressions
    are the last mark):
      seeds: of weights and shuffle.
      marks: impressions after which a pass is measured, rising, multiples of `window`: only there
        has a pass over fewer impressions seen the same ones.
      system: folder of a `ConvergedSystem` in which the models are tested online; "": nowhere.
      visits: of every user in these tests.
    """

    seeds: tuple[int, ...]
    marks: tuple[pydantic.PositiveInt, ...]
    system: str = ""
    visits: pydantic.PositiveInt = 2

    @pydantic.model_validator(mode="after")
    def _marks_are_of_the_pass(self):
        rising = list(self.marks) == sorted(set(self.marks))
        if not (rising and self.marks and self.marks[-1] == self.train_impressions):
            raise ValueError(
                "marks must rise up to train_impressions = "
                f"{self.train_impressions}; got {list(self.marks)}"
            )
        block = self.window or self.batch_impressions
        if any(mark % block for mark in self.marks):
            raise ValueError(f"marks must be multiples of {block}; got {list(self.marks)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be one or more and different; got {list(self.seeds)}")
        return self

    def task(self) -> dict:
        """As `TrainingSpec.task`, without the model's name: two studies share a size."""
        return {**super().task(), "model": "-".join(map(str, self.hidden))}


@dataclasses.dataclass(frozen=True)
class Passes:
    """What trained sizes measure.

    Attributes:
      table: a row for each model, seed and mark: model, family, size_parameters, flops, seed,
        impressions, samples (user-ad pairs) and r_over_r_star.
      values: model -> R/R* of every test impression, [seeds, marks, impressions], NaN where it is
        undefined; all models share the impressions.
      revenue: model -> revenue of every user of the online test after the last mark,
        [seeds, users]; empty without a system.
    """

    table: pd.DataFrame
    values: Mapping[str, np.ndarray]
    revenue: Mapping[str, np.ndarray]


def run(specs: Sequence[PassSpec], folder: str | Path, n_jobs: int | None = None) -> Passes:
    """Carry out the passes that have no result yet; see `Passes`.

    Raises: ValueError for two specs of one name, before anything is trained.
    """
    names = [spec.model for spec in specs]
    if len(set(names)) < len(names):
        raise ValueError(f"passes.run: models must have different names; got {names}")
    tasks = [spec.task() for spec in specs]
    results = sweep.run(train_passes, tasks, folder, n_jobs=n_jobs)
    arrays = [
        np.load(sweep.result_path(train_passes, task, folder).with_suffix(".npz")) for task in tasks
    ]
    rows = [
        {"model": spec.model, **row}
        for spec, result in zip(specs, results, strict=True)
        for row in result["rows"]
    ]
    return Passes(
        pd.DataFrame(rows),
        {name: found["values"] for name, found in zip(names, arrays, strict=True)},
        {
            name: found["revenue"]
            for name, found in zip(names, arrays, strict=True)
            if "revenue" in found
        },
    )


def train_passes(task: dict, path: Path) -> dict:
    """Task: train one size from each seed, measure it at each mark, test it online at the last.

    Args:
      task: of `PassSpec.task`.
      path: of the task's files; `path`.npz gets the arrays of `Passes`.

    Returns: {"rows": those of `Passes.table` without the model's name}.
    """
    spec = PassSpec(**{name: task[name] for name in PassSpec.model_fields})
    test = _test_impressions(
        spec.logs, spec.features, spec.without, spec.test_start, spec.test_stop, task["logs_sha256"]
    )
    rows, values, revenue = [], [], []
    for seed in spec.seeds:
        of_seed = spec.model_copy(update={"seed": seed})
        scorer = of_seed.scorer()
        watch = _AtMarks(spec, lambda scorer=scorer: _metric(scorer, test, spec.m))
        train(
            of_seed.learner(scorer),
            of_seed.source(spec.logs, scorer.features, seed),
            target=RankTarget(spec.label_noise, seed),
            watch=watch,
            progress=False,
        )
        values.append([found for _, found in watch.measured])
        rows += [
            {
                "family": spec.family,
                "size_parameters": list(scorer.size_parameters),
                "flops": flops(scorer.head),
                "seed": seed,
                "impressions": mark,
                "samples": samples,
                METRIC: float(ranking.mean(found).value),
            }
            for mark, (samples, found) in zip(spec.marks, watch.measured, strict=True)
        ]
        if spec.system:
            revenue.append(_revenue(scorer, spec.system, spec.visits, task["logs_sha256"]))
    arrays = {"values": np.float32(values)} | ({"revenue": np.array(revenue)} if revenue else {})
    np.savez_compressed(path.with_suffix(".npz"), **arrays)
    return {"rows": rows}


class _AtMarks:
    """A `lib.training.loop.Watch` that measures at the marks of a pass."""

    def __init__(self, spec, measure):
        self.marks, self.batch, self.measure = set(spec.marks), spec.batch_impressions, measure
        self.measured = []  # (samples, what `measure` gave) of each mark

    def starts_anew(self, batch, step):
        return step * self.batch in self.marks

    def before(self, batches, done):
        return False

    def after(self, batches, losses, done):
        if done.impressions in self.marks:
            self.measured.append((done.samples, self.measure()))
        return False

    def state(self):
        return None

    def restore(self, state):
        pass


def _metric(scorer, test, m):
    return ranking.r_over_r_star(predict(scorer, test), test.v, test.ecpm, m, test.mask)


@functools.lru_cache(maxsize=1)
def _test_impressions(logs, features, without, start, stop, _digest):
    return reader.read(logs, load_features(features).without(without), start=start, stop=stop)


@functools.lru_cache(maxsize=1)
def _matched(folder, _digest):
    system = converged_system.load(folder)
    return system, match(system.world)


def _revenue(scorer, folder, visits, digest):
    """Revenue of every user, [users], with the scorer as Pre-ranking model."""
    system, matched = _matched(folder, digest)
    installed = install_pre_ranking(matched, system.compiled(scorer))
    return run_arm(installed, visits=visits, seed=system.parameters.seed).revenue
