"""Distributed training on this machine's processes: is it the same, is it faster, what is lost.

Synchronous: two workers against one on the same 500 steps, twice, all variables compared. The one
cuts each batch in two parts as the two do, and so adds up in the same order; beside it one that
does not, whose rounding errors training makes grow as it does anyone's.
Asynchronous and hybrid: two workers, their server and their coordinator on two cores, against one
worker, its server and its coordinator on one core, in turns; beside them `train` in one process on
one core. What compiles is left out; reading of the log and handing out of batches is not.
Killed: a worker of two in the middle of an asynchronous training.
"""

import functools
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.report import row, show
from lib import simulation
from lib.infra import machine
from lib.infra.child_process import in_child
from lib.logs import reader
from lib.logs.features import Features
from lib.losses import ARFLoss
from lib.training.distributed.cluster import Cluster, Plan, addresses
from lib.training.distributed.launcher import read_report, train_distributed
from lib.training.distributed.speed_model import SpeedModel, Traffic, loopback
from lib.training.distributed.work import Work

SMALL, LARGER = [32, 8, 8, 8, 1], [1024, 256, 256, 256, 1]
SAME = {"batch": 16, "steps": 500}  # of the comparison of weights
FAST = {"batch": 64, "steps": 1 + 32 * 5}  # of the comparison of rates
TURNS, KILLS, MANY = 3, 2, 8
# Reading of dense part, statistics, version and rows; the pushes; the order and its answer.
MESSAGES = {"synchronous": 11, "asynchronous": 8, "hybrid": 12}


def write_log(path, impressions):
    """Simulate a log; returns its features."""
    world = simulation.World(simulation.world_parameters("small"))
    system = simulation.install_pre_ranking(simulation.match(world))
    reader.write_logs(path, simulation.sample_logs(system, impressions, seed=0))
    return Features(features=world.features)


def make_work(log, features, hidden, batch, steps, **changes):
    """A training of so many steps."""
    source = {"log": log, "stop": batch * steps, "batch_impressions": batch, "window": 16 * batch}
    return Work(source, features, hidden, ARFLoss(2, 2), **changes)


def largest_difference(first, second) -> float:
    """Of two checkpoints' variables: the most that one differs by, over its largest number."""
    with np.load(first) as a, np.load(second) as b:
        names = [name for name in a.files if name.startswith("variable_") and a[name].size]
        return max(
            float(np.abs(a[name] - b[name]).max() / max(np.abs(a[name]).max(), 1e-30))
            for name in names
        )


def synchronous_rows(work_of, folder):
    """Two workers against one, in weights."""
    reports, files = {}, {}
    for name, workers, parts in (("two", 2, 2), ("again", 2, 2), ("one", 1, 2), ("uncut", 1, 1)):
        files[name] = folder / f"{name}.npz"
        reports[name] = train_distributed(
            "synchronous", work_of(checkpoint=files[name]), workers=workers, parts=parts
        )
    steps = len(reports["two"].losses)
    return [
        row(
            f"synchronous: 2 workers against 1, largest relative difference after {steps} steps",
            "ratio",
            largest_difference(files["one"], files["two"]),
            1e-6,
            baseline=largest_difference(files["uncut"], files["two"]),
            name="one worker that does not cut its batches",
        ),
        row(
            "synchronous: runs of 2 workers with one hash",
            "share",
            float(reports["two"].digest == reports["again"].digest),
            1,
            "higher",
        ),
    ]


def plain(work, cores):
    """Impressions per second of `train` on some cores, counted as the cluster's are."""
    from lib.training.distributed.process import rate, timed
    from lib.training.distributed.read_ahead import ReadAhead
    from lib.training.learner import Learner
    from lib.training.loop import train

    if cores:
        os.sched_setaffinity(0, cores)
    learner = work.make_learner(Learner)
    calls = timed(learner)
    train(learner, ReadAhead(work.make_source()), target=work.make_target(), progress=False)
    found = rate(calls)
    return found["timed_impressions"] / found["seconds"]


def rate_rows(work, cores, turns):
    """Two workers on two cores against one on one, in turns."""
    speeds, reports = {}, {}
    alone = []
    for turn in range(turns):
        for way in ("asynchronous", "hybrid") if turn == 0 else ("asynchronous",):
            for workers in (1, 2):
                report = train_distributed(way, work, workers=workers, cores=cores[:workers])
                speeds.setdefault((way, workers), []).append(report.impressions_per_second)
                reports[way, workers] = report
        alone.append(in_child("a training", plain, work, cores[:1]))
    speeds = {key: np.array(values) for key, values in speeds.items()}
    late = {way: reports[way, 2].staleness for way in ("asynchronous", "hybrid")}
    rows = [
        row(
            "asynchronous: 2 workers on 2 cores over 1 worker on 1 core",
            "ratio",
            speeds["asynchronous", 2] / speeds["asynchronous", 1],
            1.6,
            "higher",
            baseline=float(np.median(speeds["asynchronous", 2] / np.array(alone))),
            name="over train in one process on 1 core",
        ),
        row(
            "hybrid: 2 workers on 2 cores over 1 worker on 1 core",
            "ratio",
            speeds["hybrid", 2] / speeds["hybrid", 1],
        )
        | {"better": "higher"},
    ]
    for way, what in (("asynchronous", "dense weights"), ("hybrid", "embeddings")):
        counts = late[way]
        rows.append(
            row(
                f"{way}: staleness of {what}, 2 workers",
                "updates",
                float(counts @ np.arange(len(counts)) / counts.sum()),
                low=0,
                high=len(counts) - 1,
            )
        )
    times = {
        way: {n: FAST["batch"] / float(np.median(speeds[way, n])) for n in (1, 2)}
        for way in ("asynchronous", "hybrid")
    }
    return rows, times


def speed_rows(work, times):
    """What the speed model says of more workers than were measured."""
    from lib.models.scorer import Scorer

    source = work.make_source()
    scorer = Scorer(source.features, work.hidden)
    batch, _ = next(source.batches())
    link, rows = loopback(), []
    for way, seconds in times.items():
        model = SpeedModel.fit(way, Traffic.of(scorer, batch, MESSAGES[way]), link, seconds)
        rows.append(
            row(
                f"{way}: {MANY} workers over 1, extrapolated from 1 and 2",
                "ratio",
                float(model.speedup(MANY)),
                baseline=float(model.speedup(2)),
                name="2 workers",
            )
            | {"better": "higher"}
        )
    return rows


def killed_rows(work_of, folder, kills):
    """What the death of a worker costs."""
    twice, missing = [], []
    for number in range(kills):
        work = work_of(checkpoint=folder / f"killed_{number}.npz", every=100)
        plan = Plan("asynchronous", work, addresses("asynchronous", 2, 1), {})
        with Cluster(plan, folder / f"killed_{number}") as cluster:
            end = time.monotonic() + 120
            while not Path(work.checkpoint).exists() and time.monotonic() < end:
                time.sleep(0.01)
            cluster.processes[f"worker_{number % 2}"].kill()
            cluster.wait(120)
            report = read_report(cluster)
        samples = len(report.losses)
        twice.append(report.applied - samples)
        missing.append(work.source["stop"] - report.impressions)
    return [
        row("asynchronous, a worker killed: impressions not trained on", "count", missing, 0),
        row("asynchronous, a worker killed: batches applied twice", "batches", twice),
    ]


def main(turns: int = TURNS, kills: int = KILLS) -> list[dict]:
    """All rows."""
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else [0, 1]
    if machine.cores() < 2:
        raise SystemExit("online_training: needs two cores")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        log = folder / "log.parquet"
        most = max(size["batch"] * size["steps"] for size in (SAME, FAST))
        features = write_log(log, most)
        same = functools.partial(make_work, log, features, SMALL, **SAME)
        rows = synchronous_rows(same, folder)
        fast = make_work(log, features, LARGER, **FAST)
        faster, times = rate_rows(fast, cores, turns)
        rows += faster + speed_rows(fast, times) + killed_rows(same, folder, kills)
    show(rows)
    return rows
