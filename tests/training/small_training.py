"""A small training that the tests of this room share."""

import dataclasses
import hashlib

import numpy as np

from lib.losses import ARFLoss, PairwiseLogisticLoss, RelaxLoss, SoftmaxLoss
from lib.models.scorer import Scorer
from lib.training import Checkpoint, Learner, LogSource, RankTarget
from lib.training.loop import TrainingReport
from lib.training.loop import train as train_learner
from tests.small_log import FEATURES

STOP, BATCH, WINDOW, LEARNING_RATE = 500, 25, 100, 0.1  # 20 steps


@dataclasses.dataclass
class Trained:
    """A learner after `train`."""

    learner: Learner
    report: TrainingReport

    @property
    def scorer(self):
        return self.learner.scorer

    @property
    def loss(self):
        return self.learner.loss


def make_learner(seed=0, loss=None, learning_rate=LEARNING_RATE, family="mlp"):
    return Learner(Scorer(FEATURES, [8, 4, 1], family, seed), loss or ARFLoss(2, 2), learning_rate)


def make_source(log, **changes):
    settings = {"stop": STOP, "batch_impressions": BATCH, "window": WINDOW, **changes}
    return LogSource(log, FEATURES, **settings)


def train(log, learner=None, noise=0.0, checkpoint=None, every=500, **changes):
    """A learner (by default one of seed 0) after one pass over a stretch of the log."""
    learner = learner or make_learner()
    report = train_learner(
        learner,
        make_source(log, **changes),
        target=RankTarget(noise, changes.get("seed", 0)),
        checkpoint=checkpoint and Checkpoint(checkpoint, every),
        progress=False,
    )
    return Trained(learner, report)


def assert_same_weights(first, second):
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def alpha(loss):
    """The loss's own weight; None where it has none."""
    return loss.alpha.numpy() if hasattr(loss, "alpha") else None


def interrupt(monkeypatch, steps):
    """Ctrl-C after so many steps (None: never); returns a list with an entry for each step made."""
    original, made = Learner.take_steps, []

    def take_steps(self, examples, full_batch):
        taken = examples if steps is None else examples[: steps - len(made)]
        made.extend(taken)
        losses = original(self, taken, full_batch) if taken else []
        if len(taken) < len(examples):
            raise KeyboardInterrupt
        return losses

    monkeypatch.setattr(Learner, "take_steps", take_steps)
    return made


def digest_of_weights(loss, family):
    """Digest of all variables after 32 steps from fixed numbers, without a log."""
    learner = make_learner(seed=1, loss=loss, family=family)
    learner.take_steps(fixed_examples(32), 64)
    bits = b"".join(variable.numpy().tobytes() for variable in learner.variables)
    return hashlib.sha256(bits).hexdigest()[:12]


def all_digests_of_weights():
    """Of each loss and each family, name -> digest."""
    cases = {
        "arf": (ARFLoss(2, 2), "mlp"),
        "relax": (RelaxLoss(2, 2), "mlp"),
        "softmax": (SoftmaxLoss(), "mlp"),
        "pairwise": (PairwiseLogisticLoss(), "mlp"),
        "twin tower": (ARFLoss(2, 2), "twin_tower"),
    }
    return {name: digest_of_weights(*case) for name, case in cases.items()}


def fixed_examples(count, impressions=64, ads=13):
    """Examples of whole numbers and their exact fractions, lists of 8 to 13 ads."""
    rng = np.random.default_rng(0)

    def values(feature, *lead):
        shape = (*lead, feature.length or feature.width)
        if feature.buckets:
            drawn = rng.integers(0, feature.buckets, shape if feature.length else lead)
            return drawn.astype(np.int32)
        drawn = rng.integers(-512, 512, shape if feature.width > 1 else lead)
        return (drawn / 256).astype(np.float32)

    def example():
        mask = np.arange(ads) < rng.integers(8, ads + 1, (impressions, 1))
        order = rng.permuted(np.tile(np.arange(ads), (impressions, 1)), axis=1)
        inputs = {
            "user": {f.name: values(f, impressions) for f in FEATURES.side("user")},
            "ad": {f.name: values(f, impressions, ads) for f in FEATURES.side("ad")},
            "mask": mask,
        }
        return inputs, np.where(mask, order, -1).astype(np.float32)

    return [example() for _ in range(count)]
