"""Shapes at equal FLOPs: hidden layers in given proportions, and what the 1/20 rule looks at.

The paper's limit (appendices B.1 and C.1): except for the output, a layer has at least 1/20 of the
units of the layer before it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lib.models.flop_count import matrix_flops
from lib.models.size_parameters import check_size_parameters

RULE = 20.0  # appendix C.1: neighbouring layers should not differ by more


def hidden_at(widths: Sequence[float], inputs: int, flops: float) -> tuple[int, ...]:
    """The MLP's layers in the proportions `widths` whose FLOPs are nearest to `flops`.

    All layers are rounded to whole units, one or more; the widest then takes up what rounding
    changed, so that FLOPs are met to within one of its units.

    Args:
      widths: of the hidden layers, relative to one another, > 0.
      inputs: a_0.
      flops: of the forward pass of one user-ad pair (`matrix_flops`).

    Returns: [a_1, ..., a_L], a_L = 1.
    Raises: ValueError for proportions that are no layers, and for FLOPs that even layers of one
      unit exceed.

    >>> hidden_at([4, 1, 1, 1], inputs=86, flops=6288)
    (32, 8, 8, 8, 1)
    """
    proportions = np.asarray(widths, float)
    if proportions.ndim != 1 or not len(proportions) or not (proportions > 0).all():
        raise ValueError(f"hidden_at: widths must be one or more numbers > 0; got {widths!r}")
    # Half the FLOPs are quadratic in the scale: layer by layer, and the input's and output's.
    quadratic = proportions[:-1] @ proportions[1:]
    linear = inputs * proportions[0] + proportions[-1]
    root = np.sqrt(linear**2 + 2 * quadratic * flops)
    scale = flops / (linear + root)  # the other form of the root stands also for quadratic = 0
    layers = np.maximum(np.rint(scale * proportions), 1).astype(int)
    widest = int(np.argmax(proportions))
    around = np.concatenate([[inputs], layers, [1]])
    a_unit = 2 * (around[widest] + around[widest + 2])
    rest = matrix_flops(around) - a_unit * layers[widest]
    layers[widest] = max(1, round((flops - rest) / a_unit))
    found = matrix_flops([inputs, *layers, 1])
    if found > flops + a_unit / 2:  # even one unit is too many
        raise ValueError(
            f"hidden_at: no layers in the proportions {list(widths)} over {inputs} inputs have "
            f"as few as {flops:,.0f} FLOPs; the smallest have {found:,}"
        )
    return (*map(int, layers), 1)


def largest_drop(size_parameters: Sequence[int]) -> float:
    """The most by which a layer has fewer units than the one before it, as a ratio, >= 1.

    The input counts as a layer and the output does not, as in appendix B.1.

    >>> largest_drop([3328, 1024, 32, 32, 32, 1])
    32.0
    """
    units = np.array(check_size_parameters(size_parameters)[:-1], float)
    return float((units[:-1] / units[1:]).max(initial=1.0))


def narrowest(size_parameters: Sequence[int]) -> int:
    """Units of the narrowest hidden layer.

    >>> narrowest([3328, 1024, 32, 32, 32, 1])
    32
    """
    return min(check_size_parameters(size_parameters)[1:-1])


def shapes_at(
    levels: Sequence[float],
    ratios: Sequence[float],
    others: Sequence[Mapping],
    inputs: int,
    rule: float = RULE,
) -> pd.DataFrame:
    """The shapes of a study: [r, 1, 1, 1] for each ratio r, and others, at each level of FLOPs.

    Args:
      levels: FLOPs of a user-ad pair.
      ratios: of the first hidden layer to each of three others.
      others: {"shape": name, "widths": proportions of the hidden layers} of each further shape.
      inputs: a_0; rule: the largest ratio of neighbouring layers that counts as within the rule.

    Returns: DataFrame, a row a shape and level: model, level, shape, is_ratio, hidden,
      size_parameters, flops, drop (`largest_drop`), narrowest, within_rule.
    Raises: ValueError for fewer than two shapes within the rule at a level, which are what others
      are compared with, and for shapes of one name.

    >>> shapes = shapes_at([6288], [4, 1, 32], [], inputs=86)
    >>> shapes[["shape", "hidden", "drop", "within_rule"]].values.tolist()[2]
    ['ratio 32', (36, 1, 1, 1, 1), 36.0, False]
    """
    named = [(f"ratio {ratio:g}", [ratio, 1, 1, 1], True) for ratio in ratios]
    named += [(other["shape"], other["widths"], False) for other in others]
    names = [name for name, *_ in named]
    if len(set(names)) < len(names):
        raise ValueError(f"shapes must have different names; got {names}")
    rows = []
    for level in levels:
        for name, widths, is_ratio in named:
            hidden = hidden_at(widths, inputs, level)
            size = (inputs, *hidden)
            rows.append(
                {
                    "model": f"{name} at {level:g} FLOPs",
                    "level": level,
                    "shape": name,
                    "is_ratio": is_ratio,
                    "hidden": hidden,
                    "size_parameters": list(size),
                    "flops": int(matrix_flops(size)),
                    "drop": largest_drop(size),
                    "narrowest": narrowest(size),
                    "within_rule": largest_drop(size) <= rule,
                }
            )
        if sum(row["within_rule"] for row in rows if row["level"] == level) < 2:
            raise ValueError(
                f"ratios and other shapes: two or more must be within the rule of {rule:g} at "
                f"{level:g} FLOPs; got ratios {list(ratios)}"
            )
    return pd.DataFrame(rows)
