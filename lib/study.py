"""The study behind notebook 01: many models in many worlds, measured offline, tested online.

Two tasks of `lib.sweep`: `build_world` runs a world's closed loop until its base has
converged, `try_model` trains one variant on the base system's log, measures it on later
impressions of that log and tests it against the base. Worlds, variants and dials are tables,
fixed before anything is run.
"""
import functools
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import pydantic

from lib import base_system, deployment, impressions, measure, metrics, simulation, sweep, training
from lib.files import fingerprint
from lib.models import flops
from lib.simulation.noise import normal, visit_keys

CODE = (*measure.CODE, base_system, deployment, measure, *base_system.simulation_modules())
BLOCK_USERS = 256  # whose scores tell how wide a model's scores spread


class Variant(measure.Training, frozen=True, extra="forbid"):
    """A model to be tested: a training of `lib.measure`, and what only this study varies.

    epochs: passes over the impressions, each with Adagrad's sums at zero. log: "own", or
    "stale" for a log of the same base system from before the truth turned. score_noise: noise
    added to every score, in standard deviations of the model's scores of one user's candidates.
    """

    epochs: pydantic.PositiveInt = 1
    log: Literal["own", "stale"] = "own"
    score_noise: pydantic.NonNegativeFloat = 0.0


# What a table of variants says beside the fields of Variant: primary (what a team would take to
# a test) or secondary (broken models as well), what kind of change it is, and why it is there.
ABOUT = ("set", "kind", "reason", "on_dials", "data_share")


# ---- tables ----------------------------------------------------------------------------


def expand_worlds(table):
    """One entry a world and seed: {"world": "A seed 0", "preset", "seed", "changes", ...}.

    >>> [w["world"] for w in expand_worlds([{"world": "A", "seeds": [0, 1], "reason": ""}])]
    ['A seed 0', 'A seed 1']
    """
    return [_world(line["world"], seed, line.get("changes", {}))
            for line in table for seed in line["seeds"]]


def expand_dials(table, changes=None):
    """One entry a point of a dial and seed, with "dial" and "value" beside a world's keys.

    A dial names a field of WorldParameters and gives its `values`, or gives `points`, each a
    value and the `changes` it stands for. A point that changes nothing is the plain world,
    the same for all dials. The argument `changes` holds for all points, to make worlds small.

    >>> points = expand_dials([{"dial": "drift", "values": [0.0, 0.3], "world": "D",
    ...                         "seeds": [0], "reason": ""}])
    >>> [(p["world"], p["value"], p["changes"]) for p in points]
    [('D seed 0', 0.0, {}), ('D seed 0', 0.3, {'drift': 0.3})]
    """
    points = []
    for line in table:
        at = line.get("points") or [{"value": value, "changes": {line["dial"]: value}}
                                    for value in line["values"]]
        points += [{**_world(line["world"], seed, {**(changes or {}), **point["changes"]}),
                    "dial": line["dial"], "value": point["value"]}
                   for point in at for seed in line["seeds"]]
    return points


def _world(preset, seed, changes):
    plain = simulation.world_parameters(preset)
    changed = simulation.world_parameters(preset, **changes)  # refuses unknown names and values
    real = {name: value for name, value in changes.items()
            if getattr(changed, name) != getattr(plain, name)}
    return {"world": f"{preset} seed {seed}", "preset": preset, "seed": seed, "changes": real}


# ---- the study -------------------------------------------------------------------------


def run(worlds, variants, *, folder, seeds, cuts, visits, base=None, stale=0.0, m=2, k=2,
        n_jobs=None):
    """Every variant in every world, `len(seeds)` trainings each.

    What a variant does not say is as its base: size, data, learning rate, batches. All are
    measured on the impressions of the log behind those that the base has trained on.

    Args:
      worlds: list of dicts of `expand_worlds` or `expand_dials`, or {"world": NAME, "system":
        FOLDER} for what `base_system.build` left in a folder.
      variants: list of dicts, each `Variant` fields that differ from the base, and ABOUT;
        `data_share` is the share of the base's impressions that a variant trains on.
      folder: of the sweeps.
      seeds: added to a variant's own, one training each.
      cuts: the m at which R/R* and Recall are measured; `m` is among them.
      visits: of every user in each arm.
      base: arguments of `base_system.build` beside folder, world, seed and world_changes; for
        worlds that are not there yet.
      stale: radians that the truth has turned since the stale log; 0: no such log.
      m, k: of losses and metrics.
      n_jobs: tasks at a time.

    Returns: (built, models): a row a world (gap to the oracle, last change of the loop), and a
      row a training: world, dial, value, model, set, kind, seed, metrics and their standard
      errors (of the difference to the base on the same impressions), lifts by billing.
    Raises: ValueError for a variant or world that is not one, before anything is run.
    """
    if m not in cuts:
        raise ValueError(f"study: m = {m} must be among the cuts {cuts}")
    bases = [base_system.load(w["system"]).parameters if "system" in w else base for w in worlds]
    for line in variants:
        spec = Variant(logs="", features="", **fields(line, bases[0], m, k))
        if spec.log == "stale" and not stale:
            raise ValueError(f"study: {spec.model!r} trains on the stale log; stale is 0")
    tasks = [_world_task(world, base, stale) for world in worlds]
    built = sweep.run(build_world, tasks, f"{folder}/worlds", code=CODE, n_jobs=n_jobs)
    labels, tasks = [], []
    for world, its_base, made in zip(worlds, bases, built, strict=True):
        for line in variants:
            plain = fields(line, its_base, m, k)
            for seed in seeds:
                variant = plain | {"seed": plain.get("seed", 0) + seed}
                tasks.append({"system": made["system"], "stale": made["stale"],
                              "logs_sha256": made["logs_sha256"], "variant": variant,
                              "cuts": list(cuts), "visits": visits})
                labels.append(_labels(world) | {"set": line.get("set", "primary"),
                                                "kind": line.get("kind", "")})
    rows = sweep.run(try_model, tasks, f"{folder}/models", code=CODE, n_jobs=n_jobs)
    return (pd.DataFrame([_labels(w) | made for w, made in zip(worlds, built, strict=True)]),
            pd.DataFrame([label | row for label, row in zip(labels, rows, strict=True)]))


def fields(line, base, m, k):
    """Variant's fields of a line of the table; what it does not say is as of the base."""
    trained = base["train_impressions"]
    return {**{name: base[name] for name in ("hidden", "learning_rate", "batch_impressions")},
            "train_impressions": round(line.get("data_share", 1.0) * trained),
            "test_start": trained, "test_impressions": base["log_impressions"] - trained,
            "m": m, "k": k,
            **{name: value for name, value in line.items() if name not in ABOUT}}


def _labels(world):
    return {"world": world["world"], "dial": world.get("dial", ""),
            "value": world.get("value", np.nan)}


def _world_task(world, base, stale):
    if "system" in world:
        system = base_system.load(world["system"])
        return {"system": world["system"], "logs_sha256": fingerprint(system.logs), "stale": stale}
    return {"build": {**base, "world": world["preset"], "seed": world["seed"],
                      "world_changes": world["changes"]}, "stale": stale}


def build_world(task, path):
    """Task: a converged base system, and a stale log of it; see `run`."""
    system = (base_system.load(task["system"]) if "system" in task
              else base_system.build(path, **task["build"]))
    stale = ""
    if task["stale"]:
        before = simulation.match(system.world.turned(-task["stale"]))
        stale = f"{path}.stale.parquet"
        impressions.write_logs(stale, simulation.sample_logs(
            simulation.deploy(before, system.base()), system.parameters["train_impressions"],
            seed=system.parameters["seed"]))
    last = system.rounds.iloc[-1]
    return {"system": str(system.folder), "stale": stale, "logs_sha256": fingerprint(system.logs),
            **{name: float(last[name]) for name in ("oracle_gap", "oracle_gap_se", "change")}}


def try_model(task, path):
    """Task: train one variant, measure it offline, test it online; see `run`."""
    system = base_system.load(task["system"])
    variant = Variant(logs=str(system.logs), features=str(system.features), **task["variant"])
    stand = _stand(task["system"], variant.test_start, variant.test_stop, tuple(task["cuts"]),
                   task["visits"])
    log = task["stale"] if variant.log == "stale" else variant.logs
    scorer, samples = train(variant, log)
    model = system.deployed(scorer)
    noise = variant.score_noise * _spread(model, stand.matched) if variant.score_noise else 0.0
    values = offline(scorer, variant, task["cuts"], noise)
    row = {"model": variant.model, "family": variant.family,
           "size_parameters": list(scorer.size_parameters), "flops": flops(scorer.head),
           "samples": samples, "seed": variant.seed,
           "undefined": int(np.isnan(values["r_over_r_star"]).sum())}
    for name, value in values.items():
        row |= {name: metrics.mean(value).value,
                f"{name}_se": metrics.mean(value - stand.values[name]).standard_error}
    variant_arm = simulation.deploy(stand.matched, _noisy(model, noise, variant.seed))
    return row | simulation.ab_test(stand.arm, variant_arm, model=variant.model).as_row()


def train(variant, log):
    """A variant trained on a log: the scorer, and how many user-ad pairs it has seen."""
    scorer, samples = variant.scorer(), 0
    loss = measure.LOSSES[variant.loss](variant)
    for epoch in range(variant.epochs):
        report = training.train(
            scorer, log, loss=loss, stop=variant.train_impressions, window=variant.window,
            batch_impressions=variant.batch_impressions, seed=variant.seed + 1000 * epoch,
            learning_rate=variant.learning_rate, epsilon=variant.epsilon,
            label_noise=variant.label_noise, progress=False)
        samples += report.samples
    return scorer, samples


class Stand(NamedTuple):
    """What all variants of a world are held against: candidates, the base's arm and metrics."""

    matched: simulation.Matched
    arm: simulation.Arm
    values: dict


@functools.lru_cache(maxsize=1)  # the tasks of a world come one after the other
def _stand(folder, start, stop, cuts, visits):
    system = base_system.load(folder)
    p = system.parameters
    matched = simulation.match(system.world.later())
    arm = simulation.run_arm(simulation.deploy(matched, system.base()), visits=visits,
                             seed=p["seed"])
    base = Variant(model="base", logs=str(system.logs), features=str(system.features),
                   hidden=p["hidden"], m=p["m"], k=p["k"], test_start=start,
                   train_impressions=min(start, p["train_impressions"]),
                   test_impressions=stop - start)
    return Stand(matched, arm, offline(system.base_scorer(), base, cuts))


def offline(scorer, spec, cuts, noise=0.0):
    """Metrics of each test impression, name -> [impressions], NaN where undefined.

    Beside the paper's four at `spec.m` and `spec.k`, and R/R* and Recall@m@m at every cut:
    revenue-weighted NDCG (gain: eCPM), Recall of the true top k in the upper half of ten ads
    (the wide cut of cascade papers), R/R* weighted by money, whose mean is the ratio of sums, and
    `money`, the eCPM of the model's top m: Eq 5's numerator.
    """
    test = impressions.read(spec.logs, scorer.features, start=spec.test_start,
                            stop=spec.test_stop)
    v, ecpm, mask = test.v, test.ecpm, test.mask
    scores = training.predict(scorer, test)
    scores = scores + noise * np.random.default_rng([spec.seed, 2]).normal(size=scores.shape)
    kept, best = metrics.captured(scores, v, ecpm, spec.m, mask)
    share = kept.sum() / best.sum()
    values = {"r_over_r_star": metrics.r_over_r_star(scores, v, ecpm, spec.m, mask),
              "ndcg": metrics.ndcg(scores, v, mask),
              "recall": metrics.recall(scores, v, spec.m, spec.k, mask),
              "opa": metrics.opa(scores, v, mask),
              "revenue_ndcg": metrics.ndcg(scores, ecpm, mask, gain="linear"),
              "wide_recall": metrics.recall(scores, v, 5, spec.k, mask),
              "money": kept, "r_over_r_star_by_money": share + (kept - share * best) / best.mean()}
    for m in cuts:
        values |= {f"r_over_r_star@{m}": metrics.r_over_r_star(scores, v, ecpm, m, mask),
                   f"recall@{m}": metrics.recall(scores, v, m, m, mask)}
    return values


def _spread(model, matched):
    scores = model(matched.users[:BLOCK_USERS], matched.ads[:BLOCK_USERS])
    return float(scores.std(axis=1).mean())


def _noisy(model, noise, seed):
    """The model with noise that stays with user and ad, like an error of the model."""
    if not noise:
        return model
    return lambda users, ads: model(users, ads) + noise * normal(
        visit_keys(seed, "score noise", users, 0), ads)


# ---- its table -------------------------------------------------------------------------


def average(models):
    """One row a world and model: means over training seeds.

    Standard errors are averaged, not divided: trainings share test impressions, users and luck.
    `trainings` counts them, and NAME_spread is the standard deviation between them.

    >>> table = pd.DataFrame({"world": "A", "dial": "", "value": np.nan, "set": "primary",
    ...                       "kind": "size", "model": "wide", "seed": [0, 1],
    ...                       "ndcg": [0.8, 0.9]})
    >>> average(table)[["model", "trainings", "ndcg", "ndcg_spread"]].round(3).values.tolist()
    [['wide', 2, 0.85, 0.071]]
    """
    keys = ["world", "dial", "value", "set", "kind", "model"]
    numbers = [name for name in models.select_dtypes("number") if name not in (*keys, "seed")]
    groups = models.groupby(keys, sort=False, dropna=False)
    spread = groups[[name for name in numbers if not name.endswith("_se")]].std(ddof=1)
    kept = [name for name in ("family", "size_parameters") if name in models]
    return pd.concat([groups.size().rename("trainings"), groups[kept].first(),
                      groups[numbers].mean(), spread.add_suffix("_spread")], axis=1).reset_index()
