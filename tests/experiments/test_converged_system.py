"""The simulated system with its trained base, on a tiny world."""

import json

import numpy as np
import pytest

from lib import training
from lib.experiments import converged_system
from lib.logs import reader
from lib.logs.features import load_features
from lib.models.scorer import Scorer

pytestmark = pytest.mark.slow

TINY = {
    "world": "small",
    "world_changes": {"users": 200, "ads": 600},
    "seed": 0,
    "hidden": [8, 1],
    "rounds": 2,
    "impressions_per_round": 512,
    "log_impressions": 600,
    "train_impressions": 512,
    "learning_rate": 0.1,
    "batch_impressions": 128,
    "test_users": 100,
    "test_visits": 1,
}


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    return converged_system.build(tmp_path_factory.mktemp("system"), **TINY)


def forbid(*_, **__):
    raise RuntimeError("the system is being rebuilt")


def test_what_is_built(system):
    assert {file.name for file in system.folder.iterdir()} == {
        "logs.parquet",
        "features.yaml",
        "rounds.csv",
        "base.npz",
        "parameters.json",
    }
    features = load_features(system.features)
    assert reader.check(system.logs, features).impressions == 600
    rounds = system.rounds
    assert rounds["round"].tolist() == [0, 1]
    assert rounds.impressions.tolist() == [512, 1024]
    assert (rounds.oracle_gap < 0).all()  # nothing beats the oracle
    assert rounds.change.isna().tolist() == [True, False]


def test_the_base_is_the_model_trained_on_the_log(system):
    features = load_features(system.features)
    test = reader.read(system.logs, features, start=512)
    scorer = training.load_weights(system.folder / "base.npz", Scorer(features, [8, 1]))
    learnt = training.evaluate(scorer, test, 2, 2)["opa"]
    assert learnt.value > 0.5 + 3 * learnt.standard_error
    base = system.base()
    users, ads = np.array([0, 7, 199]), np.array([[0, 5], [599, 5], [1, 2]])
    np.testing.assert_array_equal(base(users, ads), system.compiled(scorer)(users, ads))


def test_a_built_system_is_not_built_again(system, monkeypatch):
    monkeypatch.setattr(converged_system, "closed_loop", forbid)
    again = converged_system.build(system.folder, **TINY)
    loaded = converged_system.load(system.folder)
    for restored in (again, loaded):
        assert (restored.folder, restored.parameters) == (system.folder, system.parameters)
        assert restored.world.parameters == system.world.parameters
        np.testing.assert_array_equal(restored.base()([3], [[1, 2]]), system.base()([3], [[1, 2]]))
    for change in ({"seed": 1}, {"hidden": [4, 1]}, {"world_changes": {"users": 200}}):
        with pytest.raises(RuntimeError, match="being rebuilt"):
            converged_system.build(system.folder.parent / "other", **{**TINY, **change})


def test_a_system_that_is_half_rebuilt_is_none(system, tmp_path, monkeypatch):
    for file in system.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert converged_system.load(tmp_path).rounds.equals(system.rounds)
    monkeypatch.setattr(converged_system, "closed_loop", forbid)
    with pytest.raises(RuntimeError, match="being rebuilt"):
        converged_system.build(tmp_path, **{**TINY, "seed": 1})
    with pytest.raises(ValueError, match="no simulated system here"):
        converged_system.load(tmp_path)


def test_a_changed_log_is_built_again(system, tmp_path, monkeypatch):
    for file in system.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "logs.parquet").write_bytes(b"another log")
    monkeypatch.setattr(converged_system, "closed_loop", forbid)
    with pytest.raises(RuntimeError, match="being rebuilt"):
        converged_system.build(tmp_path, **TINY)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: no simulated system here; run notebook"):
        converged_system.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"train_impressions": 601}, "must not exceed log_impressions = 600; got 601"),
        ({"round": 2}, "round\n  Extra inputs are not permitted"),
        ({"hidden": [8, 0]}, "hidden.1\n  Input should be greater than 0"),
        ({"learning_rate": 0.0}, "learning_rate\n  Input should be greater than 0"),
        ({"world": "Z"}, "preset must be in .*; got 'Z'"),
        ({"world_changes": {"user": 200}}, "\nuser\n  Extra inputs are not permitted"),
    ],
)
def test_what_is_no_system_is_refused_before_anything_is_written(tmp_path, change, match):
    with pytest.raises(ValueError, match=match):
        converged_system.build(tmp_path, **{**TINY, **change})
    assert list(tmp_path.iterdir()) == []


def test_parameters_of_another_version_are_refused(system, tmp_path):
    values = json.loads((system.folder / "parameters.json").read_text())
    (tmp_path / "parameters.json").write_text(json.dumps(values | {"pathways": 3}))
    with pytest.raises(ValueError, match=f"{tmp_path}/parameters.json: .* this version.*\n*pathw"):
        converged_system.load(tmp_path)


@pytest.mark.parametrize("text", ["", '{"world": "S", "log', "[]", "{}", "null", "\0"])
def test_a_damaged_system_is_named(system, tmp_path, text):
    (tmp_path / "parameters.json").write_text(text)
    match = f"{tmp_path}/parameters.json: expected the parameters of a simulated system; found"
    with pytest.raises(ValueError, match=match):
        converged_system.load(tmp_path)


def test_a_damaged_system_is_named_and_made_again(tmp_path, monkeypatch):
    class MadeError(Exception):
        """Far enough."""

    def make(*_):
        raise MadeError

    monkeypatch.setattr(converged_system, "_converge", make)
    (tmp_path / "parameters.json").write_text('{"world": "S", "log')
    with pytest.warns(UserWarning, match="parameters.json is damaged; the system is made again"):
        with pytest.raises(MadeError):
            converged_system.build(tmp_path, **TINY)


def test_the_parameters_file_says_what_the_system_was_built_from(system):
    values = json.loads((system.folder / "parameters.json").read_text())
    assert {name: values[name] for name in TINY} == TINY
    assert values.keys() - TINY.keys() == {"m", "k", "code", "logs_sha256"}
