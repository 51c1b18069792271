"""Click data on disk: what is written is read, whole or not at all; bad rows are named."""

import json

import numpy as np
import pytest

from lib.logs.click_data import ClickData, Clicks, ClickWriter, prepared
from lib.logs.errors import InputError
from lib.models.click_size import Field

FIELDS = (Field("user", 2**31 - 1), Field("genres", 18, 3), Field("hour", 24))


def rows(count, seed=0, truth=False):
    rng = np.random.default_rng(seed)
    probability = rng.random(count, np.float32)
    return Clicks(
        labels=(rng.random(count) < probability).astype(np.uint8),
        ids=np.column_stack(
            [
                rng.integers(0, 2**31 - 1, count),
                rng.integers(-1, 18, (count, 3)),
                rng.integers(0, 24, count),
            ]
        ),
        dense=rng.normal(size=(count, 2)),
        probability=probability if truth else None,
    )


def cut(clicks, start, stop):
    return Clicks(*(None if part is None else part[start:stop] for part in clicks))


def write(folder, blocks, dense=("age", "bid"), **options):
    with ClickWriter(folder, "drawn", FIELDS, dense, **options) as writer:
        for block in blocks:
            writer.write(block)
    return ClickData.open(folder)


@pytest.mark.parametrize("truth", [False, True])
def test_blocks_of_any_size_are_read_back_as_one(tmp_path, truth):
    given = rows(1000, truth=truth)
    ends = [0, 1, 1, 400, 999, 1000]
    blocks = [cut(given, *ends[place : place + 2]) for place in range(len(ends) - 1)]
    data = write(tmp_path / "clicks", blocks, origin={"seed": (1, 2)})
    assert (len(data), data.fields, data.dense) == (1000, FIELDS, ("age", "bid"))
    assert (data.clicks, data.origin) == (int(given.labels.sum()), {"seed": [1, 2]})
    for start, stop in [(0, 1000), (17, 401), (5, 5), (999, 1000)]:
        got = data.rows(start, stop)
        assert [got.labels.dtype, got.ids.dtype, got.dense.dtype] == [np.uint8, np.int32, "f4"]
        np.testing.assert_array_equal(got.labels, given.labels[start:stop])
        np.testing.assert_array_equal(got.ids, given.ids[start:stop])
        np.testing.assert_array_equal(got.dense, given.dense[start:stop].astype(np.float32))
        if truth:
            np.testing.assert_array_equal(got.probability, given.probability[start:stop])
        else:
            assert got.probability is None
    # Plain files, for whoever has no use for this module.
    assert np.load(tmp_path / "clicks" / "ids.npy").shape == (1000, 5)


def test_no_dense_columns(tmp_path):
    given = rows(3)._replace(dense=np.zeros((3, 0)))
    data = write(tmp_path / "clicks", [given, given], dense=())
    assert data.rows(2, 6).dense.shape == (4, 0)


def test_a_description_tells_one_origin_from_another(tmp_path):
    one, other = (write(tmp_path / str(n), [rows(10)], origin={"seed": n}) for n in range(2))
    assert one.description() != other.description()
    assert one.description() == ClickData.open(tmp_path / "0").description()


def test_parts_by_position(tmp_path):
    data = write(tmp_path / "clicks", [rows(25)])
    assert data.parts(0.8, 0.1, 0.1) == [range(20), range(20, 22), range(22, 25)]
    assert data.parts(1.0) == [range(25)]
    for shares in [(), (0.5, 0.4), (1.5, -0.5)]:
        with pytest.raises(ValueError, match="shares > 0 that sum to 1"):
            data.parts(*shares)


def test_rows_outside_are_refused(tmp_path):
    data = write(tmp_path / "clicks", [rows(4)])
    for start, stop in [(-1, 2), (3, 2), (0, 5)]:
        with pytest.raises(ValueError, match=f"stop <= 4; got {start} .. {stop}"):
            data.rows(start, stop)


def changed(**values):
    good = rows(3)
    return good._replace(
        **{name: change(np.array(getattr(good, name))) for name, change in values.items()}
    )


def with_value(place, value):
    def change(array):
        array[place] = value
        return array

    return change


BAD = {
    "labels": (changed(labels=with_value(1, 2)), "row 12: labels must be 0 or 1; got 2"),
    "id": (changed(ids=with_value((2, 4), 24)), r"row 13: the ids of 'hour' must .* 23; got 24"),
    "hole": (changed(ids=with_value((0, 4), -1)), r"row 11: the ids of 'hour' .* \.\. 23; got -1"),
    "slot": (changed(ids=with_value((1, 2), -2)), "row 12: the ids of 'genres' .* slot; got -2"),
    "dense": (changed(dense=with_value((2, 0), np.nan)), "row 13: dense must be finite .* nan"),
    "float ids": (changed(ids=np.float64), "ids must be whole numbers; got float64"),
    "width": (changed(ids=lambda ids: ids[:, :4]), r"ids must be of shape \(3, 5\); .*\(3, 4\)"),
    "truth": (rows(3, truth=True), "in all blocks or in none"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named_and_nothing_is_left(tmp_path, case):
    block, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "clicks", [rows(11), block])
    assert list(tmp_path.iterdir()) == []


def test_a_probability_is_one(tmp_path):
    block = rows(3, truth=True)
    block.probability[1] = 1.5
    with pytest.raises(ValueError, match=r"row 1: probability must be 0 \.\. 1; got 1.5"):
        write(tmp_path / "clicks", [block])


@pytest.mark.parametrize(
    ("fields", "dense", "message"),
    [
        ([Field("a", 2), Field("a", 3)], [], "names of their own; got .'a'."),
        ([Field("a", 2)], ["b", "b"], "names of their own; got .'b'."),
        ([Field("a", 0)], [], "got values = 0, slots = 1"),
        ([Field("a", 2**31)], [], "values = 2147483648"),
        ([Field("a", 2, 0)], [], "slots = 0"),
        ([], [], "got neither"),
    ],
)
def test_bad_declarations(tmp_path, fields, dense, message):
    with pytest.raises(ValueError, match=message):
        ClickWriter(tmp_path / "clicks", "x", fields, dense)


def test_an_error_leaves_the_older_data_set_and_a_good_end_replaces_it(tmp_path):
    folder = tmp_path / "clicks"
    write(folder, [rows(5)])
    with pytest.raises(KeyboardInterrupt):
        with ClickWriter(folder, "drawn", FIELDS, ("age", "bid")) as writer:
            writer.write(rows(7))
            raise KeyboardInterrupt
    with pytest.raises(ValueError, match="needs a row; none was written"):
        write(folder, [])
    assert len(ClickData.open(folder)) == 5
    assert len(write(folder, [rows(7)])) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["clicks"]


def test_what_is_no_click_data_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(InputError, match="holds something other than click data"):
            write(place, [rows(2)])
    assert (tmp_path / "thesis.txt").read_text() == "three years"
    (tmp_path / "empty").mkdir()
    assert len(write(tmp_path / "empty", [rows(2)])) == 2


def test_prepared_is_the_one_of_the_same_origin(tmp_path):
    folder = tmp_path / "clicks"
    assert prepared(folder, "drawn", {"seed": 1}) is None
    write(folder, [rows(2)], origin={"seed": 1})
    assert len(prepared(folder, "drawn", {"seed": 1})) == 2
    assert prepared(folder, "drawn", {"seed": 2}) is None
    assert prepared(folder, "other", {"seed": 1}) is None


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: no click data; expected a folder with data"):
        ClickData.open(tmp_path / "nowhere")
    folder = tmp_path / "clicks"
    write(folder, [rows(6)])
    good = (folder / "data.json").read_text()
    (folder / "data.json").write_text("{")
    with pytest.raises(InputError, match=r"data\.json: not readable as JSON"):
        ClickData.open(folder)
    (folder / "data.json").write_text("{}")
    with pytest.raises(InputError, match=r"data\.json: not of click data; expected clicks, dense"):
        ClickData.open(folder)
    (folder / "data.json").write_text(json.dumps(json.loads(good) | {"rows": 5}))
    with pytest.raises(InputError, match=r"labels\.npy: found uint8 \(6,\), expected uint8 \(5,\)"):
        ClickData.open(folder)
    (folder / "data.json").write_text(good)
    (folder / "dense.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"dense\.npy: not readable"):
        ClickData.open(folder)
    (folder / "dense.npy").unlink()
    with pytest.raises(InputError, match=r"dense\.npy: not readable"):
        ClickData.open(folder)
