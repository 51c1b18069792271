"""Size parameters [a_0, a_1, ..., a_L]: what they must be to describe a model, without Keras."""

from collections.abc import Iterable

import numpy as np

FAMILIES = ("mlp", "twin_tower")


def check_size_parameters(size_parameters: Iterable[int], family: str = "mlp") -> tuple[int, ...]:
    """The size parameters as a tuple of int; ValueError if they describe no model.

    >>> check_size_parameters([12, 8, 1])
    (12, 8, 1)
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}; got {family!r}")
    sizes = tuple(size_parameters)
    whole = all(isinstance(a, (int, np.integer)) and a >= 1 for a in sizes)
    if len(sizes) < 2 or not whole or (family == "mlp" and sizes[-1] != 1):
        end = ", the last of them 1" if family == "mlp" else ""
        raise ValueError(
            f"size parameters of a {family} must be two or more whole numbers "
            f">= 1{end}; got {list(sizes)}"
        )
    return tuple(int(a) for a in sizes)
