"""One pass over clicks: unseen rows at each mark, resumed to the last bit, bad input named."""

import numpy as np
import pytest

from lib.training import Checkpoint, ClickLearner, progressive, train_progressively
from lib.training.progressive import evaluate_clicks, predict_clicks
from tests.training.small_clicks import Data, make_model

PASS = {
    "marks": [128, 512, 768],
    "validation_rows": 100,
    "batches": [(0, 32), (128, 64)],
    "progress": False,
}


@pytest.fixture(autouse=True)
def small_calls(monkeypatch):
    monkeypatch.setattr(progressive, "ROWS_A_CALL", 128)


def run(data=None, learner=None, **changes):
    learner = learner or ClickLearner(make_model(replicas=2))
    return learner, train_progressively(learner, data or Data(), **{**PASS, **changes})


def test_a_row_for_each_mark_and_replica():
    _, rows = run()
    keys = [(row["samples"], row["replica"]) for row in rows]
    assert keys == [(mark, replica) for mark in PASS["marks"] for replica in range(2)]
    for row in rows:
        ratio = row["log_loss"] / row["base_rate_entropy"]
        assert row["normalised_entropy"] == pytest.approx(ratio)
        assert np.isfinite(list(row.values())).all()


def test_rows_are_scored_before_they_are_trained_on(monkeypatch):
    """Row numbers stand in the dense features: those scored at a mark follow all trained on."""
    data = Data()
    numbers = np.arange(len(data), dtype=np.float32)
    data.all = data.all._replace(dense=np.stack([numbers / 2**20, numbers * 0], axis=1))
    seen, scored = [], []
    take, score = ClickLearner.take_steps, progressive.evaluate_clicks

    def take_steps(self, inputs, labels):
        seen.extend((inputs["dense"][..., 0].ravel() * 2**20).astype(int))
        return take(self, inputs, labels)

    def evaluate(learner, rows):
        scored.append((len(seen), (rows.dense[:, 0] * 2**20).astype(int)))
        return score(learner, rows)

    monkeypatch.setattr(ClickLearner, "take_steps", take_steps)
    monkeypatch.setattr(progressive, "evaluate_clicks", evaluate)
    run(data, start=40)
    assert seen == list(range(40, 40 + 768))  # each once, in order
    for mark, (trained_on, rows) in zip(PASS["marks"], scored, strict=True):
        assert trained_on == mark
        np.testing.assert_array_equal(rows, np.arange(40 + mark, 40 + mark + 100))


def test_an_interrupted_pass_ends_as_one_that_was_not(tmp_path, monkeypatch):
    whole, want = run()
    take, calls = ClickLearner.take_steps, []

    def interrupted(self, inputs, labels):
        calls.append(labels.shape)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return take(self, inputs, labels)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ClickLearner, "take_steps", interrupted)
        run(checkpoint=Checkpoint(tmp_path / "run.npz", 1))
    data = Data()
    again, rows = run(data, checkpoint=Checkpoint(tmp_path / "run.npz", 1))
    assert min(start for start, _ in data.read) == 384  # behind the three calls that were done
    assert rows == want
    for a, b in zip(whole.variables, again.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_the_length_of_a_call_changes_nothing(monkeypatch):
    _, want = run()
    monkeypatch.setattr(progressive, "ROWS_A_CALL", 10**6)
    assert run()[1] == want


def test_a_finished_pass_is_only_read(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.npz")
    _, want = run(checkpoint=checkpoint)
    data = Data()
    assert run(data, checkpoint=checkpoint)[1] == want
    assert not data.read


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.npz")
    run(checkpoint=checkpoint)
    with pytest.raises(ValueError, match="another learning_rate"):
        run(learner=ClickLearner(make_model(replicas=2), learning_rate=0.01), checkpoint=checkpoint)
    with pytest.raises(ValueError, match="another seed"):  # as many rows, of another stream
        run(Data(seed=1), checkpoint=checkpoint)


def test_probabilities_are_those_of_the_logits():
    model, rows = make_model(replicas=2), Data(100).all
    logits = np.asarray(model({"ids": rows.ids, "dense": rows.dense}))
    got = predict_clicks(model, rows, batch=33)
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-logits.T)), rtol=1e-5)
    assert got.shape == (2, 100)


def test_true_probabilities_are_scored_where_known():
    rows = Data(100).all
    known, unknown = (
        evaluate_clicks(make_model(), x)[0] for x in (rows, rows._replace(probability=None))
    )
    assert set(known) - set(unknown) == {"expected_log_loss", "expected_normalised_entropy"}


def test_what_is_asked_at_a_mark_stands_in_its_rows():
    """Asked once a mark, of the learner as it stands there, a value for each replica."""
    seen = []

    def probability_of_first(learner):
        seen.append(predict_clicks(learner, Data(1).all)[:, 0])
        return [{"first": float(value)} for value in seen[-1]]

    _, plain = run()
    learner, rows = run(at_mark=probability_of_first)
    assert [row["first"] for row in rows] == np.ravel(seen).tolist() and len(seen) == 3
    np.testing.assert_array_equal(seen[-1], predict_clicks(learner, Data(1).all)[:, 0])
    assert [{name: row[name] for name in plain[0]} for row in rows] == plain  # changes nothing


def test_what_was_asked_is_kept_by_a_checkpoint(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.npz")
    _, want = run(checkpoint=checkpoint, at_mark=lambda _: [{"revenue": 1.5}, {"revenue": 2.5}])

    def asked(_):
        raise AssertionError("asked again")

    assert run(checkpoint=checkpoint, at_mark=asked)[1] == want
    assert [row["revenue"] for row in want] == [1.5, 2.5] * 3


def test_every_replica_needs_its_answer():
    with pytest.raises(ValueError, match="zip"):
        run(at_mark=lambda _: [{"revenue": 1.5}])


def test_a_loss_that_is_not_finite_is_named():
    data = Data()
    data.all.dense[70] = np.nan
    with pytest.raises(ValueError, match="loss of replica 0 is nan after 64 rows"):
        run(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"marks": []}, "marks must increase"),
        ({"marks": [512, 128]}, "marks must increase"),
        ({"marks": [100]}, "100 rows are no end of a batch"),
        ({"batches": [(0, 48)], "marks": [96]}, "must be powers of 2"),
        ({"batches": [(32, 32)]}, "must begin at 0"),
        ({"batches": [(0, 64), (96, 32)]}, "96 rows are no end of a batch"),
        ({"validation_rows": 0}, "validation_rows must be >= 1; got 0"),
        ({"validation_rows": 300}, "need 1068 rows; the data hold 1024"),
        ({"start": -1}, "start = -1"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        run(**changes)
