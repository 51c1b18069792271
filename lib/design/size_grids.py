"""The grid of sizes to choose from (appendix B.1)."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lib.models.flop_count import matrix_flops
from lib.models.size_parameters import check_size_parameters


class Sizes(NamedTuple):
    """Sizes of one family, a row each: what is built and what it computes."""

    size_parameters: np.ndarray  # [sizes, layers + 1] int: input, hidden layers, output
    flops: np.ndarray  # [sizes] int: matrix products of one user-ad pair


def size_grid(
    *,
    flops_max: float = 143e6,
    embedding_min: int = 16,
    embedding_step: int = 16,
    sparse_features: int = 200,
    dense_width: int = 128,
    hidden_layers: int = 4,
    units_min: int = 128,
    units_step: int = 128,
    first_layer_max: int = 1024,
    ratio_max: float = 20,
    ratio_from: str = "input",
    family: str = "mlp",
    output_units: int = 1,
) -> Sizes:
    """All sizes of appendix B.1, narrow inputs first.

    The input is sparse_features * embedding width + dense_width, no hidden layer is wider
    than the one before it, and the output has one unit (an MLP) or output_units (a tower).

    The text asks that every layer but the output have at least 1/20 of the units of the
    previous one, and does not say whether the input is a previous layer. `ratio_from`:
    "input" (it is) leaves 1,553 sizes of up to 46 MFLOPs; "hidden" (it is not) leaves
    9,241 of up to 143 MFLOPs, because the ratio then never binds. The paper counts
    "approximately 1000"; no reading of ours gives that.

    Args:
      flops_max: the largest size, in FLOPs per user-ad pair (matrix products).
      first_layer_max: most units of the first hidden layer (the ad cache's limit).
      ratio_max: most times that a layer may be narrower than the previous one.

    Returns: `Sizes`.
    Raises: ValueError where a parameter is out of range or no size is left.

    >>> grid = size_grid()
    >>> len(grid.flops), grid.size_parameters[0].tolist(), int(grid.flops[0])
    (1553, [3328, 256, 128, 128, 128, 1], 1835264)
    """
    _check_grid(
        ratio_from,
        family,
        dense_width,
        output_units=output_units,
        flops_max=flops_max,
        embedding_min=embedding_min,
        embedding_step=embedding_step,
        sparse_features=sparse_features,
        hidden_layers=hidden_layers,
        units_min=units_min,
        units_step=units_step,
        first_layer_max=first_layer_max,
        ratio_max=ratio_max,
    )
    units = range(
        first_layer_max - (first_layer_max - units_min) % units_step, units_min - 1, -units_step
    )
    hidden = np.array([*itertools.combinations_with_replacement(units, hidden_layers)], np.int64)
    # No input wider than this fits, even in front of the narrowest first layer.
    input_max = int(flops_max // (2 * units_min))
    inputs = np.arange(
        sparse_features * embedding_min + dense_width,
        input_max + 1,
        sparse_features * embedding_step,
    )
    size_parameters = np.concatenate(
        [
            np.repeat(inputs, len(hidden))[:, None],
            np.tile(hidden, (len(inputs), 1)),
            np.full((len(inputs) * len(hidden), 1), output_units),
        ],
        axis=1,
    )
    first = 0 if ratio_from == "input" else 1
    layers = size_parameters[:, first:-1]
    allowed = (ratio_max * layers[:, 1:] >= layers[:, :-1]).all(axis=1)
    flops = matrix_flops(size_parameters, family)
    allowed &= flops <= flops_max
    if not allowed.any():
        raise ValueError(
            f"size_grid: no size satisfies flops_max = {flops_max:g} together "
            f"with first_layer_max = {first_layer_max} and ratio_max = {ratio_max}"
        )
    order = np.lexsort((flops[allowed], size_parameters[allowed, 0]))
    return Sizes(size_parameters[allowed][order], flops[allowed][order])


def join_grids(grids: Iterable[Sizes]) -> Sizes:
    """Several grids of equally many layers as one.

    >>> towers = join_grids(size_grid(hidden_layers=2, family="twin_tower", output_units=units)
    ...                 for units in (32, 64))
    >>> sorted(set(towers.size_parameters[:, -1].tolist()))
    [32, 64]
    """
    return Sizes(*map(np.concatenate, zip(*grids, strict=True)))


def own_sizes(size_parameters: Iterable[Sequence[int]]) -> Sizes:
    """MLPs of a reader's own list as a grid, in its order.

    Raises: ValueError for none, for sizes of differing numbers of layers, and for what is no MLP.

    >>> own_sizes([[40, 8, 4, 1], [40, 16, 4, 1]]).flops.tolist()
    [712, 1416]
    """
    rows = [check_size_parameters(size) for size in size_parameters]
    if len({len(row) for row in rows}) != 1:
        raise ValueError(
            "own_sizes: needs one size or more, all of as many layers; got "
            f"{sorted({len(row) - 1 for row in rows})} layers"
        )
    sizes = np.array(rows, np.int64)
    return Sizes(sizes, matrix_flops(sizes))


def with_size(
    sizes: Sizes, size_parameters: Sequence[int], name: str = "size"
) -> tuple[Sizes, int]:
    """(grid, index) of a size: an MLP's that the grid does not hold is put in front of it.

    A base is what it is, and need not lie in the steps of a grid.

    Raises: ValueError, beginning with `name`, for a size of more or fewer layers.

    >>> grid, index = with_size(size_grid(), [3000, 1000, 200, 1, 1, 1])
    >>> len(grid.flops), index, with_size(size_grid(), [3328, 256, 128, 128, 128, 1])[1]
    (1554, 0, 0)
    """
    index = find_size(sizes, size_parameters, name)
    if index is not None:
        return sizes, index
    own = np.array([size_parameters])
    return join_grids([Sizes(own, matrix_flops(own)), sizes]), 0


def limited(
    sizes: Sizes, needs: Mapping[str, tuple[ArrayLike, float]], base: int
) -> tuple[Sizes, int, dict[str, int]]:
    """The sizes that keep limits such as a machine's memory.

    Args:
      needs: name of a limit -> (what each size needs [sizes], the most that is allowed).
      base: index of the size that must be among them.

    Returns: (grid, the base's index in it, number of sizes that break each limit).
    Raises: ValueError where the base breaks a limit.

    >>> grid, base, broken = limited(size_grid(), {"units": (size_grid().size_parameters[:, 1],
    ...                                                      512)}, 0)
    >>> int(grid.size_parameters[:, 1].max()), base, broken
    (512, 0, {'units': 1469})
    """
    kept, broken = np.ones(len(sizes.flops), bool), {}
    for name, (need, most) in needs.items():
        within = np.asarray(need) <= most
        if not within[base]:
            raise ValueError(
                f"{name} must allow for the base {sizes.size_parameters[base].tolist()}, which "
                f"needs {np.asarray(need)[base]:g}; got {most:g}"
            )
        broken[name] = int(np.count_nonzero(~within))
        kept &= within
    return Sizes(sizes.size_parameters[kept], sizes.flops[kept]), int(kept[:base].sum()), broken


def find_size(sizes: Sizes, size_parameters: Sequence[int], name: str = "size") -> int | None:
    """Index of a size in a grid, None where the grid does not hold it.

    Args:
      name: of the parameter that holds the size, for the error's text.

    Raises: ValueError for a size that could not be in such a grid: of more or fewer layers.

    >>> find_size(size_grid(), [3328, 1024, 256, 256, 256, 1]), find_size(size_grid(), [1] * 6)
    (137, None)
    """
    layers = sizes.size_parameters.shape[1]
    if len(size_parameters) != layers:
        raise ValueError(
            f"{name} must hold the widths of {layers} layers, input to output, as in "
            f"{sizes.size_parameters[0].tolist()}; got {list(size_parameters)}"
        )
    indices = np.flatnonzero((sizes.size_parameters == size_parameters).all(axis=1))
    return int(indices[0]) if len(indices) else None


def index_of(sizes: Sizes, size_parameters: Sequence[int], name: str = "size") -> int:
    """Index of a size that must be in a grid; ValueError, beginning with `name`, where it is not.

    >>> index_of(size_grid(), [3328, 256, 128, 128, 128, 1])
    0
    """
    index = find_size(sizes, size_parameters, name)
    if index is None:
        raise ValueError(
            f"{name} must be one of the grid's {len(sizes.flops):,} sizes, inputs "
            f"{', '.join(map(str, np.unique(sizes.size_parameters[:, 0])[:3]))}, ... and hidden "
            f"widths in the grid's steps; got {list(size_parameters)}"
        )
    return index


def _check_grid(ratio_from, family, dense_width, *, output_units, **positive):
    if ratio_from not in ("input", "hidden"):
        raise ValueError(f"size_grid: ratio_from must be 'input' or 'hidden'; got {ratio_from!r}")
    if dense_width < 0:
        raise ValueError(f"size_grid: dense_width must be >= 0; got {dense_width}")
    if family == "mlp" and output_units != 1:
        raise ValueError(f"size_grid: output_units of an mlp must be 1; got {output_units}")
    for name, value in {"output_units": output_units, **positive}.items():
        if not value > 0:
            raise ValueError(f"size_grid: {name} must be > 0; got {value}")
    if positive["units_min"] > positive["first_layer_max"]:
        raise ValueError(
            f"size_grid: first_layer_max must be at least units_min = "
            f"{positive['units_min']}; got {positive['first_layer_max']}"
        )
