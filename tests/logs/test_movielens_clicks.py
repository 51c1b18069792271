"""MovieLens 1M as click data: by hand, both forms of the files, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from lib.logs.click_sources import text_ids
from lib.logs.errors import InputError
from lib.logs.movielens_clicks import AGES, GENRES, movielens_clicks
from tests import DATA

needs_movielens = pytest.mark.skipif(
    not (DATA / "movielens1m").is_dir(), reason="needs the data of ../shared/data/movielens1m"
)

FILES = {
    "ratings": ["1::10::5::978300760", "1::20::3::978302109", "2::20::1::978301968"],
    "movies": ["10::Alien: (3) (1979)::Horror|Sci-Fi", "20::Café, The (2000)::Drama"],
    "users": ["1::F::1::10::48067", "2::M::56::16::7"],
}
COLUMNS = {
    "ratings": ["user_id", "movie_id", "rating", "timestamp"],
    "movies": ["movie_id", "title", "genres"],
    "users": ["user_id", "gender", "age", "occupation", "zip_code"],
}


def write(folder, suffix=".dat", **changed):
    for name, lines in (FILES | changed).items():
        if suffix == ".dat":
            (folder / f"{name}.dat").write_text("\n".join([*lines, ""]), encoding="latin-1")
        else:
            table = pd.DataFrame([line.split("::") for line in lines], columns=COLUMNS[name])
            whole = {"user_id", "movie_id", "rating", "age", "occupation"} & set(table)
            table.astype(dict.fromkeys(whole, int)).to_parquet(folder / f"{name}.parquet")
    return folder


@pytest.mark.parametrize("suffix", [".dat", ".parquet"])
def test_by_hand(tmp_path, suffix):
    data = movielens_clicks(write(tmp_path, suffix), tmp_path / "clicks")
    rows = data.rows(0, 2)  # the rating of 3 is left out
    assert len(data) == 2 and data.dense == ("years_before_2001",)
    click = int(np.argmax(rows.labels))
    assert sorted(rows.labels.tolist()) == [0, 1]
    zips = text_ids(["480", "7"]).tolist()
    genres = [GENRES.index(name) for name in ("Horror", "Sci-Fi", "Drama")]
    assert rows.ids[click].tolist() == [1, 10, 0, 0, 10, zips[0], *genres[:2], -1, -1, -1, -1]
    assert rows.ids[1 - click].tolist() == [2, 20, 1, 6, 16, zips[1], genres[2], *[-1] * 5]
    np.testing.assert_allclose(rows.dense[[click, 1 - click], 0], np.log1p([22, 1]), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("ratings", ["1::10::6::0"], r"ratings\.dat: line 1, column 'rating': found 6, expected"),
        ("ratings", ["1::10::5::0", "1::10::5"], r"ratings\.dat: line 2: found 3 values, expected"),
        ("ratings", ["1::10::x::0"], "line 1, column 'rating': found 'x', expected a whole num"),
        ("ratings", ["1::11::5::0"], "column 'movie_id': found 11, expected one that is listed"),
        ("ratings", ["3::10::5::0"], "column 'user_id': found 3, expected one that is listed"),
        ("movies", ["10::Alien::Horror"], r"movies\.dat: line 1, column 'title': .* year <= 2001"),
        ("movies", ["10::A (1979)::Noir"], "line 1, column 'genres': found 'Noir', expected at"),
        ("movies", [FILES["movies"][0]] * 2, "line 2, column 'movie_id': found 10, expected each"),
        ("users", ["1::X::1::10::4"], r"users\.dat: line 1, column 'gender': found 'X', expected"),
        ("users", ["1::F::2::10::4"], "line 1, column 'age': found 2, expected one of 1, 18, 25"),
        ("users", ["1::F::1::21::4"], r"line 1, column 'occupation': found 21, .* 0 \.\. 20"),
    ],
)
def test_what_is_refused(tmp_path, name, lines, message):
    others = {"users": lines, "ratings": ["1::10::5::0"]} if name == "users" else {name: lines}
    if name == "movies":
        others["ratings"] = ["1::10::5::0"]
    with pytest.raises(InputError, match=message):
        movielens_clicks(write(tmp_path, **others), tmp_path / "clicks")
    assert not (tmp_path / "clicks").exists()


def test_files_that_are_missing_or_damaged(tmp_path):
    with pytest.raises(InputError, match="holds neither ratings"):
        movielens_clicks(tmp_path, tmp_path / "clicks")
    write(tmp_path, ".parquet")
    (tmp_path / "users.parquet").write_text("no")
    with pytest.raises(InputError, match=r"users\.parquet: not a Parquet file"):
        movielens_clicks(tmp_path, tmp_path / "clicks")
    pd.DataFrame({"user_id": [1]}).to_parquet(tmp_path / "users.parquet")
    with pytest.raises(InputError, match=r"users\.parquet: column 'gender' is missing; it has use"):
        movielens_clicks(tmp_path, tmp_path / "clicks")
    (tmp_path / "users.parquet").unlink()
    with pytest.raises(InputError, match=r"users\.parquet: no such file; expected it beside"):
        movielens_clicks(tmp_path, tmp_path / "clicks")


@needs_movielens
def test_the_whole_data_set(tmp_path):
    data = movielens_clicks(DATA / "movielens1m", tmp_path / "clicks", seed=1)
    assert (len(data), data.clicks) == (739_012, 348_971 + 226_310)
    parts = data.parts(0.8, 0.1, 0.1)
    assert [len(part) for part in parts] == [591_210, 73_901, 73_901]
    rows = data.rows(0, len(data))
    assert (len(np.unique(rows.ids[:, 0])), rows.ids[:, 3].max()) == (6_040, len(AGES) - 1)
    assert (rows.ids[:, 6] >= 0).all() and (rows.ids[:, 11] >= 0).any()
    # A drawn order: click rates of the parts agree within four standard deviations.
    rates = [rows.labels[part.start : part.stop].mean() for part in parts]
    assert np.ptp(rates) < 4 * np.sqrt(0.17 / 73_901 * 2)
    again = movielens_clicks(DATA / "movielens1m", tmp_path / "again", seed=2).rows(0, len(data))
    assert (again.ids != rows.ids).any()
    key = np.lexsort(rows.ids[:, :2].T), np.lexsort(again.ids[:, :2].T)
    np.testing.assert_array_equal(rows.ids[key[0]], again.ids[key[1]])
