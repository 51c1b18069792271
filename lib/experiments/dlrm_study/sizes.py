"""The ways to scale a click model.

They are those of the second paper (Ardalani et al. 2022) as far as is known of it: more rows of
embeddings (vertical), more of each (horizontal: wider vectors, or more tables), a larger MLP above
the interaction ("over-arch"), larger MLPs everywhere.

Sizes are dicts of plain values, arguments of `lib.models.click_model.ClickModel`: rows, width,
tables_per_field, bottom, top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WAYS = {
    "rows": "rows of a table",
    "width": "width of embeddings",
    "tables_per_field": "tables of a field",
    "top_mlp": "top MLP",
    "all_mlps": "all MLPs",
}
Size = Mapping[str, Any]


def scaled(size: Size, way: str, factor: float) -> dict[str, Any]:
    """The size with one part `factor` times as large; layers keep one unit or more.

    Raises: ValueError for an unknown way, and where rows, width or tables would not be whole.

    >>> base = {"rows": 1024, "width": 8, "tables_per_field": 1, "bottom": [16], "top": [64, 32]}
    >>> scaled(base, "all_mlps", 0.5)["top"], scaled(base, "width", 2)["width"]
    ([32, 16], 16)
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}; got {way!r}")
    if way.endswith("_mlp") or way.endswith("_mlps"):
        parts = ("top",) if way == "top_mlp" else ("bottom", "top")
        return {**size, **{p: [max(1, round(u * factor)) for u in size[p]] for p in parts}}
    value = size[way] * factor
    if value < 1 or value != int(value):
        raise ValueError(
            f"{way} = {size[way]} times {factor} must be a whole number >= 1; got {value}"
        )
    return {**size, way: int(value)}


def ways_to_scale(
    base: Size, factors: Mapping[str, Sequence[float]]
) -> list[tuple[str, float, dict[str, Any]]]:
    """(way, factor, size) of every size to train; the base itself is in every way, as factor 1.

    >>> [(way, factor) for way, factor, _ in ways_to_scale({"width": 8}, {"width": [0.5, 2]})]
    [('width', 0.5), ('width', 1.0), ('width', 2.0)]
    """
    return [
        (way, factor, scaled(base, way, factor))
        for way, given in factors.items()
        for factor in sorted({1.0, *map(float, given)})
    ]
