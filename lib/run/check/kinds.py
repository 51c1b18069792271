"""What a parameter's value must be: a type for pydantic, and the same in words for the error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from lib.design import ROIS
from lib.logs.tables import METRICS
from lib.models.click_size import CLICK_FAMILIES
from lib.simulation.parameters import PRESETS

LONGEST = 90  # characters of a value that an error shows
STRICT = ConfigDict(strict=True)


class Kind:
    """A kind of value.

    Args:
      type: that pydantic can hold a value against, strictly.
      words: what the value must be, after "must be"; "" where pydantic's own words say more, as
        of a dictionary's entries.
    """

    def __init__(self, type: Any, words: str = "") -> None:
        self.type, self.words = type, words

    @cached_property
    def _adapter(self):
        return TypeAdapter(self.type, config=None if hasattr(self.type, "model_fields") else STRICT)

    def check(self, name: str, value: Any) -> None:
        """ValueError, in one line, for a value that is not of this kind.

        >>> COUNT.check("workers", 0)
        Traceback (most recent call last):
        ValueError: workers must be a whole number >= 1; got 0
        """
        try:
            self._adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(self._said(name, value, error)) from None

    def _said(self, name, value, error):
        if not self.words:
            return said(name, error)
        place = within(name, error.errors()[0]["loc"])
        return f"{name} must be {self.words}; got {shown(value)}" + (
            f" (see {place})" if place != name and isinstance(value, list | dict) else ""
        )


def said(name: str, error: ValidationError) -> str:
    """The first of pydantic's errors in one line.

    >>> from lib.simulation.parameters import world_parameters
    >>> try:
    ...     world_parameters("A", users=0)
    ... except ValidationError as error:
    ...     print(said("world_changes", error))
    world_changes['users']: input should be greater than or equal to 1; got 0
    """
    first = error.errors()[0]
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":  # one of our own: it says what it got
        return f"{within(name, first['loc'])}: {text}"
    if first["type"] == "missing":
        return f"{within(name, first['loc'])} is missing; got {shown(first['input'])}"
    if first["type"] == "extra_forbidden":
        return f"{within(name, first['loc'])}: no such name is known; got {shown(first['input'])}"
    text = text[:1].lower() + text[1:]
    return f"{within(name, first['loc'])}: {text}; got {shown(first['input'])}"


def within(name: str, steps: Iterable) -> str:
    """A place in a value.

    >>> within("sizes", (2, 0)), within("variants", (0, "hidden"))
    ('sizes[2][0]', "variants[0]['hidden']")
    """
    return name + "".join(f"[{step!r}]" for step in steps if not str(step).startswith("function-"))


def shown(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def check_values(values: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    """ValueError for the first value that is not of its kind; names without a kind pass."""
    for name, kind in kinds.items():
        if name in values:
            kind.check(name, values[name])


def _different(values):
    if any(value in values[:place] for place, value in enumerate(values)):
        raise ValueError("two are alike")
    return values


def _last_is_one(layers):
    if layers[-1] != 1:
        raise ValueError("the last layer must be 1")
    return layers


def _rising(values):
    if values != sorted(set(values)):
        raise ValueError("they must rise")
    return values


def _divides_window(batch):
    if WINDOW % batch:
        raise ValueError(f"it must divide {WINDOW}")
    return batch


def listed(kind, words, *, least=1, different=False, rising=False):
    """A list of values of a kind."""
    type = Annotated[list[kind.type], Field(min_length=least)]
    type = Annotated[type, AfterValidator(_different)] if different else type
    return Kind(Annotated[type, AfterValidator(_rising)] if rising else type, words)


def option(*options):
    words = ", ".join(map(repr, options))
    return Kind(Literal[options], f"one of {words}")


# Of modules that bring TensorFlow; tests hold these to them.
WINDOW = 4096  # impressions shuffled together, whole batches (TrainingSpec)
MOST_BREAKS = 6  # of a law (scaling_study)

# ---- numbers and texts ----------------------------------------------------

COUNT = Kind(Annotated[int, Field(ge=1)], "a whole number >= 1")
WHOLE = Kind(Annotated[int, Field(ge=0)], "a whole number >= 0")
NUMBER = Kind(Annotated[float, Field(allow_inf_nan=False)], "a number")
POSITIVE = Kind(Annotated[float, Field(gt=0, allow_inf_nan=False)], "a number > 0")
NOT_NEGATIVE = Kind(Annotated[float, Field(ge=0, allow_inf_nan=False)], "a number >= 0")
ABOVE_ONE = Kind(Annotated[float, Field(gt=1, allow_inf_nan=False)], "a number > 1")
AT_LEAST_ONE = Kind(Annotated[float, Field(ge=1, allow_inf_nan=False)], "a number >= 1")
RATE = Kind(Annotated[float, Field(gt=-1, allow_inf_nan=False)], "a number > -1, a fraction a year")
FRACTION = Kind(Annotated[float, Field(gt=0, lt=1)], "a number between 0 and 1")
SHARE = Kind(Annotated[float, Field(gt=0, le=1)], "a number > 0 and <= 1")
TRUTH = Kind(bool, "true or false")
TEXT = Kind(str, "a text")
NAMED = Kind(Annotated[str, Field(min_length=1)], "a text that is not empty")
BATCH = Kind(
    Annotated[int, Field(ge=1), AfterValidator(_divides_window)],
    f"a whole number >= 1 that divides {WINDOW}, as 64",
)
JOBS = Kind(Annotated[int, Field(ge=1)] | Literal[-1], "a whole number >= 1, or -1: one a core")

# ---- names among options --------------------------------------------------

WORLD = option(*PRESETS)
METRIC = option(*METRICS)
DIRECTION = option("rising", "falling")
ROI = option(*ROIS)
ENGINE = option("onnxruntime", "openvino", "tensorflow_xla", "jax_xla", "tensorrt")
PRECISION = option("fp32", "fp16", "bf16")
BACKEND = option("loky", "dask", "ray", "sequential")
PART_BYTES = Kind(Literal[2, 4], "2 or 4")
BREAKS = Kind(
    Literal["auto"] | Annotated[int, Field(ge=0, le=MOST_BREAKS)], f'"auto" or 0 .. {MOST_BREAKS}'
)

# ---- lists ----------------------------------------------------------------

COUNTS = listed(COUNT, "a list of one or more whole numbers >= 1")
MORE_COUNTS = listed(COUNT, "a list of whole numbers >= 1, or []", least=0)
RISING = listed(COUNT, "a list of one or more whole numbers >= 1 that rise", rising=True)
WHOLES = listed(WHOLE, "a list of whole numbers >= 0, or []", least=0)
SEEDS = listed(WHOLE, "a list of one or more whole numbers >= 0, no two alike", different=True)
POSITIVES = listed(POSITIVE, "a list of one or more numbers > 0")
MORE_POSITIVES = listed(POSITIVE, "a list of numbers > 0, or []", least=0)
NOT_NEGATIVES = listed(NOT_NEGATIVE, "a list of one or more numbers >= 0")
MORE_NOT_NEGATIVES = listed(NOT_NEGATIVE, "a list of numbers >= 0, or []", least=0)
SHARES_OR_NONE = listed(
    Kind(Annotated[float, Field(ge=0, le=1)]), "a list of numbers in 0 .. 1, or []", least=0
)
TEXTS = listed(TEXT, "a list of texts", least=0)
FAMILIES = Kind(
    Annotated[list[Literal[CLICK_FAMILIES]], Field(min_length=1), AfterValidator(_different)],
    f"a list of one or more of {', '.join(map(repr, CLICK_FAMILIES))}, no two alike",
)
RATES = Kind(
    Annotated[
        list[Annotated[list[POSITIVE.type], Field(min_length=2, max_length=2)]], Field(min_length=1)
    ],
    "a list of one or more pairs of numbers > 0, [of dense weights, of tables]",
)
BATCHES = Kind(
    Annotated[
        list[Annotated[list[WHOLE.type], Field(min_length=2, max_length=2)]], Field(min_length=1)
    ],
    "a list of one or more pairs [samples seen, batch from there on]",
)

# ---- layers ---------------------------------------------------------------

LAYERS = Kind(
    Annotated[list[COUNT.type], Field(min_length=1)], "layers, a list of whole numbers >= 1"
)
MLP_LAYERS = Kind(
    Annotated[LAYERS.type, AfterValidator(_last_is_one)],
    "layers, a list of whole numbers >= 1, the last of them 1",
)
MLP = Kind(
    Annotated[list[COUNT.type], Field(min_length=2), AfterValidator(_last_is_one)],
    "size parameters [a_0, a_1, ..., 1], two or more whole numbers >= 1, the last of them 1",
)
TOWER = Kind(
    Annotated[list[COUNT.type], Field(min_length=2)],
    "size parameters [a_0, a_1, ...], two or more whole numbers >= 1",
)
SOME_LAYERS = listed(LAYERS, "a list of sizes, each a list of layers >= 1; or []", least=0)
ALL_LAYERS = listed(
    LAYERS, "a list of one or more sizes, no two alike, each a list of layers >= 1", different=True
)
ALL_MLP_LAYERS = listed(
    MLP_LAYERS,
    "a list of one or more sizes, no two alike, each a list of layers >= 1, the last of them 1",
    different=True,
)
MLPS = listed(MLP, f"a list of one or more sizes, each {MLP.words}")
MORE_MLPS = listed(MLP, f"a list of sizes, each {MLP.words}; or []", least=0)
MORE_TOWERS = listed(TOWER, f"a list of sizes, each {TOWER.words}; or []", least=0)

# ---- dictionaries ---------------------------------------------------------

LENGTHS = Kind(dict[str, COUNT.type], "names with a whole number >= 1 each, or {}")
BUDGETS = Kind(dict[str, NUMBER.type], "names of pools with a number each, or {}")
ANYTHING = Kind(dict[str, Any], "names with values, or {}")
