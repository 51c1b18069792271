"""The tables that a reader may bring, each with one reader and one schema.

Every reader takes a CSV or a Parquet file and returns a DataFrame whose columns have the right
types; further columns of the file are kept as they are. What cannot be used raises TableError
with the file, the column, the row (the first is 0), what it holds and what was expected.

| table          | reader                | one row is                                       |
| -------------- | --------------------- | ------------------------------------------------ |
| measurements   | `load_measurements`   | a trained model, evaluated offline               |
| ab_tests       | `load_ab_tests`       | an online test of a model against the base       |
| trainings      | `load_trainings`      | a training of a study of the simulated system    |
| costs          | `load_costs`          | a size on a machine                              |
| training_costs | `load_training_costs` | a size whose training was timed                  |
| lifts          | `load_lifts`          | a size whose lift is known, or asked for         |
| sizes          | `load_sizes`          | a size with what it earns and costs (Eq 8 and 9) |
| grid           | `load_grid`           | a size to choose from                            |
| scenarios      | `load_scenarios`      | a size of one of many scenarios (Eq 9)           |

`lib.logs.suspicions` says what can be used and yet looks wrong, such as lifts that may be percents.
"""

import difflib
import math
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from lib.logs.errors import TableError
from lib.logs.table_files import (
    cell_error,
    check_once,
    number,
    path_of,
    plain,
    read_table,
    shown,
    sizes,
    text,
    text_of,
)
from lib.models.flop_count import matrix_flops

FRACTION = "a fraction in -1 .. 1, as 0.0085 for 0.85 %"
LIFT = {"ge": -1.0, "le": 1.0, "expected": FRACTION}
OPTIONAL = {"required": False, "nullable": True}
METRICS = (
    "r_over_r_star",
    "ndcg",
    "recall",
    "opa",
    "revenue_ndcg",
    "joint_recall",
    "revenue_weighted_r_over_r_star",
)

# Columns that tell rows of one model apart where a table has them.
SYSTEM = {
    "world": text(blank=True, required=False),
    "dial": text(blank=True, required=False),
    "value": number(**OPTIONAL),
}
MEASUREMENTS = pa.DataFrameSchema(
    {
        "model": text(),
        **SYSTEM,
        "set": text(blank=True, required=False),
        "kind": text(blank=True, required=False),
        "family": text(blank=True, required=False),
        "size_parameters": sizes(**OPTIONAL),
        "flops": number(gt=0, **OPTIONAL),
        "samples": number(ge=0, **OPTIONAL),
        "seed": number(**OPTIONAL),
        # A metric may also be given at several m, as recall@2.
        rf"^({'|'.join(METRICS)})(@\d+)?$": number(regex=True, **OPTIONAL),
        r"^.+_se$": number(ge=0, regex=True, **OPTIONAL),
    }
)
AB_TESTS = pa.DataFrameSchema(
    {
        "model": text(),
        **SYSTEM,
        "revenue_lift": number(**LIFT),
        r"^revenue_lift_(gsp|true)$": number(regex=True, **OPTIONAL, **LIFT),
        r"^revenue_lift_.*(se|spread)$": number(ge=0, regex=True, **OPTIONAL),
        "impressions": number(ge=0, **OPTIONAL),
        "users": number(ge=0, **OPTIONAL),
    }
)
TRAININGS = MEASUREMENTS.add_columns(AB_TESTS.columns).update_columns(
    {
        **{column: {"required": True} for column in ("world", "dial", "value", "set", "kind")},
        "seed": {"required": True, "nullable": False},
    }
)
WORLDS = pa.DataFrameSchema(
    {
        "world": text(),
        "dial": text(blank=True),
        "value": number(nullable=True),
        "oracle_gap": number(),
        "change": number(nullable=True),
    }
)
COSTS = pa.DataFrameSchema(
    {
        "family": text(among=("mlp", "twin_tower", "dlrm")),
        "size_parameters": sizes(),
        "engine": text(),
        "precision": text(),
        "machine": text(),
        "candidates": number(ge=1, le=10**12, whole=True),
        "latency_limit_ms": number(gt=0),
        "qps": number(ge=0),  # of one machine at the limit; 0: cannot meet it
        "qps_low": number(ge=0),
        "qps_high": number(ge=0),
        "machines": number(gt=0, infinite=True),  # inf: a size that cannot be served
        "cost_per_hour": number(ge=0, infinite=True),
        "form": text(required=False),
        "flops": number(gt=0, **OPTIONAL),
        "service_ms": number(gt=0, **OPTIONAL),
        "workers": number(ge=1, whole=True, required=False),
        "user_width": number(ge=0, whole=True, **OPTIONAL),
        r"^p(50|95|99)_ms$": number(ge=0, regex=True, **OPTIONAL),
        "failure": text(blank=True, required=False),
    }
)
TRAINING_COSTS = pa.DataFrameSchema(
    {
        "size_parameters": sizes(),
        "impressions_per_second": number(gt=0),
        "form": text(required=False),
        "failure": text(blank=True, required=False),
    }
)
LIFTS = pa.DataFrameSchema(
    {"model": text(), "flops": number(gt=0), "revenue_lift": number(nullable=True, **LIFT)}
)
SIZES = pa.DataFrameSchema(
    {
        "size_parameters": sizes(),
        "flops": number(gt=0),
        "lift": number(),
        "lift_low": number(),
        "lift_high": number(),
        "machine_cost_per_hour": number(ge=0, infinite=True),
    }
)

YES_OR_NO = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}
SCENARIOS = pa.DataFrameSchema(
    {
        "scenario": text(),
        "size_parameters": sizes(**OPTIONAL),
        "revenue": number(),
        "cost": number(infinite=True),  # inf: a size that cannot be served
        "pool": text(required=False),
        "roi_min": number(ge=0, required=False),
        "least_revenue": number(required=False),
        "capacity": number(required=False),
        "least_capacity": number(required=False),
        "machine_price": number(gt=0, required=False),
        "switching_cost": number(ge=0, required=False),
    }
)


GRID = pa.DataFrameSchema({"size_parameters": sizes()})
MOST_UNMATCHED = 20  # rows without a partner that are told one by one
LONGEST_NAME = 200  # that a name of nearly the same letters is looked for


def load_measurements(path, *, need=()) -> pd.DataFrame:
    """A table of trained models, measured offline: one row a model.

    Args:
      path: of a CSV or Parquet file with a column `model`.
      need: columns that the caller must have, with a finite value in all rows, such as
        ["flops", "r_over_r_star"].

    Returns: the table; `model` is text. A column `set` says "primary" where it was blank.
    Raises: TableError; also where two rows have the same model (and world, dial, value, set and
      seed, of those that the table has).
    """
    table = read_table(path, MEASUREMENTS, need=need, name="measurements")
    check_once(table, _keys(table, "set", "seed"))
    if "set" in table:
        table["set"] = table["set"].replace("", "primary")
    return table


def load_ab_tests(path, *, need=()) -> pd.DataFrame:
    """A table of online tests against the base: one row a model.

    Args:
      path: of a CSV or Parquet file with columns `model` and `revenue_lift`, a fraction.
      need: further columns that the caller must have, such as ["revenue_lift_se"].

    Raises: TableError; also where two rows have the same model (and world, dial and value).
    """
    table = read_table(path, AB_TESTS, need=need, name="ab_tests")
    check_once(table, _keys(table))
    return table


def join_tests(measurements, ab_tests) -> tuple[pd.DataFrame, list[str]]:
    """The models that were both measured and tested, and a sentence on each other one.

    Args:
      measurements, ab_tests: of `load_measurements` and `load_ab_tests`. They are joined by
        `model` and, where both have them, `world`, `dial` and `value`.

    Returns: (table, dropped). A row of `table` has the columns of both; `impressions`, `users`
      and lifts are those of the test, and a further column of both comes twice, the test's as
      NAME_test. It always has `set` ("primary" where the tables have none), `world`
      ("your system"), `dial` ("") and `value` (NaN). `dropped` is a list of sentences, one on
      each row that has no partner; where there are many, the last one counts the rest.
    Raises: TableError where no model is in both tables, or one is twice in a table.

    >>> measured = pd.DataFrame({"model": ["a", "b"], "r_over_r_star": [0.8, 0.9]})
    >>> tested = pd.DataFrame({"model": ["a", "b "], "revenue_lift": [0.0, 0.01]})
    >>> table, dropped = join_tests(measured, tested)
    >>> table.model.tolist(), dropped[0]
    (['a'], "model 'b' of measurements is not in ab_tests (it has 'b ')")
    """
    measured, tested = path_of(measurements, "measurements"), path_of(ab_tests, "ab_tests")
    keys = [key for key in _keys(measurements) if key in ab_tests]
    for table, other in ((measurements, tested), (ab_tests, measured)):
        try:
            check_once(table, keys)
        except TableError as problem:
            further = [key for key in _keys(table) if key not in keys]
            lacks = f" (which has no column {further[0]!r})" if further else ""
            raise TableError(f"{problem}, by which it is joined to {other}{lacks}") from None
    of_tests = [
        name
        for name in ab_tests
        if name not in keys
        and (name.startswith("revenue_lift") or name in ("impressions", "users"))
    ]
    table = measurements.drop(columns=of_tests, errors="ignore").merge(
        ab_tests, on=keys, how="inner", validate="one_to_one", suffixes=("", "_test")
    )
    dropped = [
        *_unmatched(measurements, measured, ab_tests, tested, keys),
        *_unmatched(ab_tests, tested, measurements, measured, keys),
    ]
    if table.empty:
        raise TableError(
            f"no row of {measured} and {tested} agrees in {', '.join(keys)}, expected models that "
            f"are in both: {dropped[0]}"
        )
    for name, usual in (("set", "primary"), ("world", "your system"), ("dial", "")):
        table[name] = table[name].replace("", usual) if name in table else usual
    if "value" not in table:
        table["value"] = math.nan
    table.attrs = {}  # it is of two files
    return table, dropped


def load_trainings(path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A study of the simulated system that was run before (`lib.experiments.study.table.run`).

    Args:
      path: of study.csv, a row a training; worlds.csv lies beside it, a row a world.

    Returns: (worlds, trainings), as `run` returned them.
    Raises: TableError.
    """
    need = ("r_over_r_star", "revenue_lift", "revenue_lift_se")
    trainings = read_table(path, TRAININGS, need=need, name="trainings")
    check_once(trainings, _keys(trainings, "set", "seed"))
    worlds = read_table(Path(path).with_name("worlds.csv"), WORLDS, name="worlds of a study")
    check_once(worlds, ["world", "dial", "value"])
    return worlds, trainings


def load_costs(path, *, need=()) -> pd.DataFrame:
    """A costs table of the reader's own, one row a size on a machine.

    Args:
      path: of a CSV file, with size_parameters written as "[3328, 1024, 1]", or of Parquet.
      need: columns that the caller must have beyond the required ones, such as ["service_ms"].

    Returns: the table, size_parameters as lists. Two columns are added if it lacks them: `flops`
      of a user-ad pair, and `form`, which for an MLP is then taken to be the one with the cached
      first layer. Rows whose column `failure` gives a reason are left out: they were not
      measured (`lib.serving.load.load_tests.load_test_task`).
    Raises: TableError.
    """
    table = read_table(path, COSTS, need=need, name="costs", leave_out="failure")
    table["candidates"] = table["candidates"].astype("int64")
    for row, low, qps, high in table[["qps_low", "qps", "qps_high"]].itertuples():
        if not low <= qps <= high:
            raise cell_error(
                table, row, "qps", qps, f"a number in qps_low .. qps_high, {low} .. {high}"
            )
    if "form" not in table:
        table["form"] = table["family"].replace({"mlp": "first_layer_optimised"})
    if "flops" not in table:
        table["flops"] = [
            matrix_flops(size, family) if family != "dlrm" else math.nan
            for size, family in zip(table["size_parameters"], table["family"], strict=True)
        ]
    table.attrs["rows"] = table.index.tolist()  # of the file: some may have been left out
    return table.reset_index(drop=True)


def load_training_costs(path) -> pd.DataFrame:
    """How fast sizes were trained: columns size_parameters and impressions_per_second.

    Also `form` where the table has it. Rows whose column `failure` gives a reason are left out.
    As notebook 03 writes them (`lib.cost.training_cost`). Raises: TableError.
    """
    return read_table(path, TRAINING_COSTS, name="training_costs", leave_out="failure")


def load_lifts(path) -> pd.DataFrame:
    """Sizes whose lifts over a base a law is to predict: columns model, flops, revenue_lift.

    `revenue_lift`, a fraction, is NaN where it is only asked for. Raises: TableError.
    """
    table = read_table(path, LIFTS, name="lifts")
    check_once(table, ["model"])
    return table


def load_sizes(path) -> pd.DataFrame:
    """Sizes of a stage with what they earn and cost, as notebooks 04 and 05 write them.

    Columns size_parameters (lists), flops, lift, lift_low, lift_high (fractions of today's
    revenue) and machine_cost_per_hour; inf for a size that cannot be served. Raises: TableError.
    """
    table = read_table(path, SIZES, name="sizes")
    for row, low, high in table[["lift_low", "lift_high"]].itertuples():
        if low > high:
            raise cell_error(table, row, "lift_low", low, f"a number <= lift_high, {high}")
    return table


def load_grid(path) -> list[list[int]]:
    """Sizes to choose from: a column size_parameters, written as "[3328, 1024, 1]".

    Raises: TableError.
    """
    return [list(size) for size in read_table(path, GRID, name="grid")["size_parameters"]]


def load_scenarios(path) -> pd.DataFrame:
    """Sizes of any number of scenarios, one row a size (`lib.allocation.allocate_table`).

    Columns scenario, revenue and cost (currency per hour), those of the schema above where the
    table has them, and `today`: 1 or true for today's size, else 0 or false. Raises: TableError.
    """
    table = read_table(path, SCENARIOS, name="scenarios")
    if "today" in table:
        said = table["today"].map(lambda cell: YES_OR_NO.get(text_of(cell).strip().lower()))
        twice = (said == 1) & table["scenario"].where(said == 1).duplicated()
        for wrong, expected in (
            (said.isna(), "1 or true for today's size, else 0 or false"),
            (twice, "one size of today a scenario"),
        ):
            if wrong.any():
                row = wrong.idxmax()
                raise cell_error(table, row, "today", table["today"][row], expected)
        table["today"] = said.astype(bool)
    return table


def _keys(table, *further):
    """Columns that name a row of the table, of those that it has."""
    return [name for name in ("model", *SYSTEM, *further) if name in table]


def _unmatched(table, name, other, other_name, keys):
    """A sentence on each row of `table` that has none in `other` with the same keys."""
    rows = table[keys].merge(other[keys], on=keys, how="left", indicator=True)
    rows = rows[rows["_merge"] == "left_only"]
    there = list(dict.fromkeys(model for model in other["model"] if len(model) <= LONGEST_NAME))
    for _, row in rows.head(MOST_UNMATCHED).iterrows():
        found = ", ".join(f"{key} {shown(row[key])}" for key in keys if not _is_blank(row[key]))
        yield f"{found} of {name} is not in {other_name}{_nearly(row['model'], there)}"
    if len(rows) > MOST_UNMATCHED:
        yield (
            f"{len(rows) - MOST_UNMATCHED} more of the {len(table)} rows of {name} are not in "
            f"{other_name}"
        )


def _nearly(model, others):
    """Which other name nearly is this one, if one is."""
    others = [other for other in others if other != model]
    close = [other for other in others if plain(other) == plain(model)]
    if not close and len(model) <= LONGEST_NAME:
        close = difflib.get_close_matches(model, others, 1)
    return f" (it has {shown(close[0])})" if close else ""


def _is_blank(value):
    return value == "" or pd.isna(value)
