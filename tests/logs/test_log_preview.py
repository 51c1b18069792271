"""What a log is, before all of it is read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.logs import preview
from lib.logs.errors import LogError
from lib.logs.features import Features, save_features
from lib.logs.reader import check
from tests.fresh_process import printed
from tests.small_log import FEATURES, make_log, write_parts


def test_it_is_what_check_says(tmp_path):
    table = make_log()
    folder = write_parts(tmp_path, table.slice(0, 500), table.slice(500), row_group_size=100)
    save_features(tmp_path / "features.yaml", FEATURES)
    about, whole = preview(folder, tmp_path / "features.yaml"), check(folder, FEATURES)
    for name in ("impressions", "shortest", "longest", "first", "last"):
        assert about[name] == getattr(whole, name)
    assert about["rows"] == whole.ads and about["files"] == 2
    assert about["columns"]["ad_id"] == "int64"
    assert about["money"] is True
    assert (about["unread"], about["notes"]) == ([], [])
    tables = {"user_id": 4 * 51, "recent": 2 * 10, "ad_id": 4 * 41, "brand": 2 * 9}
    assert about["embedding_bytes"] == 4 * sum(tables.values())


def test_a_log_without_money(tmp_path):
    table = make_log().append_column("note", pa.nulls(1545, pa.string()))
    table = table.set_column(3, "ecpm", pa.array(np.zeros(len(table))))
    pq.write_table(table, tmp_path / "log.parquet")
    about = preview(tmp_path / "log.parquet", FEATURES)
    assert about["money"] is False
    assert about["metrics"] == ["ndcg", "recall", "opa"]
    assert [note.split(":")[0] for note in about["notes"]] == [
        "no ad has ecpm > 0",
        "not declared as features, and not read",
    ]


def test_positions_below_zero_are_refused_wherever_they_stand(tmp_path):
    table = make_log(count=5000)
    v = table["v"].to_numpy().copy()
    v[-1] = -3.0  # long after the impressions that are read whole
    pq.write_table(table.set_column(1, "v", pa.array(v)), tmp_path / "log.parquet")
    with pytest.raises(LogError, match=r"'v': found -3\.0, expected .* add the list's length"):
        preview(tmp_path / "log.parquet", FEATURES)


def test_numbers_of_16_bits_have_no_ends_in_the_footers(tmp_path):
    table = make_log()
    for place, name in ((1, "v"), (3, "ecpm")):
        table = table.set_column(place, name, table[name].cast(pa.float16()))
    pq.write_table(table, tmp_path / "log.parquet")
    assert preview(tmp_path / "log.parquet", FEATURES)["money"] is None


def test_what_the_footers_do_not_say_is_not_claimed(tmp_path):
    pq.write_table(make_log(), tmp_path / "log.parquet", write_statistics=False)
    about = preview(tmp_path / "log.parquet", FEATURES)
    assert np.isnat(about["first"]) and about["money"] is None
    assert about["impressions"] == 300


def test_another_mark_of_an_empty_place_is_said_to_be_an_id(tmp_path):
    table = make_log()
    for low, notes in ((-1, 0), (-999, 1)):
        ids = pa.array([[1, low]] * len(table))
        pq.write_table(table.set_column(5, "recent", ids), tmp_path / "log.parquet")
        said = preview(tmp_path / "log.parquet", FEATURES)["notes"]
        assert len(said) == notes and all("'recent' holds the id -999" in note for note in said)


@pytest.mark.parametrize(("most", "says"), [(1, "every list holds one ad"), (2, "some lists")])
def test_lists_of_one_ad(tmp_path, most, says):
    pq.write_table(make_log(fewest=1, most=most), tmp_path / "log.parquet")
    # No list of the small log is so long that an ad of it has eCPM: that is said first.
    assert preview(tmp_path / "log.parquet", FEATURES)["notes"][1].startswith(says)


def test_a_bad_row_of_the_first_impressions_is_named(tmp_path):
    table = make_log()
    bid = table["bid"].to_numpy().copy()
    bid[11] = np.nan
    pq.write_table(table.set_column(9, "bid", pa.array(bid)), tmp_path / "log.parquet")
    with pytest.raises(LogError, match="column 'bid', row 11: found nan"):
        preview(tmp_path / "log.parquet", FEATURES)


def test_files_that_overlap_in_time_are_named_together(tmp_path):
    table = make_log()
    folder = write_parts(tmp_path, table.slice(0, 900), table.slice(700))
    with pytest.raises(LogError, match=r"part_001.*begins at .*, before .*part_000.*ends at"):
        preview(folder, FEATURES)


def test_embeddings_that_no_memory_holds(tmp_path):
    wide = {"name": "u", "side": "user", "kind": "sparse", "buckets": 2**31 - 2, "width": 10**6}
    features = Features(features=[wide, {"name": "bid", "side": "ad", "kind": "statistical"}])
    save_features(tmp_path / "features.yaml", features)
    table = make_log().append_column("u", pa.array(make_log()["user_id"].to_pylist()))
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(LogError, match=r"features\.yaml: feature 'u': its embeddings take .* GB"):
        preview(tmp_path / "log.parquet", tmp_path / "features.yaml")


def test_no_tensorflow_is_started():
    code = "import sys; from lib.logs import preview; preview; print(*sys.modules)"
    assert not {"tensorflow", "keras", "torch"} & {*printed(code).split()}
