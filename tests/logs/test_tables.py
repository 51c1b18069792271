"""Tables of the reader's own: read right from CSV and Parquet; each fault in one clear line."""

import itertools
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.experiments.study.table import average
from lib.logs.errors import TableError
from lib.logs.tables import (
    join_tests,
    load_ab_tests,
    load_costs,
    load_grid,
    load_measurements,
    load_scenarios,
    load_training_costs,
    load_trainings,
)
from tests import ROOT
from tests.logs.made_tables import (
    MODELS,
    READERS,
    ab_tests,
    costs,
    fault,
    measurements,
    scenario_table,
    study,
    training_cost_table,
    worlds,
    written,
)

ALL = pytest.mark.parametrize("name", READERS)


# ---- what is read ---------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@ALL
def test_a_table_comes_back_with_all_its_columns(tmp_path, name, suffix):
    load, make = READERS[name]
    table = load(written(tmp_path / f"{name}.{suffix}", make()))
    if name == "costs":
        assert table.pop("form").tolist() == 2 * ["first_layer_optimised"]
        assert table.pop("flops").tolist() == [20, 36]
    expected = make()
    if name == "measurements" and suffix == "csv":
        expected["note"] = expected["note"].replace("", np.nan)  # further columns: as pandas reads
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert table.attrs["path"].endswith(f"{name}.{suffix}")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_name_stays_as_it_is_written(tmp_path, suffix):
    names = ["NA", "007", "1e3", "None", "m ä"]
    path = written(tmp_path / f"m.{suffix}", measurements().assign(model=names))
    assert load_measurements(path).model.tolist() == names


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("kind", ["int64", "float64", "category", "object"])
def test_models_that_are_numbers_are_names(tmp_path, suffix, kind):
    numbers = pd.Series(range(5)).astype(kind)
    measured = written(tmp_path / f"m.{suffix}", measurements().assign(model=numbers))
    tested = written(tmp_path / "a.csv", ab_tests().assign(model=range(5)))
    table = load_measurements(measured)
    if (suffix, kind) != ("csv", "float64"):  # a text file says 0.0: it is another name than 0
        assert table.model.tolist() == list("01234")
        assert len(join_tests(table, load_ab_tests(tested))[0]) == 5


def test_an_index_of_pandas_is_a_column(tmp_path):
    measurements().set_index("model").to_parquet(tmp_path / "m.parquet")
    assert load_measurements(tmp_path / "m.parquet").model.tolist() == MODELS


def test_a_mark_of_unicode_is_no_part_of_the_first_column(tmp_path):
    measurements().to_csv(tmp_path / "m.csv", index=False, encoding="utf-8-sig")
    assert load_measurements(tmp_path / "m.csv").model.tolist() == MODELS


def test_metrics_that_nobody_needs_may_be_absent_or_empty(tmp_path):
    table = measurements()[["model", "flops", "r_over_r_star"]].assign(ndcg=np.nan)
    path = written(tmp_path / "m.csv", table)
    assert load_measurements(path, need=["flops", "r_over_r_star"]).ndcg.isna().all()
    fault(load_measurements, path, "column 'ndcg', row 0 (model 'm0')", "no value", need=["ndcg"])
    fault(load_measurements, path, "column 'opa' is missing", need=["opa"])


def test_a_number_of_the_reader_s_own_can_be_needed(tmp_path):
    path = written(tmp_path / "m.csv", measurements().assign(auc=[0.1, 0.2, np.nan, 0.4, 0.5]))
    assert load_measurements(path).auc.isna().sum() == 1
    fault(load_measurements, path, "column 'auc', row 2 (model 'm2')", "number", need=["auc"])
    fault(load_measurements, path, "column 'note', row 0", "'a'", "number", need=["note"])


def test_a_blank_set_is_the_primary_one(tmp_path):
    path = written(tmp_path / "m.csv", measurements().assign(set=["", "broken", "", "", ""]))
    assert load_measurements(path).set.tolist() == ["primary", "broken"] + 3 * ["primary"]


@pytest.mark.parametrize(
    "kind", [pa.int16(), pa.uint16(), pa.int32(), pa.int64(), pa.float64()], ids=str
)
def test_sizes_of_any_whole_number_are_counted_right(tmp_path, kind):
    """Products of narrow integers would wrap around: [3328, 1024, ...] has 7.6 million FLOPs."""
    sizes = [[3328, 1024, 256, 256, 256, 1], [30000, 2048, 1]]
    table = pa.Table.from_pandas(costs().drop(columns="size_parameters"), preserve_index=False)
    table = table.append_column("size_parameters", pa.array(sizes, pa.list_(kind)))
    pq.write_table(table, tmp_path / "costs.parquet")
    read = load_costs(tmp_path / "costs.parquet")
    assert read.flops.tolist() == [7602688, 2 * (30000 * 2048 + 2048)]
    assert read.size_parameters.tolist() == sizes
    assert {type(size) for size in read.size_parameters[0]} == {int}


def test_rows_that_were_not_measured_are_left_out(tmp_path):
    table = pd.concat([costs()[:1].assign(qps=np.nan, failure="too slow"), costs()])
    read = load_costs(written(tmp_path / "costs.csv", table))
    assert read.qps.tolist() == [900.0, 700.0] and read.index.tolist() == [0, 1]
    bad = table.assign(machines=[1.0, 1.0, 0.0])
    fault(load_costs, written(tmp_path / "bad.csv", bad), "column 'machines', row 2", "found 0.0")
    fault(load_costs, written(tmp_path / "none.csv", table[:1]), "no rows", "failure")


def test_a_study_as_the_run_returned_it(tmp_path):
    """The committed study: the columns, types and numbers that pandas reads."""
    folder = ROOT / "outputs" / "quick" / "01_metric_validation"
    built, trainings = load_trainings(folder / "study.csv")
    plain = pd.read_csv(folder / "study.csv", dtype={"dial": "str"}).fillna({"dial": ""})
    plain["size_parameters"] = plain["size_parameters"].map(json.loads)
    pd.testing.assert_frame_equal(trainings, plain)
    assert built.world.tolist() == ["notebook 00", "M seed 1", "M seed 2"]
    assert built.dial.tolist() == [""] * 3
    assert len(average(trainings)) == 3 * 16


# ---- what is refused ------------------------------------------------------


@ALL
def test_no_such_file(tmp_path, name):
    load, _ = READERS[name]
    fault(load, tmp_path / "none.csv", "no such file", name)
    fault(load, tmp_path / "costs.xlsx", "found .xlsx, expected .csv or .parquet")
    (tmp_path / "folder.csv").mkdir()
    fault(load, tmp_path / "folder.csv", "no such file")
    with pytest.raises(TableError, match=rf"{name}: no file is named; expected .*\.csv"):
        load("")


@ALL
def test_files_that_are_no_table(tmp_path, name):
    load, make = READERS[name]
    path = tmp_path / "t.csv"
    path.write_text("")
    fault(load, path, "the file is empty; expected a line of column names")
    path.write_bytes(b"model,note\na,K\xf6ln\n")
    fault(load, path, "0xf6", "UTF-8")
    written(path, make()[:0])
    fault(load, path, "no rows; expected one or more")
    damaged = written(tmp_path / "t.parquet", make())
    for content in (b"", b"not Parquet", damaged.read_bytes()[:-20]):
        damaged.write_bytes(content)
        fault(load, damaged, "not readable as Parquet")


@pytest.mark.parametrize("row", ["m1,2,0.8,9", "m1,2,0.8,9,,", 'm1,2,"0.8'])
@pytest.mark.parametrize("place", [0, 1])
def test_rows_of_too_many_fields(tmp_path, row, place):
    lines = ["m0,1,0.7", "m2,3,0.9"]
    lines.insert(place, row)
    path = tmp_path / "ragged.csv"
    path.write_text("\n".join(["model,flops,r_over_r_star", *lines]))
    fault(load_measurements, path, "expected as many fields")


def test_rows_of_too_few_fields(tmp_path):
    path = tmp_path / "ragged.csv"
    path.write_text("model,flops,r_over_r_star\nm0,1,0.7\n\nm1,2\n")
    fault(load_measurements, path, "row 1: found 2 fields, ['m1', '2']", "expected as many fields")


def test_two_columns_of_one_name(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("model,flops,flops\na,1,2\n")
    fault(load_measurements, path, "two columns are called 'flops'")
    table = pa.table([["a"], [1], [2]], names=["model", "flops", "flops"])
    pq.write_table(table, tmp_path / "m.parquet")
    fault(load_measurements, tmp_path / "m.parquet", "two columns are called 'flops'")


@pytest.mark.parametrize("name", ["FLOPs", " flops", "Flops "])
def test_a_column_of_nearly_the_name(tmp_path, name):
    path = written(tmp_path / "m.csv", measurements().rename(columns={"flops": name}))
    fault(load_measurements, path, f"column 'flops' is missing (it has {name!r})", need=["flops"])


def required(name):
    make = READERS[name][1]
    optional = ("note", "source", "flops", "ndcg", "r_over_r_star", "impressions", "today")
    return [
        (name, column)
        for column in make()
        if (name in ("lifts", "sizes") and column != "source") or column not in optional
        if not (name in ("measurements", "ab_tests") and column.endswith("_se"))
    ]


@pytest.mark.parametrize(
    ("name", "column"), list(itertools.chain.from_iterable(map(required, READERS)))
)
def test_every_column_that_is_required(tmp_path, name, column):
    load, make = READERS[name]
    path = written(tmp_path / "t.csv", make().drop(columns=column))
    fault(load, path, f"column {column!r} is missing", "the file has")


ANY_NUMBER = [np.inf, "1,000,000", "n.a.", "0.85%", "2026-01-01"]
CELLS = [
    *(("measurements", "flops", value) for value in (*ANY_NUMBER, 0, -5.0)),
    *(("measurements", "r_over_r_star", value) for value in (*ANY_NUMBER, -np.inf)),
    *(("measurements", "r_over_r_star_se", value) for value in (*ANY_NUMBER, -0.1)),
    *(("measurements", "model", value) for value in ("", "  ", None, np.nan, "m0")),
    *(("ab_tests", "revenue_lift", value) for value in (*ANY_NUMBER, np.nan, None, 1.5, -3.0)),
    *(("ab_tests", "revenue_lift_se", value) for value in (*ANY_NUMBER, -0.1)),
    *(("ab_tests", "impressions", value) for value in (*ANY_NUMBER, -1)),
    *(("ab_tests", "model", value) for value in ("", " ", "m0")),
    *(("costs", "qps", value) for value in (*ANY_NUMBER, np.nan, -1.0, 800.0)),
    *(("costs", "family", value) for value in ("cnn", "", "MLP")),
    *(("costs", "engine", value) for value in ("", " ")),
    *(("costs", "candidates", value) for value in (*ANY_NUMBER, np.nan, 0, -2, 1.5)),
    *(("costs", "latency_limit_ms", value) for value in (*ANY_NUMBER, np.nan, 0.0)),
    *(("costs", "machines", value) for value in ("1,000", np.nan, 0.0, -1.0)),
    *(("costs", "cost_per_hour", value) for value in ("$ 3", np.nan, -1.0)),
    *(("lifts", "flops", value) for value in (*ANY_NUMBER, np.nan, 0)),
    *(("lifts", "revenue_lift", value) for value in ("+0.38 %", "x", np.inf, 38.0)),
    *(("lifts", "model", value) for value in ("", "base")),
    *(("sizes", "flops", value) for value in (*ANY_NUMBER, np.nan, 0)),
    *(("sizes", "lift", value) for value in (*ANY_NUMBER, np.nan)),
    *(("sizes", "lift_low", value) for value in (*ANY_NUMBER, np.nan, 0.03)),
    *(("sizes", "machine_cost_per_hour", value) for value in ("1,000", np.nan, -1.0)),
]


@pytest.mark.parametrize(("name", "column", "value"), CELLS)
def test_a_bad_cell_is_named(tmp_path, name, column, value):
    load, make = READERS[name]
    table = make()
    values = table[column].tolist()
    values[1] = value
    path = written(
        tmp_path / "table.csv", table.assign(**{column: pd.Series(values, dtype=object)})
    )
    message = fault(load, path, f"{column}", "row 1", "found", "expected")
    if isinstance(value, str) and value.strip():
        assert repr(value) in message
    elif isinstance(value, float) and np.isfinite(value):
        assert repr(value) in message
    if column == "revenue_lift":
        assert "0.0085 for 0.85 %" in message


@pytest.mark.parametrize(
    "value", [True, pd.Timestamp("2026-01-01"), pd.Timedelta("1s"), [1, 2], {"a": 1}, b"x"], ids=str
)
@pytest.mark.parametrize("column", ["flops", "ndcg"])
def test_what_is_no_number_in_parquet(tmp_path, column, value):
    table = measurements().assign(**{column: pd.Series([value] * 5)})
    path = written(tmp_path / "m.parquet", table)
    fault(load_measurements, path, f"column {column!r}, row 0", "found", "a finite number")


@pytest.mark.parametrize("kind", ["int8", "uint64", "float32", "category", "str", "decimal"])
def test_numbers_of_any_type_of_parquet(tmp_path, kind):
    flops = pd.Series([10, 20, 30, 40, 50])
    flops = flops.map(Decimal) if kind == "decimal" else flops.astype(kind)
    path = written(tmp_path / "m.parquet", measurements().assign(flops=flops))
    assert load_measurements(path, need=["flops"]).flops.sum() == 150


def test_lists_are_no_names(tmp_path):
    path = written(tmp_path / "m.parquet", measurements().assign(model=[[i] for i in range(5)]))
    fault(load_measurements, path, "column 'model', row 0: found [0], expected a name")


@pytest.mark.parametrize(
    "value", [[4.5, 1.0], [4.0], [], [np.nan, 1.0], None, [-1.0, 2.0]], ids=str
)
def test_size_parameters_of_parquet_that_are_none(tmp_path, value):
    path = written(tmp_path / "t.parquet", costs().assign(size_parameters=[[4.0, 1.0], value]))
    fault(
        load_costs, path, "column 'size_parameters', row 1", "a list of two or more whole numbers"
    )


def test_a_long_cell_is_cut(tmp_path):
    path = written(tmp_path / "m.csv", measurements().assign(flops=5 * ["x" * 1000]))
    assert len(fault(load_measurements, path, "'xxx", "...")) < 300 + len(str(path))


@pytest.mark.parametrize(
    "value",
    [[], [4], [4, -2], [4, 0], [4.5, 1], [10**9, 1], "4 2 1", "", "[4, true]", '"42"', None],
)
@pytest.mark.parametrize("name", ["costs", "sizes"])
def test_size_parameters_that_are_none(tmp_path, name, value):
    load, make = READERS[name]
    path = written(tmp_path / "t.csv", make().assign(size_parameters=[[4, 2, 1], value]))
    fault(load, path, "column 'size_parameters', row 1", "a list of two or more whole numbers")


def test_the_topmost_fault_comes_first(tmp_path):
    table = measurements().assign(flops=[1, 2, 3, -4, 5], ndcg=[0.1, 0.2, np.inf, 0.4, 0.5])
    path = written(tmp_path / "m.csv", table)
    fault(load_measurements, path, "column 'ndcg', row 2 (model 'm2'): found inf")


@pytest.mark.parametrize("key", ["world", "dial", "value", "set", "seed"])
def test_a_model_may_stand_twice_where_a_column_tells_the_rows_apart(tmp_path, key):
    values = [0, 1] if key in ("value", "seed") else ["a", "b"]
    table = pd.concat([measurements().assign(**{key: value}) for value in values])
    assert len(load_measurements(written(tmp_path / "m.csv", table))) == 10
    table[key] = values[0]
    fault(load_measurements, written(tmp_path / "m.csv", table), "row 5", "row 0", "'m0'", key)


def test_rows_alike_in_no_value(tmp_path):
    table = measurements().assign(model=["a", "b", "b", "b", "c"], seed=[0, 1, None, None, 0])
    path = written(tmp_path / "m.csv", table)
    fault(load_measurements, path, "row 3: found model = 'b', seed = no value, as in row 2")


@pytest.mark.parametrize(
    ("column", "value"), [("ndcg", "high"), ("revenue_lift", "x"), ("revenue_lift_se", np.nan)]
)
def test_a_study_refuses_a_value(tmp_path, column, value):
    table = study().assign(ndcg=0.7)
    values = table[column].tolist()
    values[3] = value
    path = written(
        tmp_path / "study.csv", table.assign(**{column: pd.Series(values, dtype=object)})
    )
    written(tmp_path / "worlds.csv", worlds())
    fault(load_trainings, path, f"column {column!r}, row 3 (model 'm3')", "expected")


def test_a_study_without_its_columns_or_worlds(tmp_path):
    path = written(tmp_path / "study.csv", study())
    with pytest.raises(TableError, match=r"worlds\.csv: no such file"):
        load_trainings(path)
    written(tmp_path / "worlds.csv", worlds().drop(columns="oracle_gap"))
    with pytest.raises(TableError, match=r"worlds\.csv: column 'oracle_gap' is missing"):
        load_trainings(path)
    written(tmp_path / "worlds.csv", worlds())
    built, trainings = load_trainings(path)
    pd.testing.assert_frame_equal(trainings, study(), check_dtype=False)
    pd.testing.assert_frame_equal(built, worlds(), check_dtype=False)
    for column in ("world", "dial", "value", "set", "kind", "model", "seed", "r_over_r_star"):
        written(path, study().drop(columns=column))
        fault(load_trainings, path, f"column {column!r} is missing")


# ---- measurements and tests joined ----------------------------------------


def joined(folder, measured, tested):
    return join_tests(
        load_measurements(written(folder / "measurements.csv", measured)),
        load_ab_tests(written(folder / "ab_tests.csv", tested)),
    )


def test_models_without_a_partner_are_named(tmp_path):
    names = ["m0", "m1", "m2 ", "M5", "m4"]
    table, dropped = joined(tmp_path, measurements(), ab_tests().assign(model=names))
    assert table.model.tolist() == ["m0", "m1", "m4"]
    assert len(dropped) == 4
    assert "model 'm2' of " in dropped[0] and "ab_tests.csv (it has 'm2 ')" in dropped[0]
    assert "model 'M5' of " in dropped[3] and "is not in " in dropped[3]
    assert joined(tmp_path, measurements(), ab_tests())[1] == []


def test_the_plain_system_is_named(tmp_path):
    table, _ = joined(tmp_path, measurements(), ab_tests())
    assert set(table.world) == {"your system"} and set(table.set) == {"primary"}
    assert set(table.dial) == {""} and table.value.isna().all()


def test_rows_are_joined_by_what_both_tables_tell_apart(tmp_path):
    def three(table):
        settings = (("", np.nan), ("late tests", 0.0), ("late tests", 9.0))
        return pd.concat([table.assign(dial=dial, value=value) for dial, value in settings])

    tested = three(ab_tests()).assign(revenue_lift=np.arange(15) / 100)
    table, dropped = joined(tmp_path, three(measurements()), tested[:-1])
    assert table.revenue_lift.tolist() == tested.revenue_lift.tolist()[:-1]
    assert len(dropped) == 1
    assert "model 'm4', dial 'late tests', value 9.0 of " in dropped[0]


def test_the_lift_is_that_of_the_test(tmp_path):
    measured = measurements().assign(revenue_lift=0.5, impressions=3, samples=7, users=1.0)
    table, _ = joined(tmp_path, measured, ab_tests().assign(samples=9))
    assert table.revenue_lift.tolist() == ab_tests().revenue_lift.tolist()
    assert set(table.impressions) == {10**6}
    assert (table.samples == 7).all() and (table.samples_test == 9).all()


def test_many_models_without_a_partner_are_counted(tmp_path):
    others = pd.DataFrame({"model": [f"x{i}" for i in range(1000)]})
    measured = pd.concat([measurements(), others.assign(flops=1, r_over_r_star=0.5)])
    _, dropped = joined(tmp_path, measured, ab_tests())
    assert len(dropped) == 21 and "980 more of the 1005 rows of " in dropped[-1]


def test_rows_of_costs_are_those_of_the_file(tmp_path):
    table = pd.concat([costs()[:1].assign(qps=np.nan, failure="too slow"), costs()])
    read = load_costs(written(tmp_path / "costs.csv", table))
    assert read.attrs["rows"] == [1, 2]


@pytest.mark.parametrize("workers", ["two", 0, 1.5])
def test_workers_of_a_machine(tmp_path, workers):
    path = written(tmp_path / "costs.csv", costs().assign(workers=[2, workers]))
    fault(load_costs, path, "column 'workers', row 1", "a whole number >= 1")


def test_trainings_that_were_timed(tmp_path):
    committed = ROOT / "outputs" / "quick" / "03_cost_simulation" / "training_costs.csv"
    assert load_training_costs(committed).impressions_per_second.gt(0).all()
    table = training_cost_table().assign(impressions_per_second=[1.0, 0.0])
    path = written(tmp_path / "t.csv", table)
    fault(load_training_costs, path, "column 'impressions_per_second', row 1: found 0.0")


def test_a_join_of_nothing(tmp_path):
    with pytest.raises(TableError, match=r"no row of .*measurements\.csv and .*ab_tests\.csv"):
        joined(tmp_path, measurements(), ab_tests().assign(model=list("abcde")))


def test_worlds_in_one_table_alone(tmp_path):
    two = pd.concat([measurements().assign(world=world) for world in "AB"])
    with pytest.raises(TableError, match=r"measurements\.csv: row 5: .*'m0'.* no column 'world'"):
        joined(tmp_path, two, ab_tests())


def test_a_grid_of_own_sizes(tmp_path):
    path = written(tmp_path / "grid.csv", pd.DataFrame({"size_parameters": ["[8, 4, 1]"]}))
    assert load_grid(path) == [[8, 4, 1]]
    bad = written(tmp_path / "bad.csv", pd.DataFrame({"size_parameters": ["8-4-1"]}))
    fault(load_grid, bad, "bad.csv", "size_parameters", "8-4-1")


def test_a_scenario_has_one_size_of_today(tmp_path):
    table = scenario_table().assign(today=[1, 1, 0])
    fault(load_scenarios, written(tmp_path / "s.csv", table), "today", "one size of today")
