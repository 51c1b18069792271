"""Public data as logs: by hand on tiny frames, and on the real files where present."""

import numpy as np
import pandas as pd
import pytest

from lib.logs.encoding import fold
from lib.logs.errors import TableError
from lib.logs.features import load_features
from lib.logs.public_datasets import (
    MOVIELENS_FEATURES,
    TRIVAGO_FEATURES,
    convert,
    explain,
    movielens,
    movielens_log,
    trivago,
    trivago_log,
)
from lib.logs.reader import read
from lib.metrics import r_over_r_star, recall
from tests import DATA


def needs(folder):
    return pytest.mark.skipif(
        not (DATA / folder).is_dir(), reason=f"needs the data of ../shared/data/{folder}"
    )


def hotel(request, position, price, clicked, filters=None):
    return {
        "request_id": request,
        "position": position,
        "item_id": 10 * request + position,
        "price": price,
        "clicked": clicked,
        "timestamp": 1_541_030_681 + 60 * request,
        "platform": "UK",
        "city": "Sharjah",
        "device": "mobile",
        "current_filters": filters,
        "n_filters": 0 if filters is None else 2,
    }


HOTELS = pd.DataFrame(
    [
        hotel(2, 1, 80.0, 0, "Pool|Spa"),
        hotel(2, 2, 40.0, 1, "Pool|Spa"),
        hotel(1, 1, 50.0, 0),
        hotel(1, 2, 100.0, 1),
        hotel(1, 3, 50.0, 0),
        hotel(1, 4, 200.0, 0),
        hotel(3, 1, 30.0, 1),  # a list of one
    ]
)


def ratings(count, seed=0, users=6, movies=40):
    """`count` distinct random pairs of user and movie, with ratings."""
    rng = np.random.default_rng(seed)
    pairs = rng.choice(users * movies, count, replace=False)
    return pd.DataFrame(
        {
            "user_id": 1 + pairs // movies,
            "movie_id": 1 + pairs % movies,
            "rating": rng.integers(1, 6, count),
        }
    )


MOVIES = pd.DataFrame(
    {
        "movie_id": range(1, 41),
        "title": [f"M (of {i}) (1961)" for i in range(40)],
        "genres": ["Drama", "Comedy|War"] * 20,
    }
)
USERS = pd.DataFrame(
    {
        "user_id": range(1, 7),
        "gender": list("FMFMFM"),
        "age": [1, 18, 25, 35, 45, 50],
        "occupation": range(6),
        "zip_code": ["48067"] * 6,
    }
)


# trivago


def test_trivago_by_hand():
    log = trivago_log(HOTELS)
    assert log["impression_id"].tolist() == [1, 1, 1, 1, 2, 2]
    assert log["ecpm"].tolist() == [0, 100, 0, 0, 0, 40]
    assert log["v"].tolist() == [0, 1, 0, 0, 0, 1]
    np.testing.assert_allclose(
        log["price_to_median"], np.log([50 / 75, 100 / 75, 50 / 75, 200 / 75, 80 / 60, 40 / 60])
    )
    np.testing.assert_allclose(log["price_rank"], [0.5 / 3, 2 / 3, 0.5 / 3, 1, 1, 0])
    assert log["current_filters"].tolist() == [[]] * 4 + [["Pool", "Spa"]] * 2
    assert str(log["timestamp"][0]) == "2018-11-01 00:05:41+00:00"


def test_trivago_writes_a_log_that_reads_back(tmp_path):
    HOTELS.to_parquet(tmp_path / "lists.parquet")
    summary = trivago(tmp_path, tmp_path / "log", with_position=True)
    assert (summary.impressions, summary.ads, summary.shortest, summary.longest) == (2, 6, 2, 4)
    assert summary.ranked_share == pytest.approx(2 / 6)
    features = load_features(tmp_path / "log/features.yaml")
    assert len(features.features) == len(TRIVAGO_FEATURES) + 1
    batch = read(tmp_path / "log/logs.parquet", features)
    np.testing.assert_array_equal(batch.ad["position"], [[1, 2, 3, 4], [1, 2, 0, 0]])
    np.testing.assert_allclose(batch.ad["price"][1], np.log1p([80, 40, 0, 0]), atol=1e-5)


def test_trivago_leaves_position_out_unless_asked(tmp_path):
    HOTELS.to_parquet(tmp_path / "lists.parquet")
    trivago(tmp_path, tmp_path)
    names = {feature.name for feature in load_features(tmp_path / "features.yaml").features}
    assert "position" not in names | set(pd.read_parquet(tmp_path / "logs.parquet").columns)


@needs("trivago")
def test_trivago_whole(tmp_path):
    summary = trivago(DATA / "trivago", tmp_path)
    # 3,252 lists and 74,660 rows less five lists of one hotel; one click a list.
    assert (summary.impressions, summary.ads) == (3_252 - 5, 74_660 - 5)
    assert summary.ranked_share == pytest.approx(3_247 / 74_655)
    log = pd.read_parquet(tmp_path / "logs.parquet")
    assert log["price_rank"].between(0, 1).all()
    features = load_features(tmp_path / "features.yaml")
    batch = read(tmp_path / "logs.parquet", features)
    scores = np.random.default_rng(0).random(batch.v.shape)
    reached = r_over_r_star(scores, batch.v, batch.ecpm, m=5, mask=batch.mask)
    np.testing.assert_array_equal(reached, recall(scores, batch.v, 5, 1, batch.mask))
    for name in ("platform", "device"):
        no_two_share_a_bucket(log[name].unique(), TRIVAGO_FEATURES, name)


# MovieLens


@pytest.mark.parametrize("list_length", [2, 3, 10])
def test_movielens_lists_are_balanced_and_whole(list_length):
    given = ratings(120)
    log = movielens_log(given, MOVIES, USERS, list_length=list_length)
    pairs = ["user_id", "movie_id"]
    kept = log.rename(columns={"v": "rating"})[[*pairs, "rating"]].sort_values(pairs)
    pd.testing.assert_frame_equal(
        kept.reset_index(drop=True),
        given.sort_values(pairs).reset_index(drop=True),
        check_dtype=False,
    )
    lists = log.groupby("impression_id")
    assert (lists["user_id"].nunique() == 1).all()
    assert lists.size().min() >= 2
    spread = lists.size().groupby(lists["user_id"].first()).agg(np.ptp)
    assert spread.max() <= 1
    np.testing.assert_array_equal(log["impression_id"].drop_duplicates(), range(lists.ngroups))


def test_movielens_statistics_look_back_only():
    log = movielens_log(ratings(150), MOVIES, USERS)
    for row in log.itertuples():
        before = log[
            (log["movie_id"] == row.movie_id) & (log["impression_id"] < row.impression_id)
        ]["v"]
        assert row.ratings_before == len(before)
        assert row.mean_before == pytest.approx(np.mean([3, *before]))


def test_movielens_describes_movies_and_users():
    log = movielens_log(ratings(60), MOVIES, USERS)
    war = log["movie_id"] % 2 == 0
    assert log.loc[war, "genres"].map(lambda genres: genres == ["Comedy", "War"]).all()
    assert (log["years_before_2001"] == 40).all()
    assert (log["zip_prefix"] == "480").all()
    assert (log["occupation"] == log["user_id"] - 1).all()
    assert (log["ecpm"] == 0).all()


def test_movielens_order_is_drawn_from_the_seed():
    one, same, other = (movielens_log(ratings(80), MOVIES, USERS, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not one["user_id"].equals(other["user_id"])


def test_movielens_leaves_out_a_user_with_one_rating():
    given = pd.DataFrame({"user_id": [1, 2, 2], "movie_id": [1, 1, 2], "rating": [5, 4, 3]})
    assert movielens_log(given, MOVIES, USERS)["user_id"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"movie_id": 99}, "movie_id 99 is rated but not listed"),
        ({"user_id": 7}, "user_id 7 is rated but not listed"),
    ],
)
def test_movielens_refuses_what_is_not_listed(change, message):
    given = pd.DataFrame({"user_id": [1, 1], "movie_id": [1, 2], "rating": [5, 4]}).assign(**change)
    with pytest.raises(ValueError, match=message):
        movielens_log(given, MOVIES, USERS)


def test_movielens_refuses_a_title_without_year_and_short_lists():
    with pytest.raises(ValueError, match=r"movies: title 'Jaws'; expected the year"):
        movielens_log(ratings(9), MOVIES.assign(title="Jaws"), USERS)
    with pytest.raises(ValueError, match=r"list_length must be >= 2; got 1"):
        movielens_log(ratings(9), MOVIES, USERS, list_length=1)


def test_movielens_writes_a_log_that_reads_back(tmp_path):
    for name, table in (("ratings", ratings(100)), ("movies", MOVIES), ("users", USERS)):
        table.to_parquet(tmp_path / f"{name}.parquet")
    summary = movielens(tmp_path, tmp_path)
    assert (summary.ads, summary.ranked_share) == (100, 0)
    batch = read(tmp_path / "logs.parquet", load_features(tmp_path / "features.yaml"))
    assert set(batch.user) | set(batch.ad) == {feature["name"] for feature in MOVIELENS_FEATURES}


@needs("movielens1m")
def test_movielens_whole(tmp_path):
    summary = movielens(DATA / "movielens1m", tmp_path)
    assert summary.ads == 1_000_209
    assert (summary.shortest, summary.longest) == (8, 13)
    genres = pd.read_parquet(tmp_path / "logs.parquet", columns=["genres"])["genres"]
    no_two_share_a_bucket(genres.explode().unique(), MOVIELENS_FEATURES, "genres")


def no_two_share_a_bucket(values, features, name):
    [buckets] = [feature["buckets"] for feature in features if feature["name"] == name]
    assert len(set(fold(values.astype(object), buckets).tolist())) == len(values)


# Files


def test_missing_file_and_column_are_named(tmp_path):
    with pytest.raises(TableError, match=r"lists.parquet: not found; .*RecSys Challenge"):
        trivago(tmp_path, tmp_path)
    HOTELS.drop(columns="price").to_parquet(tmp_path / "lists.parquet")
    with pytest.raises(TableError, match=r"lists.parquet: column 'price' is missing; it has req"):
        trivago(tmp_path, tmp_path)
    (tmp_path / "ratings.parquet").write_text("user,movie")
    with pytest.raises(TableError, match=r"ratings.parquet: not a Parquet file"):
        movielens(tmp_path, tmp_path)
    assert not (tmp_path / "logs.parquet").exists()


# ---- for a notebook ---------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "features"), [("trivago", TRIVAGO_FEATURES), ("movielens", MOVIELENS_FEATURES)]
)
def test_what_is_explained_is_a_column_of_the_log(dataset, features):
    text = explain(dataset)
    described = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    names = {"v", "ecpm", "timestamp", *(feature["name"] for feature in features)}
    assert {"v", "ecpm"} <= set(described) <= names
    assert "What is lost: " in text and not text.startswith(" ")


def test_a_data_set_by_its_name(tmp_path):
    HOTELS.to_parquet(tmp_path / "lists.parquet")
    logs, features = convert("trivago", tmp_path, tmp_path / "log")
    assert len(read(logs, load_features(features))) == 2
    for refuse in (explain, lambda name: convert(name, tmp_path, tmp_path)):
        with pytest.raises(ValueError, match="dataset must be one of trivago, movielens; got 'cri"):
            refuse("criteo")
