"""What decides the size of a click model: its fields, tables and layers, checked, without Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CLICK_FAMILIES = ("logistic_regression", "factorisation_machine", "mlp", "dlrm", "dcn_v2")
LARGEST_ROW = 2**31 - 1  # rows are addressed by int32


class Field(NamedTuple):
    """A categorical feature of a click log.

    Attributes:
      name: unique among the fields.
      values: its ids lie in 0 .. values - 1, at most 2^31 - 1 of them (hashed ids).
      slots: columns that it takes; several for a multi-valued field, padded by -1.
    """

    name: str
    values: int
    slots: int = 1


@dataclasses.dataclass(frozen=True)
class ClickSize:
    """The size of a click model; parameters as those of `lib.models.click_model.ClickModel`.

    Raises ValueError naming the parameter that describes no model.

    >>> size = ClickSize("dlrm", [Field("user", 1000), Field("ad", 10)], ["age"], rows=100, width=4)
    >>> size.table_rows, size.top_sizes
    ((100, 10), (7, 64, 32, 1))
    """

    family: str
    fields: Sequence[Field]
    dense: Sequence[str] = ()
    rows: int = 65536
    width: int = 16
    tables_per_field: int = 1
    bottom: Sequence[int] = (64,)
    top: Sequence[int] = (64, 32)
    cross_layers: int = 3

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        if self.family not in CLICK_FAMILIES:
            raise ValueError(
                f"family must be one of {', '.join(CLICK_FAMILIES)}; got {self.family!r}"
            )
        put("fields", tuple(Field(*field) for field in self.fields))
        put("dense", tuple(self.dense))
        for name in ("rows", "width", "tables_per_field"):
            put(name, _whole(name, getattr(self, name), 1))
        put("cross_layers", _whole("cross_layers", self.cross_layers, 0))
        for name in ("bottom", "top"):
            units = getattr(self, name)
            put(name, tuple(_whole(f"{name}[{i}]", value, 1) for i, value in enumerate(units)))
        self._check()

    def _check(self):
        if not self.fields:
            raise ValueError("fields must hold at least one Field; got none")
        for field in self.fields:
            for name in ("values", "slots"):
                _whole(f"{name} of field {field.name!r}", getattr(field, name), 1)
        for name, names in (("fields", [f.name for f in self.fields]), ("dense", self.dense)):
            if len(set(names)) < len(names):
                raise ValueError(f"{name} must have unique names; got {list(names)}")
        if self.tables_per_field > self.rows:
            raise ValueError(
                f"tables_per_field must be at most rows = {self.rows}, table k having rows - k; "
                f"got {self.tables_per_field}"
            )
        if sum(self.table_rows) > LARGEST_ROW:
            raise ValueError(
                f"rows: all tables together may have {LARGEST_ROW} rows; got {sum(self.table_rows)}"
            )
        if self.family == "factorisation_machine" and self.width == 1:
            raise ValueError("width of a factorisation_machine must be >= 2; got 1")
        if self.family == "dlrm" and self.vectors < 2:
            raise ValueError(
                "a dlrm needs two vectors to multiply, of fields, tables_per_field or dense "
                "features; got one field"
            )

    @property
    def slots(self) -> int:
        """Columns of the ids."""
        return sum(field.slots for field in self.fields)

    @property
    def table_rows(self) -> tuple[int, ...]:
        """Rows of every table: table 0 of every field, then table 1 of every field, ..."""
        return tuple(
            min(self.rows - k, field.values)
            for k in range(self.tables_per_field)
            for field in self.fields
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each vector that a value has; a factorisation machine has two."""
        return {"logistic_regression": (1,), "factorisation_machine": (1, self.width)}.get(
            self.family, (self.width,)
        )

    @property
    def embedded(self) -> int:
        """Vectors that the tables give, one each."""
        return len(self.fields) * self.tables_per_field

    @property
    def vectors(self) -> int:
        """Vectors that meet in the interaction: one a table, and the dense features'."""
        return self.embedded + (self.family == "dlrm" and bool(self.dense))

    @property
    def concatenated(self) -> int:
        """Inputs of an MLP or DCN v2: dense features and all vectors, side by side."""
        return len(self.dense) + self.vectors * self.width

    @property
    def bottom_sizes(self) -> tuple[int, ...]:
        """(inputs, units, ..., units) of the dense features' MLP; () where there is none."""
        if self.family != "dlrm" or not self.dense:
            return ()
        return (len(self.dense), *self.bottom, self.width)

    @property
    def top_sizes(self) -> tuple[int, ...]:
        """(inputs, units, ..., 1) of the MLP that ends in the logit; () where there is none."""
        if self.family in ("mlp", "dcn_v2"):
            return (self.concatenated, *self.top, 1)
        if self.family == "dlrm":
            pairs = self.vectors * (self.vectors - 1) // 2
            return (pairs + (self.width if self.dense else 0), *self.top, 1)
        return ()

    def config(self) -> dict[str, Any]:
        """Plain values that make this size again."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "fields": [list(field) for field in self.fields],
            **{name: list(getattr(self, name)) for name in ("dense", "bottom", "top")},
        }


def _whole(name, value, least):
    """The value as an int; ValueError unless it is a whole number from `least` on."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not least <= value <= LARGEST_ROW:
        raise ValueError(f"{name} must be a whole number in {least}..{LARGEST_ROW}; got {value!r}")
    return int(value)
