"""The study's tasks: one model of one draw in the open loop, trained anew, in the closed loop.

Open loop: the reference system makes the log, whatever is trained on it. One pass then gives the
weights of every minute, and all export intervals are evaluated on the same impressions: what a
server would have said of them with the weights that it would have had.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydantic

from lib.logs.encoding import encode
from lib.logs.features import Features
from lib.logs.impressions import Impressions
from lib.losses import ARFLoss
from lib.metrics.ranking import r_over_r_star
from lib.models.flop_count import flops
from lib.models.scorer import Scorer
from lib.online.study.exposures import SystemParameters, load_log
from lib.online.study.versions import Versions, version_at
from lib.serving.numpy_scorer import MLPScorer
from lib.serving.served_model import ServedModel
from lib.simulation.ab_tests import run_arm
from lib.simulation.cascade import install_pre_ranking, oracle_system
from lib.simulation.drifting import DAY, DriftingWorld, minutes_of
from lib.simulation.matching import match
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
      task: "log": of `log_task`; "training": TrainingParameters; "intervals" (minutes), "delay",
        "block" (minutes), "measure_from" and "test_minutes" (minutes), "visits" per user,
        "anew": whether to train a model anew for each day, too.

    Returns: {"blocks", "revenue": lists of rows, see `_blocks` and `Servers.revenue`; "flops"}.
    """
    log, training = task["log"], TrainingParameters(**task["training"])
    drifting = SystemParameters(**log["system"]).drifting()
    impressions = load_log(log["log"], log["sha256"])
    features = Features(features=drifting.world.features)
    servers, block = Servers(drifting, features), task["block"]
    end, start = drifting.drift.minutes, task["measure_from"]
    minutes = range(start, end, block)
    held = {
        _name(i): {t: version_at(t, i, task["delay"]) for t in minutes} for i in task["intervals"]
    }
    wanted = {version for by_minute in held.values() for version in by_minute.values()}
    learner = training.learner(features)
    watch = Versions(learner.scorer, wanted, block)
    source = MemorySource(impressions, training.batch_impressions)
    train(learner, source, watch=watch, progress=False)
    kept = {policy: watch.finish() for policy in held}
    if task["anew"]:
        held["anew"] = {t: version_at(t, DAY, task["delay"]) for t in minutes}
        kept["anew"] = _trained_anew(training, features, impressions, set(held["anew"].values()))
    times = minutes_of(impressions.timestamp)
    blocks, revenue = [], []
    for policy, by_minute in held.items():
        said = _answers(servers, impressions, times, by_minute, kept[policy], block)
        blocks += _blocks(policy, said, impressions, times, drifting, block, training.m)
    for minute in task["test_minutes"]:
        models = {policy: kept[policy][by_minute[minute]] for policy, by_minute in held.items()}
        revenue += servers.revenue(minute, models, task["visits"])
    return {"blocks": blocks, "revenue": revenue, "flops": flops(learner.scorer.head)}


def _trained_anew(training, features, impressions, minutes):
    """Minute -> model trained from its first weights on all that came before, in mixed order."""
    times, models = minutes_of(impressions.timestamp), {}
    for minute in sorted(minutes):
        learner = training.learner(features)
        past = np.flatnonzero(times < minute)
        order = np.random.default_rng([training.seed, minute]).permutation(past)
        source = MemorySource(impressions.take(order), training.batch_impressions)
        train(learner, source, progress=False)
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
