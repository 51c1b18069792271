"""What decides the size of a click model: its fields."""

from typing import NamedTuple


class Field(NamedTuple):
    """An id, or a list of ids, of a sample: ids lie in 0 .. values - 1, -1 is an empty slot."""

    name: str
    values: int
    slots: int = 1
