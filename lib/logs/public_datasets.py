"""Public data as logs: trivago's hotel lists and MovieLens 1M.

Neither is an advertising log. trivago has money and real lists but one click
each, MovieLens has many graded lists but no money; each function says what its
columns stand for and what is lost. The data may not be redistributed, so the
user brings the Parquet files; the functions write logs.parquet and features.yaml.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lib.logs.errors import TableError
from lib.logs.features import LOG_COLUMNS, Features, save_features
from lib.logs.reader import LogSummary, check, write_logs

ORIGINALS = {
    "trivago": "the RecSys Challenge 2019 by trivago",
    "movielens": "MovieLens 1M by GroupLens (grouplens.org/datasets/movielens/1m)",
}
EXPLANATIONS = {
    "trivago": """\
**trivago** (the RecSys Challenge 2019 by trivago). An impression is a list shown to a user.

| column            | from                                                      |
| ----------------- | --------------------------------------------------------- |
| `ecpm`            | the price of the clicked hotel, 0 for all others          |
| `v`               | rank of `ecpm` in the list: 1 for the click, 0 for others |
| `price_to_median` | log of price / median price of the list                   |
| `price_rank`      | rank in the list: 0 cheapest, 1 dearest; ties share a rank |

The other columns are the source's. Lists of one hotel are left out: there is nothing to rank.

What is lost: the price is a display price in an unstated currency, neither a bid nor a payment,
and a click is no booking. As one hotel holds all value, R/R* of a list is 1 if the click is among
the model's top m and 0 otherwise, at any price: it is the click's Recall@m. Prices count only in
`lib.metrics.captured_ecpm`, summed over the lists. `v` leaves the hotels not clicked unordered.
""",
    "movielens": """\
**MovieLens 1M** (by GroupLens, grouplens.org/datasets/movielens/1m). An impression is a list of
about ten movies rated by one user.

| column              | from                                                   |
| ------------------- | ------------------------------------------------------ |
| `v`                 | the rating, 1 to 5, with its many ties                 |
| `ecpm`              | 0: there is no money, so R/R* is undefined             |
| `timestamp`         | the list's number as seconds since 1970: not a time    |
| `age`               | the age group's code, its lowest age                   |
| `zip_prefix`        | first three characters of the zip code                 |
| `years_before_2001` | from the year at the end of the title                  |
| `ratings_before`    | the movie's ratings in earlier lists of the log        |
| `mean_before`       | their mean, with one rating of 3 added                 |

A user's ratings are shuffled and cut into lists whose lengths differ by one at most; the lists of
all users are shuffled in turn. Statistics look back only, so that a later part of the log can
serve as a test.

What is lost: time. The timestamps at hand cover half of the users, so the order is drawn, and a
test on the last lists asks about users and movies known from the same years, not about the
future. Users chose which movies to rate: a list is not what a system showed.
""",
}


def explain(dataset: str) -> str:
    """What a data set's columns stand for and what is lost, as Markdown for a notebook.

    >>> explain("trivago").splitlines()[0]
    '**trivago** (the RecSys Challenge 2019 by trivago). An impression is a list shown to a user.'
    """
    return _named(EXPLANATIONS, dataset)


def convert(dataset: str, source, destination) -> tuple[Path, Path]:
    """Write a data set as a log: `trivago` or `movielens` by name.

    Args:
      dataset: "trivago" or "movielens".
      source: folder with the data set's Parquet files.
      destination: folder for the log; made if need be.

    Returns: paths of the log and of its features file.
    Raises: ValueError for another data set; TableError naming what is missing in `source`.
    """
    _named({"trivago": trivago, "movielens": movielens}, dataset)(source, destination)
    return Path(destination) / "logs.parquet", Path(destination) / "features.yaml"


def _named(by_dataset, dataset):
    if dataset not in by_dataset:
        raise ValueError(f"dataset must be one of {', '.join(by_dataset)}; got {dataset!r}")
    return by_dataset[dataset]


def _feature(side, kind, name, **sizes):
    return {"name": name, "side": side, "kind": kind, **sizes}


# ---- trivago ----------------------------------------------------------------

TRIVAGO_COLUMNS = (
    "request_id",
    "position",
    "item_id",
    "price",
    "clicked",
    "timestamp",
    "platform",
    "city",
    "device",
    "current_filters",
    "n_filters",
)

# Buckets well above the number of values, so that few of them share one.
TRIVAGO_FEATURES = (
    _feature("user", "sparse", "platform", buckets=4096, width=4),
    _feature("user", "sparse", "city", buckets=65_536, width=8),
    _feature("user", "sparse", "device", buckets=64, width=2),
    _feature("user", "multi_valued", "current_filters", buckets=4096, width=4, length=10),
    _feature("user", "statistical", "n_filters"),
    _feature("ad", "sparse", "item_id", buckets=131_072, width=8),
    _feature("ad", "statistical", "price"),
    _feature("ad", "dense", "price_to_median"),
    _feature("ad", "dense", "price_rank"),
)
TRIVAGO_POSITION = _feature("ad", "sparse", "position", buckets=32, width=4)


def trivago(source, destination, *, with_position: bool = False) -> LogSummary:
    """Write trivago's labelled hotel lists as a log and a features file.

    An impression is a list shown to a user; `EXPLANATIONS` gives the columns.
    The lists without clicks are not used: they are no "no click", and as their times are
    unknown, statistics from them could tell of the future. Hotel properties are left
    out, since they are known for 1.4 % of the rows.

    Args:
      source: folder with lists.parquet.
      destination: folder for logs.parquet and features.yaml; made if need be.
      with_position: declare the shown position as a feature. The existing system
        knows it when it ranks, but a model that replaces that system does not, and
        users click the top (938 of 3,252 clicks) whatever stands there: with it a
        model is measured on repeating the old order, without it on the hotels.

    Returns: the LogSummary of the log written.

    Raises: TableError naming what is missing in `source`.
    """
    log = trivago_log(_table(source, "lists.parquet", TRIVAGO_COLUMNS, "trivago"))
    features = TRIVAGO_FEATURES + (TRIVAGO_POSITION,) * with_position
    return _write(destination, log, features)


def trivago_log(lists: pd.DataFrame) -> pd.DataFrame:
    """The log's rows, from one row per list and hotel; `EXPLANATIONS` gives the columns.

    Args:
      lists: DataFrame with TRIVAGO_COLUMNS, one click at most per `request_id`.

    Returns: DataFrame, sorted by time, list and position.
    """
    size = lists.groupby("request_id")["item_id"].transform("size")
    lists = lists[size > 1].sort_values(["timestamp", "request_id", "position"])
    prices = lists.groupby("request_id")["price"]
    value = lists["price"].where(lists["clicked"] == 1, 0.0)
    rank = prices.rank() - 1
    return pd.DataFrame(
        {
            "impression_id": lists["request_id"].astype("int64"),
            "timestamp": pd.to_datetime(lists["timestamp"], unit="s", utc=True),
            "v": value.groupby(lists["request_id"]).rank("dense") - 1,
            "ecpm": value,
            "platform": lists["platform"],
            "city": lists["city"],
            "device": lists["device"],
            "current_filters": _split(lists["current_filters"]),
            "n_filters": lists["n_filters"],
            "item_id": lists["item_id"],
            "price": lists["price"],
            "price_to_median": np.log(lists["price"] / prices.transform("median")),
            "price_rank": rank / (prices.transform("size") - 1),
            "position": lists["position"],
        }
    ).reset_index(drop=True)


# ---- MovieLens --------------------------------------------------------------

RATINGS_COLUMNS = ("user_id", "movie_id", "rating")
MOVIES_COLUMNS = ("movie_id", "title", "genres")
USERS_COLUMNS = ("user_id", "gender", "age", "occupation", "zip_code")

MOVIELENS_FEATURES = (
    _feature("user", "sparse", "user_id", buckets=6041, width=16),
    _feature("user", "sparse", "gender", buckets=64, width=2),
    _feature("user", "sparse", "age", buckets=64, width=4),
    _feature("user", "sparse", "occupation", buckets=64, width=4),
    _feature("user", "sparse", "zip_prefix", buckets=16_384, width=4),
    _feature("ad", "sparse", "movie_id", buckets=3953, width=16),
    _feature("ad", "multi_valued", "genres", buckets=1024, width=8, length=6),
    _feature("ad", "statistical", "years_before_2001"),
    _feature("ad", "statistical", "ratings_before"),
    _feature("ad", "dense", "mean_before"),
)


def movielens(source, destination, *, list_length: int = 10, seed: int = 0) -> LogSummary:
    """Write MovieLens 1M as a log and a features file.

    An impression is a list of about `list_length` movies rated by one user;
    `EXPLANATIONS` gives the columns.

    Args:
      source: folder with ratings.parquet, movies.parquet and users.parquet.
      destination: folder for logs.parquet and features.yaml; made if need be.
      list_length: movies in a list, on average; >= 2.
      seed: of the lists and their order.

    Returns: the LogSummary of the log written.

    Raises: TableError naming what is missing in `source`.
    """
    log = movielens_log(
        _table(source, "ratings.parquet", RATINGS_COLUMNS, "movielens"),
        _table(source, "movies.parquet", MOVIES_COLUMNS, "movielens"),
        _table(source, "users.parquet", USERS_COLUMNS, "movielens"),
        list_length=list_length,
        seed=seed,
    )
    return _write(destination, log, MOVIELENS_FEATURES)


def movielens_log(
    ratings: pd.DataFrame, movies: pd.DataFrame, users: pd.DataFrame, *, list_length=10, seed=0
) -> pd.DataFrame:
    """The log's rows, from one row per user and movie rated; `EXPLANATIONS` gives the columns.

    Args:
      ratings, movies, users: DataFrames with RATINGS_COLUMNS, MOVIES_COLUMNS and
        USERS_COLUMNS; (user_id, movie_id) unique. Users with one rating are left out.

    Returns: DataFrame, rows of a list adjacent, lists in the drawn order.

    Raises ValueError for a movie or user that is not listed, or a list_length < 2.
    """
    if list_length < 2:
        raise ValueError(f"movielens: list_length must be >= 2; got {list_length}")
    rng = np.random.default_rng(seed)
    several = ratings.groupby("user_id")["user_id"].transform("size") > 1
    rows = ratings.loc[several, list(RATINGS_COLUMNS)]
    rows = rows.iloc[rng.permutation(len(rows))]
    rows = rows.assign(impression_id=_lists(rows["user_id"], list_length, rng))
    rows = rows.sort_values("impression_id", kind="stable")
    rows = _joined(_joined(rows, _described(movies), "movie_id"), users, "user_id")
    earlier, mean = _history(rows["movie_id"], rows["rating"])
    return pd.DataFrame(
        {
            "impression_id": rows["impression_id"],
            "timestamp": pd.to_datetime(rows["impression_id"], unit="s", utc=True),
            "v": rows["rating"].astype(float),
            "ecpm": 0.0,
            "user_id": rows["user_id"],
            "gender": rows["gender"],
            "age": rows["age"].astype("int64"),
            "occupation": rows["occupation"].astype("int64"),
            "zip_prefix": rows["zip_code"].str[:3],
            "movie_id": rows["movie_id"],
            "genres": rows["genres"],
            "years_before_2001": rows["years_before_2001"],
            "ratings_before": earlier,
            "mean_before": mean,
        }
    )


def _lists(user, length, rng):
    """The number of each rating's list, from each rating's user.

    A user with c ratings has round(c / length) lists of consecutive rows, of two at
    least; the lists of all users are numbered in random order.
    """
    ratings = user.groupby(user)
    count, place = ratings.transform("size"), ratings.cumcount()
    lists = (count / length).round().astype(int).clip(1, count // 2)
    by_user = user.groupby([user, place * lists // count]).ngroup()
    return rng.permutation(by_user.nunique())[by_user]


def _described(movies):
    """movie_id, genres as lists, years_before_2001."""
    year = movies["title"].str.extract(r"\((\d{4})\)\s*$")[0]
    if year.isna().any():
        title = movies.loc[year.isna(), "title"].iloc[0]
        raise ValueError(f"movies: title {title!r}; expected the year at its end, as in (1995)")
    return pd.DataFrame(
        {
            "movie_id": movies["movie_id"],
            "genres": _split(movies["genres"]),
            "years_before_2001": 2001 - year.astype(int),
        }
    )


def _joined(rows, table, key):
    joined = rows.merge(table, on=key, how="left", validate="many_to_one", indicator=True)
    unlisted = joined["_merge"] == "left_only"
    if unlisted.any():
        raise ValueError(
            f"ratings: {key} {joined.loc[unlisted, key].iloc[0]} is rated but not "
            f"listed; expected each in the table of the {key}s"
        )
    return joined.drop(columns="_merge")


def _history(movie, rating):
    """Ratings of the movie in the rows before, and their mean with one rating of 3 added.

    As a list holds a movie once, the rows before are the lists before.

    >>> count, mean = _history(pd.Series([7, 8, 7, 7]), pd.Series([5, 1, 4, 2]))
    >>> count.tolist(), mean.tolist()
    ([0, 0, 1, 2], [3.0, 3.0, 4.0, 4.0])
    """
    count = rating.groupby(movie).cumcount()
    total = rating.astype(float).groupby(movie).cumsum() - rating
    return count, (3 + total) / (1 + count)


# ---- files ------------------------------------------------------------------


def _table(source, name, columns, data):
    path = Path(source) / name
    if not path.is_file():
        raise TableError(
            f"{path}: not found; expected a Parquet file of "
            f"{ORIGINALS[data]} with the columns {', '.join(columns)}"
        )
    try:
        present = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: not a Parquet file: {' '.join(str(error).split())}") from None
    missing = [column for column in columns if column not in present]
    if missing:
        raise TableError(f"{path}: column {missing[0]!r} is missing; it has {', '.join(present)}")
    return pd.read_parquet(path, columns=list(columns))


def _split(texts):
    """Texts joined by vertical bars as lists; none for a missing text.

    >>> _split(pd.Series(["a|b", None])).tolist()
    [['a', 'b'], []]
    """
    return pd.Series(
        [text.split("|") if isinstance(text, str) and text else [] for text in texts],
        index=texts.index,
        dtype=object,
    )


def _write(destination, log, features):
    destination = Path(destination)
    features = Features(features=features)
    columns = [*LOG_COLUMNS, *(feature.name for feature in features.features)]
    write_logs(
        destination / "logs.parquet", [pa.Table.from_pandas(log[columns], preserve_index=False)]
    )
    save_features(destination / "features.yaml", features)
    return check(destination / "logs.parquet", features)
