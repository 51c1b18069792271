"""Algorithm 1's "randomly initialized, fixed-length tensors" for any graph."""

import numbers

import numpy as np

from lib.serving.graphs.batching import CORPUS

_REQUESTS = "requests"  # axis of a batched graph, one in a request


def random_inputs(input_shapes, candidates, seed, requests=8, *, input_types=None, ids=None):
    """Random inputs of several requests.

    Requests differ, so that they are read from memory and not from the processor's cache.
    Ad vectors (the twin tower) are the exception: the corpus is the same for all.

    Args:
      input_shapes: input -> shape; an axis with a name has `candidates` places, but for
        the axis "requests" of a batched graph, which has one.
      candidates: ads in a request, >= 1.
      input_types: input -> dtype; float32 by default. Floats are normal, truth values True.
      ids: whole numbers are drawn from 0 .. ids - 1; must be given where an input is whole.

    Returns: list of `requests` dicts of arrays.
    Raises: ValueError for no candidates, a whole input without ids, or a type that cannot be
      drawn.

    >>> inputs = random_inputs({"user": (1, 3), "ads": ("candidates", 2)}, 5, seed=0)
    >>> len(inputs), inputs[0]["ads"].shape
    (8, (5, 2))
    """
    check_candidates(candidates)
    rng, axes = np.random.default_rng(seed), {_REQUESTS: 1}
    types = {name: np.dtype((input_types or {}).get(name, np.float32)) for name in input_shapes}
    check_types(types, ids)

    def draw(name):
        shape = [
            axes.get(length, candidates) if isinstance(length, str) else length
            for length in input_shapes[name]
        ]
        if types[name].kind == "b":
            return np.ones(shape, bool)
        if types[name].kind in "iu":
            return rng.integers(0, ids, shape).astype(types[name])
        return rng.standard_normal(shape, np.float32).astype(types[name], copy=False)

    corpus = {name: draw(name) for name in input_shapes if name == CORPUS}
    return [
        {name: corpus[name] if name in corpus else draw(name) for name in input_shapes}
        for _ in range(requests)
    ]


def check_candidates(candidates: int) -> int:
    """The ads in a request; ValueError unless a whole number >= 1."""
    if not _whole(candidates) or candidates < 1:
        raise ValueError(f"candidates must be a whole number >= 1; got {candidates!r}")
    return candidates


def check_types(types: dict[str, np.dtype], ids: int | None) -> None:
    """ValueError for an input that cannot be drawn, or whole ones without fitting `ids`."""
    for name, dtype in types.items():
        if dtype.kind not in "biuf":
            raise ValueError(
                f"random_inputs: input {name!r} must hold floats, whole numbers or "
                f"truth values; it holds {'strings' if dtype.kind in 'OSU' else dtype}"
            )
        if dtype.kind not in "iu":
            continue
        if not (_whole(ids) and ids >= 1):
            raise ValueError(
                f"random_inputs: input {name!r} holds {dtype}: give ids >= 1, how "
                f"many different ones the model knows; got {ids}"
            )
        if ids - 1 > np.iinfo(dtype).max:
            raise ValueError(
                f"random_inputs: input {name!r} holds {dtype}, up to {np.iinfo(dtype).max}; "
                f"got ids = {ids}"
            )


def _whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
