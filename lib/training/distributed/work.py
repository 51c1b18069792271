"""What a distributed training is to do, in plain values from which any process builds its part."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

from lib.logs.features import Features


@dataclasses.dataclass(frozen=True)
class Work:
    """A training of one scorer on one source, as JSON can hold it.

    Attributes:
      source: arguments of the source but its features, such as `LogSource`'s log and stop.
      features: `lib.logs.features.Features`, or what its `model_dump` gives.
      hidden, family, seed: of the Scorer; weights: file of `save_weights` to start from, in place
        of the seed's, which differ between TensorFlow and JAX.
      loss: a Keras loss such as `lib.losses.ARFLoss`, or what `describe` made of it.
      learning_rate, epsilon: Adagrad's.
      label_noise, noise_seed: of `RankTarget`.
      source_class: "module:name" of the `BatchSource`.
      checkpoint: file to go on from and to write (None: none); every: steps between two writings.
        On several machines it lies, as the log does, where all of them see it.

    >>> work = Work({"log": "log.parquet", "stop": 100}, {"features": []}, [8, 1], {})
    >>> Work.from_json(work.to_json()) == work
    True
    """

    source: dict[str, Any]
    features: Any
    hidden: list[int]
    loss: Any
    family: str = "mlp"
    seed: int = 0
    weights: str | None = None
    learning_rate: float = 0.01
    epsilon: float = 1e-8
    label_noise: float = 0.0
    noise_seed: int = 0
    source_class: str = "lib.training.source:LogSource"
    checkpoint: str | None = None
    every: int = 500

    def __post_init__(self):
        plain = {
            "source": {
                name: str(x) if isinstance(x, Path) else x for name, x in self.source.items()
            },
            "hidden": list(self.hidden),
            "checkpoint": self.checkpoint and str(self.checkpoint),
            "weights": self.weights and str(self.weights),
        }
        if isinstance(self.features, Features):
            plain["features"] = self.features.model_dump(mode="json")
        if not isinstance(self.loss, dict):
            plain["loss"] = describe(self.loss)
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def to_json(self) -> str:
        """Raises TypeError where a value is not plain."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Work:
        return cls(**json.loads(text))

    def make_source(self):
        """The `BatchSource`."""
        features = Features.model_validate(self.features)
        return _named(self.source_class)(features=features, **self.source)

    def make_learner(self, kind, **arguments):
        """A learner of class `kind`: a new Scorer with its loss."""
        from lib.models.scorer import Scorer
        from lib.training.checkpoint import load_weights

        features = Features.model_validate(self.features)
        scorer = Scorer(features, self.hidden, self.family, self.seed)
        if self.weights:
            load_weights(self.weights, scorer)
        loss = _named(self.loss["class"])(**self.loss["config"])
        return kind(scorer, loss, self.learning_rate, self.epsilon, **arguments)

    def make_target(self):
        """The `RankTarget`."""
        from lib.training.targets import RankTarget

        return RankTarget(self.label_noise, self.noise_seed)

    def make_checkpoint(self):
        """The `Checkpoint`, None without one."""
        from lib.training.checkpoint import Checkpoint

        return self.checkpoint and Checkpoint(self.checkpoint, self.every)


def describe(loss) -> dict:
    """Class and configuration of a Keras loss, from which it can be made anew."""
    kind = type(loss)
    return {"class": f"{kind.__module__}:{kind.__qualname__}", "config": loss.get_config()}


def _named(name):
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
