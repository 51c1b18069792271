import numpy as np
import pyarrow as pa
import pytest

from lib.online.embedding_producer.catalogue import Catalogue, add_ads
from tests.online.ads import encoded, make_ads
from tests.small_log import FEATURES


def test_ads_are_read_as_a_model_reads_them(tmp_path):
    table = make_ads([30, 10, 20])
    add_ads(tmp_path, "first", table)
    catalogue = Catalogue(tmp_path, FEATURES)
    assert catalogue.ids.tolist() == [30, 10, 20] and len(catalogue) == 3
    for name, values in encoded(table).items():
        np.testing.assert_array_equal(catalogue.encoded(slice(None))[name], values)


def test_new_ads_come_in_new_files_and_repeated_ones_stay(tmp_path):
    catalogue = Catalogue(tmp_path, FEATURES)
    assert len(catalogue) == 0 and not catalogue.find(np.array([1]))[1].any()
    add_ads(tmp_path, "a", make_ads([5, 1]))
    assert catalogue.refresh() == 2
    assert catalogue.refresh() == 0
    later = make_ads([1, 7]).set_column(2, "bid", pa.array([99.0, 7.0]))
    add_ads(tmp_path, "b", later)
    assert catalogue.refresh() == 1
    assert catalogue.ids.tolist() == [5, 1, 7]
    place, found = catalogue.find(np.array([7, 2, 1, 900]))
    assert found.tolist() == [True, False, True, False]
    assert catalogue.ids[place[found]].tolist() == [7, 1]
    bid = catalogue.encoded(place[found])["bid"]
    np.testing.assert_allclose(bid, np.log1p([7.0, 1 / 7]), atol=2**-16)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (make_ads([1]).drop_columns(["bid"]), "column 'bid' is missing"),
        (
            make_ads([1, 2]).set_column(2, "bid", pa.array([1.0, -2.0])),
            r"column 'bid', row 1: found -2.0, expected a number >= 0",
        ),
        (
            make_ads([1, 2]).set_column(1, "brand", pa.array(["x", None])),
            "column 'brand', row 1: found None, expected a value",
        ),
        (
            make_ads([1]).set_column(0, "ad_id", pa.array(["x"])),
            "column 'ad_id' must be an integer; it is string",
        ),
        (
            make_ads([1, 2]).set_column(1, "brand", pa.array([5.0, 7.0])),
            "column 'brand' must be an integer or a string; it is double",
        ),
        (make_ads([1, 2]).append_column("bid", pa.array([1.0, 1.0])), "2 columns are called 'bid'"),
    ],
)
def test_a_bad_file_is_left_out_and_named(tmp_path, table, message):
    add_ads(tmp_path, "bad", table)
    add_ads(tmp_path, "good", make_ads([4]))
    catalogue = Catalogue(tmp_path, FEATURES)
    assert catalogue.ids.tolist() == [4]
    ((file, reason),) = catalogue.refused.items()
    assert file.name == "bad.parquet"
    with pytest.raises(ValueError, match=message):
        raise ValueError(reason)


def test_a_file_that_is_no_table(tmp_path):
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    catalogue = Catalogue(tmp_path, FEATURES)
    assert "not a Parquet file" in catalogue.refused[tmp_path / "torn.parquet"]
