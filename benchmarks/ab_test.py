"""A paired A/B test of one trained model: its time, its resolution, its memory.

World D with as many users as a lift of 0.1 % takes. Base and variant (twice the base's width)
learn from the log of 4,000 of them after a short closed loop. The test is timed as a whole:
Matching, scoring of both models, visits. The other side is an unpaired test of the same size,
whose variance follows from the same arms: its arms would have other users and
other random numbers.
"""

import time
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from benchmarks.report import row
from lib import simulation, training
from lib.infra.machine import cores
from lib.logs import reader
from lib.logs.features import Features
from lib.losses import ARFLoss
from lib.models.scorer import Scorer
from lib.serving import numpy_scorer

USERS, VISITS = 72_000, 4
RESOLVED = 0.001  # lift whose 95 % interval leaves 0 out
LEARNERS, ROUNDS, IMPRESSIONS = 4_000, 4, 20_000
SIZES = [[32, 8, 8, 8, 1], [64, 16, 16, 16, 1]]  # base and variant
REPEATS = 3


def models(world, folder):
    """Base and variant, deployed: both learnt from the log of a converged closed loop."""
    features = Features(features=world.features)
    everyone = world.user_features(np.arange(world.parameters.users))
    ads = world.ad_features(np.arange(world.parameters.ads))
    log = folder / "log.parquet"

    def train(scorer, tables=None):
        if tables is not None:
            reader.write_logs(log, tables)
        learner = training.Learner(scorer, ARFLoss(2, 2), learning_rate=0.03)
        stop = reader.count(log, features)
        source = training.LogSource(log, features, stop=stop, batch_impressions=64)
        training.train(learner, source, progress=False)
        return numpy_scorer.compile_scorer(scorer, everyone, ads)

    learner = Scorer(features, SIZES[0], "mlp", 0)
    loop = simulation.closed_loop(
        world,
        lambda tables, *_: train(learner, tables),
        rounds=ROUNDS,
        seed=0,
        visits=1,
        impressions_per_round=IMPRESSIONS,
        users=LEARNERS,
        matched=simulation.match(world, users=np.arange(LEARNERS)),
    )
    *_, last = loop
    reader.write_logs(
        log,
        simulation.sample_logs(
            last.system, 3 * IMPRESSIONS, seed=0, first_impression=last.next_impression
        ),
    )
    return [train(Scorer(features, size, "mlp", 0)) for size in SIZES]


def unpaired_variance(base, variant):
    """Variance of the lift if the arms had independent users and random numbers."""
    lift = variant.revenue.sum() / base.revenue.sum()
    spread = sum(arm.revenue.var(ddof=1) / arm.revenue.mean() ** 2 for arm in (base, variant))
    return lift**2 * spread / len(base.users)


def peak_memory(world, pair, users):
    """Bytes that a test of so many users allocates at most, in this process."""
    tracemalloc.start()
    simulation.run_arms(world, pair, visits=VISITS, seed=0, users=users, block_users=512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main():
    """Prints the table, returns the rows of the report."""
    world = simulation.World(simulation.world_parameters("D", users=USERS))
    with TemporaryDirectory() as folder:
        pair = models(world, Path(folder))
    seconds, tests, ratios = [], [], []
    for seed in range(REPEATS):
        started = time.perf_counter()
        base, variant = simulation.run_arms(
            world, pair, visits=VISITS, seed=seed, n_jobs=min(2, cores())
        )
        tests.append(simulation.ab_test(base, variant))
        seconds.append(time.perf_counter() - started)
        ratios.append(unpaired_variance(base, variant) / tests[-1].revenue_lift_se ** 2)
    print(pd.DataFrame([test.as_row() for test in tests]).T.to_string(header=False))
    half = [1.96 * 100 * test.revenue_lift_se for test in tests]
    memory = [peak_memory(world, pair, users) for users in (2048, 8192)]
    rows = [
        row(
            f"paired A/B, {USERS} users x {VISITS} visits, scoring included",
            "s",
            np.median(seconds),
            120,
            "lower",
            low=min(seconds),
            high=max(seconds),
        ),
        row(
            "half width of the 95 % interval of its lift",
            "% of revenue",
            np.median(half),
            100 * RESOLVED,
            "lower",
            low=min(half),
            high=max(half),
        ),
        row(
            "variance of an unpaired test of the same size over the paired one's",
            "times",
            np.median(ratios),
            50,
            "higher",
            baseline=1,
            name="unpaired",
            low=min(ratios),
            high=max(ratios),
        ),
        row(
            "peak memory of 8,192 users over that of 2,048",
            "times",
            memory[1] / memory[0],
            1.2,
            "lower",
        ),
    ]
    columns = ["figure", "unit", "ours", "low", "high", "target", "met"]
    print(pd.DataFrame(rows)[columns].to_string(index=False, float_format="{:.4f}".format))
    return rows
