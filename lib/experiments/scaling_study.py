"""The measurements behind a scaling law: one model of each size and seed, trained on one log.

`check_settings` refuses what would only fail after hours of training, `open_log` makes and
checks the log, `train_sizes` trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lib.experiments.train_and_evaluate import TrainingSpec, train_and_evaluate
from lib.infra import sweep
from lib.infra.intervals import check_interval
from lib.laws.basin_hopping import check_counts
from lib.laws.held_out import LEAST_SIZES
from lib.logs import public_datasets, reader
from lib.logs.description import defined_metrics
from lib.logs.features import load_features
from lib.logs.tables import METRICS

DATASETS = {"trivago": public_datasets.trivago, "movielens": public_datasets.movielens}
MOST_BREAKS = 6  # that `BNSL` takes


def check_settings(
    *,
    sizes: Sequence[Sequence[int]],
    seeds: Sequence[int],
    held_out: int,
    metric: str,
    direction: str,
    interval: float,
    breaks: int | str = "auto",
    other_breaks: Sequence[int] = (),
    dataset: str = "",
    trains: bool = True,
) -> None:
    """Refuses values of a study with which nothing could be trained or fitted.

    Args:
      sizes: hidden and output widths of each model; seeds: of its trainings.
      held_out: the largest sizes that the law has to predict.
      metric, direction, interval, breaks: of the law, as `lib.laws.BNSL` takes them, but for
        direction "auto": the claims need to know which way is better.
      other_breaks: numbers of breaks of the laws to compare with.
      dataset: "", or a key of `DATASETS`.
      trains: False where the measurements are given: sizes, seeds and dataset are not used then,
        and `metric` may be any column.

    Raises: ValueError naming the parameter, its value and what was expected.

    >>> sizes = [[4, 1], [8, 1], [16, 1], [32, 1], [64, 1]]
    >>> check_settings(sizes=sizes, seeds=[], held_out=1, metric="ndcg", direction="rising",
    ...                interval=0.9)
    Traceback (most recent call last):
    ValueError: seeds must name one seed or more; got []
    """
    if trains:
        _check_trainings(sizes, seeds, held_out, metric, dataset)
    if held_out < 0:
        raise ValueError(f"held_out must be >= 0; got {held_out}")
    if direction not in ("rising", "falling"):
        raise ValueError(f'direction must be "rising" or "falling"; got {direction!r}')
    if breaks != "auto" and not (isinstance(breaks, int) and 0 <= breaks <= MOST_BREAKS):
        raise ValueError(f'breaks must be "auto" or 0..{MOST_BREAKS}; got {breaks!r}')
    check_counts(other_breaks, "other_breaks")
    check_interval(interval)


def _check_trainings(sizes, seeds, held_out, metric, dataset):
    for name, values in (("size", sizes), ("seed", seeds)):
        if not len(values):
            raise ValueError(f"{name}s must name one {name} or more; got []")
        twice = [value for i, value in enumerate(values) if value in values[:i]]
        if twice:
            raise ValueError(f"{name}s must be different; got {twice[0]} twice")
    if len(sizes) < LEAST_SIZES + held_out:
        raise ValueError(
            f"sizes: a law needs {LEAST_SIZES} sizes beside the largest held_out = {held_out}; "
            f"got {len(sizes)} sizes"
        )
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}")
    if dataset and dataset not in DATASETS:
        raise ValueError(f'dataset must be "" or one of {", ".join(DATASETS)}; got {dataset!r}')


@dataclass(frozen=True)
class TrainingLog:
    """A checked log to train on, from `open_log`."""

    logs: str  # path of the Parquet file
    features: str  # path of its features file
    without: tuple[str, ...]  # features that are left out
    impressions: int
    description: str  # Markdown, for readers
    money: bool  # whether an ad has an eCPM above 0
    longest: int  # ads of the longest list


def open_log(
    logs: str | Path,
    features: str | Path,
    *,
    without: Sequence[str] = (),
    dataset: str = "",
    data: str | Path = "",
    folder: str | Path = "",
) -> TrainingLog:
    """Checks a log, after making it where it is a public data set.

    Args:
      logs, features: paths of a log and of its features file; not used with a dataset.
      without: names of features to leave out; "" names none.
      dataset: "", or a key of `DATASETS`; data: folder of its files; folder: where its log goes.

    Returns: `TrainingLog`.
    Raises: ValueError (`lib.logs.errors.LogError`) for what is wrong with the log.
    """
    description = ""
    if dataset:
        DATASETS[dataset](data, folder)
        logs, features = f"{folder}/logs.parquet", f"{folder}/features.yaml"
        description = public_datasets.explain(dataset) + "\n\n"
    left_out = tuple(name for name in without if name)
    declared = load_features(features).without(left_out)
    log = reader.check(logs, declared)
    description += (
        f"{log.impressions:,} impressions, {log.ads:,} ads; {declared.width('user')} inputs of the "
        f"user and {declared.width('ad')} of the ad."
    )
    money = log.ranked_share > 0
    if not money and not dataset:  # a public one's explanation says it
        description += (
            f" No ad has an eCPM above 0: of the metrics {', '.join(defined_metrics(False))} exist."
        )
    return TrainingLog(
        str(logs), str(features), left_out, log.impressions, description, money, log.longest
    )


def train_sizes(
    log: TrainingLog,
    sizes: Sequence[Sequence[int]],
    seeds: Sequence[int],
    folder: str | Path,
    *,
    metric: str,
    train_impressions: int,
    test_impressions: int,
    n_jobs: int | None = None,
    **training,
) -> pd.DataFrame:
    """Trains each size from each seed on the same impressions, once, and evaluates it.

    Args:
      log: from `open_log`.
      sizes: hidden and output widths of each model; seeds: each size is trained from each.
      folder: of finished trainings; those of an earlier run are not trained again.
      metric: that must be defined for all models.
      train_impressions: the first so many of the log; test_impressions: the log's next ones.
      n_jobs: trainings at a time.
      training: further fields of `TrainingSpec` (family, m, k, tau, learning_rate, ...).

    Returns: DataFrame, a row a training, as `train_and_evaluate` describes it.
    Raises: ValueError before any training where the log is too short, its lists are shorter than
      m or k, or it holds no money for the metric; afterwards for models whose metric is undefined.
    """
    if metric not in defined_metrics(log.money):
        raise ValueError(
            f"metric must be one of {', '.join(defined_metrics(False))}, since no ad of {log.logs} "
            f"has ecpm > 0; got {metric!r}"
        )
    for name in ("m", "k"):
        if training.get(name, 1) > log.longest:
            raise ValueError(
                f"{name} must be at most {log.longest}, the ads of the longest list of {log.logs}; "
                f"got {training[name]}"
            )
    needed = train_impressions + test_impressions
    if needed > log.impressions:
        raise ValueError(
            f"{log.logs}: train_impressions + test_impressions = {needed:,}; "
            f"the log holds {log.impressions:,} impressions"
        )
    specs = [
        TrainingSpec(
            model=f"{'-'.join(map(str, hidden[:-1]))} seed {seed}",
            logs=log.logs,
            features=log.features,
            hidden=hidden,
            seed=seed,
            train_impressions=train_impressions,
            test_start=train_impressions,
            test_impressions=test_impressions,
            without=log.without,
            **training,
        )
        for hidden in sizes
        for seed in seeds
    ]
    tasks = [spec.task() for spec in specs]
    table = pd.DataFrame(sweep.run(train_and_evaluate, tasks, folder, n_jobs=n_jobs))
    undefined = table.model[~np.isfinite(table[metric].astype(float))]
    if len(undefined):
        raise ValueError(
            f"metric {metric!r} is undefined for {', '.join(undefined)}: "
            "no test impression has it (R/R* needs eCPM > 0 in the true top)"
        )
    return table
