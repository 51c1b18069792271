"""Training in one pass over the stream, resumable, the same numbers twice (section 3.4).

Adagrad in FP32 over impressions in stream order; a checkpoint holds every
variable (weights, batch-norm statistics, Adagrad's sums, the loss's alpha) and the
place in the stream, so that an interrupted run ends in the same weights.
"""
import dataclasses
import time

import keras
import numpy as np
from tqdm import tqdm

from lib import impressions, machine, metrics
from lib.files import replacing
from lib.models import flops


@dataclasses.dataclass(frozen=True)
class TrainingReport:
    """What one training did.

    impressions, samples (user-ad pairs) and seconds are those of this call, without
    what an earlier, interrupted call had done; `losses` is the loss of every step
    of the whole run.
    """

    impressions: int
    samples: int
    seconds: float
    losses: np.ndarray
    flops_per_sample: int
    peak_flops: float

    @property
    def impressions_per_second(self):
        return self.impressions / self.seconds if self.seconds else np.nan

    @property
    def share_of_peak(self):
        """FLOP/s of the steps' matrix products over those of a large matrix product.

        Forward and backward together are three forward passes; the padding of
        ragged lists is computed too but not counted.
        """
        done = 3 * self.flops_per_sample * self.samples
        return done / self.seconds / self.peak_flops if self.seconds else np.nan


def train(scorer, log, *, loss, stop, start=0, batch_impressions=256, window=4096, seed=0,
          learning_rate=0.01, epsilon=1e-8, ads=None, label_noise=0.0, checkpoint=None,
          checkpoint_every=500, progress=True):
    """One pass over impressions `start` to `stop` of a log, in stream order.

    Args:
      scorer: a `lib.models.Scorer`; trained in place.
      log: Parquet file or folder (`lib.impressions`).
      loss: a loss of `lib.losses` or of Keras on (v, scores).
      start, stop: impressions of the log; start a multiple of `window`.
      batch_impressions: impressions a step; window: shuffled among themselves.
      seed: of the shuffle and of the label noise.
      learning_rate, epsilon: Adagrad's; the defaults are the paper's.
      label_noise: standard deviation, in ranks, added to the training target.
      checkpoint: file (.npz) to go on from, and to write every `checkpoint_every` steps.

    Returns: TrainingReport. Raises ValueError where the loss is not finite: the
    numbers of a diverged run would only look like numbers.
    """
    threads = _set_up_backend()
    trainee = _Trainee(scorer, loss)
    trainee.compile(keras.optimizers.Adagrad(learning_rate, epsilon=epsilon), loss)
    trainee.optimizer.build(trainee.trainable_variables)
    ads = ads or impressions.longest_list(log, scorer.features)
    steps = -(-(stop - start) // batch_impressions)
    losses = np.full(steps, np.nan)
    done = _restore(checkpoint, trainee, losses)
    # Begin with the window that the checkpoint lies in and pass over its first batches.
    first = start + done * batch_impressions // (window or 1) * window if window else (
        start + done * batch_impressions)
    batches = impressions.stream(
        log, scorer.features, batch_impressions, window=window, seed=seed, ads=ads,
        start=min(first, stop), stop=stop) if done < steps else iter(())
    pairs = count = 0
    peak, clock = machine.matrix_product_peak(threads), 0.0
    with tqdm(total=steps, initial=done, unit="step", disable=not progress,
              desc=f"train {scorer.size_parameters}", leave=False) as bar:
        for step, batch in enumerate(batches, (first - start) // batch_impressions):
            if step < done:
                continue
            begin = time.perf_counter()
            inputs, target = as_inputs(batch), ranks(batch.v, batch.mask)
            if label_noise:
                target = _with_noise(target, label_noise, seed, step)
            losses[step] = np.ravel(trainee.train_on_batch(inputs, target))[0]
            if step > done:  # the first step compiles
                clock += time.perf_counter() - begin
                count, pairs = count + len(batch), pairs + int(batch.mask.sum())
            if not np.isfinite(losses[step]):
                raise ValueError(f"train: the loss of step {step} is {losses[step]}; "
                                 f"lower learning_rate = {learning_rate}")
            if checkpoint and (step + 1) % checkpoint_every == 0:
                _save(checkpoint, trainee, losses, step + 1)
            bar.update()
    if checkpoint and done < steps:
        _save(checkpoint, trainee, losses, steps)
    return TrainingReport(count, pairs, clock, losses, flops(scorer.head), peak)


def ranks(v, mask):
    """Training target: how many ads of the list have a lower v; -1 for padding.

    Eq 3-4 sort `v` with a soft operator whose sharpness depends on v's unit; ranks
    make every log alike, whatever its v counts, and keep ties.

    >>> ranks(np.array([[9.0, 2.5, 2.5, 0.0]]), np.array([[True, True, True, False]]))
    array([[ 2.,  0.,  0., -1.]], dtype=float32)
    """
    v = np.where(mask, v, np.inf)
    lower = (v[..., None, :] < v[..., :, None]).sum(axis=-1)
    return np.where(mask, lower, -1).astype(np.float32)


def as_inputs(batch):
    """What a Scorer is called with, from Impressions."""
    return {"user": batch.user, "ad": batch.ad, "mask": batch.mask}


def predict(scorer, batch, batch_impressions=2048):
    """Scores of Impressions, [B, n]; 0 where padded."""
    out = np.zeros(batch.mask.shape, np.float32)
    for low in range(0, len(batch), batch_impressions):
        part = slice(low, low + batch_impressions)
        out[part] = keras.ops.convert_to_numpy(scorer(as_inputs(batch.take(part))))
    return np.where(batch.mask, out, 0)


def evaluate(scorer, batch, m, k):
    """Offline metrics of a scorer on Impressions: name -> `lib.metrics.Mean`."""
    return metrics.evaluate(predict(scorer, batch), batch.v, batch.ecpm, m, k, batch.mask)


def save_weights(path, scorer):
    """All variables of a scorer as plain arrays (.npz, no pickle)."""
    with replacing(path) as temporary:
        np.savez(temporary, **{str(i): v for i, v in enumerate(scorer.get_weights())})


def load_weights(path, scorer):
    """Set a scorer's variables from `save_weights`; the scorer must be of that size."""
    with np.load(path, allow_pickle=False) as file:
        scorer.set_weights([file[str(i)] for i in range(len(file.files))])
    return scorer


# ---- helpers --------------------------------------------------------------


class _Trainee(keras.Model):
    """A scorer and the loss's own variables, so that one optimizer sees them all."""

    def __init__(self, scorer, loss):
        super().__init__(name="trainee")
        self.scorer = scorer
        self.alpha = getattr(loss, "alpha", None)
        self.built = True

    def call(self, inputs, training=False):
        return self.scorer(inputs, training=training)


def _set_up_backend():
    """Make TensorFlow deterministic; returns the threads that its operations use."""
    if keras.backend.backend() != "tensorflow":
        return machine.cores()
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    return tf.config.threading.get_intra_op_parallelism_threads() or machine.cores()


def _with_noise(target, scale, seed, step):
    noise = np.random.default_rng([seed, step, 1]).normal(0, scale, target.shape)
    noisy = np.where(target >= 0, target + noise, -np.inf)
    return ranks(noisy, target >= 0)


def _state(trainee):
    return [*trainee.variables, *trainee.optimizer.variables]


def _save(path, trainee, losses, done):
    arrays = {f"variable_{i}": keras.ops.convert_to_numpy(v)
              for i, v in enumerate(_state(trainee))}
    with replacing(path) as temporary:
        np.savez(temporary, done=done, losses=losses, **arrays)


def _restore(path, trainee, losses):
    """Set all variables from a checkpoint; returns the steps it had done."""
    if path is None:
        return 0
    try:
        file = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return 0
    with file:
        state = _state(trainee)
        shapes = [file[f"variable_{i}"].shape for i in range(len(state))
                  if f"variable_{i}" in file]
        if shapes != [tuple(v.shape) for v in state] or file["losses"].shape != losses.shape:
            raise ValueError(f"{path}: the checkpoint is of another model, loss or stretch of "
                             "the log; remove it or give another name")
        for i, variable in enumerate(state):
            variable.assign(file[f"variable_{i}"])
        losses[:] = file["losses"]
        return int(file["done"])
