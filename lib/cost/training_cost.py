"""What a size costs to train: Algorithm 1 on the training step, with random labels.

"For training cost estimation, labels are randomly constructed" (section 4.3). The step is the
one of `lib.training`: forward, a loss of `lib.losses`, backward, Adagrad on the weights and on
the embeddings that feed them, over impressions of about 10 ads (appendix A). It is measured in
two forms of the same model:

    naive                  the user's vector is repeated for each ad of the impression
    first_layer_optimised  the first layer's user part is computed once an impression
"""

import math
import time

import keras
import numpy as np
from keras import ops
from scipy import stats

from lib.infra import machine
from lib.infra.child_process import in_child, reason
from lib.infra.intervals import check_interval
from lib.losses import ARFLoss
from lib.models.flop_count import training_flops
from lib.models.mlp_model import MLP
from lib.models.size_parameters import check_size_parameters
from lib.training.adagrad import Adagrad
from lib.training.learner import Trainee, set_up_backend

FORMS = ("naive", "first_layer_optimised")
_ROWS = 1000  # of an embedding table: as many different users, and ads


class TrainingModel(keras.Model):
    """Embeddings of a user and of n ads, and the MLP over their pairs, in either form.

    A row of embeddings is a side's whole input, as wide as all its features together: a
    step reads and updates as many embedding values as with a row for each feature.

    Args:
      size_parameters: [a_0, ..., a_L] of an MLP.
      form: a name of `FORMS`.
      user_width: how many of the a_0 inputs belong to the user; half by default.
      seed: of the weights.

    Input: {"user": [B] ids, "ad": [B, n] ids, "mask": [B, n]}. Output: scores [B, n].
    """

    def __init__(self, size_parameters, form, user_width=None, seed=0):
        super().__init__(name=form)
        sizes = check_size_parameters(size_parameters)
        if form not in FORMS:
            raise ValueError(f"TrainingModel: form must be one of {', '.join(FORMS)}; got {form!r}")
        self.form, self.user_width = form, user_width or sizes[0] // 2
        self.supports_masking = True
        self.users, self.ads = (
            keras.layers.Embedding(
                _ROWS,
                width,
                embeddings_initializer=keras.initializers.RandomNormal(stddev=0.05, seed=seed + i),
            )
            for i, width in enumerate((self.user_width, sizes[0] - self.user_width))
        )
        self.head = MLP(sizes, 0 if form == "naive" else self.user_width, seed)
        self(random_impressions(1, 1, seed)[0])

    def call(self, inputs, training=False):
        user, ad, mask = self.users(inputs["user"]), self.ads(inputs["ad"]), inputs["mask"]
        if self.form == "first_layer_optimised":
            return self.head([user, ad], training=training, real=mask)[..., 0]
        user = ops.repeat(user[:, None, :], ad.shape[1], axis=1)
        pairs = ops.reshape(
            ops.concatenate([user, ad], axis=-1), (-1, user.shape[-1] + ad.shape[-1])
        )
        scores = self.head(pairs, training=training, real=ops.reshape(mask, (-1,)))
        return ops.reshape(scores, (-1, ad.shape[1]))


def random_impressions(impressions, ads, seed):
    """(inputs of a `TrainingModel`, random labels): a place in the queue for each ad.

    >>> random_impressions(2, 3, seed=0)[1].shape
    (2, 3)
    """
    rng = np.random.default_rng(seed)
    inputs = {
        "user": rng.integers(0, _ROWS, impressions, np.int32),
        "ad": rng.integers(0, _ROWS, (impressions, ads), np.int32),
        "mask": np.ones((impressions, ads), bool),
    }
    places = np.tile(np.arange(ads, dtype=np.float32), (impressions, 1))
    return inputs, rng.permuted(places, axis=1)


def measure_training(
    size_parameters,
    *,
    forms=FORMS,
    impressions=256,
    ads=10,
    user_width=None,
    seed=0,
    loss=None,
    learning_rate=0.01,
    steps=30,
    interval=0.9,
):
    """Steps per second of one size, a row for each form; their steps are taken in turns.

    Args:
      size_parameters: [a_0, ..., a_L] of an MLP.
      impressions: of a step; ads: of an impression.
      user_width: how many of the a_0 inputs belong to the user; half by default.
      seed: of weights, inputs and labels.
      loss: called to make each form's loss; by default `ARFLoss` that keeps half of the ads.
      steps: timed of each form, >= 5, after two that compile and warm up.
      interval: probability of the interval of steps_per_second.

    Returns: list of dict: family, size_parameters, form, user_width, impressions, ads,
      steps_per_second of the median step, steps_per_second_low and _high (that median's
      order-statistics interval, which takes steps as independent; NaN where so few steps have
      none), impressions_per_second,
      flops_per_second of the matrix products really done, share_of_peak (of
      `lib.infra.machine.matrix_product_peak` on the threads that a step uses), threads, machine,
      cpu, cores, failure ("").
    """
    _check(forms, impressions, ads, steps, interval)
    loss = loss or (lambda: ARFLoss(m=max(1, ads // 2), k=max(1, ads // 2)))
    threads = set_up_backend()
    models = {
        form: compiled_model(size_parameters, form, user_width, seed, loss(), learning_rate)
        for form in forms
    }
    batches = [random_impressions(impressions, ads, [seed, i]) for i in range(4)]
    seconds = {form: [] for form in forms}
    for step in range(steps + 2):
        for form, model in models.items():
            begin = time.perf_counter()
            model.train_on_batch(*batches[step % len(batches)])
            if step >= 2:
                seconds[form].append(time.perf_counter() - begin)
    settings = {"impressions": impressions, "ads": ads}
    rows = [
        _row(size_parameters, form, settings, models[form].scorer.user_width, threads)
        for form in forms
    ]
    return [row | _results(row, seconds[row["form"]], interval) for row in rows]


def training_cost_task(task, path):
    """`measure_training` as a task of `lib.infra.sweep`, in a process of its own.

    A size that fails (memory) becomes rows whose measured columns are NaN and whose column
    `failure` says why, in one line; bad parameters raise.

    Args:
      task: dict of `measure_training`'s arguments; and `on`, `lib.infra.machine.facts()`.
      path: not used.

    Returns: {"rows": list of rows}.
    """
    task = {name: value for name, value in task.items() if name != "on"}
    sizes = check_size_parameters(task["size_parameters"])
    settings = {**_DEFAULTS, **{name: task[name] for name in _DEFAULTS if name in task}}
    _check(**settings)
    try:
        return {"rows": in_child("measure_training", _measure, task)}
    except Exception as error:
        return {
            "rows": [
                _row(sizes, form, settings, task.get("user_width") or sizes[0] // 2)
                | {"failure": reason(error)}
                for form in settings["forms"]
            ]
        }


_DEFAULTS = {"forms": FORMS, "impressions": 256, "ads": 10, "steps": 30, "interval": 0.9}
_RESULTS = (
    "steps_per_second",
    "steps_per_second_low",
    "steps_per_second_high",
    "impressions_per_second",
    "flops_per_second",
    "share_of_peak",
)


def _measure(task):
    return measure_training(**task)


def compiled_model(size_parameters, form, user_width, seed, loss, learning_rate):
    """A `TrainingModel` with its loss and Adagrad, whose steps `train_on_batch` takes."""
    trainee = Trainee(TrainingModel(size_parameters, form, user_width, seed), loss)
    trainee.compile(Adagrad(learning_rate, epsilon=1e-8), loss)
    return trainee


def _row(size_parameters, form, settings, user_width, threads=None):
    """A row before anything is measured."""
    host = machine.facts()
    return {
        "family": "mlp",
        "size_parameters": list(size_parameters),
        "form": form,
        "user_width": user_width,
        "impressions": settings["impressions"],
        "ads": settings["ads"],
        **dict.fromkeys(_RESULTS, math.nan),
        "threads": threads,
        "machine": f"{host['cpu']}, {host['cores']} cores",
        "cpu": host["cpu"],
        "cores": host["cores"],
        "failure": "",
    }


def _results(row, seconds, interval):
    median, low, high = median_interval(seconds, interval)
    flops = training_flops(
        row["size_parameters"], row["form"], row["impressions"], row["ads"], row["user_width"]
    )
    return {
        "steps_per_second": 1 / median,
        "steps_per_second_low": 1 / high,
        "steps_per_second_high": 1 / low,
        "impressions_per_second": row["impressions"] / median,
        "flops_per_second": flops / median,
        "share_of_peak": flops / median / machine.matrix_product_peak(row["threads"]),
    }


def median_interval(values, interval=0.9):
    """(median, low, high): order statistics that hold the true median with that probability.

    NaN where the values are too few for it (5 for 0.95).

    >>> median_interval([5.0, 1.0, 2.0, 4.0, 3.0, 6.0, 7.0], 0.9)
    (4.0, 1.0, 7.0)
    """
    median = float(np.median(values))
    bounds = stats.quantile_test(values, q=median, p=0.5).confidence_interval(interval)
    return median, float(bounds.low), float(bounds.high)


def _check(forms, impressions, ads, steps, interval):
    unknown = set(forms) - set(FORMS)
    if unknown or not forms:
        raise ValueError(f"measure_training: forms must be some of {', '.join(FORMS)}; got {forms}")
    for name, value, least in (
        ("impressions", impressions, 1),
        ("ads", ads, 2),
        ("steps", steps, 5),
    ):
        if value < least:
            raise ValueError(f"measure_training: {name} must be >= {least}; got {value}")
    check_interval(interval, "measure_training: interval")
