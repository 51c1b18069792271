"""The study's tasks: one model of one draw in the open loop, trained anew, in the closed loop.

Open loop: the reference system makes the log, whatever is trained on it. One pass then gives the
weights of every minute, and all export intervals are evaluated on the same impressions: what a
server would have said of them with the weights that it would have had.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydantic

from lib.logs.encoding import encode
from lib.logs.features import Features
from lib.logs.impressions import Impressions, concatenate
from lib.losses import ARFLoss
from lib.metrics.ranking import r_over_r_star
from lib.models.flop_count import flops
from lib.models.scorer import Scorer
from lib.online.study.exposures import SystemParameters, as_impressions, load_log
from lib.online.study.versions import Versions, version_at
from lib.serving.numpy_scorer import MLPScorer
from lib.serving.served_model import ServedModel
from lib.simulation.ab_tests import run_arm
from lib.simulation.cascade import install_pre_ranking, oracle_system
from lib.simulation.drifting import DAY, DriftingWorld, minutes_of
from lib.simulation.matching import match
from lib.training.distributed.delayed import DelayedLearner
from lib.training.learner import Learner
from lib.training.loop import train

TEST_SEED = 1_000_000  # of tests, apart from those of logs


class TrainingParameters(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A model that trains online.

    Attributes:
      hidden: [a_1, ..., a_L]; seed: of its first weights.
      learning_rate: Adagrad's; batch_impressions: of a step; m, k: of loss and metric.
    """

    hidden: tuple[pydantic.PositiveInt, ...]
    learning_rate: pydantic.PositiveFloat
    batch_impressions: pydantic.PositiveInt
    m: pydantic.PositiveInt = 2
    k: pydantic.PositiveInt = 2
    seed: int = 0

    def learner(self, features: Features) -> Learner:
        """The untrained model with its loss and optimizer."""
        scorer = Scorer(features, self.hidden, "mlp", self.seed)
        return Learner(scorer, ARFLoss(self.m, self.k), self.learning_rate)


class MemorySource:
    """Impressions in memory, in their order, whole batches; a `lib.training.source.BatchSource`."""

    def __init__(self, impressions: Impressions, batch_impressions: int):
        self.impressions, self.full_batch = impressions, batch_impressions
        self.steps = len(impressions) // batch_impressions
        self.ads = impressions.mask.shape[1]

    def batches(self, offset=None):
        for step in range(offset or 0, self.steps):
            first = step * self.full_batch
            yield self.impressions.take(slice(first, first + self.full_batch)), step + 1

    def description(self) -> dict:
        return {"impressions": len(self.impressions), "batch_impressions": self.full_batch}


class Servers:
    """What a drifting world's servers say and earn with given weights.

    Args: drifting: DriftingWorld; features: of the model.
    """

    def __init__(self, drifting: DriftingWorld, features: Features):
        self.drifting = drifting
        p, world = drifting.world.parameters, drifting.world
        self._encoded = {
            side: {f.name: encode(f, values[f.name]) for f in features.side(side)}
            for side, values in (
                ("user", world.user_features(np.arange(p.users))),
                ("ad", world.ad_features(np.arange(p.ads))),
            )
        }

    def deploy(self, model: ServedModel) -> MLPScorer:
        """The model as the cascade calls it: (users, ads) -> scores."""
        vectors = (model.embed(side, self._encoded[side]) for side in ("user", "ad"))
        return MLPScorer(model.layers, *vectors)

    def revenue(self, minute: int, models: dict[str, ServedModel], visits: int) -> list[dict]:
        """What each model earns in the same visits at a minute; "oracle" is the best there is.

        Returns: rows with policy, minute, visits, and revenue of first price and true revenue.
        """
        matched = match(self.drifting.at(minute))
        systems = {"oracle": oracle_system(matched)} | {
            name: install_pre_ranking(matched, self.deploy(model)) for name, model in models.items()
        }
        rows = []
        for name, system in systems.items():
            arm = run_arm(system, visits=visits, seed=TEST_SEED + minute)
            rows.append(
                {"policy": name, "minute": minute, "visits": visits * len(arm.users)}
                | {
                    "revenue": float(arm.revenue.sum()),
                    "revenue_true": float(arm.revenue_true.sum()),
                }
            )
        return rows


class Said(NamedTuple):
    """Scores of impressions with the version that each was answered by."""

    scores: np.ndarray  # float32 [B, n]
    version: np.ndarray  # minute, [B]


def open_loop_task(task: dict, path: Path) -> dict:
    """Train one size online, and evaluate what servers with each export interval would say.

    Args:
      task: "log": of `log_task`; "training": TrainingParameters; "intervals", "delay" and "block",
        minutes; "measured": from which minute to which; "test_minutes"; "visits" per user in a
        test; "anew": whether to train a model anew for each day, too.

    Returns: {"blocks", "revenue": lists of rows, see `_blocks` and `Servers.revenue`; "flops"}.
    """
    run = _Run(task)
    held = run.held(task["intervals"])
    wanted = {version for by_minute in held.values() for version in by_minute.values()}
    learner = run.training.learner(run.features)
    watch = Versions(learner.scorer, wanted, task["block"])
    run.train(learner, 0, max(wanted), watch)
    kept = dict.fromkeys(held, watch.finish())
    if task["anew"]:
        held["anew"] = run.held([DAY])[_name(DAY)]
        kept["anew"] = _trained_anew(run, set(held["anew"].values()))
    blocks = [row for policy in held for row in run.blocks(policy, held[policy], kept[policy])]
    revenue = []
    for minute in task["test_minutes"]:
        models = {policy: kept[policy][by_minute[minute]] for policy, by_minute in held.items()}
        revenue += run.servers.revenue(minute, models, task["visits"])
    return {"blocks": blocks, "revenue": revenue, "flops": flops(learner.scorer.head)}


def asynchronous_task(task: dict, path: Path) -> dict:
    """From a model trained in time, go on with gradients that come late, in each of several ways.

    Args:
      task: as of `open_loop_task`, with "ways": [what is late, steps] of each (`DelayedLearner`);
        gradients are late in the minutes that are measured.

    Returns: {"blocks": rows of `_blocks`, with delayed and staleness; "flops"}.
    """
    run = _Run(task)
    start, held = task["measured"][0], run.held(task["intervals"])
    wanted = {version for by_minute in held.values() for version in by_minute.values()}
    learner = run.training.learner(run.features)
    early = Versions(
        learner.scorer, {minute for minute in wanted if minute <= start}, task["block"]
    )
    behind = run.train(learner, 0, start, early)
    trained = [variable.numpy() for variable in learner.variables]
    blocks = []
    for delayed, steps in task["ways"]:
        own = DelayedLearner(
            learner.scorer,
            learner.loss,
            run.training.learning_rate,
            staleness=steps,
            delayed=delayed,
        )
        for variable, value in zip(own.variables, trained, strict=True):
            variable.assign(value)
        watch = Versions(learner.scorer, wanted - early.finish().keys(), task["block"])
        run.train(own, behind, max(wanted), watch)
        kept = early.finish() | watch.finish()
        rows = [row for policy in held for row in run.blocks(policy, held[policy], kept)]
        blocks += [{"delayed": delayed, "staleness": steps} | row for row in rows]
    return {"blocks": blocks, "flops": flops(learner.scorer.head)}


def closed_loop_task(task: dict, path: Path) -> dict:
    """The model that is trained makes the log that it is trained on: one size, each interval.

    It has learned from the reference's log up to "measured" and then takes over. A version is
    served from its export on, without delay.

    Args:
      task: as of `open_loop_task`.

    Returns: {"revenue": rows of `Servers.revenue`}.
    """
    run = _Run(task)
    start, stop = task["measured"]
    learner = run.training.learner(run.features)
    run.train(learner, 0, start)
    trained = [variable.numpy() for variable in learner.variables]
    matched = functools.lru_cache(24)(lambda step: match(run.drifting.at(step)))
    revenue = []
    for interval in task["intervals"]:
        for variable, value in zip(learner.variables, trained, strict=True):
            variable.assign(value)
        waiting, model = run.impressions.take(slice(0)), None
        for low, high in run.drifting.steps(start, stop, every=interval):
            if model is None or low % interval == 0:
                model = ServedModel.of(learner.scorer)
            for minute in task["test_minutes"]:
                if low <= minute < high:
                    models = {_name(interval): model}
                    revenue += run.servers.revenue(minute, models, task["visits"])
            now = matched(run.drifting.step_of(low))
            system = install_pre_ranking(now, run.servers.deploy(model))
            tables = run.drifting.exposures(system, low, high, seed=task["log"]["system"]["seed"])
            new = as_impressions(tables, run.features, path, waiting.mask.shape[1])
            source = MemorySource(concatenate([waiting, new]), run.training.batch_impressions)
            train(learner, source, progress=False)
            waiting = source.impressions.take(slice(source.steps * source.full_batch, None))
    return {"revenue": revenue}


class _Run:
    """What the tasks of a log have in common: its world, its impressions, their servers."""

    def __init__(self, task):
        log = task["log"]
        self.task, self.training = task, TrainingParameters(**task["training"])
        self.drifting = SystemParameters(**log["system"]).drifting()
        self.impressions = load_log(log["log"], log["sha256"])
        self.times = minutes_of(self.impressions.timestamp)
        self.features = Features(features=self.drifting.world.features)
        self.servers = Servers(self.drifting, self.features)

    def held(self, intervals):
        """Policy -> minute that is measured -> version."""
        delay, minutes = self.task["delay"], range(*self.task["measured"], self.task["block"])
        return {_name(i): {t: version_at(t, i, delay) for t in minutes} for i in intervals}

    def train(self, learner, first, minute, watch=None):
        """Train from impression `first` on whole batches up to a minute; the impression behind."""
        part = self.impressions.take(slice(first, np.searchsorted(self.times, minute)))
        source = MemorySource(part, self.training.batch_impressions)
        train(learner, source, watch=watch, progress=False)
        return first + source.steps * source.full_batch

    def blocks(self, policy, by_minute, kept):
        """R/R* of what servers say under a policy, rows of `_blocks`."""
        block = self.task["block"]
        said = _answers(self.servers, self.impressions, self.times, by_minute, kept, block)
        about = self.impressions, self.times, self.drifting, block, self.training.m
        return _blocks(policy, said, *about)


def _trained_anew(run, minutes):
    """Minute -> model trained from its first weights on all that came before, in mixed order."""
    models, batch = {}, run.training.batch_impressions
    for minute in sorted(minutes):
        learner = run.training.learner(run.features)
        past = np.flatnonzero(run.times < minute)
        order = np.random.default_rng([run.training.seed, minute]).permutation(past)
        train(learner, MemorySource(run.impressions.take(order), batch), progress=False)
        models[minute] = ServedModel.of(learner.scorer)
    return models


def _answers(servers, impressions, times, by_minute, kept, block):
    """What servers say of the impressions of each block; minute -> version in `by_minute`."""
    scores = np.zeros(impressions.mask.shape, np.float32)
    version = np.full(len(impressions), -1)
    deployed = {}
    for minute, held in by_minute.items():
        if held not in deployed:
            deployed = {held: servers.deploy(kept[held])}
        low, high = np.searchsorted(times, [minute, minute + block])
        part = slice(low, high)
        scores[part] = deployed[held](
            impressions.user["user_id"][part], impressions.ad["ad_id"][part]
        )
        version[part] = held
    return Said(scores, version)


def _blocks(policy, said, impressions, times, drifting, block, m):
    """R/R* of each block of minutes and version, list of rows.

    Columns: policy, minute (of the block), version, impressions (with a defined R/R*),
    r_over_r_star (their mean), new_ads (share of ads that came after the version's minute).
    """
    measured = np.flatnonzero(said.version >= 0)
    part = impressions.take(measured)
    value = r_over_r_star(said.scores[measured], part.v, part.ecpm, m, part.mask)
    came = drifting.ad_times[0][part.ad["ad_id"]] > said.version[measured, None]
    new = (came & part.mask).sum(axis=1) / part.mask.sum(axis=1)
    minute = (times[measured] // block).astype(int) * block
    firsts = np.flatnonzero(np.diff(minute, prepend=-1))
    defined = np.isfinite(value)
    counts = np.add.reduceat(defined.astype(int), firsts)
    sums = np.add.reduceat(np.where(defined, value, 0), firsts)
    shares = np.add.reduceat(new, firsts) / np.diff(firsts, append=len(new))
    return [
        {"policy": policy, "minute": int(t), "version": int(v), "impressions": int(n)}
        | {"r_over_r_star": float(total / n), "new_ads": float(share)}
        for t, v, n, total, share in zip(
            minute[firsts], said.version[measured][firsts], counts, sums, shares, strict=True
        )
        if n
    ]


def _name(interval: int) -> str:
    """An export interval as a policy's name.

    >>> _name(20), _name(1440)
    ('20 min', '1440 min')
    """
    return f"{interval} min"
