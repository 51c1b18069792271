"""What a law is worth outside its points: fit to the small sizes, ask for a larger one.

A law with more parameters follows its points better and need not predict better; only
sizes it has not seen can tell. Here every law stands the same test on the reader's own
points: ours, a power law, and the paper's recipe with each number of breaks.
"""

import numpy as np
import pandas as pd
from tqdm import tqdm

from lib.laws.basin_hopping import BasinHoppingBNSL
from lib.laws.bnsl import BNSL, PowerLaw
from lib.laws.observations import check_points


def predict_next_size(
    x,
    y,
    groups=None,
    *,
    least=5,
    breaks=(),
    hops=100,
    seed=0,
    interval=0.9,
    direction="auto",
    bound=None,
):
    """Laws fitted to the n smallest sizes, n = least, least + 1, ..., and asked for the next.

    Args:
      x, y, groups: measurements, as `BNSL.fit` takes them.
      least: sizes in the smallest fit, >= 4.
      breaks: numbers of breaks (the paper's t) for `BasinHoppingBNSL`.
      hops, seed: of basin-hopping.
      interval: probability of the intervals of the laws that have one.
      direction, bound: as in `BNSL`.

    Returns: DataFrame, a row a law and fit: law, sizes (fitted to), x (of the next size),
      measured (mean of its repeats), predicted, low, high (NaN for basin-hopping),
      error (predicted - measured), r_squared (in sample).
    Raises: ValueError where no size is left to ask for, and as `BNSL.fit`.

    >>> flops = np.geomspace(1e6, 1e8, 7)
    >>> table = predict_next_size(flops, 0.9 - 0.1 * (flops / 1e6) ** -0.4, breaks=[1])
    >>> table[["law", "sizes"]].values.tolist()[:3]
    [['average of laws', 5], ['power law', 5], ['basin-hopping, t = 1', 5]]
    """
    if least < 4:
        raise ValueError(f"predict_next_size: least must be >= 4; got {least}")
    x, y, groups = check_points(x, y, groups, name="predict_next_size", least=least + 1)
    sizes = np.unique(x)
    shape = {"direction": direction, "bound": bound}
    laws = {
        "average of laws": BNSL(**shape),
        "power law": PowerLaw(**shape),
        **{
            f"basin-hopping, t = {t}": BasinHoppingBNSL(
                t, hops=hops, seed=seed, direction=direction
            )
            for t in breaks
        },
    }
    rows = []
    for n in tqdm(range(least, len(sizes)), desc="next sizes", leave=False):
        known, asked = x < sizes[n], x == sizes[n]
        for name, law in laws.items():
            if isinstance(law, BNSL):
                law.fit(x[known], y[known], groups[known])
                predicted = law.predict(sizes[n], interval)
            else:
                law.fit(x[known], y[known])
                predicted = law.predict(sizes[n]), np.nan, np.nan
            rows.append(
                [name, n, sizes[n], y[asked].mean(), *map(float, predicted), law.r_squared_]
            )
    table = pd.DataFrame(
        rows, columns=["law", "sizes", "x", "measured", "predicted", "low", "high", "r_squared"]
    )
    table.insert(7, "error", table.predicted - table.measured)
    return table
