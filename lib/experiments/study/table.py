"""A study carried out: one row a training, one row a model."""

import numpy as np
import pandas as pd

from lib.experiments import converged_system
from lib.experiments.study.plan import Variant, training_fields
from lib.experiments.study.tasks import variant_task, world_task
from lib.infra import sweep
from lib.infra.files import fingerprint


def run(
    worlds: list[dict],
    variants: list[dict],
    *,
    folder,
    seeds: list[int],
    cuts: list[int],
    visits: int,
    base: dict | None = None,
    stale: float = 0.0,
    m: int = 2,
    k: int = 2,
    n_jobs: int | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every variant in every world, `len(seeds)` trainings each.

    What a variant does not say is as its base: size, data, learning rate, batches. All are
    measured on the impressions of the log behind those that the base has trained on.

    Args:
      worlds: list of dicts of `expand_worlds` or `expand_dials`, or {"world": NAME, "system":
        FOLDER} for what `converged_system.build` left in a folder.
      variants: list of dicts, each `Variant` fields that differ from the base, and
        `LABEL_COLUMNS`; `data_share` is the share of the base's impressions that a variant
        trains on.
      folder: of the sweeps.
      seeds: added to a variant's own, one training each.
      cuts: the m at which R/R* and Recall are measured; `m` is among them.
      visits: of every user in each arm.
      base: `converged_system.SystemParameters` beside world, seed and world_changes; for
        worlds that are not there yet.
      stale: radians that the truth has turned since the stale log; 0: no such log.
      m, k: of losses and metrics.
      n_jobs: tasks at a time.

    Returns: (worlds, trainings): a row a world (gap to the oracle, last change of the loop), and
      a row a training: world, dial, value, model, set, kind, seed, metrics and their standard
      errors (of the difference to the base on the same impressions), lifts by billing.
    Raises: ValueError for a variant, world or base that is not one, before anything is run.
    """
    if m not in cuts:
        raise ValueError(f"study: m = {m} must be among the cuts {cuts}")
    bases = [_base_parameters(world, base) for world in worlds]
    tasks = [_world_task(world, base, stale) for world in worlds]
    for line in variants:
        spec = Variant(logs="", features="", **training_fields(line, bases[0], m, k))
        if spec.log == "stale" and not stale:
            raise ValueError(f"study: {spec.model!r} trains on the stale log; stale is 0")
    systems = sweep.run(world_task, tasks, f"{folder}/worlds", n_jobs=n_jobs)
    labels, tasks = [], []
    for world, world_base, system in zip(worlds, bases, systems, strict=True):
        for line in variants:
            fields = training_fields(line, world_base, m, k)
            for seed in seeds:
                variant = fields | {"seed": fields.get("seed", 0) + seed}
                tasks.append(_variant_task(system, variant, cuts, visits))
                labels.append(_labels(world) | _kind_of_variant(line))
    rows = sweep.run(variant_task, tasks, f"{folder}/models", n_jobs=n_jobs)
    return (
        pd.DataFrame([_labels(w) | system for w, system in zip(worlds, systems, strict=True)]),
        pd.DataFrame([label | row for label, row in zip(labels, rows, strict=True)]),
    )


def average(trainings: pd.DataFrame) -> pd.DataFrame:
    """One row a world and model: means over training seeds.

    Standard errors are averaged, not divided: trainings share test impressions, users and common
    random numbers. The column `trainings` counts them, and NAME_spread is the standard deviation
    between them.

    Args:
      trainings: a row a training, as from `run`.

    >>> table = pd.DataFrame({"world": "A", "dial": "", "value": np.nan, "set": "primary",
    ...                       "kind": "size", "model": "wide", "seed": [0, 1],
    ...                       "ndcg": [0.8, 0.9]})
    >>> average(table)[["model", "trainings", "ndcg", "ndcg_spread"]].round(3).values.tolist()
    [['wide', 2, 0.85, 0.071]]
    """
    keys = ["world", "dial", "value", "set", "kind", "model"]
    numbers = [name for name in trainings.select_dtypes("number") if name not in (*keys, "seed")]
    groups = trainings.groupby(keys, sort=False, dropna=False)
    spread = groups[[name for name in numbers if not name.endswith("_se")]].std(ddof=1)
    texts = [name for name in ("family", "size_parameters") if name in trainings]
    return pd.concat(
        [
            groups.size().rename("trainings"),
            groups[texts].first(),
            groups[numbers].mean(),
            spread.add_suffix("_spread"),
        ],
        axis=1,
    ).reset_index()


# ---- helpers --------------------------------------------------------------


def _base_parameters(world, base):
    """Parameters of a world's base as plain values, such as `training_fields` takes."""
    if "system" in world:
        return converged_system.load(world["system"]).parameters.model_dump(mode="json")
    if base is None:
        raise ValueError(f"study: {world['world']!r} is to be built and needs base; got None")
    return base


def _labels(world):
    return {
        "world": world["world"],
        "dial": world.get("dial", ""),
        "value": world.get("value", np.nan),
    }


def _kind_of_variant(line):
    return {"set": line.get("set", "primary"), "kind": line.get("kind", "")}


def _world_task(world, base, stale):
    if "system" in world:
        system = converged_system.load(world["system"])
        return {"system": world["system"], "logs_sha256": fingerprint(system.logs), "stale": stale}
    values = {
        **base,
        "world": world["preset"],
        "seed": world["seed"],
        "world_changes": world["changes"],
    }
    converged_system.SystemParameters(**values)  # refuses what is none before any is built
    return {"build": values, "stale": stale}


def _variant_task(system, variant, cuts, visits):
    return {
        **{name: system[name] for name in ("system", "stale", "logs_sha256")},
        "variant": variant,
        "cuts": list(cuts),
        "visits": visits,
    }
