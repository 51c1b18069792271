"""What a team knows before it chooses sizes, and what the chosen ones earn once they are deployed.

In every draw world, closed loop, log, trainings and tests are new. `learn` trains a few models of
both stages on the log and tests them on one part of the users, as notebooks 01, 02 and 05 do.
`deploy` trains all sizes that can be chosen once more, from other seeds, and tests them on the
other users. The choice is made between the two, from what `learn` gave alone.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pydantic
from scipy import stats

from lib.experiments import converged_system
from lib.experiments.converged_system import SystemParameters
from lib.experiments.study.plan import training_fields
from lib.experiments.study.size_lifts import SIZES
from lib.experiments.study.tasks import offline
from lib.experiments.train_and_evaluate import TrainingSpec, load_trained, train_and_evaluate
from lib.infra import sweep
from lib.infra.files import fingerprint, replacing
from lib.infra.intervals import interval_bounds
from lib.laws.bnsl import BNSL
from lib.logs import reader
from lib.metrics import ranking
from lib.simulation.ab_tests import ab_test, ratio_of_sums, run_arm
from lib.simulation.cascade import install_pre_ranking
from lib.simulation.matching import match
from lib.simulation.parameters import world_parameters
from lib.validation.tested_models import fit_revenue_model

Hidden = tuple[pydantic.PositiveInt, ...]
LOGS = {"pre_ranking": converged_system.LOGS, "matching": "matching_logs.parquet"}  # of a system
SEEDS_A_DRAW = 1000  # a training's seed counts from so many times the draw


class Plan(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What is trained and tested in every draw.

    Attributes:
      system: `SystemParameters` but the seed, which is the draw.
      law_sizes, law_seeds: layers of the Pre-ranking sizes that law and G are fitted to, the
        base's among them; each is trained from each seed.
      variants: further Pre-ranking models for G, each what differs from the base (a line of
        `lib.experiments.study.run`).
      towers, tower_seeds: the same of Matching, whose law and G have no further models.
      base_tower: one of them, which from the first of tower_seeds is today's Matching.
      tower_log_impressions, tower_train_impressions: of Matching's log, and of these for training.
      sizes, tower_sizes: that can be chosen, today's among them.
      deployed_seeds: each of them is trained from each, other seeds than the above.
      metric: that the laws predict.
      choice_users: the first so many of the world's users are for the tests of `learn`, the others
        for those of `deploy`.
      choice_visits, deployed_visits: of each of them, in each arm.
    """

    system: dict[str, Any]
    law_sizes: tuple[Hidden, ...]
    law_seeds: tuple[pydantic.NonNegativeInt, ...]
    variants: tuple[dict[str, Any], ...]
    towers: tuple[Hidden, ...]
    tower_seeds: tuple[pydantic.NonNegativeInt, ...]
    base_tower: Hidden
    tower_log_impressions: pydantic.PositiveInt
    tower_train_impressions: pydantic.PositiveInt
    sizes: tuple[Hidden, ...]
    tower_sizes: tuple[Hidden, ...]
    deployed_seeds: tuple[pydantic.NonNegativeInt, ...]
    choice_users: pydantic.PositiveInt
    choice_visits: pydantic.PositiveInt
    deployed_visits: pydantic.PositiveInt
    metric: str = "r_over_r_star"

    @pydantic.model_validator(mode="after")
    def _can_be_carried_out(self):
        for name, today in {
            "law_sizes": self.base,
            "sizes": self.base,
            "towers": self.base_tower,
            "tower_sizes": self.base_tower,
        }.items():
            sizes = getattr(self, name)
            if today not in sizes or any(len(hidden) != len(today) for hidden in sizes):
                raise ValueError(
                    f"{name} must hold today's size {list(today)} and others of as many layers; "
                    f"got {list(map(list, sizes))}"
                )
        used = {*self.law_seeds, *self.tower_seeds} & {*self.deployed_seeds}
        if used or not (self.law_seeds and self.tower_seeds and self.deployed_seeds):
            raise ValueError(
                "law_seeds, tower_seeds and deployed_seeds must each name a seed, and "
                f"deployed_seeds others than the two; got {self.law_seeds}, {self.tower_seeds} "
                f"and {self.deployed_seeds}"
            )
        system = self.parameters(0)
        users = world_parameters(system.world, **(system.world_changes or {})).users
        if self.choice_users >= users:
            raise ValueError(
                f"choice_users must leave some of the world's {users} users for the deployed "
                f"test; got {self.choice_users}"
            )
        if self.tower_train_impressions >= self.tower_log_impressions:
            raise ValueError(
                "tower_train_impressions must be below tower_log_impressions = "
                f"{self.tower_log_impressions}; got {self.tower_train_impressions}"
            )
        for line in self.variants:  # refuses what is none before any is trained
            self.spec("pre_ranking", {"seed": 0} | line, logs="", features="")
        return self

    @property
    def base(self) -> tuple[int, ...]:
        """Layers of today's Pre-ranking."""
        return self.parameters(0).hidden

    @property
    def base_size(self) -> int:
        """Its place among `sizes`."""
        return self.sizes.index(self.base)

    @property
    def base_tower_size(self) -> int:
        """The place of today's Matching among `tower_sizes`."""
        return self.tower_sizes.index(self.base_tower)

    def parameters(self, draw: int) -> SystemParameters:
        """Of the system of a draw."""
        return SystemParameters(**self.system, seed=draw)

    def spec(self, stage: str, line: dict, *, logs: str, features: str) -> TrainingSpec:
        """The training of a line of a study's table on a log of "pre_ranking" or "matching"."""
        values = self.parameters(0).model_dump(mode="json")
        if stage == "matching":
            values |= {
                "log_impressions": self.tower_log_impressions,
                "train_impressions": self.tower_train_impressions,
            }
            line = line | {"family": "twin_tower"}
        fields = training_fields(line, values, values["m"], values["k"])
        return TrainingSpec(logs=logs, features=features, **fields)


class Known(NamedTuple):
    """What is known of a draw's system before sizes are chosen.

    Attributes:
      draw: its seed.
      pre_ranking, matching: a row a training: kind ("none" for today's size), what
        `train_and_evaluate` says, the metric's error (of its difference to today's model, on the
        same impressions), the columns of `ab_tests`.
      last_change: revenue gained in the closed loop's last round, a fraction.
    """

    draw: int
    pre_ranking: pd.DataFrame
    matching: pd.DataFrame
    last_change: float


class Deployed(NamedTuple):
    """Revenue of the deployed test's users in every arm; pairs of one draw share all visits.

    Attributes:
      sizes: Pre-ranking's sizes, Matching as it wrote the log, [trainings, sizes, users].
      pairs: Matching's sizes with Pre-ranking's, of the first training, [towers, sizes, users].
    """

    sizes: np.ndarray
    pairs: np.ndarray


def name_of(hidden: Sequence[int]) -> str:
    """A size as tables name it.

    >>> name_of([32, 8, 8, 8, 1]), name_of([32, 16])
    ('32-8-8-8', '32-16')
    """
    return "-".join(map(str, hidden[:-1] if hidden[-1] == 1 else hidden))


def learn(
    plan: Plan, draws: Sequence[int], folder: str | Path, n_jobs: int | None = None
) -> list[Known]:
    """Build every draw's system, train the plan's models on its logs and test them.

    Args:
      draws: seeds, a system each; folder: of all results, resumed where it was left.
      n_jobs: tasks at a time.

    Returns: a `Known` a draw.
    """
    folder = Path(folder).absolute()  # workers may stand elsewhere
    systems = _systems(plan, draws, folder, n_jobs)
    lines = {"pre_ranking": _pre_ranking_lines(plan), "matching": _tower_lines(plan)}
    tasks = []
    for draw, system in zip(draws, systems, strict=True):
        models = {stage: _trainings(plan, draw, system, stage, lines[stage]) for stage in lines}
        tasks.append(
            {
                **_test_task(plan, system, folder),
                **models,
                "visits": plan.choice_visits,
                "metric": plan.metric,
            }
        )
    trained = _train(
        [one for task in tasks for stage in lines for one in task[stage]], folder, n_jobs
    )
    tests = sweep.run(known_tests, tasks, f"{folder}/tests", n_jobs=n_jobs)
    rows, known = iter(trained), []
    for draw, system, test in zip(draws, systems, tests, strict=True):
        tables = {
            stage: _table(lines[stage], [next(rows) for _ in lines[stage]], test[stage])
            for stage in lines
        }
        known.append(Known(draw, **tables, last_change=system["last_change"]))
    return known


def deploy(
    plan: Plan, draws: Sequence[int], folder: str | Path, n_jobs: int | None = None
) -> list[Deployed]:
    """Train all sizes that can be chosen from new seeds and test them on the other users.

    Args:
      draws, folder, n_jobs: as for `learn`.
    """
    folder = Path(folder).absolute()
    systems = _systems(plan, draws, folder, n_jobs)
    size_lines, tower_lines = _deployed_lines(plan)
    tasks = [
        {
            **_test_task(plan, system, folder),
            "sizes": [_trainings(plan, draw, system, "pre_ranking", row) for row in size_lines],
            "towers": _trainings(plan, draw, system, "matching", tower_lines),
            "visits": plan.deployed_visits,
            "base_size": plan.base_size,
        }
        for draw, system in zip(draws, systems, strict=True)
    ]
    models = [[*itertools.chain(*task["sizes"]), *task["towers"]] for task in tasks]
    _train([*itertools.chain(*models)], folder, n_jobs)
    sweep.run(deployed_tests, tasks, f"{folder}/tests", n_jobs=n_jobs)
    deployed = []
    for task in tasks:
        path = sweep.result_path(deployed_tests, task, f"{folder}/tests")
        with np.load(path.with_suffix(".npz")) as arrays:
            deployed.append(Deployed(arrays["sizes"], arrays["pairs"]))
    return deployed


# ---- what is predicted, what is measured -----------------------------------------------------


class SingleTrainings:
    """A law whose draws are what single trainings reach: each size lies off it by its noise.

    A choice rests on the law; what is deployed is one training of a size.

    Args:
      law: fitted `lib.laws.BNSL`.
    """

    def __init__(self, law: BNSL):
        self.law = law

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The law itself."""
        return self.law.predict(x)

    def sample(self, x: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
        """Draws of the metric [draws, sizes]; equal sizes are one training."""
        sizes, place = np.unique(x, return_inverse=True)
        normal = np.random.default_rng([seed, 2]).normal(size=(draws, len(sizes)))
        return self.law.sample(x, draws, seed) * np.exp(self.law.noise_at(sizes) * normal)[:, place]


def predicted_lifts(
    trainings: pd.DataFrame,
    relative_flops: np.ndarray,
    *,
    metric: str = "r_over_r_star",
    draws: int = 1000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """What sizes of a stage earn over today's, by law and G as in notebooks 04 and 05.

    The law is fitted to all trainings of sizes, G to all tested trainings, each a model of its own.

    Args:
      trainings: a stage of `Known`.
      relative_flops: of the sizes over today's, [sizes].
      metric: column that the law predicts; draws, seed: of laws, lines and single trainings.

    Returns: lifts [sizes], and draws [draws, sizes] of what one training of each would earn, which
      hold what is not known of law and G, how far trainings lie off the law and models off G.
    """
    sizes = trainings[trainings.kind.isin(SIZES)]
    today = trainings.flops[trainings.kind == "none"].iloc[0]
    law = BNSL(monotone=True).fit(sizes.flops / today, sizes[metric], groups=sizes.flops)
    g = fit_revenue_model(trainings, metric, draws=draws, seed=seed)
    return g.over_base(SingleTrainings(law), relative_flops, 1.0, draws, seed)


class Options(NamedTuple):
    """What could be chosen in a draw, and what is; made before any of it is deployed.

    Attributes:
      names: of the options.
      predicted: lifts over today [options]; draws: of what one training of each would earn,
        [draws, options].
      cost: beyond today's, currency per hour, [options]; inf: cannot be chosen.
      today, chosen: places of today's sizes and of the chosen option.
    """

    names: list[str]
    predicted: np.ndarray
    draws: np.ndarray
    cost: np.ndarray
    today: int
    chosen: int


def pairs(towers: Options, sizes: Options, budget: float) -> Options:
    """All pairs of two stages' sizes, whose lifts and costs are added up as in Eq 9.

    Args:
      towers, sizes: of the stages, each with its part of the chosen pair; their draws are
        independent.
      budget: the most that a pair may cost beyond today, currency per hour.

    >>> stage = Options(["a", "b"], np.array([0, 0.1]), np.zeros((3, 2)), np.array([0, 5.0]), 0, 1)
    >>> both = pairs(stage, stage, budget=7)
    >>> both.names[both.chosen], both.predicted.tolist(), both.cost.tolist()
    ('b + b', [0.0, 0.1, 0.1, 0.2], [0.0, 5.0, 5.0, inf])
    """
    count = len(sizes.names)
    cost = (towers.cost[:, None] + sizes.cost).ravel()
    return Options(
        [f"{tower} + {size}" for tower in towers.names for size in sizes.names],
        (towers.predicted[:, None] + sizes.predicted).ravel(),
        (towers.draws[:, :, None] + sizes.draws[:, None]).reshape(len(sizes.draws), -1),
        np.where(cost <= budget, cost, np.inf),
        towers.today * count + sizes.today,
        towers.chosen * count + sizes.chosen,
    )


def held_against(
    predicted: float,
    draws: np.ndarray,
    revenue: np.ndarray,
    base: np.ndarray,
    interval: float = 0.9,
    seed: int = 0,
) -> dict[str, Any]:
    """A predicted lift beside the measured one.

    Args:
      predicted: lift; draws: of what one training would earn, [draws].
      revenue, base: of the users of the new arm and of today's, [users].
      interval: probability of both intervals; seed: of the test's error, which every draw gets.

    Returns: predicted, low, high (of what such a test would measure), measured, measured_se,
      measured_low, measured_high, inside.

    >>> row = held_against(0.9, np.linspace(0.5, 1.5, 11), np.array([1.0, 3.0]), np.ones(2))
    >>> row["measured"], row["inside"], row["low"] < 0.5 < 1.5 < row["high"]
    (1.0, True, True)
    """
    measured, error = ratio_of_sums(revenue - base, base)
    noise = error * np.random.default_rng([seed, 3]).normal(size=len(draws))
    low, high = interval_bounds(draws + noise, interval)
    half = stats.norm.ppf((1 + interval) / 2) * error
    return {
        "predicted": float(predicted),
        "low": float(low),
        "high": float(high),
        "measured": measured,
        "measured_se": error,
        "measured_low": float(measured - half),
        "measured_high": float(measured + half),
        "inside": bool(low <= measured <= high),
    }


class Regret(NamedTuple):
    """How much more the best option would have earned than the chosen one.

    Attributes:
      best: its place among the options.
      value, standard_error: fractions of today's revenue, means over trainings. The best one is
        picked by the test that measures it, so that its luck counts as regret.
      crossed: picked by one training of every option and measured by the others, mean over
        trainings; without the luck of training. NaN where each option is trained once.
    """

    best: int
    value: float
    standard_error: float
    crossed: float


def regret(
    revenue: np.ndarray, today: int, chosen: int, pick: Callable[[np.ndarray], int]
) -> Regret:
    """Regret of a choice by the deployed test.

    Args:
      revenue: of the users, [trainings, options, users].
      today, chosen: places of today's and of the chosen option.
      pick: lifts [options] -> place of the best option that may be chosen.

    >>> users = np.array([[1.0, 1.0], [1.0, 1.2], [1.2, 1.2]])  # of three options
    >>> round(regret(users[None], 0, 1, np.argmax).value, 3)
    0.1
    """
    base = revenue[0, today]
    lifts = revenue.sum(axis=-1) / base.sum() - 1
    mean = revenue.mean(axis=0)
    best = int(pick(lifts.mean(axis=0)))
    value, error = ratio_of_sums(mean[best] - mean[chosen], base)
    crossed = np.nan
    if len(lifts) > 1:
        others = [np.delete(lifts, i, axis=0).mean(axis=0) for i in range(len(lifts))]
        crossed = np.mean(
            [
                other[int(pick(one))] - other[chosen]
                for one, other in zip(lifts, others, strict=True)
            ]
        )
    return Regret(best, value, error, float(crossed))


def compare(
    options: Options,
    revenue: np.ndarray,
    pick: Callable[[np.ndarray], int],
    interval: float = 0.9,
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """All options held against the deployed test of the first training, and the chosen one.

    Args:
      revenue, pick: as for `regret`; interval, seed: as for `held_against`.

    Returns: (a row an option: option, today, chosen and what `held_against` says; the row of the
      choice: chosen, stays (whether it is today's), the same, best, and `Regret`).
    """
    base = revenue[0, options.today]
    table = pd.DataFrame(
        [
            {
                "option": name,
                "today": i == options.today,
                "chosen": i == options.chosen,
                **held_against(
                    options.predicted[i], options.draws[:, i], revenue[0, i], base, interval, seed
                ),
            }
            for i, name in enumerate(options.names)
        ]
    )
    lost = regret(revenue, options.today, options.chosen, pick)
    own = table.iloc[options.chosen].drop(["option", "today", "chosen"])
    return table, {
        "chosen": options.names[options.chosen],
        "stays": options.chosen == options.today,
        **own.to_dict(),
        "best": options.names[lost.best],
        "regret": lost.value,
        "regret_se": lost.standard_error,
        "regret_crossed": lost.crossed,
    }


# ---- tasks -----------------------------------------------------------------------------------


def system_of_draw(task: dict, path: Path) -> dict:
    """Task: a converged system, and a log of it for Matching."""
    system = converged_system.build(path, **task["system"])
    running = install_pre_ranking(match(system.world), system.base())
    seed = system.parameters.seed
    system.matching_log(
        system.folder / LOGS["matching"], running, task["tower_log_impressions"], seed
    )
    return {
        "system": str(system.folder),
        "logs_sha256": fingerprint(system.logs),
        "last_change": float(system.rounds["change"].iloc[-1]),
    }


def known_tests(task: dict, path: Path) -> dict:
    """Task: the models of both stages measured and tested on the first users; see `learn`."""
    system = converged_system.load(task["system"])
    users, pre_ranking = np.arange(task["users"]), system.base()
    matched = match(system.world, users=users)

    def with_pre_ranking(scorer):
        return install_pre_ranking(matched, system.compiled(scorer))

    def with_tower(scorer):
        candidates = match(system.world, system.compiled(scorer), users)
        return install_pre_ranking(candidates, pre_ranking)

    today_tower, _ = _load(task["matching"][0], task["models"])
    return {
        "pre_ranking": _tested(task, "pre_ranking", system.base_scorer(), with_pre_ranking),
        "matching": _tested(task, "matching", today_tower, with_tower),
    }


def deployed_tests(task: dict, path: Path) -> dict:
    """Task: every size and pair tested on the other users; leaves `path`.npz, see `Deployed`."""
    system = converged_system.load(task["system"])
    users = np.arange(task["users"], system.world.parameters.users)
    base, place = system.base(), task["base_size"]
    models = []
    for row in task["sizes"]:
        trained = [system.compiled(_load(one, task["models"])[0]) for one in row]
        models.append([*trained[:place], base, *trained[place:]])

    def revenue(matched, row):
        return [
            run_arm(
                install_pre_ranking(matched, model),
                visits=task["visits"],
                seed=system.parameters.seed + 1,  # other visits than before the choice
            ).revenue
            for model in row
        ]

    matched = match(system.world, users=users)
    sizes = np.array([revenue(matched, row) for row in models])
    pairs = np.array(
        [
            revenue(match(system.world, system.compiled(tower), users), models[0])
            for tower, _ in (_load(one, task["models"]) for one in task["towers"])
        ]
    )
    with replacing(path.with_suffix(".npz")) as temporary:
        np.savez(temporary, sizes=sizes, pairs=pairs)
    return {"users": len(users)}


# ---- helpers ---------------------------------------------------------------------------------


def _systems(plan, draws, folder, n_jobs):
    tasks = [
        {
            "system": plan.parameters(draw).model_dump(mode="json"),
            "tower_log_impressions": plan.tower_log_impressions,
        }
        for draw in draws
    ]
    return sweep.run(system_of_draw, tasks, f"{folder}/systems", n_jobs=n_jobs)


def _pre_ranking_lines(plan):
    """Lines of a study's table: sizes from each seed, then the other variants."""
    sizes = [
        _size_line(hidden, seed, kind)
        for hidden in plan.law_sizes
        for kind in ["none" if hidden == plan.base else "size"]
        for seed in plan.law_seeds
    ]
    return [*sizes, *({"seed": plan.law_seeds[0], **line} for line in plan.variants)]


def _tower_lines(plan):
    """Today's tower first."""
    today = plan.base_tower
    return [
        _size_line(hidden, seed, kind)
        for hidden in (today, *(hidden for hidden in plan.towers if hidden != today))
        for kind in ["none" if hidden == today else "size"]
        for seed in plan.tower_seeds
    ]


def _deployed_lines(plan):
    """(lines of Pre-ranking's other sizes a training, lines of Matching's sizes)."""
    sizes = [
        [_size_line(hidden, seed, "size") for hidden in plan.sizes if hidden != plan.base]
        for seed in plan.deployed_seeds
    ]
    towers = []
    for hidden in plan.tower_sizes:
        seeds = plan.tower_seeds if hidden == plan.base_tower else plan.deployed_seeds
        towers.append(_size_line(hidden, seeds[0], "size"))
    return sizes, towers


def _size_line(hidden, seed, kind):
    model = f"{name_of(hidden)} seed {seed}"
    return {"model": model, "hidden": list(hidden), "seed": seed, "kind": kind}


def _test_task(plan, system, folder):
    """What the tests before and after the choice have in common."""
    named = {name: system[name] for name in ("system", "logs_sha256")}
    return {**named, "models": f"{folder}/models", "users": plan.choice_users}


def _trainings(plan, draw, system, stage, lines):
    """Tasks of `train_and_evaluate`: a stage's models in one draw's system."""
    folder = system["system"]
    return [
        plan.spec(
            stage,
            line | {"seed": SEEDS_A_DRAW * draw + line["seed"]},
            logs=f"{folder}/{LOGS[stage]}",
            features=f"{folder}/{converged_system.FEATURES}",
        ).task()
        for line in lines
    ]


def _train(tasks, folder, n_jobs):
    """A row a training; each is trained once."""
    return sweep.run(train_and_evaluate, tasks, f"{folder}/models", n_jobs=n_jobs)


def _load(training, models):
    """(trained scorer, its `TrainingSpec`) of a task of `train_and_evaluate`."""
    spec = TrainingSpec(**{name: training[name] for name in TrainingSpec.model_fields})
    return load_trained(spec, sweep.result_path(train_and_evaluate, training, models)), spec


def _tested(task, stage, today, system_of):
    """A row a training of a stage: its metric's error, and its test against today's model.

    Args:
      today: scorer; system_of: callable scorer -> the system that runs it.
    """
    trainings, metric = task[stage], task["metric"]
    _, spec = _load(trainings[0], task["models"])
    test = reader.read(spec.logs, today.features, start=spec.test_start, stop=spec.test_stop)
    values_today = offline(today, spec, (), test=test)[metric]
    system = system_of(today)
    seed = system.matched.world.parameters.seed
    arm = run_arm(system, visits=task["visits"], seed=seed)
    rows = []
    for training in trainings:
        scorer, spec = _load(training, task["models"])
        difference = offline(scorer, spec, (), test=test)[metric] - values_today
        tested = ab_test(arm, system_of(scorer), model=spec.model)
        error = ranking.mean(difference).standard_error
        rows.append({**tested.as_row(), f"{metric}_se": float(error)})
    return rows


def _table(lines, trained, tested):
    """A row a training."""
    return pd.DataFrame(
        [
            {"kind": line["kind"], **row, **test}
            for line, row, test in zip(lines, trained, tested, strict=True)
        ]
    )
