"""Many trainings as one table: a row for each way, size, draw, seed and number of samples."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.experiments.dlrm_study.gains import loss_column
from lib.experiments.dlrm_study.sizes import Size
from lib.experiments.dlrm_study.streams import Stream
from lib.experiments.dlrm_study.tasks import train_size
from lib.infra import sweep
from lib.logs.click_data import ClickData
from lib.models.click_counts import click_counts
from lib.models.click_size import ClickSize


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What all trainings of a table share.

    Attributes:
      marks: samples at which models are measured; validation_rows: the next rows, which measure.
      batches: (samples seen, batch from there on).
      seed: of the first weights; replicas: models trained together, from seeds next to it.
    """

    marks: Sequence[int]
    validation_rows: int
    batches: Sequence[Sequence[int]]
    seed: int = 0
    replicas: int = 1

    def with_marks(self, marks: Sequence[int]) -> TrainingPlan:
        """The same with other marks."""
        return dataclasses.replace(self, marks=sorted(marks))


@dataclasses.dataclass(frozen=True)
class Training:
    """One size to train, on several streams; way and factor say what it is to stand for.

    Its learning_rates are Adagrad's, of the dense weights and of the tables.
    """

    family: str
    way: str
    factor: float
    size: Size
    streams: Sequence[Stream]
    plan: TrainingPlan
    learning_rates: Sequence[float] = (0.2, 0.1)

    def task(self) -> dict[str, Any]:
        """As a task of `lib.infra.sweep`, without way and factor: equal sizes are trained once."""
        plan = self.plan
        return {
            "family": self.family,
            "size": dict(self.size),
            "streams": [stream.plain() for stream in self.streams],
            "seed": plan.seed,
            "replicas": plan.replicas,
            "learning_rates": list(self.learning_rates),
            "marks": list(plan.marks),
            "validation_rows": plan.validation_rows,
            "batches": [list(pair) for pair in plan.batches],
        }


def plan_trainings(
    families: Sequence[str],
    ways: Sequence[tuple[str, float, Size]],
    streams: Sequence[Stream],
    plan: TrainingPlan,
    longest: Sequence[int] = (),
) -> list[Training]:
    """All ways of scaling a DLRM, and its base beside the base of every other family.

    Args:
      families: to compare; ways: of `ways_to_scale`; longest: further marks of the DLRM's base.
    """
    long = plan.with_marks([*plan.marks, *longest])
    planned = [
        Training("dlrm", way, factor, size, streams, long if factor == 1 else plan)
        for way, factor, size in ways
    ]
    base = next(size for _, factor, size in ways if factor == 1)
    first = ways[0][0]
    return planned + [
        Training(family, first, 1.0, base, streams, plan) for family in families if family != "dlrm"
    ]


def with_tuned_rates(
    trainings: Sequence[Training],
    candidates: Sequence[Sequence[float]],
    stream: Stream | None,
    samples: int,
    folder: str | Path,
    *,
    n_jobs: int = 1,
    backend: str = "loky",
) -> tuple[list[Training], pd.DataFrame]:
    """The trainings with the learning rates that suit each family and size best.

    A larger MLP wants another rate than a small one: with one rate for all, a comparison of sizes
    would be one of rates. Each (family, size) is trained with every candidate on a stream that is
    used for nothing else.

    Args:
      candidates: (rate of dense weights, rate of tables); of a single one nothing is trained.
      stream: to tune on, None where there is none; samples: of it.

    Returns: (trainings, DataFrame: family, size, learning_rates, loss, chosen).
    Raises: ValueError for several candidates without a stream.
    """
    if len(candidates) == 1:
        rates = tuple(candidates[0])
        return [dataclasses.replace(t, learning_rates=rates) for t in trainings], pd.DataFrame()
    if stream is None:
        raise ValueError(
            "several learning_rates need a stream to choose on that is used for nothing else, and "
            f"this log has none: give one pair; got {[list(pair) for pair in candidates]}"
        )
    kinds = {_kind(training): training for training in trainings}
    tried = [
        (
            kind,
            rates,
            dataclasses.replace(
                training,
                streams=[stream],
                plan=training.plan.with_marks([samples]),
                learning_rates=tuple(rates),
            ),
        )
        for kind, training in kinds.items()
        for rates in candidates
    ]
    table = run([training for *_, training in tried], folder, n_jobs=n_jobs, backend=backend)
    losses = table[loss_column(table)].to_numpy().reshape(len(tried), -1).mean(axis=1)
    report = pd.DataFrame(
        {
            "family": [training.family for *_, training in tried],
            "size": [dict(training.size) for *_, training in tried],
            "learning_rates": [list(rates) for _, rates, _ in tried],
            "loss": losses,
        }
    )
    best = losses.reshape(len(kinds), -1).argmin(axis=1)
    chosen = {kind: tuple(candidates[i]) for kind, i in zip(kinds, best, strict=True)}
    report["chosen"] = [chosen[kind] == tuple(rates) for kind, rates, _ in tried]
    return [
        dataclasses.replace(training, learning_rates=chosen[_kind(training)])
        for training in trainings
    ], report


def rates_of(trainings: Sequence[Training], size: Size) -> Sequence[float]:
    """The learning rates of the DLRM of this size among trainings, or of the most like it."""
    own = [t for t in trainings if t.family == "dlrm"]
    return min(own, key=lambda t: _distance(t.size, size)).learning_rates


def _distance(one, other):
    """How far apart two sizes are, in factors of two."""
    pairs = [(one[name], other[name]) for name in ("rows", "width", "tables_per_field")]
    pairs += [*zip(one["top"], other["top"]), *zip(one["bottom"], other["bottom"])]
    return sum(abs(np.log2(a / b)) for a, b in pairs)


def _kind(training):
    return json.dumps([training.family, dict(training.size)], sort_keys=True)


def counts_by_part(size: Size, stream: Stream) -> pd.DataFrame:
    """Parameters, FLOPs and memory traffic of a DLRM of this size on such a stream, by part."""
    data = ClickData.open(stream.data)
    counts = click_counts(ClickSize("dlrm", data.fields, data.dense, **size))
    return pd.concat([counts, counts.sum().to_frame("whole").T]).rename_axis("part").reset_index()


def run(
    trainings: Sequence[Training], folder: str | Path, *, n_jobs: int = 1, backend: str = "loky"
) -> pd.DataFrame:
    """Train every size on its streams; resumable (`lib.infra.sweep`).

    Returns: DataFrame, a row of each training, stream, seed and mark, in the order given: family,
      way, factor, rows, width, tables_per_field, draw, seed, samples, the metrics; parameters,
      memory_bytes (of the weights in FP32), flops (of a sample's forward pass),
      training_flops (of all samples so far), training_bytes and serving_bytes (moved for a
      sample), embedding_parameters, top_flops, mlp_flops; and samples_per_second of its task.
    """
    tasks = [training.task() for training in trainings]
    different = []
    for task in tasks:
        if task not in different:
            different.append(task)
    # The longest first: a sweep should not end with one large size alone.
    different.sort(key=_work, reverse=True)
    done = sweep.run(train_size, different, folder, n_jobs=n_jobs, backend=backend)
    frames = []
    for training, task in zip(trainings, tasks, strict=True):
        result = done[different.index(task)]
        frames.append(
            pd.DataFrame(result["rows"])
            .rename(columns={"replica": "seed"})
            .assign(
                family=training.family,
                way=training.way,
                factor=float(training.factor),
                rows=training.size["rows"],
                width=training.size["width"],
                tables_per_field=training.size["tables_per_field"],
                **_totals(result["counts"]),
                samples_per_second=result["samples"] / result["seconds"],
            )
        )
    table = pd.concat(frames, ignore_index=True)
    table["training_flops"] = 3 * table.flops * table.samples
    return table


def _work(task):
    """Roughly how long a task takes."""
    size = task["size"]
    units = (
        size["width"] * size["tables_per_field"] * 100
        + sum(size["top"])
        + sum(size["bottom"])
        + 500
    )
    return units * max(task["marks"]) * len(task["streams"]) * task["replicas"]


def _totals(by_part):
    """Totals of a model's counts, and those of its parts that are scaled."""
    counts = pd.DataFrame.from_dict(by_part, orient="index")
    return {
        "parameters": counts.parameters.sum(),
        "memory_bytes": 4 * counts.parameters.sum(),
        "flops": counts.forward_flops.sum(),
        "serving_bytes": counts.serving_bytes.sum(),
        "training_bytes": counts.training_bytes.sum(),
        "embedding_parameters": counts.parameters["embeddings"],
        "top_flops": counts.forward_flops["top"],
        "mlp_flops": counts.forward_flops[["bottom", "top"]].sum(),
    }
