"""A costs table of the reader's own, checked row by row."""

import json
import math
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import pydantic
from pydantic import Field

from lib.models.flop_count import matrix_flops

Positive = Annotated[float, Field(gt=0)]  # inf: a size that cannot be served
NotNegative = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


class CostRow(pydantic.BaseModel):
    """A row of the costs table: a size on a machine. Further columns are kept as they are."""

    family: Literal["mlp", "twin_tower", "dlrm"]
    size_parameters: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2)]
    engine: Name
    precision: Name
    machine: Name
    candidates: Annotated[int, Field(gt=0)]
    latency_limit_ms: Positive
    qps: NotNegative  # of one machine at the limit; 0: cannot meet it
    qps_low: NotNegative
    qps_high: NotNegative
    machines: Positive
    cost_per_hour: NotNegative


def load_costs(path):
    """A costs table of the reader's own, checked.

    Args:
      path: Parquet, or CSV with size_parameters written as "[3328, 1024, 1]".

    Returns: DataFrame with the columns of `CostRow`, size_parameters as lists, and whatever
    further columns the file has. Two are added if it lacks them: `flops` of a user-ad pair,
    and `form`, which for an MLP is then taken to be the one with the cached first layer. Rows
    whose column `failure` gives a reason are left out: they were not measured
    (`lib.serving.load.load_tests.load_test_task`).
    Raises: FileNotFoundError; ValueError naming the file, column and row (the first is 0) of
      the first bad value.
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".csv"):
        raise ValueError(f"{path}: a costs table must be .parquet or .csv")
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    missing = [name for name in CostRow.model_fields if name not in table]
    if missing:
        raise ValueError(
            f"{path}: column {missing[0]} is missing; found {', '.join(table.columns)}"
        )
    if "failure" in table:
        table = table[table["failure"].fillna("") == ""].reset_index(drop=True)
    if table.empty:
        raise ValueError(f"{path}: the table has no rows that were measured")
    table["size_parameters"] = [_as_list(value) for value in table["size_parameters"]]
    for i, row in enumerate(table[list(CostRow.model_fields)].to_dict("records")):
        try:
            row = CostRow(**row)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            column = first["loc"][0]
            raise ValueError(
                f"{path}: column {column}, row {i}: {first['msg']}; got {table[column][i]!r}"
            ) from None
        if not row.qps_low <= row.qps <= row.qps_high:
            raise ValueError(
                f"{path}: column qps, row {i}: must lie in qps_low .. qps_high; "
                f"got {row.qps} in {row.qps_low} .. {row.qps_high}"
            )
    if "form" not in table:
        table["form"] = table["family"].replace({"mlp": "first_layer_optimised"})
    if "flops" not in table:
        table["flops"] = [
            matrix_flops(size, family) if family != "dlrm" else math.nan
            for size, family in zip(table["size_parameters"], table["family"], strict=True)
        ]
    return table


def _as_list(value):
    """Size parameters of a Parquet list or of a CSV's text; other values as they are."""
    try:
        return json.loads(value) if isinstance(value, str) else list(value)
    except (ValueError, TypeError):
        return value
