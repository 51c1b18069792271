"""A world that never stands still: tastes wander, ads and users come and go, traffic has its day.

Time is in simulated minutes from 0. The truth moves at steps of `step_minutes`; between two steps
the world stands still, so that what depends on it is computed once a step.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lib.simulation.cascade import System
from lib.simulation.keyed_random import uniform, visit_keys
from lib.simulation.logs import START, sample_logs
from lib.simulation.world import World

DAY = 1440  # minutes
PEAK = 20 * 60  # minute of the day with most traffic: evenings


class DriftParameters(BaseModel):
    """How fast a world changes, and how much traffic tells of it.

    The ids of a `World` are all that are ever there: those who stay `ad_days` on average are
    replaced by new ones as they go, so that about ads / (1 + days / ad_days) are there at a time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    days: float = Field(2.0, gt=0, description="of the whole story")
    taste_radians: float = Field(
        0.5,
        ge=0,
        description="standard deviation of a day's turn of each wave, a random walk: click logits "
        "a day apart correlate by exp(-0.5^2 / 2) = .88, an hour apart by .995",
    )
    ad_days: float = Field(10.0, gt=0, description="mean stay of an ad: campaigns last weeks")
    user_days: float = Field(30.0, gt=0, description="mean stay of a user")
    impressions_per_minute: float = Field(20.0, gt=0, description="traffic, mean of a day")
    daily_swing: float = Field(0.5, ge=0, lt=1, description="peak over mean traffic, less 1")
    step_minutes: int = Field(60, ge=1, description="the world stands still for so long")

    @model_validator(mode="after")
    def _whole_steps(self):
        if self.minutes % self.step_minutes:
            raise ValueError(
                f"step_minutes must divide the days' {self.minutes} minutes; "
                f"got {self.step_minutes}"
            )
        return self

    @property
    def minutes(self) -> int:
        """Of the whole story."""
        return round(self.days * DAY)

    def impressions_before(self, minute: float) -> int:
        """Impressions from minute 0 to `minute`; a day's traffic is a cosine about its mean.

        >>> drift = DriftParameters(impressions_per_minute=10, daily_swing=0.5)
        >>> drift.impressions_before(1440), drift.impressions_before(480)
        (14400, 3807)
        """
        angle = 2 * np.pi / DAY
        swing = np.sin(angle * (minute - PEAK)) + np.sin(angle * PEAK)
        return int(
            np.floor(
                self.impressions_per_minute * (minute + self.daily_swing * swing / angle) + 1e-6
            )
        )


class DriftingWorld:
    """A world in time: `at(minute)` is the `World` of that minute.

    Args:
      world: World of minute 0, whose ids are all that are ever there; without drift of its own.
      drift: DriftParameters.

    Attributes:
      ad_times, user_times: (minute of coming, minute of going) of each id, float64 [ids] each;
        those of the first minute came at -inf.

    Raises: ValueError where the world has `drift` or turnover of its own, or where so many ads
      are gone at some step that Matching's places stay empty.

    >>> from lib.simulation.parameters import world_parameters
    >>> drifting = DriftingWorld(World(world_parameters("small")), DriftParameters())
    >>> first, last = drifting.at(0), drifting.at(2879)
    >>> new = np.setdiff1d(last.present_ads, first.present_ads)
    >>> len(first.present_ads), len(last.present_ads), len(new)
    (667, 660, 116)
    """

    def __init__(self, world: World, drift: DriftParameters) -> None:
        p = world.parameters
        if p.drift or p.ad_turnover or p.user_turnover:
            raise ValueError(
                "DriftingWorld: the world must have no drift or turnover of its own; got drift = "
                f"{p.drift}, ad_turnover = {p.ad_turnover}, user_turnover = {p.user_turnover}"
            )
        self.world, self.drift = world, drift
        self.ad_times = _stays("ads", p.ads, drift.ad_days, p.seed, drift)
        self.user_times = _stays("users", p.users, drift.user_days, p.seed, drift)
        steps = np.arange(0, drift.minutes, drift.step_minutes)
        least = min(len(_present(self.ad_times, step)) for step in steps)
        if least < p.matching_ads:
            raise ValueError(
                f"DriftingWorld: Matching needs {p.matching_ads} ads at every step; at one of them "
                f"only {least} of the world's {p.ads} are there"
            )

    def step_of(self, minute: float) -> int:
        """The last minute at which the world changed."""
        return int(minute // self.drift.step_minutes) * self.drift.step_minutes

    def at(self, minute: float) -> World:
        """The world of a minute: its truth, and who and what is there."""
        step = self.step_of(minute)
        days = self.drift.step_minutes / DAY
        radians = self.drift.taste_radians * np.sqrt(days)
        world = self.world.wandered(radians, step // self.drift.step_minutes)
        world.present_ads = _present(self.ad_times, step)
        world.present_users = _present(self.user_times, step)
        return world

    def steps(self, start: int, stop: int, every: int | None = None) -> Iterator[tuple[int, int]]:
        """(from, to) of each stretch from minute `start` to `stop` in which the world stands still.

        Args:
          every: a stretch also ends at its multiples.
        """
        lengths = [self.drift.step_minutes, every or self.drift.step_minutes]
        marks = {mark for length in lengths for mark in range(0, stop, length) if mark > start}
        yield from itertools.pairwise(sorted({start, *marks, stop}))

    def exposures(self, system: System, start: int, stop: int, *, seed: int) -> Iterator[pa.Table]:
        """What `system` logs from minute `start` to `stop`, tables as of `sample_logs`.

        The system is that of these minutes: its candidates were matched in `at(start)`.
        """
        first, last = (self.drift.impressions_before(minute) for minute in (start, stop))
        if first == last:
            return iter(())
        per_second = (last - first) / (60 * (stop - start))
        # `sample_logs` counts time from impression 0.
        zero = datetime.timedelta(seconds=60 * start - first / per_second)
        return sample_logs(
            system,
            last - first,
            seed=seed,
            first_impression=first,
            start=START + zero,
            impressions_per_second=per_second,
        )


def minutes_of(timestamps: np.ndarray) -> np.ndarray:
    """Simulated minutes of a log's timestamps, datetime64 [B] -> float64 [B].

    >>> minutes_of(np.array(["2024-01-01T01:30"], "datetime64[us]"))
    array([90.])
    """
    start = np.datetime64(START.replace(tzinfo=None), "us")
    return (timestamps - start) / np.timedelta64(1, "m")


def _stays(name, count, days, seed, drift):
    """When each of `count` ids comes and goes, minutes, two of float64 [count].

    Stays are exponential, so that those of minute 0 have as long to go as any who comes.
    """
    there = round(count / (1 + drift.days / days))
    keys = visit_keys(seed, f"stay of {name}", 0, [0, 1])
    moment, stay = uniform(keys, np.arange(count)).astype(float)
    late = np.arange(count - there)
    comes = np.full(count, -np.inf)
    comes[there:] = (late + moment[there:]) * drift.minutes / max(len(late), 1)
    return comes, np.maximum(comes, 0) - np.log(stay) * days * DAY


def _present(times, minute):
    comes, goes = times
    return np.flatnonzero((comes <= minute) & (minute < goes))
