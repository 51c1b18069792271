"""Parameters that are tables of lines, or dictionaries: what a line may hold.

`lib.experiments` and `lib.online` check the same where they begin, but bring TensorFlow. A test
holds these to those, name by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lib.experiments.dlrm_study.sizes import WAYS
from lib.run.check import kinds
from lib.run.check.kinds import Kind

Count, Whole, Positive = kinds.COUNT.type, kinds.WHOLE.type, kinds.POSITIVE.type
Seeds = kinds.SEEDS.type


class Line(BaseModel):
    """Names that are known, values of the right type."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Variant(Line):
    """A model that differs from the base (`lib.experiments.study.plan`)."""

    model: Annotated[str, Field(min_length=1)]
    set: Literal["primary", "secondary"] = "primary"
    kind: str = ""
    reason: str = ""
    on_dials: bool = False
    data_share: kinds.SHARE.type = 1.0
    hidden: kinds.LAYERS.type | None = None
    train_impressions: Count | None = None
    test_start: Count | None = None
    test_impressions: Count | None = None
    family: Literal["mlp", "twin_tower"] = "mlp"
    seed: int = 0
    loss: Literal["arf", "relax", "softmax", "pairwise"] = "arf"
    m: Count | None = None
    k: Count | None = None
    tau: Positive = 1.0
    tau_v: Positive | None = None
    learning_rate: Positive | None = None
    epsilon: Positive = 1e-8
    batch_impressions: kinds.BATCH.type | None = None
    window: Count = kinds.WINDOW
    label_noise: kinds.NOT_NEGATIVE.type = 0.0
    without: list[str] = []
    epochs: Count = 1
    log: Literal["own", "stale"] = "own"
    score_noise: kinds.NOT_NEGATIVE.type = 0.0


class System(Line):
    """A simulated system (`lib.experiments.converged_system`), its world and seed elsewhere."""

    hidden: kinds.MLP_LAYERS.type
    rounds: Count
    impressions_per_round: Count
    log_impressions: Count
    train_impressions: Count
    learning_rate: Positive
    batch_impressions: kinds.BATCH.type = 128
    m: Count = 2
    k: Count = 2
    test_users: Count | None = None
    test_visits: Count = 2


class SystemOfWorld(System):
    """A simulated system with the preset of its world."""

    world: kinds.WORLD.type
    world_changes: dict[str, Any] | None = None


class World(Line):
    """Worlds of one preset."""

    world: kinds.WORLD.type
    seeds: Seeds
    reason: str = ""
    changes: dict[str, Any] = {}


class Point(Line):
    """A setting of a dial."""

    value: float
    changes: dict[str, Any]


class Dial(Line):
    """A sensitivity parameter: values of a world's parameter, or points of several."""

    dial: str
    world: kinds.WORLD.type
    seeds: Seeds
    reason: str = ""
    values: list[float] | None = None
    points: list[Point] | None = None


class WorldStudy(Line):
    """How further worlds are studied."""

    base: System
    visits: Count
    seeds: Seeds


class DialStudy(WorldStudy):
    """How the dials' worlds are studied."""

    changes: dict[str, Any] = {}


class HeldOut(Line):
    """Sizes that a law is asked for."""

    worlds: list[str]
    seeds: Seeds
    variants: list[Variant]


class ListsBase(Line):
    """The base of a study on a log."""

    hidden: kinds.MLP_LAYERS.type
    learning_rate: Positive
    batch_impressions: kinds.BATCH.type
    train_impressions: Count
    log_impressions: Count


class Shape(Line):
    """Proportions of hidden layers."""

    shape: str
    widths: kinds.POSITIVES.type


class ClickModelSize(Line):
    """A size of `lib.models.click_model.ClickModel`."""

    rows: Count
    width: Count
    tables_per_field: Count
    bottom: kinds.MORE_COUNTS.type
    top: kinds.MORE_COUNTS.type


def _or_nothing(model):
    """A dictionary that may be empty: then the study has no such part."""
    return _OrNothing(model)


class _OrNothing(Kind):
    def check(self, name, value):
        if value != {}:
            super().check(name, value)


def _lines(model, least=0):
    return Kind(Annotated[list[model], Field(min_length=least)])


VARIANTS = _lines(Variant, least=1)
MORE_VARIANTS = _lines(Variant)
WORLDS, DIALS, SHAPES = map(_lines, (World, Dial, Shape))
SYSTEM, LISTS_BASE, CLICK_SIZE = map(Kind, (SystemOfWorld, ListsBase, ClickModelSize))
WORLD_STUDY, DIAL_STUDY, HELD_OUT = map(_or_nothing, (WorldStudy, DialStudy, HeldOut))
FACTORS = Kind(
    Annotated[dict[Literal[tuple(WAYS)], kinds.POSITIVES.type], Field(min_length=1)],
    f"one or more of {', '.join(WAYS)} with a list of numbers > 0 each",
)
