"""Training in one pass over the stream, resumable, the same numbers twice (section 3.4).

Adagrad in FP32 over impressions in stream order; a checkpoint holds every
variable (weights, batch-norm statistics, Adagrad's sums, the loss's alpha) and the
place in the stream, so that an interrupted run ends in the same weights.
"""

import dataclasses
import functools
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from lib import metrics
from lib.infra import machine
from lib.infra.files import replacing
from lib.infra.settings import configure
from lib.logs import reader
from lib.models.flop_count import flops

# Steps that one call of the compiled function takes: handing over inputs costs a call a few
# milliseconds, a small model's step itself; Ctrl-C waits for the end of a call.
STEPS_A_CALL = 32


@dataclasses.dataclass(frozen=True)
class TrainingReport:
    """What one training did.

    Attributes:
      impressions, samples: trained on, and the user-ad pairs in them; with what an
        earlier, interrupted call had done.
      losses: [steps], the loss of every step.
      timed_impressions, timed_samples, seconds: of this call's steps that neither
        compiled nor were a shorter last batch; the rates below are theirs.
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
    def impressions_per_second(self):
        """NaN where no step was timed."""
        return self.timed_impressions / self.seconds if self.seconds else np.nan

    @property
    def share_of_peak(self):
        """FLOP/s of the steps' matrix products over those of a large matrix product.

        Forward and backward together are three forward passes; the padding of
        ragged lists is computed too but not counted.
        """
        done = 3 * self.flops_per_sample * self.timed_samples
        return done / self.seconds / self.peak_flops if self.seconds else np.nan


def train(
    scorer,
    log,
    *,
    loss,
    stop,
    start=0,
    batch_impressions=256,
    window=4096,
    seed=0,
    learning_rate=0.01,
    epsilon=1e-8,
    ads=None,
    label_noise=0.0,
    checkpoint=None,
    checkpoint_every=500,
    progress=True,
):
    """One pass over impressions `start` to `stop` of a log, in stream order.

    Args:
      scorer: a `lib.models.Scorer`; trained in place.
      log: Parquet file or folder (`lib.logs.reader`).
      loss: a loss of `lib.losses` or of Keras on (v, scores).
      start, stop: impressions of the log; start a multiple of `window`.
      batch_impressions: impressions a step; window: shuffled among themselves.
      seed: of the shuffle and of the label noise.
      learning_rate, epsilon: Adagrad's; the defaults are the paper's.
      ads: pad every list to this many ads; default: the longest list of the log.
      label_noise: standard deviation, in ranks, added to the training target.
      checkpoint: file (.npz) to go on from, and to write every `checkpoint_every` steps.

    Returns: TrainingReport.
    Raises: ValueError where the log is shorter than `stop`, where the checkpoint is of
      another run, and where the loss is not finite: the numbers of a diverged run
      would only look like numbers.
    """
    held = reader.count(log, scorer.features)
    if not 0 <= start < stop <= held:
        raise ValueError(
            f"train: needs 0 <= start < stop <= {held}, the impressions of {log}; "
            f"got start = {start}, stop = {stop}"
        )
    threads = set_up_backend()
    learner = _learner(scorer, loss, learning_rate, epsilon)
    learner.reset()
    ads = ads or reader.longest_list(log, scorer.features)
    run = _description(
        scorer,
        loss,
        impressions=held,
        start=start,
        stop=stop,
        ads=ads,
        seed=seed,
        batch_impressions=batch_impressions,
        window=window,
        learning_rate=learning_rate,
        epsilon=epsilon,
        label_noise=label_noise,
    )
    steps = -(-(stop - start) // batch_impressions)
    losses, samples = np.full(steps, np.nan), np.zeros(steps, np.int64)
    done = _restore(checkpoint, run, learner.variables, losses, samples)
    # Begin with the window that the checkpoint lies in and pass over its first batches.
    shuffled = window or batch_impressions
    first = start + done * batch_impressions // shuffled * shuffled
    batches = (
        reader.stream(
            log,
            scorer.features,
            batch_impressions,
            window=window,
            seed=seed,
            ads=ads,
            start=first,
            stop=stop,
        )
        if done < steps
        else ()
    )
    peak = machine.matrix_product_peak(threads)
    full = min(batch_impressions, stop - start)
    timed_impressions, timed_samples, clock = 0, 0, 0.0
    with tqdm(
        total=steps,
        initial=done,
        unit="step",
        disable=not progress,
        desc=f"train {scorer.size_parameters}",
    ) as bar:
        for step, part in _calls(
            batches, (first - start) // batch_impressions, done, checkpoint_every
        ):
            begin, now = time.perf_counter(), slice(step, step + len(part))
            examples = [_example(batch, label_noise, seed, i) for i, batch in enumerate(part, step)]
            losses[now] = learner.take_steps(examples, full)
            samples[now] = [batch.mask.sum() for batch in part]
            # The first step compiles, and so does a shorter batch.
            if step > done and len(part[0]) == full:
                clock += time.perf_counter() - begin
                timed_impressions += full * len(part)
                timed_samples += int(samples[now].sum())
            finite = np.isfinite(losses[now])
            if not finite.all():
                bad = step + int(np.argmin(finite))
                raise ValueError(
                    f"train: the loss of step {bad} is {losses[bad]}; "
                    f"lower learning_rate = {learning_rate}"
                )
            if checkpoint and (now.stop % checkpoint_every == 0 or now.stop == steps):
                _save(checkpoint, run, learner.variables, losses, samples, now.stop)
            bar.update(len(part))
    return TrainingReport(
        stop - start,
        int(samples.sum()),
        losses,
        timed_impressions,
        timed_samples,
        clock,
        flops(scorer.head),
        peak,
    )


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
    _write_arrays(path, **{str(i): v for i, v in enumerate(scorer.get_weights())})


def load_weights(path, scorer):
    """Set a scorer's variables from `save_weights`; the scorer must be of that size."""
    with np.load(path, allow_pickle=False) as file:
        kept = [file[str(i)] for i in range(len(file.files))]
    shapes, wanted = ([w.shape for w in weights] for weights in (kept, scorer.get_weights()))
    if shapes != wanted:
        raise ValueError(
            f"{path}: the weights are of another model than "
            f"{scorer.family} {list(scorer.size_parameters)}"
        )
    scorer.set_weights(kept)
    return scorer


# ---- helpers --------------------------------------------------------------


class Trainee(keras.Model):
    """A scorer and the loss's own variables, so that one optimizer sees them all."""

    def __init__(self, scorer, loss):
        super().__init__(name="trainee")
        self.scorer = scorer
        self.alpha = getattr(loss, "alpha", None)
        self.built = True

    def call(self, inputs, training=False):
        return self.scorer(inputs, training=training)


class Adagrad(keras.optimizers.Adagrad):
    """Keras' Adagrad, but right for embeddings whose id stands in a batch repeatedly.

    TensorFlow hands over one gradient an occurrence. Keras squares each by itself, so
    that frequent ids would learn faster, by up to the root of their count, than by
    Adagrad (and than on other backends); here they are summed first.
    """

    def update_step(self, gradient, variable, learning_rate):
        if not hasattr(gradient, "indices"):
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        rows, place = tf.unique(gradient.indices)
        slope = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
        squares = self._accumulators[self._get_variable_index(variable)].value
        squares.scatter_add(tf.IndexedSlices(tf.square(slope), rows))
        scale = tf.sqrt(tf.gather(squares, rows) + self.epsilon)
        step = tf.cast(learning_rate, slope.dtype) * slope / scale
        variable.scatter_sub(tf.IndexedSlices(step, rows))

    def reset(self):
        """Back to where it was built, before the first step."""
        self.iterations.assign(0)
        for squares in self._accumulators:
            squares.assign(keras.ops.full_like(squares, self.initial_accumulator_value))


class Learner:
    """A trainee with its optimizer, and its step in compiled functions of many steps."""

    def __init__(self, scorer, loss, learning_rate, epsilon):
        self.trainee = Trainee(scorer, loss)
        self.trainee.compile(Adagrad(learning_rate, epsilon=epsilon), loss)
        self.trainee.optimizer.build(self.trainee.trainable_variables)
        self._compiled = {}

    @property
    def variables(self):
        """All that a step changes."""
        return [*self.trainee.variables, *self.trainee.optimizer.variables]

    def reset(self):
        """Forget earlier trainings; the weights stay, and so does what is compiled."""
        self.trainee.optimizer.reset()

    def take_steps(self, examples, full):
        """A step on each of the examples, in order.

        Args:
          examples: list of (inputs of a Scorer, target), all of one shape.
          full: impressions of a full batch.

        Returns: the loss of each, before its step.
        """
        if keras.backend.backend() != "tensorflow":
            return [np.ravel(self.trainee.train_on_batch(*example))[0] for example in examples]
        stacked = keras.tree.map_structure(lambda *arrays: np.stack(arrays), *examples)
        size, ads = examples[0][1].shape
        # A division by a constant rounds in another way than one by a tensor: as long as full
        # batches know their size and shorter ones do not, a batch trains alike in every run.
        size = size if size == full else None
        if (size, ads) not in self._compiled:
            self._compiled[size, ads] = _compiled(self.trainee, stacked, size)
        return self._compiled[size, ads](stacked).numpy()


def set_up_backend():
    """Make TensorFlow deterministic; returns the threads that its operations use."""
    configure()
    if keras.backend.backend() != "tensorflow":
        return machine.cores()
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    # 0 where nothing was set; the variable is TensorFlow's own, and lib sets it to 1.
    return (
        tf.config.threading.get_intra_op_parallelism_threads()
        or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0))
        or machine.cores()
    )


@functools.lru_cache(maxsize=1)  # a closed loop trains one scorer again and again
def _learner(scorer, loss, learning_rate, epsilon):
    return Learner(scorer, loss, learning_rate, epsilon)


def _compiled(trainee, stacked, size):
    """TensorFlow function: examples stacked as `stacked`, any number of them -> their losses.

    size: impressions of an example; None: any.
    """
    import tensorflow as tf

    def step(example):
        inputs, target = example
        with tf.GradientTape() as tape:
            loss = trainee.compute_loss(y=target, y_pred=trainee(inputs, training=True))
        trainee.optimizer.apply(
            tape.gradient(loss, trainee.trainable_variables), trainee.trainable_variables
        )
        return loss

    def steps(examples):
        # One after the other: a step starts from the weights that the one before it left.
        return tf.map_fn(step, examples, fn_output_signature=tf.float32, parallel_iterations=1)

    shapes = keras.tree.map_structure(
        lambda array: tf.TensorSpec([None, size, *array.shape[2:]], array.dtype), stacked
    )
    return tf.function(steps, input_signature=[shapes], autograph=False)


def _calls(batches, first, done, checkpoint_every):
    """(number of the first step, its batch and those that follow) for each call.

    Passes over the steps before `done`; `first` is the number of the first batch. The first
    step stands alone, because it compiles, and so does a shorter batch; a call ends where a
    checkpoint is due.
    """
    part = []
    for step, batch in enumerate(batches, first):
        if step < done:
            continue
        if part and (
            step == done + 1
            or step % checkpoint_every == 0
            or len(part) == STEPS_A_CALL
            or len(batch) < len(part[0])
        ):
            yield step - len(part), part
            part = []
        part.append(batch)
    if part:
        yield step + 1 - len(part), part


def _example(batch, label_noise, seed, step):
    """(inputs, target) of a step."""
    target = ranks(batch.v, batch.mask)
    return as_inputs(batch), _with_noise(target, label_noise, seed, step) if label_noise else target


def _with_noise(target, scale, seed, step):
    noise = np.random.default_rng([seed, step, 1]).normal(0, scale, target.shape)
    noisy = np.where(target >= 0, target + noise, -np.inf)
    return ranks(noisy, target >= 0)


def _description(scorer, loss, **values):
    """What a checkpoint must agree in with the run that goes on from it."""
    described = {
        "size parameters": scorer.size_parameters,
        "family": scorer.family,
        "seed of the weights": scorer.seed,
        "features": scorer.features.model_dump(mode="json"),
        "loss": [type(loss).__name__, loss.get_config()],
        **values,
    }
    return json.loads(json.dumps(described, default=str))


def _save(path, run, variables, losses, samples, done):
    arrays = {f"variable_{i}": v.numpy() for i, v in enumerate(variables)}
    _write_arrays(path, run=json.dumps(run), done=done, losses=losses, samples=samples, **arrays)


def _restore(path, run, variables, losses, samples):
    """Set all variables from a checkpoint; returns the steps it had done."""
    if path is None or not Path(path).exists():
        return 0
    with np.load(path, allow_pickle=False) as file:
        kept = json.loads(str(file["run"]))
        differ = [name for name in run if kept.get(name) != run[name]]
        if differ:
            raise ValueError(
                f"{path}: the checkpoint is of a run with another "
                f"{', '.join(differ)}; remove it or give another name"
            )
        for i, variable in enumerate(variables):
            variable.assign(file[f"variable_{i}"])
        losses[:], samples[:] = file["losses"], file["samples"]
        return int(file["done"])


def _write_arrays(path, **arrays):
    # Through a file object: by name, NumPy would append .npz to any other suffix.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
