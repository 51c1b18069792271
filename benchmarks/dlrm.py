"""A training step of the DLRM of Naumov et al.'s small set-up, beside other ways to do the same.

26 fields of width 16, 13 dense features, bottom 13-512-256-64-16, top 512-256-1, batch 2,048; ids
are uniform, so that nearly every lookup of a large table misses the caches. Each way is a process
of its own with all cores; they take turns, and ratios are taken within a turn. Times are those of
whole calls of several steps, handing over of their rows included; what compiles is left out.

Ways: ours, in the settings of our trainings but for the threads (the same numbers on every
processor), and with TensorFlow's own choice of kernels; our tables alone, with a single linear map
behind them; the same model by Keras' Embedding and Adagrad, a `train_on_batch` a step; a plain
Keras `fit` of a layer a column through a DataFrame; PyTorch with fbgemm's tables, exact row-wise
Adagrad, where the Python named by BENCH_TORCH_PYTHON has them.
"""

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import trange

from benchmarks.report import row
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
# Way -> the sizes of tables it is measured at.
WAYS = {
    "ours": (SMALL, LARGE),
    "ours, kernels by processor": (SMALL, LARGE),
    "our tables alone": (SMALL, LARGE),
    "Keras Embedding + Adagrad": (SMALL, LARGE),
    "Keras fit through a DataFrame": (SMALL,),
    "PyTorch with fbgemm's tables": (SMALL, LARGE),
}
FREE = ("ours, kernels by processor", "Keras Embedding + Adagrad", "Keras fit through a DataFrame")


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


def keras_steps(setup):
    import keras

    model = click_model(setup, bottom=setup["bottom"], top=setup["top"])
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
        name: keras.Input((1,), name=name, dtype=str(frame[name].dtype)) for name in frame.columns
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
    make = {
        "our tables alone": functools.partial(our_steps, family="mlp", top=[]),
        "Keras Embedding + Adagrad": keras_steps,
        "Keras fit through a DataFrame": keras_fit,
    }.get(way, functools.partial(our_steps, **sizes))
    serve(make(setup))


# ---- the turns ----


class Side:
    """A way's process, ready once it has compiled."""

    def __init__(self, stack, way, rows):
        self.setup = {**SETUP, "rows": rows, "threads": machine.cores()}
        environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(machine.cores())}
        if way in FREE:
            for name in set(ARITHMETIC) - {"TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"}:
                environment[name] = {"0": "1", "false": "true"}[ARITHMETIC[name]]
        command = [sys.executable, "-m", "benchmarks.dlrm", way, json.dumps(self.setup)]
        if way == "PyTorch with fbgemm's tables":
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
        print(f"PyTorch with fbgemm's tables: left out, {PYTHON} is not set")
        return False
    tried = subprocess.run([python, "-c", "import torch, fbgemm_gpu"], capture_output=True)
    if tried.returncode:
        print(f"PyTorch with fbgemm's tables: left out, {python} cannot import torch, fbgemm_gpu")
    return not tried.returncode


def measured():
    """(way, rows) -> seconds of a step, [TURNS]."""
    there = torch_is_there()
    cases = [
        (way, rows)
        for way, sizes in WAYS.items()
        for rows in sizes
        if there or "PyTorch" not in way
    ]
    with ExitStack() as stack:
        sides = {case: Side(stack, *case) for case in cases}
        seconds = {case: [] for case in cases}
        for _ in trange(TURNS, desc="turns"):
            for case, side in sides.items():
                seconds[case].append(side.turn())
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
    products = sum(a * b for sizes in (bottom, top) for a, b in zip(sizes, sizes[1:], strict=False))
    products += pairs * SETUP["width"]
    flops = 3 * 2 * products * SETUP["batch"]
    return moved / machine.memory_bandwidth(), flops / machine.matrix_product_peak()


def rows_of(seconds):
    """The rows of the report."""
    tables, products = roofline()
    keras, fit, fbgemm = list(WAYS)[3:]
    rows = []
    for size, target in ((SMALL, 25), (LARGE, 30)):
        known = seconds[keras, size]
        for way, wanted in (("ours, kernels by processor", target), ("ours", None)):
            rows.append(
                row(
                    f"{way}: a step, {size:,} rows a table",
                    "ms",
                    seconds[way, size] * 1e3,
                    target=wanted,
                    baseline=statistics.median(known) * 1e3,
                    name=keras,
                )
            )
    for way, target in (("ours", None), ("ours, kernels by processor", 1.2), (keras, None)):
        rows.append(
            row(
                f"{way}: {LARGE:,} over {SMALL:,} rows, time of a step",
                "ratio",
                seconds[way, LARGE] / seconds[way, SMALL],
                target=target,
                baseline=1,
                name=f"{SMALL:,} rows",
            )
        )
    way = "ours, kernels by processor"
    for other, size, target in ((fit, SMALL, 3), (fbgemm, SMALL, 1), (fbgemm, LARGE, 1)):
        if (other, size) in seconds:
            speed = seconds[other, size] / seconds[way, size]
            rows.append(
                row(
                    f"{way}: speed over {other}, {size:,} rows",
                    "ratio",
                    speed,
                    target=target,
                    better="higher",
                    baseline=1,
                    name=other,
                )
            )
    for size in (SMALL, LARGE):
        alone = seconds["our tables alone", size]
        rest = np.maximum(seconds[way, size] - alone, 1e-9)
        for part, bound, taken, target in (
            ("tables", tables, alone, 0.5),
            ("matrix products", products, rest, 0.5),
            ("both", tables + products, seconds[way, size], 0.5),
        ):
            rows.append(
                row(
                    f"share of the processor's bound, {part}, {size:,} rows",
                    "share",
                    bound / taken,
                    target=target,
                    better="higher",
                )
            )
        rows.append(row(f"our tables alone: a step, {size:,} rows", "ms", alone * 1e3))
    return rows


def main():
    """Prints the table, returns the rows of the report."""
    rows = rows_of(measured())
    for line in rows:
        met = {True: "met", False: "MISSED", None: ""}[line["met"]]
        beside = f"; {line['baseline_name']}: {line['baseline']:.4g}" if line["baseline"] else ""
        print(
            f"{line['figure']:72} {line['ours']:8.4g} {line['unit']:5} ({line['low']:.4g} to "
            f"{line['high']:.4g}){beside} {met}"
        )
    return rows


if __name__ == "__main__":
    configure()
    child(sys.argv[1], json.loads(sys.argv[2]))
