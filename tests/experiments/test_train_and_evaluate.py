"""A tiny model trained and measured as a task of a sweep."""

import json
from pathlib import Path

import pytest

from lib import training
from lib.experiments import train_and_evaluate
from lib.infra import sweep
from lib.logs import reader
from lib.logs.features import save_features
from tests.small_log import FEATURES


@pytest.fixture(scope="module")
def spec(log, tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "features.yaml"
    save_features(path, FEATURES)
    return train_and_evaluate.TrainingSpec(
        model="tiny",
        logs=str(log),
        features=str(path),
        hidden=(8, 1),
        train_impressions=200,
        test_start=220,
        test_impressions=70,
        learning_rate=0.1,
        batch_impressions=50,
        window=100,
        loss="relax",
        without=("brand",),
    )


def changed(spec, **values):
    return train_and_evaluate.TrainingSpec(**{**spec.model_dump(), **values})


@pytest.mark.slow
def test_train_and_measure(spec, log, tmp_path):
    (row,) = sweep.run(
        train_and_evaluate.train_and_evaluate, [spec.task()], tmp_path, n_jobs=1, progress=False
    )
    path = sweep.result_path(train_and_evaluate.train_and_evaluate, spec.task(), tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".npz"}  # no checkpoint
    scorer = train_and_evaluate.load_trained(spec, path)
    test = reader.read(log, scorer.features, start=220, stop=290)
    for name, mean in training.evaluate(scorer, test, m=2, k=2).items():
        assert row[name] == pytest.approx(mean.value)
        assert row[f"{name}_undefined"] == mean.undefined
    trained_on = reader.read(log, scorer.features, stop=200)
    assert row["samples"] == trained_on.mask.sum()
    assert row["size_parameters"] == [4 + 2 + 3 + 4 + 1, 8, 1]
    assert row["flops"] == 2 * (14 * 8 + 8)
    assert (row["model"], row["family"], row["seed"]) == ("tiny", "mlp", 0)


def test_a_task_names_its_inputs_by_content(spec, tmp_path):
    task = spec.task()
    assert json.loads(json.dumps(task)) == task
    other = tmp_path / "features.yaml"
    save_features(other, FEATURES.without(["bid"]))
    assert changed(spec, features=str(other)).task()["features_sha256"] != task["features_sha256"]
    folder = Path(tmp_path, "log")
    folder.mkdir()
    (folder / "part.parquet").write_bytes(Path(spec.logs).read_bytes())
    in_folder = changed(spec, logs=str(folder)).task()["logs_sha256"]
    (folder / ".part.1.part.parquet").write_text("being written")
    assert changed(spec, logs=str(folder)).task()["logs_sha256"] == in_folder
    (folder / "part2.parquet").write_text("")
    assert changed(spec, logs=str(folder)).task()["logs_sha256"] != in_folder


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"test_start": 199}, "test must not overlap the training: test_start = 199"),
        ({"loss": "hinge"}, "'arf', 'relax', 'softmax' or 'pairwise'"),
        ({"hidden": (8, 0)}, "greater than 0"),
        ({"learning_rate": 0.0}, "greater than 0"),
        ({"tau_v": 0.0}, "tau_v.*\n.*greater than 0"),
        ({"learing_rate": 0.1}, "Extra inputs are not permitted"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused(spec, values, match):
    with pytest.raises(ValueError, match=match):
        changed(spec, **values)


@pytest.mark.parametrize("loss", ["arf", "relax"])
def test_the_temperatures_reach_the_loss(spec, loss):
    for values in ({"tau": 2.0}, {"tau": 2.0, "tau_v": 1e-4}):
        config = train_and_evaluate.LOSSES[loss](changed(spec, **values)).get_config()
        assert (config["tau"], config["tau_v"]) == (2.0, values.get("tau_v"))


def test_a_log_that_is_too_short_is_refused_before_training(spec, tmp_path):
    task = changed(spec, test_impressions=81).task()
    with pytest.raises(ValueError, match="'tiny' need 301 impressions; the log holds 300"):
        train_and_evaluate.train_and_evaluate(task, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
