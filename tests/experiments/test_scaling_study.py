"""Sizes trained for a scaling law: bad settings are refused first, tasks are as declared."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.experiments import scaling_study
from lib.experiments.scaling_study import check_settings, open_log, train_sizes
from lib.logs import reader
from lib.logs.errors import LogError
from lib.logs.features import save_features
from tests.small_log import FEATURES

SETTINGS = {
    "sizes": [[4, 1], [8, 1], [16, 1], [32, 1], [64, 1]],
    "seeds": [0, 1],
    "held_out": 1,
    "metric": "ndcg",
    "direction": "rising",
    "interval": 0.9,
    "other_breaks": [0, 6],
    "dataset": "trivago",
}


@pytest.fixture(scope="module")
def opened(log, tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "features.yaml"
    save_features(path, FEATURES)
    return open_log(log, path, without=["", "brand"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sizes": []}, r"sizes must name one size or more; got \[\]"),
        ({"seeds": []}, r"seeds must name one seed or more; got \[\]"),
        ({"seeds": [3, 1, 3]}, "seeds must be different; got 3 twice"),
        ({"held_out": -1}, "held_out must be >= 0; got -1"),
        ({"held_out": 2}, "sizes: a law needs 4 sizes beside the largest held_out = 2; got 5"),
        ({"metric": "auc"}, "metric must be one of r_over_r_star, ndcg, .*; got 'auc'"),
        ({"dataset": "criteo"}, "dataset must be .* trivago, movielens; got 'criteo'"),
        ({"direction": "auto"}, 'direction must be "rising" or "falling"; got \'auto\''),
        ({"interval": 90}, "interval must lie between 0 and 1; got 90"),
        ({"breaks": 7}, 'breaks must be "auto" or 0..6; got 7'),
        ({"breaks": "two"}, "breaks must be .*; got 'two'"),
        ({"other_breaks": [0, -1]}, "other_breaks must be whole numbers >= 0; got -1"),
    ],
)
def test_bad_settings_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        check_settings(**SETTINGS | values)


def test_good_settings_pass():
    check_settings(**SETTINGS)
    check_settings(**SETTINGS | {"dataset": "", "direction": "falling", "breaks": 2})


def test_given_measurements_need_no_trainings():
    given = {"sizes": [], "seeds": [], "metric": "a metric of mine", "dataset": "criteo"}
    check_settings(**SETTINGS | given, trains=False)
    with pytest.raises(ValueError, match="direction"):
        check_settings(**SETTINGS | given | {"direction": "up"}, trains=False)


def test_a_log_is_described_without_the_features_left_out(opened, log):
    summary = reader.check(log, FEATURES.without(["brand"]))
    assert opened.impressions == summary.impressions
    assert opened.without == ("brand",)
    fewer, all_features = FEATURES.without(["brand"]), FEATURES
    assert fewer.width("ad") < all_features.width("ad")
    assert f"{fewer.width('ad')} of the ad" in opened.description
    assert f"{summary.ads:,} ads" in opened.description


def test_a_public_data_set_is_made_into_a_log(monkeypatch, log, tmp_path):
    """The converter is given the reader's folder and where the log goes."""

    def convert(source, destination):
        assert source == "their data"
        destination = tmp_path / destination
        destination.mkdir()
        (destination / "logs.parquet").write_bytes(log.read_bytes())
        save_features(destination / "features.yaml", FEATURES)

    monkeypatch.setitem(scaling_study.DATASETS, "movielens", convert)
    opened = open_log("", "", dataset="movielens", data="their data", folder=tmp_path / "made")
    assert opened.logs == f"{tmp_path}/made/logs.parquet"
    assert opened.description.startswith("**MovieLens 1M**")


def test_a_feature_that_is_not_there_is_named(opened):
    with pytest.raises((LogError, ValueError), match="colour"):
        open_log(opened.logs, opened.features, without=["colour"])


def train(opened, folder, **values):
    settings = {
        "metric": "ndcg",
        "train_impressions": 200,
        "test_impressions": 70,
        "n_jobs": 1,
        "batch_impressions": 50,
    }
    return train_sizes(opened, [[8, 1], [4, 1]], [0, 5], folder, **settings | values)


def test_a_log_that_is_too_short_is_refused_before_training(opened, tmp_path):
    with pytest.raises(ValueError, match=r"train_impressions \+ test_impressions = 1,000,070"):
        train(opened, tmp_path, train_impressions=1_000_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", ["m", "k"])
def test_more_ads_than_any_list_holds_are_refused_before_training(opened, tmp_path, cut):
    with pytest.raises(ValueError, match=f"{cut} must be at most 7, the ads of .*; got 8"):
        train(opened, tmp_path, **{cut: 8})
    assert not list(tmp_path.iterdir())


def test_a_log_without_money_is_refused_before_training_on_money(log, tmp_path, monkeypatch):
    table = pq.read_table(log)
    place = table.schema.get_field_index("ecpm")
    table = table.set_column(place, "ecpm", pa.array(np.zeros(len(table))))
    pq.write_table(table, tmp_path / "log.parquet")
    save_features(tmp_path / "features.yaml", FEATURES)
    opened = open_log(tmp_path / "log.parquet", tmp_path / "features.yaml")
    assert "of the metrics ndcg, recall, opa exist" in opened.description
    tasks = record_tasks(monkeypatch, ndcg=0.5)
    with pytest.raises(ValueError, match="metric must be one of ndcg, recall, opa, "):
        train(opened, tmp_path, metric="r_over_r_star")
    assert not tasks
    assert len(train(opened, tmp_path)) == 4


def record_tasks(monkeypatch, **values):
    """Puts a table of `values` in the place of trainings; returns the tasks it is asked for."""
    tasks = []

    def run(function, wanted, folder, *, n_jobs):
        tasks.extend(wanted)
        return [{"model": task["model"], **values} for task in wanted]

    monkeypatch.setattr(scaling_study.sweep, "run", run)
    return tasks


def test_every_size_is_trained_from_every_seed(opened, tmp_path, monkeypatch):
    tasks = record_tasks(monkeypatch, ndcg=0.5)
    table = train(opened, tmp_path, m=3, tau=0.5)
    assert table.model.tolist() == ["8 seed 0", "8 seed 5", "4 seed 0", "4 seed 5"]
    assert [(task["hidden"], task["seed"]) for task in tasks] == [
        ([8, 1], 0),
        ([8, 1], 5),
        ([4, 1], 0),
        ([4, 1], 5),
    ]
    for task in tasks:
        assert (task["m"], task["tau"], task["without"]) == (3, 0.5, ["brand"])
        assert (task["train_impressions"], task["test_start"]) == (200, 200)


def test_an_undefined_metric_is_named(opened, tmp_path, monkeypatch):
    record_tasks(monkeypatch, ndcg=np.nan)
    with pytest.raises(ValueError, match="metric 'ndcg' is undefined for 8 seed 0, 8 seed 5"):
        train(opened, tmp_path)


@pytest.mark.slow
def test_a_training_is_that_of_its_spec(opened, tmp_path):
    table = train_sizes(
        opened,
        [[4, 1]],
        [0],
        tmp_path,
        metric="ndcg",
        train_impressions=200,
        test_impressions=70,
        n_jobs=1,
        batch_impressions=50,
        window=100,
    )
    width = FEATURES.without(["brand"]).width("user") + FEATURES.without(["brand"]).width("ad")
    assert table.size_parameters[0] == [width, 4, 1]
    assert 0 < table.ndcg[0] < 1
