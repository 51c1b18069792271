"""Training in one pass over a source of batches (section 3.4).

Source -> Learner -> Checkpoint: `train` takes batches from a source, hands them to a learner in
calls of several steps, and keeps variables and the source's offset in a checkpoint.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from lib.infra import machine
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


def train(
    learner: Learner,
    source: BatchSource,
    *,
    target: Callable | None = None,
    checkpoint: Checkpoint | None = None,
    steps_a_call: int = STEPS_A_CALL,
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
    clock, saved = _Clock(done.steps, source.full_batch), done.steps
    peak = machine.matrix_product_peak(learner.threads)
    with tqdm(
        total=source.steps,
        initial=done.steps,
        unit="step",
        disable=not progress,
        desc=f"train {learner.scorer.size_parameters}",
    ) as bar:
        every = checkpoint.every if checkpoint else None
        for batches, offset in _calls(source.batches(done.offset), done.steps, steps_a_call, every):
            begin, first = time.perf_counter(), done.steps
            examples = [(as_inputs(b), target(b, step)) for step, b in enumerate(batches, first)]
            losses = learner.take_steps(examples, source.full_batch)
            samples = [int(batch.mask.sum()) for batch in batches]
            clock.add(time.perf_counter() - begin, first, batches, samples)
            _check_finite(losses, first, learner.learning_rate)
            done.offset = offset
            done.losses += map(float, losses)
            done.samples += samples
            done.impressions += sum(map(len, batches))
            if checkpoint and done.steps % every == 0:
                checkpoint.save(run, learner.variables, done)
                saved = done.steps
            bar.update(len(batches))
    if checkpoint and saved < done.steps:
        checkpoint.save(run, learner.variables, done)
    return TrainingReport(
        done.impressions,
        sum(done.samples),
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
            self.samples += sum(samples)


def _check_finite(losses, first, learning_rate):
    finite = np.isfinite(losses)
    if not finite.all():
        bad = int(np.argmin(finite))
        raise ValueError(
            f"train: the loss of step {first + bad} is {losses[bad]}; "
            f"lower learning_rate = {learning_rate}"
        )


def _calls(batches, first, steps_a_call, every=None) -> Iterator[tuple[list, object]]:
    """(batches, offset behind them) of each call of the learner.

    The first step, number `first`, stands alone, because it compiles; a call holds batches of
    one size, and ends where a checkpoint is due, `every` so many steps.
    """
    group, behind = [], None
    for step, (batch, offset) in enumerate(batches, first):
        if group and len(batch) != len(group[0]):
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
