"""A training step of the DLRM of Naumov et al.'s small set-up, beside other ways to do the same.

26 fields of width 16, 13 dense features, bottom 13-512-256-64-16, top 512-256-1, batch 2,048; ids
are uniform, so that nearly every lookup of a large table misses the caches. Each way is a process
of its own with all cores; they take turns, and ratios are taken within a turn. Times are those of
whole calls of several steps, handing over of their rows included; what compiles is left out.

Ways: ours, in the settings of our trainings but for the threads (the same numbers on every
processor), and with the kernels that TensorFlow chooses for the processor; the same model by
Keras' Embedding and Adagrad, a `train_on_batch` a step; a plain Keras `fit` of a layer a column
through a DataFrame; PyTorch with fbgemm's tables, exact row-wise Adagrad, where the Python named by
BENCH_TORCH_PYTHON has them. Then the tables alone, ours and Keras', with a single linear map behind
them. The matrix products alone take 5.9 GFLOP a step.
"""

import functools
import itertools
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import trange

from benchmarks import click_recovery
from benchmarks.report import row, show
from benchmarks.torch_dlrm import serve
from lib.infra import machine
from lib.infra.settings import ARITHMETIC, configure

SETUP = {
    "fields": 26,
    "width": 16,
    "dense": 13,
    "bottom": [512, 256, 64],
    "top": [512, 256],
    "batch": 2048,
    "steps": 4,
}
SMALL, LARGE, TURNS = 10**4, 10**6, 5
PYTHON = "BENCH_TORCH_PYTHON"
OURS, FREE = "ours, same numbers everywhere", "ours"
KERAS, FIT = "Keras Embedding + Adagrad", "Keras fit through a DataFrame"
FBGEMM = "PyTorch with fbgemm's tables"
TABLES, KERAS_TABLES = "our tables alone", "Keras' tables alone"
# What takes turns: way -> the sizes of tables it is measured at. Two rounds for memory's sake, and
# Keras' whole model at the large size is left out: its tables alone show what it does with them.
ROUNDS = (
    dict.fromkeys((FREE, OURS, KERAS, FIT, FBGEMM), (SMALL,)),
    {TABLES: (SMALL, LARGE), KERAS_TABLES: (SMALL, LARGE), FREE: (LARGE,), FBGEMM: (LARGE,)},
)


# ---- one way, in a process of its own ----


def examples(setup, rng):
    """(inputs of a click model, labels), each array [steps, batch, ...]."""
    shape = setup["steps"], setup["batch"]
    inputs = {
        "ids": rng.integers(0, setup["rows"], (*shape, setup["fields"]), np.int32),
        "dense": rng.normal(size=(*shape, setup["dense"])).astype(np.float32),
    }
    return inputs, rng.integers(0, 2, shape).astype(np.uint8)


def click_model(setup, family="dlrm", **sizes):
    from lib.models.click_model import ClickModel
    from lib.models.click_size import Field

    fields = [Field(f"field_{i}", setup["rows"]) for i in range(setup["fields"])]
    dense = [f"dense_{i}" for i in range(setup["dense"])]
    return ClickModel(
        family, fields, dense, rows=setup["rows"], width=setup["width"], seed=0, **sizes
    )


def our_steps(setup, family="dlrm", **sizes):
    """A callable that makes the steps; likewise the others."""
    from lib.training import ClickLearner

    learner = ClickLearner(click_model(setup, family, **sizes))
    return functools.partial(learner.take_steps, *examples(setup, np.random.default_rng(0)))


def keras_steps(setup, family="dlrm", **sizes):
    import keras

    model = click_model(setup, family, **sizes)
    model.compile(keras.optimizers.Adagrad(0.05), keras.losses.BinaryCrossentropy(from_logits=True))
    inputs, labels = examples(setup, np.random.default_rng(0))

    def steps():
        for i in range(setup["steps"]):
            model.train_on_batch({name: x[i] for name, x in inputs.items()}, labels[i, :, None])

    return steps


def keras_fit(setup):
    """As a notebook would: a column a feature, a layer a column, `fit` on batches of the frame."""
    import keras
    import pandas as pd
    import tensorflow as tf
    from keras import layers

    inputs, labels = examples(setup, np.random.default_rng(0))
    ids = inputs["ids"].reshape(-1, setup["fields"])
    dense = inputs["dense"].reshape(-1, setup["dense"])
    frame = pd.DataFrame({f"field_{i}": column for i, column in enumerate(ids.T)})
    frame = frame.assign(**{f"dense_{i}": column for i, column in enumerate(dense.T)})
    columns = {
        name: keras.Input((1,), name=f"input_{name}", dtype=str(frame[name].dtype))
        for name in frame.columns
    }
    vectors = [
        layers.Embedding(setup["rows"], setup["width"])(columns[f"field_{i}"])
        for i in range(setup["fields"])
    ]
    x = layers.Concatenate()([columns[f"dense_{i}"] for i in range(setup["dense"])])
    for units in (*setup["bottom"], setup["width"]):
        x = layers.Dense(units, "relu")(x)
    together = layers.Concatenate(axis=1)([layers.Reshape((1, setup["width"]))(x), *vectors])
    x = layers.Concatenate()([x, layers.Flatten()(layers.Dot(axes=2)([together, together]))])
    for units in setup["top"]:
        x = layers.Dense(units, "relu")(x)
    model = keras.Model(columns, layers.Dense(1, "sigmoid")(x))
    model.compile(keras.optimizers.Adagrad(0.05), "binary_crossentropy")

    def steps():
        rows = tf.data.Dataset.from_tensor_slices((dict(frame), labels.reshape(-1)))
        rows = rows.shuffle(len(frame), seed=0).batch(setup["batch"])
        model.fit(rows.prefetch(tf.data.AUTOTUNE), verbose=0)

    return steps


def child(way, setup):
    """Serve one way, as `benchmarks.torch_dlrm` does."""
    sizes = {"bottom": setup["bottom"], "top": setup["top"]}
    alone = {"family": "mlp", "top": []}
    make = {
        TABLES: functools.partial(our_steps, **alone),
        KERAS_TABLES: functools.partial(keras_steps, **alone),
        KERAS: functools.partial(keras_steps, **sizes),
        FIT: keras_fit,
    }.get(way, functools.partial(our_steps, **sizes))
    serve(make(setup))


# ---- the turns ----


class Side:
    """A way's process, ready once it has compiled."""

    def __init__(self, stack, way, rows):
        self.setup = {**SETUP, "rows": rows, "threads": machine.cores()}
        environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(machine.cores())}
        if way != OURS:
            for name in set(ARITHMETIC) - {"TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"}:
                environment[name] = {"0": "1", "false": "true"}[ARITHMETIC[name]]
        command = [sys.executable, "-m", "benchmarks.dlrm", way, json.dumps(self.setup)]
        if way == FBGEMM:
            script = Path(__file__).with_name("torch_dlrm.py")
            command = [os.environ[PYTHON], str(script), json.dumps(self.setup)]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        stack.callback(self.process.wait)
        stack.callback(self.process.stdin.close)
        self._read("ready")

    def turn(self):
        """Seconds of a step."""
        print(file=self.process.stdin, flush=True)
        return float(self._read("seconds ").split()[1]) / self.setup["steps"]

    def _read(self, start):
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        raise RuntimeError(f"{' '.join(map(str, self.process.args))} ended")


def torch_is_there():
    """Whether BENCH_TORCH_PYTHON has fbgemm; prints why not."""
    python = os.environ.get(PYTHON)
    if not python:
        print(f"{FBGEMM}: left out, {PYTHON} is not set")
        return False
    tried = subprocess.run([python, "-c", "import torch, fbgemm_gpu"], capture_output=True)
    if tried.returncode:
        print(f"{FBGEMM}: left out, {python} cannot import torch, fbgemm_gpu")
    return not tried.returncode


def measured():
    """(way, rows) -> seconds of a step, [TURNS]."""
    there, seconds = torch_is_there(), {}
    for ways in ROUNDS:
        with ExitStack() as stack:
            sides = {
                (way, rows): Side(stack, way, rows)
                for way, sizes in ways.items()
                for rows in sizes
                if there or way != FBGEMM
            }
            for _ in trange(TURNS, desc="turns"):
                for case, side in sides.items():
                    seconds.setdefault(case, []).append(side.turn())
    return {case: np.array(values) for case, values in seconds.items()}


def roofline():
    """Seconds that the parts of a step take at least: (tables, matrix products)."""
    # Each looked-up row is read and written once, its sum too; the vectors and slopes between
    # tables and model are of the batch, and not of the tables.
    lookups = SETUP["batch"] * SETUP["fields"]
    moved = 2 * 4 * lookups * (SETUP["width"] + 1)
    bottom = [SETUP["dense"], *SETUP["bottom"], SETUP["width"]]
    pairs = SETUP["fields"] * (SETUP["fields"] + 1) // 2
    top = [SETUP["width"] + pairs, *SETUP["top"], 1]
    products = sum(a * b for sizes in (bottom, top) for a, b in itertools.pairwise(sizes))
    products += pairs * SETUP["width"]
    flops = 3 * 2 * products * SETUP["batch"]
    return moved / machine.memory_bandwidth(), flops / machine.matrix_product_peak()


def rows_of(seconds):
    """The rows of the report."""
    rows = []
    # The figures asked for are of the tables: the products of the whole model alone take longer
    # than 25 ms on two cores, by any library.
    for ours, other, targets in ((TABLES, KERAS_TABLES, (25, 30)), (FREE, KERAS, (None, None))):
        for size, target in zip((SMALL, LARGE), targets):
            known = seconds.get((other, size))
            beside = (
                {"baseline": np.median(known) * 1e3, "name": other} if known is not None else {}
            )
            figure = f"{ours}: a step, {size:,} rows a table"
            rows.append(row(figure, "ms", seconds[ours, size] * 1e3, target, **beside))
    ratio, known = (seconds[way, LARGE] / seconds[way, SMALL] for way in (TABLES, KERAS_TABLES))
    beside = {"baseline": np.median(known), "name": KERAS_TABLES}
    figure = f"{TABLES}: a step, large over small tables"
    rows.append(row(figure, "ratio", ratio, 1.2, **beside))
    beside = {"baseline": np.median(seconds[FREE, SMALL]) * 1e3, "name": FREE}
    rows.append(row(f"{OURS}: a step, {SMALL:,} rows", "ms", seconds[OURS, SMALL] * 1e3, **beside))
    for other, size, target in ((FIT, SMALL, 3), (FBGEMM, SMALL, 1), (FBGEMM, LARGE, 1)):
        if (other, size) in seconds:
            speed = seconds[other, size] / seconds[FREE, size]
            beside = {"baseline": 1, "name": other}
            figure = f"speed over {other}, {size:,} rows"
            rows.append(row(figure, "ratio", speed, target, "higher", **beside))
    return rows + shares(seconds)


def shares(seconds):
    """Rows: what the parts of a step take at least, over what they took."""
    tables, products = roofline()
    rows = []
    for size in (SMALL, LARGE):
        alone, whole = seconds[TABLES, size], seconds[FREE, size]
        for part, bound, taken in (
            ("tables", tables, alone),
            ("all but the tables", products, whole - np.median(alone)),
            ("a step", tables + products, whole),
        ):
            figure = f"share of the processor's bound, {part}, {size:,} rows"
            rows.append(row(figure, "share", bound / taken, 0.5, "higher"))
    return rows


def main():
    """Prints the table, returns the rows of the report: steps, then the recovery of exponents."""
    rows = rows_of(measured())
    show(rows)
    print("coverage of 90 % intervals on curves of known exponents", flush=True)
    rows += click_recovery.rows()
    show(rows)
    return rows


if __name__ == "__main__":
    configure()
    child(sys.argv[1], json.loads(sys.argv[2]))
