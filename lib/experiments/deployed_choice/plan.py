"""What is trained and tested in every draw, and the lines of a study's table that it makes."""

from collections.abc import Sequence
from typing import Any

import pydantic

from lib.experiments import converged_system
from lib.experiments.converged_system import SystemParameters
from lib.experiments.study.plan import training_fields
from lib.experiments.train_and_evaluate import TrainingSpec
from lib.simulation.parameters import world_parameters

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


def name_of(hidden: Sequence[int]) -> str:
    """A size as tables name it.

    >>> name_of([32, 8, 8, 8, 1]), name_of([32, 16])
    ('32-8-8-8', '32-16')
    """
    return "-".join(map(str, hidden[:-1] if hidden[-1] == 1 else hidden))


def pre_ranking_lines(plan):
    """Lines of a study's table: sizes from each seed, then the other variants."""
    sizes = [
        _size_line(hidden, seed, kind)
        for hidden in plan.law_sizes
        for kind in ["none" if hidden == plan.base else "size"]
        for seed in plan.law_seeds
    ]
    return [*sizes, *({"seed": plan.law_seeds[0], **line} for line in plan.variants)]


def tower_lines(plan):
    """Today's tower first."""
    today = plan.base_tower
    return [
        _size_line(hidden, seed, kind)
        for hidden in (today, *(hidden for hidden in plan.towers if hidden != today))
        for kind in ["none" if hidden == today else "size"]
        for seed in plan.tower_seeds
    ]


def deployed_lines(plan):
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
