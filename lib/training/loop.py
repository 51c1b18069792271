"""Training in one pass over a source of batches (section 3.4).

Source -> Learner -> Checkpoint: `train` takes batches from a source, hands them to a learner in
calls of several steps, and keeps variables and the source's offset in a checkpoint.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from lib.infra import machine
from lib.logs.impressions import Impressions
from lib.models.flop_count import flops
from lib.training.checkpoint import Checkpoint, Progress
from lib.training.learner import Learner
from lib.training.scoring import as_inputs
from lib.training.source import BatchSource
from lib.training.targets import RankTarget

# Handing over inputs costs a call a few milliseconds, as much as a small model's step itself;
# Ctrl-C waits for the end of a call.
STEPS_A_CALL = 32


@dataclasses.dataclass(frozen=True)
class TrainingReport:
    """What one training did.

    Attributes:
      impressions, samples: trained on, and the user-ad pairs in them; with what an
        earlier, interrupted call had done.
      losses: [steps], the loss of every step.
      timed_impressions, timed_samples, seconds: of this call's steps that neither
        compiled nor were on a shorter batch; the rates below are theirs.
      flops_per_sample: of a user-ad pair's forward pass.
      peak_flops: FLOP/s of a large matrix product on the threads that a step uses.
    """

    impressions: int
    samples: int
    losses: np.ndarray
    timed_impressions: int
    timed_samples: int
    seconds: float
    flops_per_sample: int
    peak_flops: float

    @property
    def impressions_per_second(self) -> float:
        """NaN where no step was timed."""
        return self.timed_impressions / self.seconds if self.seconds else np.nan

    @property
    def share_of_peak(self) -> float:
        """FLOP/s of the steps' matrix products over those of a large matrix product.

        Forward and backward together are three forward passes; the padding of
        ragged lists is computed too but not counted. NaN where no step was timed.
        """
        computed = 3 * self.flops_per_sample * self.timed_samples
        return computed / self.seconds / self.peak_flops if self.seconds else np.nan


class Watch(Protocol):
    """Looks on while a training runs, and may do something between two calls of the learner.

    What it remembers is kept in the checkpoint, so that it goes on where the training does.
    """

    def starts_anew(self, batch: Impressions, step: int) -> bool:
        """Whether a call must begin with this batch, of step `step`; asked once each, in order."""

    def before(self, batches: list[Impressions], done: Progress) -> bool:
        """Before the learner sees the batches; returns whether a checkpoint is to be written."""

    def after(self, batches: list[Impressions], losses, done: Progress) -> bool:
        """After the call; `losses` [batches] are those before each step. Returns whether to stop.

        A training that stops writes its checkpoint, and goes on from there another time.
        """

    def state(self) -> Any:
        """What it remembers, a plain value."""

    def restore(self, state: Any) -> None:
        """Go on from `state`; None: from the first batch."""


def train(
    learner: Learner,
    source: BatchSource,
    *,
    target: Callable | None = None,
    checkpoint: Checkpoint | None = None,
    steps_a_call: int = STEPS_A_CALL,
    watch: Watch | None = None,
    keep_losses: int | None = None,
    progress: bool = True,
) -> TrainingReport:
    """One pass over a source.

    Args:
      learner: goes on from its weights and from Adagrad's sums as they stand.
      source: a `BatchSource`, such as `LogSource`.
      target: callable (batch, step) -> target [B, n], with a `description`; default: `RankTarget`
        without noise.
      checkpoint: to go on from where it exists, and to write.
      steps_a_call: batches that are waited for and then handed to the learner together; the
        numbers do not depend on it. 1 for a stream that is slower than the learner.
      watch: what looks on and may stop the training.
      keep_losses: how many of the last losses are kept, for a source without an end; default all.
      progress: whether to show a bar.

    Returns: TrainingReport.
    Raises: ValueError where the checkpoint is of another run, and where a loss is not finite,
      naming its step: the weights of a diverged run are worthless.
    """
    target = target or RankTarget()
    run = {
        "learner": learner.description(),
        "source": source.description(),
        "target": target.description(),
    }
    done = checkpoint.restore(run, learner.variables) if checkpoint else Progress()
    if watch:
        watch.restore(done.watched)
    clock, saved = _Clock(done.steps, source.full_batch), done.steps
    peak = machine.matrix_product_peak(learner.threads)
    every = checkpoint.every if checkpoint else None

    def save():
        done.watched = watch.state() if watch else None
        checkpoint.save(run, learner.variables, done)
        return done.steps

    with tqdm(
        total=source.steps,
        initial=done.steps,
        unit="step",
        disable=not progress,
        desc=f"train {learner.scorer.size_parameters}",
    ) as bar:
        calls = _calls(source.batches(done.offset), done.steps, steps_a_call, every, watch)
        for batches, offset in calls:
            if watch and watch.before(batches, done) and checkpoint:
                saved = save()
            begin, first = time.perf_counter(), done.steps
            examples = [(as_inputs(b), target(b, step)) for step, b in enumerate(batches, first)]
            losses = learner.take_steps(examples, source.full_batch)
            samples = sum(int(batch.mask.sum()) for batch in batches)
            clock.add(time.perf_counter() - begin, first, batches, samples)
            _check_finite(losses, first, learner.learning_rate)
            done.offset = offset
            done.losses += map(float, losses)
            done.losses = done.losses[-(keep_losses or len(done.losses)) :]
            done.steps += len(batches)
            done.samples += samples
            done.impressions += sum(map(len, batches))
            bar.update(len(batches))
            stop = watch and watch.after(batches, losses, done)
            if checkpoint and (done.steps // every > saved // every or stop):
                saved = save()
            if stop:
                break
        calls.close()
    if checkpoint and saved < done.steps:
        save()
    return TrainingReport(
        done.impressions,
        done.samples,
        np.array(done.losses, float),
        clock.impressions,
        clock.samples,
        clock.seconds,
        flops(learner.scorer.head),
        peak,
    )


class _Clock:
    """Adds up the time of steps that neither compile nor are on a shorter batch."""

    def __init__(self, first, full_batch):
        self.first, self.full_batch = first, full_batch
        self.seconds, self.impressions, self.samples = 0.0, 0, 0

    def add(self, seconds, step, batches, samples):
        # The run's first step compiles, and so does a shorter batch.
        if step > self.first and len(batches[0]) == self.full_batch:
            self.seconds += seconds
            self.impressions += self.full_batch * len(batches)
            self.samples += samples


def _check_finite(losses, first, learning_rate):
    finite = np.isfinite(losses)
    if not finite.all():
        bad = int(np.argmin(finite))
        raise ValueError(
            f"train: the loss of step {first + bad} is {losses[bad]}; "
            f"lower learning_rate = {learning_rate}"
        )


def _calls(batches, first, steps_a_call, every=None, watch=None) -> Iterator[tuple[list, object]]:
    """(batches, offset behind them) of each call of the learner.

    The first step, number `first`, stands alone, because it compiles; a call holds batches of
    one size, ends where a checkpoint is due, `every` so many steps, and begins where a watch asks.
    """
    group, behind = [], None
    for step, (batch, offset) in enumerate(batches, first):
        apart = watch is not None and watch.starts_anew(batch, step)
        if group and (apart or len(batch) != len(group[0])):
            yield group, behind
            group = []
        group.append(batch)
        behind = offset
        due = every and (step + 1) % every == 0
        if step == first or due or len(group) == steps_a_call:
            yield group, behind
            group = []
    if group:
        yield group, behind
