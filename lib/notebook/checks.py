"""Parameters of a notebook, checked before long work starts: one sentence names what is wrong.

`lib.run.parameters` has checked names and types by then; here it is values.
"""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd


def positive(**parameters: float | Iterable[float]) -> None:
    """ValueError unless each parameter, or each number of a list, is finite and above 0.

    >>> positive(workers=2, output_units=[32, 64])
    >>> positive(workers=2, draws=0)
    Traceback (most recent call last):
    ValueError: draws must be > 0; got 0
    """
    _all_numbers(parameters, lambda value: value > 0, "> 0")


def not_negative(**parameters: float | Iterable[float]) -> None:
    """ValueError unless each parameter, or each number of a list, is finite and 0 or more."""
    _all_numbers(parameters, lambda value: value >= 0, ">= 0")


def not_empty(**parameters: list | str) -> None:
    """ValueError for a list or text without content.

    >>> not_empty(sizes=[])
    Traceback (most recent call last):
    ValueError: sizes must not be empty; got []
    """
    for name, value in parameters.items():
        if not len(value):
            raise ValueError(f"{name} must not be empty; got {value!r}")


def one_of(options: Iterable, **parameters) -> None:
    """ValueError unless each parameter is one of the options.

    >>> one_of(("incremental", "total"), roi="net")
    Traceback (most recent call last):
    ValueError: roi must be one of 'incremental', 'total'; got 'net'
    """
    options = list(options)
    for name, value in parameters.items():
        if value not in options:
            raise ValueError(
                f"{name} must be one of {', '.join(map(repr, options))}; got {value!r}"
            )


def below(limit: float, **parameters: float) -> None:
    """ValueError unless each parameter is above 0 and below the limit.

    >>> below(60000, train_impressions=60000)
    Traceback (most recent call last):
    ValueError: train_impressions must lie between 0 and 60000; got 60000
    """
    for name, value in parameters.items():
        if not 0 < value < limit:
            raise ValueError(f"{name} must lie between 0 and {limit}; got {value!r}")


def column(table: pd.DataFrame, **parameters: str) -> None:
    """ValueError unless each parameter names a column of numbers, with one in every row.

    >>> column(pd.DataFrame({"model": ["a"], "ndcg": [0.9]}), metric="auc")
    Traceback (most recent call last):
    ValueError: metric must be a column of numbers in the table: 'ndcg'; got 'auc'
    """
    path = table.attrs.get("path", "the table")
    numbers = [str(name) for name in table.select_dtypes("number")]
    for name, value in parameters.items():
        if value not in numbers:
            raise ValueError(
                f"{name} must be a column of numbers in {path}: "
                f"{', '.join(map(repr, numbers))}; got {value!r}"
            )
        bad = ~np.isfinite(table[value].to_numpy(float))
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(
                f"{path}: column {value}, row {row} (model {table['model'].iloc[row]!r}): expected "
                f"a finite number; got {table[value].iloc[row]}"
            )


def model_row(table: pd.DataFrame, **parameters: str) -> pd.Series:
    """The one row of a table whose `model` a parameter names.

    Raises: ValueError naming parameter, file and the models there are, where there is no such
      row or more than one.

    >>> int(model_row(pd.DataFrame({"model": ["a", "b"], "flops": [1, 2]}), base_model="b").flops)
    2
    """
    ((name, model),) = parameters.items()
    rows = table[table["model"].astype(str) == str(model)]
    if len(rows) != 1:
        models = ", ".join(map(repr, table["model"].astype(str).unique()))
        raise ValueError(
            f"{name} must be the model of one row in {table.attrs.get('path', 'the table')}, "
            f"which holds {models}; got {model!r}, {len(rows)} rows"
        )
    return rows.iloc[0]


def _all_numbers(parameters, allowed, expected):
    for name, value in parameters.items():
        for number in value if isinstance(value, Iterable) else [value]:
            if not (math.isfinite(number) and allowed(number)):
                raise ValueError(f"{name} must be {expected}; got {value!r}")
