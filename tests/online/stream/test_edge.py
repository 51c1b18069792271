"""Malformed impressions go alone; what is sound is read as a log is."""

import numpy as np
import pyarrow as pa
import pytest

from lib.logs import reader
from lib.online.stream.edge import Edge
from lib.online.stream.records import RecordSchema
from tests.small_log import FEATURES, assert_same, make_log

LOG = make_log(count=12, fewest=3, most=3)
SCHEMA = RecordSchema.of(LOG.schema, FEATURES)
BATCH = SCHEMA.nested(LOG)


def with_cell(column, value, *places):
    """The batch with one value changed in some impressions; of an ad's column, in its second ad."""
    values = BATCH.column(column).to_pylist()
    for place in places:
        if column in SCHEMA.of_ads and not isinstance(value, list) and value != "null":
            values[place][1] = value
        else:
            values[place] = None if value == "null" else value
    index = BATCH.schema.get_field_index(column)
    kind = SCHEMA.arrow.field(column).type
    if column == "user_vector":  # a list of the wrong length does not fit its type
        kind = pa.list_(pa.float32(), 3)
    return BATCH.set_column(index, SCHEMA.arrow.field(column), pa.array(values, kind))


def read(*batches, ads=4, written=10**9):
    letters = []

    def set_aside(batch, place, reason, detail, row):
        letters.append((batch, place, reason, detail, row))

    edge = Edge(SCHEMA, ads, ahead_seconds=1)
    got = edge.impressions(list(batches), [written] * len(batches), set_aside)
    return got, letters


def test_sound_records_are_what_a_reader_of_the_log_sees(tmp_path):
    reader.write_logs(tmp_path / "log.parquet", [LOG])
    (got, owner, place), letters = read(BATCH.slice(0, 5), BATCH.slice(5), ads=3)
    assert_same(got, reader.read(tmp_path / "log.parquet", FEATURES))
    assert owner.tolist() == [0] * 5 + [1] * 7
    assert place.tolist() == [*range(5), *range(7)]
    assert not letters


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        *[
            (name, "null", "expected a value")
            for name in ("impression_id", "timestamp", "user_id", "recent", "user_vector")
        ],
        *[(name, None, "expected a value") for name in ("v", "ecpm", "ad_id", "brand", "bid")],
        *[
            (name, "null", f"column {name!r}: found None, expected as many ads as")
            for name in ("ecpm", "ad_id", "brand", "bid")
        ],
        ("v", "null", "column 'v': found None, expected a list of 1 to 4 ads"),
        ("v", [], "column 'v': found [], expected a list of 1 to 4 ads"),
        ("v", [1.0, 0.0], "column 'ecpm'"),
        ("v", [1.0] * 5, "expected a list of 1 to 4 ads"),
        ("v", -1.0, "column 'v': found -1.0, expected a finite number >= 0"),
        ("v", np.nan, "column 'v': found nan, expected a finite number"),
        ("ecpm", -0.5, "column 'ecpm': found -0.5, expected a finite number >= 0"),
        ("ecpm", np.inf, "column 'ecpm': found inf"),
        ("bid", -1.0, "column 'bid': found -1.0, expected a number >= 0"),
        ("bid", 1e300, "column 'bid': found 1e+300, expected a finite number"),
        ("recent", [1, None], "column 'recent': found [1, None], expected a list of ids"),
        ("user_vector", [0.5, np.nan, 1.0], "column 'user_vector': found [0.5, nan, 1.0]"),
        ("ad_id", [1, 2], "column 'ad_id': found [1, 2], expected as many ads as"),
    ],
)
def test_a_malformed_impression_goes_alone(column, value, expected):
    (want, _, _), _ = read(BATCH)
    bad = with_cell(column, value, 2, 7)
    (got, owner, place), letters = read(bad)
    assert_same(got, want.take([0, 1, 3, 4, 5, 6, 8, 9, 10, 11]))
    assert place.tolist() == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11] and not owner.any()
    assert [letter[:3] for letter in letters] == [(0, 2, "malformed"), (0, 7, "malformed")]
    assert all(expected in letter[3] for letter in letters)
    rows = [letter[4] for letter in letters]
    if value is not np.nan and column != "user_vector":
        assert rows == [bad.slice(2, 1), bad.slice(7, 1)]


def test_several_kinds_in_several_records_at_once():
    batches = [
        with_cell("v", -1.0, 0),
        with_cell("bid", -1.0, 0, 11),
        with_cell("recent", [None], 5),
    ]
    (got, owner, place), letters = read(*batches)
    assert len(got) == 36 - 4
    assert {letter[:2] for letter in letters} == {(0, 0), (1, 0), (1, 11), (2, 5)}
    assert list(zip(owner, place, strict=True)) == [
        (batch, row)
        for batch in range(3)
        for row in range(12)
        if (batch, row) not in {(0, 0), (1, 0), (1, 11), (2, 5)}
    ]


def test_nothing_is_left():
    (got, owner, place), letters = read(with_cell("v", -1.0, *range(12)))
    assert got is None and len(owner) == len(place) == 0 and len(letters) == 12


def test_what_is_later_than_its_record_was_written_is_ahead_of_its_time():
    _, letters = read(BATCH, written=99 * 10**6)  # the 11th is at 100 s, which 1 s still allows
    assert [letter[1:3] for letter in letters] == [(11, "ahead")]
    assert "found datetime.datetime(1970, 1, 1, 0, 1, 50" in letters[0][3]
