"""Real lists without a cascade: do metrics rank models as money on other sessions does?

Where nothing can be tested online, a metric cannot be held against revenue lift. What lists with
money still tell: of a population of models, which earns more on sessions that the metric has not
seen. Every resample draws sessions with replacement and deals the distinct ones into two halves,
one for the metric and one for the money, so that no session's chance events are in both.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib import metrics
from lib.experiments import study
from lib.infra import sweep
from lib.infra.files import fingerprint
from lib.infra.intervals import interval_bounds
from lib.logs import public_datasets
from lib.models.flop_count import flops
from lib.validation.rank_correlation import kendall_tau

LISTS_WITH_MONEY = {"trivago": public_datasets.trivago}


def write_lists(dataset: str, data, folder) -> tuple[Path, Path]:
    """A public data set as a log.

    Args:
      dataset: one of LISTS_WITH_MONEY; data: folder of its files; folder: of the log.

    Returns: paths of the log and of its features file.
    Raises: ValueError for a data set that is not known or has no folder; what
      `lib.logs.public_datasets` raises for its files.
    """
    if dataset not in LISTS_WITH_MONEY:
        raise ValueError(f"dataset: got {dataset!r}; expected one of {', '.join(LISTS_WITH_MONEY)}")
    if not data:
        raise ValueError(f"data: got ''; expected the folder with the files of {dataset}")
    LISTS_WITH_MONEY[dataset](data, folder)
    return Path(folder, "logs.parquet"), Path(folder, "features.yaml")


def measure_on_log(
    logs,
    features,
    variants: Sequence[dict],
    *,
    base: dict,
    folder,
    seeds: Sequence[int],
    cuts: Sequence[int],
    m: int = 2,
    k: int = 2,
    n_jobs: int | None = None,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Train variants on a log's first impressions, measure each of its others.

    Args:
      logs, features: files of a log.
      variants: as for `lib.experiments.study.run`; the first is what the others are held against.
      base: hidden, learning_rate, batch_impressions, train_impressions, log_impressions.
      folder, seeds, cuts, m, k, n_jobs: as for `lib.experiments.study.run`.

    Returns: (rows, values): a row a variant, and for each metric, and `money`, an array
      [variants, impressions], means over seeds.
    """
    tasks = [
        {
            "logs": str(logs),
            "features": str(features),
            "cuts": list(cuts),
            "logs_sha256": fingerprint(logs),
            "features_sha256": fingerprint(features),
            "variant": plain | {"seed": plain.get("seed", 0) + seed},
        }
        for plain in (study.training_fields(line, base, m, k) for line in variants)
        for seed in seeds
    ]
    rows = pd.DataFrame(sweep.run(log_variant_task, tasks, folder, n_jobs=n_jobs))
    per_task = []
    for task in tasks:
        with np.load(f"{sweep.result_path(log_variant_task, task, folder)}.npz") as file:
            per_task.append(dict(file))
    values = {name: np.stack([arrays[name] for arrays in per_task]) for name in per_task[0]}
    return rows[:: len(seeds)].reset_index(drop=True), {
        name: value.reshape(len(variants), len(seeds), -1).mean(axis=1)
        for name, value in values.items()
    }


def log_variant_task(task, path):
    """Task: train one variant on a log, keep its metrics of each test impression."""
    variant = study.Variant(logs=task["logs"], features=task["features"], **task["variant"])
    scorer, samples = study.train(variant, variant.logs)
    np.savez(path.with_suffix(".npz"), **study.offline(scorer, variant, task["cuts"]))
    return {
        "model": variant.model,
        "family": variant.family,
        "samples": samples,
        "size_parameters": list(scorer.size_parameters),
        "flops": flops(scorer.head),
    }


def split_half_tables(
    rows: pd.DataFrame, values: Mapping[str, np.ndarray], seed: int = 0
) -> pd.DataFrame:
    """The tables of models and tests, with money of held-out sessions in the place of a test.

    Half of the impressions give the metrics, the other half the money; all errors are those of
    the difference to the first model on the same impressions.

    Returns: `rows` with metrics, `revenue_lift` (here: money over the first model's, less 1),
      their standard errors, `revenue_lift_own_se` (of a lift less the mean of all: what the first
      model's money errs by is common to all lifts) and `impressions`.
    """
    money = values["money"]
    seen = np.random.default_rng(seed).permutation(money.shape[1]) < money.shape[1] // 2
    table = rows.copy()
    for name, value in values.items():
        table[name] = [metrics.mean(per_list).value for per_list in value[:, seen]]
        table[f"{name}_se"] = [
            metrics.mean(gain).standard_error for gain in value[:, seen] - value[:1, seen]
        ]
    earned = money[:, ~seen]
    ratio = earned.sum(axis=1) / earned[0].sum()
    residual = earned - ratio[:, None] * earned[0]
    own = residual - residual.mean(axis=0)
    return table.assign(
        revenue_lift=ratio - 1,
        revenue_lift_se=np.linalg.norm(residual, axis=1) / earned[0].sum(),
        revenue_lift_own_se=np.linalg.norm(own, axis=1) / earned[0].sum(),
        impressions=earned.shape[1],
    )


def rank_agreement(
    values: Mapping[str, np.ndarray],
    money,
    *,
    draws: int = 1000,
    interval: float = 0.9,
    seed: int = 0,
) -> pd.DataFrame:
    """How each metric, on half of the sessions, ranks models by the money of the other half.

    Args:
      values: metric name -> [models, sessions], NaN where undefined.
      money: [models, sessions], what a model's top m hold (`lib.metrics.captured_ecpm`).
      draws, seed: of the resampled and dealt sessions; interval: probability of low and high.

    Returns: DataFrame, a row a metric: `kendall` (tau-b of the models' order), `low`, `high`, and
      `regret`, `regret_low`, `regret_high`: the share of the best model's money that is lost by
      taking the model that the metric prefers.
    Raises: ValueError for shapes that differ, fewer than 3 models or money below 0.

    >>> known = np.array([[0.0], [1.0], [2.0]]) + np.zeros(50)
    >>> rank_agreement({"metric": known}, known, draws=20)[["kendall", "regret"]].values.tolist()
    [[1.0, 0.0]]
    """
    money = np.asarray(money, float)
    values = {name: np.asarray(value, float) for name, value in values.items()}
    for name, value in values.items():
        if value.shape != money.shape or money.ndim != 2 or len(money) < 3:
            raise ValueError(
                "rank_agreement: needs [models, sessions] of 3 or more models; got "
                f"{name} {value.shape} and money {money.shape}"
            )
    if not (money >= 0).all():
        raise ValueError(f"rank_agreement: money must be >= 0; got {money.min()}")
    sessions, rng = money.shape[1], np.random.default_rng(seed)
    weights = rng.multinomial(sessions, np.full(sessions, 1 / sessions), draws)
    seen = rng.random((draws, sessions)) < 0.5
    earned = (weights * ~seen) @ money.T
    rows = []
    for name, value in values.items():
        defined = np.isfinite(value)
        score = ((weights * seen) @ np.where(defined, value, 0).T) / ((weights * seen) @ defined.T)
        taken = np.take_along_axis(earned, score.argmax(axis=1)[:, None], axis=1)[:, 0]
        rows.append(
            {"metric": name}
            | _summary("kendall", kendall_tau(score, earned), interval)
            | _summary("regret", 1 - taken / earned.max(axis=1), interval)
        )
    return pd.DataFrame(rows).rename(columns={"kendall_low": "low", "kendall_high": "high"})


def _summary(name, drawn, interval):
    low, high = interval_bounds(drawn, interval)
    return {name: float(np.nanmean(drawn)), f"{name}_low": float(low), f"{name}_high": float(high)}
