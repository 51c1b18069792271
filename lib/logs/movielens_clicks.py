"""MovieLens 1M as click data: a rating of 4 or 5 is a click, 1 or 2 is none, 3 is left out.

Other papers draw the line elsewhere (4 and 5 against all others; 3 as a click; or every rating as
a click against movies not rated), so their figures cannot be laid beside these. The order is drawn
by a seed, because the times at hand cover half of the ratings: a test on later rows asks about
users and movies known from the same years, and no drift can be seen. `ClickData.parts(0.8, 0.1,
0.1)` cuts training, validation and test by position. The data may not be redistributed, so the
user brings the files (grouplens.org/datasets/movielens/1m).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from lib.infra.grid import on_grid
from lib.logs.click_data import MOST_VALUES, ClickData, Clicks, ClickWriter, prepared
from lib.logs.click_sources import file_identity, text_ids
from lib.logs.errors import InputError
from lib.models.click_size import Field

AGES = (1, 18, 25, 35, 45, 50, 56)
GENRES = (
    *("Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary"),
    *("Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi"),
    *("Thriller", "War", "Western"),
)
FIELDS = (
    Field("user", 6041),
    Field("movie", 3953),
    Field("gender", 2),
    Field("age", len(AGES)),
    Field("occupation", 21),
    Field("zip_prefix", MOST_VALUES),
    Field("genres", len(GENRES), 6),
)
DENSE = ("years_before_2001",)
# The columns of the original files, and what their values are.
WHOLE, TEXT = "a whole number", "text"
TABLES = {
    "ratings": {"user_id": WHOLE, "movie_id": WHOLE, "rating": WHOLE, "timestamp": WHOLE},
    "movies": {"movie_id": WHOLE, "title": TEXT, "genres": TEXT},
    "users": {
        **{"user_id": WHOLE, "gender": TEXT, "age": WHOLE},
        **{"occupation": WHOLE, "zip_code": TEXT},
    },
}


def movielens_clicks(source, folder, *, seed: int = 0) -> ClickData:
    """MovieLens 1M as click data, 739,012 rows: see the head of this module.

    Fields: user, movie, gender, age (group), occupation, zip_prefix (three characters, hashed),
    genres (up to six). Dense: years_before_2001, of the movie, as log(1 + years).

    Args:
      source: folder with ratings, movies and users, as the original .dat files (values between
        double colons) or as Parquet files of the columns in `TABLES`.
      folder: of the click data; if it was made from the same files before, nothing is done.
      seed: of the order.

    Raises: InputError naming file, line or row, value and what was expected.
    """
    files = _files(Path(source))
    origin = {"files": [file_identity(file) for file in files.values()], "seed": seed}
    done = prepared(folder, "movielens1m", origin)
    if done is not None:
        return done
    ratings, movies, users = (_read(file, name) for name, file in files.items())
    _refuse(files["ratings"], ~ratings["rating"].between(1, 5), ratings["rating"], "1 .. 5")
    ratings = ratings[ratings["rating"] != 3]
    ratings = ratings.iloc[np.random.default_rng(seed).permutation(len(ratings))]
    movie = _places(files, "movies", movies["movie_id"], ratings["movie_id"])
    user = _places(files, "users", users["user_id"], ratings["user_id"])
    genres, years = _described_movies(files["movies"], movies)
    ids = np.column_stack(
        [
            ratings["user_id"],
            ratings["movie_id"],
            _described_users(files["users"], users)[user],
            genres[movie],
        ]
    )
    labels = (ratings["rating"] > 3).to_numpy(np.uint8)
    with ClickWriter(folder, "movielens1m", FIELDS, DENSE, origin=origin) as writer:
        writer.write(Clicks(labels, ids, years[movie, None]))
    return ClickData.open(folder)


def _described_users(file, users):
    """Ids [users, 4]: gender, age, occupation, zip_prefix."""
    gender = users["gender"].map({"F": 0, "M": 1})
    age = users["age"].map({age: place for place, age in enumerate(AGES)})
    _refuse(file, gender.isna(), users["gender"], "F or M")
    _refuse(file, age.isna(), users["age"], f"one of {', '.join(map(str, AGES))}")
    _refuse(file, ~users["occupation"].between(0, 20), users["occupation"], "0 .. 20")
    prefix = text_ids(users["zip_code"].str[:3].tolist())
    return np.column_stack([gender, age, users["occupation"], prefix]).astype(np.int64)


def _described_movies(file, movies):
    """(genres [movies, 6] padded by -1, years before 2001 as float32 logarithms [movies])."""
    listed = movies["genres"].str.split("|")
    place = {genre: number for number, genre in enumerate(GENRES)}
    slots = FIELDS[-1].slots
    good = [len(names) <= slots and set(names) <= place.keys() for names in listed]
    expected = f"at most {slots} of {'|'.join(GENRES)}"
    _refuse(file, ~np.array(good), movies["genres"], expected)
    genres = np.full((len(movies), slots), -1)
    for row, names in enumerate(listed):
        genres[row, : len(names)] = [place[name] for name in names]
    year = movies["title"].str.extract(r"\((\d{4})\)\s*$")[0].astype(float)
    _refuse(file, ~(year <= 2001), movies["title"], "a year <= 2001 at the end, as in (1995)")
    return genres, on_grid(np.log1p(2001 - year), 16).astype(np.float32)


def _places(files, name, keys, wanted):
    """Row of each wanted key in the table of this name."""
    repeated = keys.duplicated()
    _refuse(files[name], repeated, keys, "each once")
    places = pd.Index(keys).get_indexer(wanted)
    _refuse(files["ratings"], places < 0, wanted, f"one that is listed in {files[name].name}")
    return places


# ---- files ----------------------------------------------------------------


def _files(source):
    """Name of a table -> its file: all of one form, .dat if there are both."""
    for suffix in (".dat", ".parquet"):
        files = {name: source / f"{name}{suffix}" for name in TABLES}
        if files["ratings"].is_file():
            for file in files.values():
                if not file.is_file():
                    raise InputError(f"{file}: no such file; expected it beside {files['ratings']}")
            return files
    raise InputError(
        f"{source}: holds neither ratings.dat nor ratings.parquet; expected a folder of "
        "MovieLens 1M with ratings, movies and users"
    )


def _read(file, name):
    """A table's rows; its index says where they stand in the file, from 1."""
    columns = TABLES[name]
    table = _dat(file, columns) if file.suffix == ".dat" else _parquet(file, columns)
    frame = table.to_pandas()
    frame.index += 1
    for column, kind in columns.items():
        if column not in frame:
            continue
        written = values = frame[column]
        if kind == WHOLE:
            values = pd.to_numeric(values, errors="coerce")
            frame[column] = values.where(values % 1 == 0)
        _refuse(file, frame[column].isna(), written, kind)
        frame[column] = frame[column].astype("int64" if kind == WHOLE else "str")
    return frame


def _dat(file, columns):
    """Values between double colons, in Latin-1, as texts."""

    others = []

    def other_width(row):
        others.append(row)
        return "skip"

    content = file.read_bytes().decode("latin-1").replace("::", "\x1f").encode()
    table = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        read_options=pyarrow.csv.ReadOptions(column_names=list(columns), use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter="\x1f", quote_char=False, invalid_row_handler=other_width
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string())
        ),
    )
    if others:
        first = others[0]
        raise InputError(
            f"{file}: line {first.number}: found {first.actual_columns} values, expected "
            f"{first.expected_columns} between '::' ({', '.join(columns)})"
        )
    return table


def _parquet(file, columns):
    try:
        present = pq.read_schema(file).names
        needed = [name for name in columns if name != "timestamp"]
        missing = [name for name in needed if name not in present]
        if missing:
            raise InputError(
                f"{file}: column {missing[0]!r} is missing; it has {', '.join(present)}"
            )
        return pq.read_table(file, columns=needed)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: not a Parquet file: {' '.join(str(error).split())}") from None


def _refuse(file, bad, values, expected):
    """Raise for the topmost row that is bad."""
    bad = np.asarray(bad)
    if bad.any():
        row = values.index[bad].min()
        place = "line" if file.suffix == ".dat" else "row"
        raise InputError(
            f"{file}: {place} {row}, column {values.name!r}: found {_plain(values[row])!r}, "
            f"expected {expected}"
        )


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value
