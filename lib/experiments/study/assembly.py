"""All that notebook 01 trains and tests, or an earlier run's tables in its place."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import pandas as pd

from lib.experiments.study.plan import expand_dials, expand_worlds, plain_values
from lib.experiments.study.table import average, run
from lib.validation.population import Population

FIRST_WORLD = "notebook 00"


@dataclasses.dataclass(frozen=True)
class StudyPlan:
    """Which models are trained and tested in which worlds; checked when it is made.

    Attributes:
      system: folder of the first world, as `lib.experiments.converged_system.build` left it.
      variants: of the base, each with what differs (`lib.experiments.study.run`).
      visits, stale, seeds: in the first world, as for `lib.experiments.study.run`.
      worlds: further worlds (`expand_worlds`), with `world_study`: their base, visits and seeds.
      held_out: {"worlds", "variants", "seeds"}: sizes that a law is asked for, in some of these.
      dials: sensitivity parameters (`expand_dials`), with `dial_study`: changes of their worlds,
        base, visits and seeds.
    """

    system: str
    variants: Sequence[dict]
    visits: int
    seeds: Sequence[int]
    stale: float = 0.0
    worlds: Sequence[dict] = ()
    world_study: dict = dataclasses.field(default_factory=dict)
    held_out: dict = dataclasses.field(default_factory=dict)
    dials: Sequence[dict] = ()
    dial_study: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        names = [world["world"] for world in self.further_worlds]
        for name in self.held_out.get("worlds", ()):
            if name not in names:
                raise ValueError(
                    f"held_out: worlds has {name!r}; expected some of {', '.join(names) or 'none'}"
                )
        _ = self.points  # refuses a parameter that no world has

    @cached_property
    def further_worlds(self) -> list[dict]:
        return expand_worlds(self.worlds)

    @cached_property
    def points(self) -> list[dict]:
        """Worlds in which sensitivity parameters are turned."""
        return expand_dials(self.dials, self.dial_study.get("changes"))

    @property
    def log_seeds(self) -> dict[str, int]:
        """World -> seed of the model that wrote its log, of the further worlds."""
        return {world["world"]: world["seed"] for world in self.further_worlds}

    @property
    def plain_values(self) -> dict[str, float]:
        """Sensitivity parameter -> its value in the plain world."""
        return plain_values(self.points)

    def run(self, folder, *, cuts, m=2, k=2, n_jobs=None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(worlds, trainings): a row a world, a row a training; resumed where it was left."""
        measured = {"cuts": cuts, "m": m, "k": k, "n_jobs": n_jobs, "folder": folder}
        results = [
            run(worlds, variants, **settings, **measured)
            for worlds, variants, settings in self._parts()
        ]
        worlds, trainings = (
            pd.concat(tables, ignore_index=True) for tables in zip(*results, strict=True)
        )
        return worlds.drop(columns=["system", "stale"]).drop_duplicates(), trainings

    def _parts(self):
        """(worlds, variants, settings) of each call of `run`."""
        first = {"stale": self.stale, "seeds": self.seeds, "visits": self.visits}
        yield [{"world": FIRST_WORLD, "system": self.system}], self.variants, first
        further = {"stale": self.stale, **self.world_study}
        if self.worlds:
            yield self.further_worlds, self.variants, further
        if self.held_out:
            worlds = {world["world"]: world for world in self.further_worlds}
            yield (
                [worlds[name] for name in self.held_out["worlds"]],
                [line | {"set": "held_out"} for line in self.held_out["variants"]],
                further | {"seeds": self.held_out["seeds"]},
            )
        if self.dials:
            settings = {name: value for name, value in self.dial_study.items() if name != "changes"}
            yield self.points, [line for line in self.variants if line.get("on_dials")], settings


def population_of(trainings: pd.DataFrame) -> Population:
    """The models of a study, means over their trainings."""
    return Population.of(average(trainings))


def first_tables(population: Population) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(measurements, ab_tests) of the first world, as a reader would bring them."""
    first = population.first_world
    tests = [name for name in first if name.startswith("revenue_lift")]
    tests += [name for name in ("impressions", "users") if name in first]
    return first.drop(columns=[*tests, "dial", "value"]), first[["model", *tests]]
