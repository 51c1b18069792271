"""Impressions a second of the base model's training on a GPU, by JAX: a number for the plan.

The paper's base, [3328, 1024, 256, 256, 256, 1]; 26 ids a side, embeddings of 64, ten ads an
impression, Adagrad, ARF. Batches come from memory, a call each. Run where JAX has a GPU:

    KERAS_BACKEND=jax python -m benchmarks.trainer_on_gpu FILE
"""

import os
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from benchmarks.report import row, show
from lib.infra.files import write_json
from lib.logs.features import Features
from lib.losses import ARFLoss
from lib.models.scorer import Scorer
from lib.training.learner import Trainee

FIELDS, BUCKETS, WIDTH, HIDDEN, ADS = 26, 20_000, 64, [1024, 256, 256, 256, 1], 10
BATCHES, SECONDS = (256, 1024, 4096), 15.0


def features() -> Features:
    """26 ids a side."""
    return Features(
        features=[
            {
                "name": f"{side}_{i}",
                "side": side,
                "kind": "sparse",
                "buckets": BUCKETS,
                "width": WIDTH,
            }
            for side in ("user", "ad")
            for i in range(FIELDS)
        ]
    )


def example(impressions: int, seed: int):
    """(inputs of a Scorer, target) of random ids."""
    rng = np.random.default_rng(seed)

    def ids(*lead):
        return rng.integers(0, BUCKETS, lead).astype(np.int32)

    inputs = {
        "user": {f"user_{i}": ids(impressions) for i in range(FIELDS)},
        "ad": {f"ad_{i}": ids(impressions, ADS) for i in range(FIELDS)},
        "mask": np.ones((impressions, ADS), bool),
    }
    order = rng.permuted(np.tile(np.arange(ADS), (impressions, 1)), axis=1)
    return inputs, order.astype(np.float32)


def main(path: str) -> None:
    """Write the rows to `path`."""
    import jax

    device = jax.devices()[0].device_kind
    loss = ARFLoss(2, 2)
    trainee = Trainee(Scorer(features(), HIDDEN, "mlp", 0), loss)
    trainee.compile(keras.optimizers.Adagrad(0.01, epsilon=1e-8), loss)
    rows = []
    for impressions in BATCHES:
        examples = [example(impressions, seed) for seed in range(8)]
        for one in examples[:3]:
            trainee.train_on_batch(*one)  # compiles
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() - begin < SECONDS:
            value = trainee.train_on_batch(*examples[steps % 8])
            steps += 1
        float(np.ravel(value)[0])
        rate = steps * impressions / (time.perf_counter() - begin)
        rows.append(
            row(f"base model trained on {device}, batch {impressions}", "impressions/s", rate)
        )
    show(rows)
    write_json(path, {"machine": {"device": device}, "rows": rows})


if __name__ == "__main__":
    main(sys.argv[1])
