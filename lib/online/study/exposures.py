"""The drifting system and what it logs: one log of a reference system, for all open-loop runs."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic

from lib.infra.files import fingerprint
from lib.logs import reader
from lib.logs.features import Features, load_features, save_features
from lib.logs.impressions import Impressions
from lib.simulation.cascade import System
from lib.simulation.drifting import DriftingWorld, DriftParameters
from lib.simulation.keyed_random import normal, visit_keys
from lib.simulation.matching import Matched, match
from lib.simulation.parameters import WorldParameters, world_parameters
from lib.simulation.world import World


class SystemParameters(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A drifting ad system and the reference that makes its log.

    Attributes:
      world, world_changes: preset and what differs (`lib.simulation.world_parameters`).
      seed: of world, drift and log: a draw of the whole.
      drift: what differs from `DriftParameters`.
      reference_error: of the reference's Pre-ranking, standard deviation in log eCPM. It stands
        for a system that others keep fresh: an error that is the same all the time, so that no
        label gets worse as the story goes on.
    """

    world: str = "small"
    world_changes: dict[str, Any] = {}
    seed: int = 0
    drift: dict[str, Any] = {}
    reference_error: pydantic.NonNegativeFloat = 0.5

    @pydantic.model_validator(mode="after")
    def _a_drifting_world(self):
        self.parts()
        return self

    def parts(self) -> tuple[WorldParameters, DriftParameters]:
        """World and drift; ValueError for what is none."""
        changes = {"seed": self.seed, **self.world_changes}
        return world_parameters(self.world, **changes), DriftParameters(**self.drift)

    def drifting(self) -> DriftingWorld:
        """The world in time."""
        parameters, drift = self.parts()
        return DriftingWorld(World(parameters), drift)

    def reference(self, matched: Matched) -> System:
        """The reference system at a time."""
        keys = visit_keys(self.seed, "reference", matched.users, 0)
        error = self.reference_error * normal(keys, matched.ads)
        return System(matched, matched.log_ecpm + error)


def reference_log(parameters: SystemParameters) -> Iterator[pa.Table]:
    """All that the reference system logs, in time order; tables as of `sample_logs`."""
    drifting, system, world = parameters.drifting(), None, None
    for start, stop in drifting.steps(0, drifting.drift.minutes):
        earlier, world = world, drifting.at(start)
        if system is None or not _alike(earlier, world, drifting.drift):
            system = parameters.reference(match(world))
        yield from drifting.exposures(system, start, stop, seed=parameters.seed)


def _alike(first, second, drift):
    """Whether nothing has changed between two worlds, so that what was matched still is."""
    return drift.taste_radians == 0 and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("present_users", "present_ads")
    )


def log_task(task: dict, path: Path) -> dict:
    """A sweep's task: the reference log of `SystemParameters`, with its features file beside it."""
    log, parameters = path.with_suffix(".parquet"), SystemParameters(**task)
    save_features(path.with_suffix(".yaml"), parameters.drifting().world.features)
    reader.write_logs(log, reference_log(parameters))
    return {"system": task, "log": str(log), "sha256": fingerprint(log)}


@functools.lru_cache(maxsize=1)  # tasks of a log come one after the other
def load_log(log: str, sha256: str) -> Impressions:
    """A reference log in memory."""
    return reader.read(log, load_features(Path(log).with_suffix(".yaml")))


def as_impressions(tables, features: Features, path: Path, ads: int) -> Impressions:
    """Tables of a system in operation as what models train on, through a file of the log format."""
    log = path.with_suffix(".stretch.parquet")
    reader.write_logs(log, tables)
    impressions = reader.read(log, features, ads=ads)
    log.unlink()
    return impressions
