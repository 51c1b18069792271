"""One size of click model, trained in one pass over each of several streams; a sweep's task."""

import time
from pathlib import Path

from lib.experiments.dlrm_study.streams import load_auctions
from lib.logs.click_data import ClickData, Clicks
from lib.models.click_counts import click_counts
from lib.models.click_model import ClickModel
from lib.simulation.click_stream import auction_revenue
from lib.training.checkpoint import Checkpoint
from lib.training.click_learner import ClickLearner
from lib.training.progressive import predict_clicks, train_progressively

SEEDS_OF_A_DRAW = 1000  # apart, so that no two draws begin with the same weights


def train_size(task: dict, path: Path) -> dict:
    """Train one size on each stream, one stream after the other: they share what is compiled.

    Args:
      task: of `lib.experiments.dlrm_study.table.Training.task`: family, size, streams, seed and
        replicas (models trained together, of seeds next to each other), learning_rates (of dense
        weights and of tables), marks, validation_rows, batches.
      path: of the task's files: a checkpoint while it runs.

    Returns: {"rows": list of dict}: of each stream, mark and replica the columns of
      `train_progressively`, with draw, seed and, where there are auctions, revenue; "counts", by
      part; "seconds" and "samples" of all trainings.
    """
    rows, seconds, samples = [], 0.0, 0
    for stream in task["streams"]:
        data = ClickData.open(stream["data"])
        model = ClickModel(
            task["family"],
            data.fields,
            data.dense,
            **task["size"],
            replicas=task["replicas"],
            seed=task["seed"] + SEEDS_OF_A_DRAW * stream["draw"],
        )
        learner = ClickLearner(model, *task["learning_rates"])
        checkpoint = Checkpoint(f"{path}-{stream['draw']}.npz", every=2000)
        begin = time.perf_counter()
        measured = train_progressively(
            learner,
            data,
            marks=task["marks"],
            validation_rows=task["validation_rows"],
            batches=[tuple(pair) for pair in task["batches"]],
            checkpoint=checkpoint,
            at_mark=_auctions_of(stream["auctions"]),
            progress=False,
        )
        seconds += time.perf_counter() - begin
        samples += max(task["marks"]) * task["replicas"]
        rows += [row | {"draw": stream["draw"], "data": stream["data"]} for row in measured]
        checkpoint.path.unlink(missing_ok=True)
    counts = click_counts(model, batch=task["batches"][-1][1]).to_dict("index")
    return {"rows": rows, "counts": counts, "seconds": seconds, "samples": samples}


def _auctions_of(path):
    """Revenue per request of a learner's models, a column for `train_progressively`'s rows."""
    if not path:
        return None
    auctions = load_auctions(path)
    clicks = Clicks(*auctions.impressions)

    def revenue(learner):
        probability = predict_clicks(learner, clicks)
        return [{"revenue": float(r)} for r in auction_revenue(probability, auctions).mean(-1)]

    return revenue
