"""One trained model, measured: a row of the `measurements` table.

`train_and_evaluate` is the task of `lib.infra.sweep` behind notebooks 01, 02 and 05: train
a model on the first part of a log, evaluate it on the rest.
"""

from typing import Literal

import pydantic

from lib import losses, training
from lib.infra.files import fingerprint
from lib.logs import reader
from lib.logs.features import load_features
from lib.models.flop_count import flops
from lib.models.scorer import Scorer

LOSSES = {
    "arf": lambda task: losses.ARFLoss(task.m, task.k, task.tau),
    "relax": lambda task: losses.RelaxLoss(task.m, task.k, task.tau),
    "softmax": lambda task: losses.SoftmaxLoss(),
    "pairwise": lambda task: losses.PairwiseLogisticLoss(),
}


class TrainingSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A training and its evaluation; see `lib.training.train` for the fields it shares.

    train_impressions: the first so many of the log; test_start, test_impressions: the
    stretch that it is evaluated on. `without`: features left out. `m`, `k`: of the loss
    and of the metrics.
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
    def test_stop(self):
        return self.test_start + self.test_impressions

    def task(self):
        """As a task of `lib.infra.sweep`: plain values, and the log and features by content."""
        return {
            **self.model_dump(mode="json"),
            "logs_sha256": fingerprint(self.logs),
            "features_sha256": fingerprint(self.features),
        }

    def scorer(self):
        """The untrained model."""
        features = load_features(self.features).without(self.without)
        return Scorer(features, self.hidden, self.family, self.seed)


def train_and_evaluate(task, path):
    """Train a model, evaluate it, keep its weights.

    Args:
      task: dict, from `TrainingSpec.task()`.
      path: where files of this task may lie, without suffix: `path`.npz gets the
        weights, `path`.checkpoint.npz is there while it trains.

    Returns: a row of `measurements`, and for each metric `_se` and `_undefined`.
    """
    spec = TrainingSpec(**{name: task[name] for name in TrainingSpec.model_fields})
    scorer = spec.scorer()
    held, needed = reader.count(spec.logs, scorer.features), spec.test_stop
    if held < needed:
        raise ValueError(
            f"{spec.logs}: training and test of {spec.model!r} need {needed} "
            f"impressions; the log holds {held}"
        )
    checkpoint = path.with_name(f"{path.name}.checkpoint.npz")
    report = training.train(
        scorer,
        spec.logs,
        loss=LOSSES[spec.loss](spec),
        stop=spec.train_impressions,
        batch_impressions=spec.batch_impressions,
        window=spec.window,
        seed=spec.seed,
        learning_rate=spec.learning_rate,
        epsilon=spec.epsilon,
        label_noise=spec.label_noise,
        checkpoint=checkpoint,
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
    for name, mean in training.evaluate(scorer, test, spec.m, spec.k).items():
        row |= {
            name: mean.value,
            f"{name}_se": mean.standard_error,
            f"{name}_undefined": mean.undefined,
        }
    training.save_weights(path.with_suffix(".npz"), scorer)
    checkpoint.unlink(missing_ok=True)
    return row


def load_trained(spec, path):
    """The scorer of a finished `train_and_evaluate`."""
    return training.load_weights(path.with_suffix(".npz"), spec.scorer())
