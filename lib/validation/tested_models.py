"""G of the models that count: which of the tested ones enter it, with which errors."""

import pandas as pd

from lib.validation.concave_revenue_model import fit_better
from lib.validation.revenue_model import LinearRevenueModel

PRIMARY = "primary"  # of the column `set`; models broken on purpose are "secondary"


def primary_models(tested: pd.DataFrame) -> pd.DataFrame:
    """The rows that belong to the primary set; all rows of a table without the column `set`.

    A study also holds models that were broken on purpose, to see whether metrics tell. A
    decision is not made among such models, and G must not be fitted to them: they lie far away
    from all others and would decide its slope.

    Raises: ValueError where the table has the column and no row is of the primary set, and where
      a model is there twice: G is of one system.

    >>> table = pd.DataFrame({"model": ["a", "b"], "set": ["primary", "secondary"]})
    >>> primary_models(table).model.tolist(), len(primary_models(table[["model"]]))
    (['a'], 2)
    """
    primary = tested[tested["set"] == PRIMARY] if "set" in tested else tested
    repeated = primary["model"][primary["model"].duplicated()]
    if len(repeated):
        raise ValueError(
            f"{tested.attrs.get('path', 'measurements')}: column model must name each tested model "
            f"once, in one system; {repeated.iloc[0]!r} is there more than once"
        )
    if primary.empty:
        values = ", ".join(repr(value) for value in tested.get("set", pd.Series()).unique())
        raise ValueError(
            f"{tested.attrs.get('path', 'measurements')}: column set must be {PRIMARY!r} for the "
            f"models that G is fitted to; found {values or 'no row'}"
        )
    return primary.reset_index(drop=True)


def fit_revenue_model(
    tested: pd.DataFrame, metric: str, *, draws: int = 1000, seed: int = 0
) -> LinearRevenueModel:
    """G fitted to the primary models of a table: a line, or a parabola where that is better.

    Args:
      tested: a row for each tested model, columns `metric` and revenue_lift, optional
        {metric}_se and revenue_lift_se. Only where both errors are given does the line weigh
        them (`LinearRevenueModel.fit`); with one of them it is the plain one.
      draws, seed: of the lines.
    """
    primary = primary_models(tested)
    errors = [primary.get(f"{metric}_se"), primary.get("revenue_lift_se")]
    if any(error is None for error in errors):
        errors = [None, None]
    return fit_better(primary[metric], primary["revenue_lift"], *errors, draws=draws, seed=seed)
