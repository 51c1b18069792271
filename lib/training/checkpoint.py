"""What survives a training: its checkpoint while it runs, its weights when it is done."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from lib.infra.arrays import load_arrays
from lib.infra.files import replacing

_NUMBERS = "fiub"  # kinds of NumPy's types that a variable may have


@dataclasses.dataclass
class Progress:
    """How far a training has come.

    Attributes:
      offset: of its source, behind the last step's batch; None before the first step.
      steps, impressions: trained on; samples: user-ad pairs in them.
      losses: of each step; of the last ones alone where a training without an end forgets.
      watched: what a `lib.training.loop.Watch` has seen since, a plain value.
    """

    offset: Any = None
    steps: int = 0
    impressions: int = 0
    samples: int = 0
    losses: list = dataclasses.field(default_factory=list)
    watched: Any = None


class Checkpoint:
    """A file that a training is written to as it goes, and goes on from.

    It holds every variable (weights, batch-norm statistics, Adagrad's sums, the loss's alpha)
    and the source's offset behind the last step in one file, written whole or not at all: an
    interrupted run ends in the weights of one that was not.

    Args:
      path: of the file (.npz).
      every: steps between two writings; it is written at the end as well.

    Raises: ValueError unless every >= 1.
    """

    def __init__(self, path, every: int = 500):
        if every < 1:
            raise ValueError(f"Checkpoint: every must be >= 1; got {every}")
        self.path, self.every = Path(path), every

    def save(self, run: dict, variables: list, progress: Progress) -> None:
        """Write variables and progress of the run that `run` describes (part -> name -> value)."""
        _write_arrays(
            self.path,
            run=json.dumps(run),
            offset=json.dumps(progress.offset),
            counts=np.array([progress.steps, progress.impressions, progress.samples], np.int64),
            losses=np.array(progress.losses, float),
            watched=json.dumps(progress.watched),
            **{f"variable_{i}": variable.numpy() for i, variable in enumerate(variables)},
        )

    def restore(self, run: dict, variables: list) -> Progress:
        """Set all variables from the file; that run's Progress, a fresh one without a file.

        Raises: ValueError, with all variables as they were, where the file is of another run,
          naming what differs, and where it is no whole checkpoint.
        """
        if not self.path.exists():
            return Progress()
        expected = "a checkpoint of this training (remove it to begin anew)"
        arrays = load_arrays(self.path, expected)
        try:
            saved = json.loads(str(arrays["run"]))
            differences = _differences(run, saved)
            steps, impressions, samples = (int(count) for count in arrays["counts"])
            progress = Progress(
                json.loads(str(arrays["offset"])),
                *(steps, impressions, samples),
                [float(loss) for loss in arrays["losses"]],
                json.loads(str(arrays["watched"])),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.path}: expected {expected}; found a file without what one holds "
                f"({type(error).__name__}: {error})"
            ) from None
        if differences:
            raise ValueError(
                f"{self.path}: the checkpoint is of a run with another "
                f"{', '.join(differences)}; remove it or give another name"
            )
        values = [arrays.get(f"variable_{i}") for i in range(len(variables))]
        for i, (variable, value) in enumerate(zip(variables, values, strict=True)):
            if (
                value is None
                or value.shape != tuple(variable.shape)
                or value.dtype.kind not in _NUMBERS
            ):
                held = "nothing" if value is None else f"{value.dtype} {list(value.shape)}"
                raise ValueError(
                    f"{self.path}: expected {expected}; found {held} for its variable {i}, which "
                    f"has the shape {list(variable.shape)}"
                )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return progress


def save_weights(path, scorer) -> None:
    """All variables of a scorer as plain arrays (.npz, no pickle)."""
    weights = scorer.get_weights()
    _write_arrays(path, **{str(i): weight for i, weight in enumerate(weights)})


def load_weights(path, scorer):
    """Set a scorer's variables from `save_weights`; returns the scorer.

    Raises: ValueError where the weights are of another size than the scorer, or the file is none of
      weights.
    """
    arrays = load_arrays(path, "the weights of a model")
    weights = [arrays.get(str(i)) for i in range(len(arrays))]
    expected = [w.shape for w in scorer.get_weights()]
    plain = all(w is not None and w.dtype.kind in _NUMBERS for w in weights)
    if not plain or [w.shape for w in weights] != expected:
        raise ValueError(
            f"{path}: the weights are of another model than "
            f"{scorer.family} {list(scorer.size_parameters)}"
        )
    scorer.set_weights(weights)
    return scorer


def _differences(run, saved):
    """Names of the values in which two descriptions of a run differ."""
    run = json.loads(json.dumps(run))  # tuples are lists in what was saved
    return [
        name
        for part, values in run.items()
        for name in dict.fromkeys([*values, *saved.get(part, {})])
        if values.get(name) != saved.get(part, {}).get(name)
    ]


def _write_arrays(path, **arrays):
    # Through a file object: by name, NumPy would append .npz to any other suffix.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
