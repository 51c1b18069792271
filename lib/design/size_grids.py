"""The grid of sizes to choose from (appendix B.1)."""

import itertools
from typing import NamedTuple

import numpy as np

from lib.models.flop_count import matrix_flops


class Sizes(NamedTuple):
    """Sizes of one family, a row each: what is built and what it computes."""

    size_parameters: np.ndarray  # [sizes, layers + 1] int: input, hidden layers, output
    flops: np.ndarray  # [sizes] int: matrix products of one user-ad pair


def size_grid(
    *,
    flops_max=143e6,
    embedding_min=16,
    embedding_step=16,
    sparse_features=200,
    dense_width=128,
    hidden_layers=4,
    units_min=128,
    units_step=128,
    first_layer_max=1024,
    ratio_max=20,
    ratio_from="input",
    family="mlp",
    output_units=1,
):
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
    _check_grid(locals())
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
    kept = (ratio_max * layers[:, 1:] >= layers[:, :-1]).all(axis=1)
    flops = matrix_flops(size_parameters, family)
    kept &= flops <= flops_max
    if not kept.any():
        raise ValueError(
            f"size_grid: no size satisfies flops_max = {flops_max:g} together "
            f"with first_layer_max = {first_layer_max} and ratio_max = {ratio_max}"
        )
    order = np.lexsort((flops[kept], size_parameters[kept, 0]))
    return Sizes(size_parameters[kept][order], flops[kept][order])


def _check_grid(parameters):
    parameters = dict(parameters)
    ratio_from, family = parameters.pop("ratio_from"), parameters.pop("family")
    if ratio_from not in ("input", "hidden"):
        raise ValueError(f"size_grid: ratio_from must be 'input' or 'hidden'; got {ratio_from!r}")
    dense_width = parameters.pop("dense_width")
    if dense_width < 0:
        raise ValueError(f"size_grid: dense_width must be >= 0; got {dense_width}")
    if family == "mlp" and parameters["output_units"] != 1:
        raise ValueError(
            f"size_grid: output_units of an mlp must be 1; got {parameters['output_units']}"
        )
    for name, value in parameters.items():
        if not value > 0:
            raise ValueError(f"size_grid: {name} must be > 0; got {value}")
    if parameters["units_min"] > parameters["first_layer_max"]:
        raise ValueError(
            f"size_grid: first_layer_max must be at least units_min = "
            f"{parameters['units_min']}; got {parameters['first_layer_max']}"
        )
