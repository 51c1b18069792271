"""What an interrupted run goes on from, and weights that come back."""

import io
import re

import numpy as np
import pytest

from lib.losses import RelaxLoss
from lib.models.scorer import Scorer
from lib.training import Checkpoint, load_weights, predict, save_weights
from lib.training.learner import Learner
from tests.small_log import FEATURES
from tests.training.small_training import STOP, assert_same_weights, interrupt, make_learner, train


@pytest.mark.slow
def test_an_interrupted_run_ends_in_the_same_weights(trained, log, tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.checkpoint"
    resumable = {"checkpoint": checkpoint, "every": 6}
    # A window has four steps: the first checkpoint lies within one, the second between two.
    for steps in (7, 13 - 6):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            made = interrupt(patch, steps)
            train(log, **resumable)
        assert len(made) == steps
        assert list(tmp_path.iterdir()) == [checkpoint]
    made = interrupt(monkeypatch, None)
    again = train(log, **resumable)
    assert len(made) == 20 - 12
    assert_same_weights(again.scorer, trained.scorer)
    assert again.loss.alpha.numpy() == trained.loss.alpha.numpy()
    np.testing.assert_array_equal(again.report.losses, trained.report.losses)
    assert (again.report.impressions, again.report.samples) == (STOP, trained.report.samples)
    # Once more: nothing is left to do.
    written = checkpoint.stat().st_mtime_ns
    finished = train(log, **resumable)
    assert len(made) == 20 - 12 and checkpoint.stat().st_mtime_ns == written
    assert_same_weights(finished.scorer, trained.scorer)
    assert finished.report.samples == trained.report.samples


@pytest.fixture(scope="module")
def written(log, tmp_path_factory):
    """A checkpoint of a run that stopped after its first writing."""
    path = tmp_path_factory.mktemp("checkpoint") / "run.npz"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 1)
        train(log, stop=50, window=25, checkpoint=path, every=1)
    return path


@pytest.mark.parametrize(
    ("learner", "changes", "match"),
    [
        ({}, {"seed": 1}, "another seed;"),
        ({}, {"noise": 0.5}, "another label_noise, seed of the label noise;"),
        ({"loss": RelaxLoss(2, 2)}, {}, "another loss;"),
        (
            {"learning_rate": 0.2, "seed": 1},
            {"stop": 75},
            "another seed of the weights, learning_rate, stop;",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(log, written, learner, changes, match):
    run = {"stop": 50, "window": 25, "checkpoint": written, **changes}
    with pytest.raises(ValueError, match=f"run.npz: the checkpoint is of a run with {match}"):
        train(log, make_learner(**learner), **run)


def without(path, name):
    """The file's bytes without one of its arrays."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files if key != name}
    return saved(arrays)


def saved(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def changed(path, **arrays):
    with np.load(path) as file:
        return saved({**{key: file[key] for key in file.files}, **arrays})


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda path: b"", "found none that can be read (EOFError"),
        (lambda path: path.read_bytes()[:-500], "found none that can be read (BadZipFile"),
        (lambda path: without(path, "watched"), "found a file without what one holds (KeyError"),
        (lambda path: without(path, "run"), "found a file without what one holds (KeyError"),
        (lambda path: without(path, "variable_1"), "found nothing for its variable 1"),
        (lambda path: changed(path, run="{"), "found a file without what one holds (JSONDecode"),
        (lambda path: changed(path, run="[]"), "found a file without what one holds (Attribute"),
        (lambda path: changed(path, counts=[1]), "found a file without what one holds (ValueError"),
        (lambda path: changed(path, variable_0=np.ones(3)), "found float64 [3] for its variable 0"),
        (lambda path: saved({"a": np.array([{}])}), "found none that can be read (ValueError: Obj"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(log, written, tmp_path, damage, found):
    path = tmp_path / "run.npz"
    path.write_bytes(damage(written))
    learner = make_learner()
    before = learner.scorer.get_weights()
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected a checkpoint of")) as raised:
        train(log, learner, stop=50, window=25, checkpoint=path)
    [line] = str(raised.value).splitlines()
    assert found in line and "remove it to begin anew" in line
    for now, then in zip(learner.scorer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_every_so_many_steps_is_one_or_more():
    with pytest.raises(ValueError, match="every must be >= 1; got 0"):
        Checkpoint("run.npz", every=0)


def test_the_first_bad_step_is_named(log, tmp_path, monkeypatch):
    """Not the last one of its call; no checkpoint is left of it."""
    monkeypatch.setattr(
        Learner,
        "take_steps",
        lambda self, examples, full_batch: [
            1.0 if len(examples) == 1 else value
            for value, _ in zip([3, np.inf, 2, np.nan], examples)
        ],
    )
    checkpoint = tmp_path / "diverged.npz"
    with pytest.raises(ValueError, match=r"the loss of step 2 is inf; lower learning_rate = 0\.1"):
        train(log, stop=125, checkpoint=checkpoint)
    assert not checkpoint.exists()


def test_saved_weights_come_back(trained, tmp_path, held_out):
    path = tmp_path / "weights"
    save_weights(path, trained.scorer)
    assert list(tmp_path.iterdir()) == [path]
    again = load_weights(path, Scorer(FEATURES, [8, 4, 1], seed=5))
    assert_same_weights(again, trained.scorer)
    np.testing.assert_array_equal(predict(again, held_out), predict(trained.scorer, held_out))
    with pytest.raises(ValueError, match=r"weights are of another model than mlp \[16, 9, 4, 1\]"):
        load_weights(path, Scorer(FEATURES, [9, 4, 1]))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"0": np.array([{}])}, "expected the weights of a model, a whole NPZ file of plain"),
        ({"first": np.ones(3)}, "the weights are of another model than mlp [16, 8, 4, 1]"),
        ({}, "the weights are of another model than mlp [16, 8, 4, 1]"),
    ],
)
def test_weights_that_are_none_are_refused_in_one_line(tmp_path, arrays, said):
    path = tmp_path / "weights.npz"
    path.write_bytes(saved(arrays))
    with pytest.raises(ValueError, match=re.escape(f"{path}: {said}")):
        load_weights(path, Scorer(FEATURES, [8, 4, 1], seed=5))
