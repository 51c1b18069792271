"""One trained model, measured: a row of the `measurements` table.

`train_and_evaluate` is the task of `lib.infra.sweep` behind notebooks 01, 02 and 05: train
a model on the first part of a log, evaluate it on the rest.
"""

from typing import Literal

import pydantic

from lib import losses
from lib.infra.files import fingerprint
from lib.logs import reader
from lib.logs.features import load_features
from lib.models.flop_count import flops
from lib.models.scorer import Scorer
from lib.training.checkpoint import Checkpoint, load_weights, save_weights
from lib.training.learner import Learner
from lib.training.loop import train
from lib.training.scoring import evaluate
from lib.training.source import LogSource
from lib.training.targets import RankTarget

LOSSES = {
    "arf": lambda task: losses.ARFLoss(task.m, task.k, task.tau, task.tau_v),
    "relax": lambda task: losses.RelaxLoss(task.m, task.k, task.tau, task.tau_v),
    "softmax": lambda task: losses.SoftmaxLoss(),
    "pairwise": lambda task: losses.PairwiseLogisticLoss(),
}


class TrainingSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A training and its evaluation.

    Attributes:
      model: its name in the table.
      logs, features: paths of the log and of its features file; without: features left out.
      hidden, family, seed: of the scorer; the seed also of the shuffle and of the label noise.
      train_impressions: the first so many of the log; test_start, test_impressions: the
        stretch that it is evaluated on.
      loss, m, k, tau, tau_v: of the loss; m and k also of the metrics, tau and tau_v of
        `lib.losses.relax_and_global`, v in ranks.
      learning_rate, epsilon: Adagrad's (`lib.training.Learner`).
      batch_impressions, window: see `lib.training.LogSource`.
      label_noise: standard deviation, in ranks, added to the training target.
    """

    model: str
    logs: str
    features: str
    hidden: tuple[pydantic.PositiveInt, ...]
    train_impressions: pydantic.PositiveInt
    test_start: pydantic.PositiveInt
    test_impressions: pydantic.PositiveInt
    family: Literal["mlp", "twin_tower"] = "mlp"
    seed: int = 0
    loss: Literal["arf", "relax", "softmax", "pairwise"] = "arf"
    m: pydantic.PositiveInt = 2
    k: pydantic.PositiveInt = 2
    tau: pydantic.PositiveFloat = 1.0
    tau_v: pydantic.PositiveFloat | None = None
    learning_rate: pydantic.PositiveFloat = 0.01
    epsilon: pydantic.PositiveFloat = 1e-8
    batch_impressions: pydantic.PositiveInt = 128
    window: pydantic.PositiveInt = 4096
    label_noise: pydantic.NonNegativeFloat = 0.0
    without: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _test_follows_training(self):
        if self.test_start < self.train_impressions:
            raise ValueError(
                f"the test must not overlap the training: test_start = "
                f"{self.test_start} < train_impressions = {self.train_impressions}"
            )
        return self

    @property
    def test_stop(self) -> int:
        return self.test_start + self.test_impressions

    def task(self) -> dict:
        """As a task of `lib.infra.sweep`: plain values, and the log and features by content."""
        return {
            **self.model_dump(mode="json"),
            "logs_sha256": fingerprint(self.logs),
            "features_sha256": fingerprint(self.features),
        }

    def scorer(self) -> Scorer:
        """The untrained model."""
        features = load_features(self.features).without(self.without)
        return Scorer(features, self.hidden, self.family, self.seed)

    def learner(self, scorer: Scorer) -> Learner:
        """A scorer with this training's loss and optimizer."""
        return Learner(scorer, LOSSES[self.loss](self), self.learning_rate, self.epsilon)

    def source(self, log, features, seed: int) -> LogSource:
        """The impressions of a log that it trains on, shuffled by `seed`."""
        return LogSource(
            log,
            features,
            stop=self.train_impressions,
            batch_impressions=self.batch_impressions,
            window=self.window,
            seed=seed,
        )


def train_and_evaluate(task: dict, path) -> dict:
    """Train a model, evaluate it, keep its weights.

    Args:
      task: dict, from `TrainingSpec.task()`.
      path: where files of this task may lie, without suffix: `path`.npz gets the
        weights, `path`.checkpoint.npz is there while it trains.

    Returns: a row of `measurements`, and for each metric `_se` and `_undefined`.
    """
    spec = TrainingSpec(**{name: task[name] for name in TrainingSpec.model_fields})
    scorer = spec.scorer()
    available = reader.count(spec.logs, scorer.features)
    if available < spec.test_stop:
        raise ValueError(
            f"{spec.logs}: training and test of {spec.model!r} need {spec.test_stop} "
            f"impressions; the log holds {available}"
        )
    checkpoint = path.with_name(f"{path.name}.checkpoint.npz")
    report = train(
        spec.learner(scorer),
        spec.source(spec.logs, scorer.features, spec.seed),
        target=RankTarget(spec.label_noise, spec.seed),
        checkpoint=Checkpoint(checkpoint),
        progress=False,
    )
    test = reader.read(spec.logs, scorer.features, start=spec.test_start, stop=spec.test_stop)
    row = {
        "model": spec.model,
        "family": spec.family,
        "size_parameters": list(scorer.size_parameters),
        "flops": flops(scorer.head),
        "samples": report.samples,
        "seed": spec.seed,
        "impressions_per_second": report.impressions_per_second,
        "share_of_peak": report.share_of_peak,
    }
    for name, mean in evaluate(scorer, test, spec.m, spec.k).items():
        row |= {
            name: mean.value,
            f"{name}_se": mean.standard_error,
            f"{name}_undefined": mean.undefined,
        }
    save_weights(path.with_suffix(".npz"), scorer)
    checkpoint.unlink(missing_ok=True)
    return row


def load_trained(spec: TrainingSpec, path) -> Scorer:
    """The scorer of a finished `train_and_evaluate`."""
    return load_weights(path.with_suffix(".npz"), spec.scorer())
