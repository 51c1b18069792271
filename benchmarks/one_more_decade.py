"""One more decade of data than the full profile has, on a GPU with the JAX backend.

    KERAS_BACKEND=jax python -m benchmarks.one_more_decade PARAMETERS FOLDER [SECONDS]

PARAMETERS is the YAML file of a profile's notebook 06, FOLDER where click data and the table
`one_more_decade.csv` go: the base and its parts four times as large on the first seed's stream, ten
times as long. The table grows by each training; what does not fit into SECONDS is left out, and the
notebook takes what there is (parameter `one_more_decade`). No TensorFlow is needed.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import joblib
import keras
import pandas as pd
import yaml

from lib.experiments.dlrm_study.sizes import scaled
from lib.infra.machine import cores
from lib.logs.click_data import ClickData, Clicks, ClickWriter
from lib.models.click_model import ClickModel
from lib.simulation.click_stream import ClickStream, ClickStreamParameters
from lib.training.click_learner import ClickLearner
from lib.training.progressive import train_progressively

FACTOR = 4
WAYS = ("rows", "width", "all_mlps")
ROWS = 2**18  # drawn together
_STREAM = None


def drawn(parameters, start, stop):
    """Rows of the stream, which each worker builds once for all of them."""
    global _STREAM
    wanted = ClickStreamParameters(**parameters)
    if _STREAM is None or _STREAM.parameters != wanted:  # a worker goes on to the next world
        _STREAM = ClickStream(wanted)
    return _STREAM.rows(start, stop)


def write(parameters, rows, folder):
    """The stream as click data, drawn on all cores."""
    stream = ClickStream(ClickStreamParameters(**parameters))
    blocks = joblib.Parallel(n_jobs=cores(), return_as="generator", pre_dispatch="2 * n_jobs")(
        joblib.delayed(drawn)(parameters, start, min(start + ROWS, rows))
        for start in range(0, rows, ROWS)
    )
    with ClickWriter(folder, "simulated", stream.fields, stream.dense, origin=parameters) as writer:
        for block in blocks:
            writer.write(Clicks(*block))


def trained(given, folder, size, rates, marks):
    """A DLRM of this size, trained progressively; its rows."""
    data = ClickData.open(folder)
    model = ClickModel("dlrm", data.fields, data.dense, **size, seed=0)
    return train_progressively(
        ClickLearner(model, *rates),
        data,
        marks=marks,
        validation_rows=given["validation_rows"],
        batches=[tuple(pair) for pair in given["batches"]],
        progress=False,
    )


def main(parameters, folder, seconds=480.0, worlds=3):
    """Draw, train, write the table: each size on the worlds of the first seeds, in turns."""
    begin, folder = time.perf_counter(), Path(folder)
    given = yaml.safe_load(Path(parameters).read_text())
    marks = [*given["marks"], *given["longest"]]
    marks += [mark * 10 for mark in marks[-3:] if mark * 10 > marks[-1]]
    streams = {seed: folder / f"clicks-{seed}" for seed in given["seeds"][: int(worlds)]}
    for seed, path in streams.items():
        write({**given["stream"], "seed": seed}, marks[-1] + given["validation_rows"], path)
    tuning = {**given["stream"], "seed": given["tuning_seed"]}
    write(tuning, given["tuning_samples"] + given["validation_rows"], folder / "tuning")
    print(f"{len(streams)} x {marks[-1]:,} rows drawn in {time.perf_counter() - begin:.0f} s")
    sizes = [("base", 1, given["base"])]
    sizes += [(way, FACTOR, scaled(given["base"], way, FACTOR)) for way in WAYS]
    rows = []
    for way, factor, size in sizes:
        losses = [
            trained(given, folder / "tuning", size, rates, [given["tuning_samples"]])
            for rates in given["learning_rates"]
        ]
        best = min(losses, key=lambda result: result[0]["expected_log_loss"])
        rates = given["learning_rates"][losses.index(best)]
        for seed, path in streams.items():
            if time.perf_counter() - begin > seconds - 40:
                print(f"no time is left for {way} on the world of seed {seed}")
                break
            start = time.perf_counter()
            measured = trained(given, path, size, rates, marks)
            took = time.perf_counter() - start
            rows += [
                row
                | {"way": way, "factor": factor, "seed": seed, "learning_rates": rates}
                | {"samples_per_second": marks[-1] / took, "backend": keras.backend.backend()}
                for row in measured
            ]
            pd.DataFrame(rows).to_csv(folder / "one_more_decade.csv", index=False)
            print(
                f"{way} x {factor}, seed {seed}: {marks[-1]:,} rows in {took:.0f} s, normalised "
                f"entropy {measured[-1]['expected_normalised_entropy']:.4f}, rates {rates}",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(float, sys.argv[3:]))
