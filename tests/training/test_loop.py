"""Training: the same numbers twice, resumed or not, and a model that has learnt."""

import numpy as np
import pytest

from lib.logs import reader
from lib.losses import ARFLoss, PairwiseLogisticLoss, RelaxLoss, SoftmaxLoss, relax_and_global
from lib.models.scorer import Scorer
from lib.training import loop as training
from tests.small_log import FEATURES, make_log

STOP, BATCH = 500, 25  # 20 steps
SETTINGS = {
    "stop": STOP,
    "batch_impressions": BATCH,
    "window": 100,
    "learning_rate": 0.1,
    "progress": False,
}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "log.parquet"
    reader.write_logs(path, [make_log(count=700)])
    return path


@pytest.fixture(scope="module")
def test(log):
    return reader.read(log, FEATURES, start=STOP)


def train(log, scorer_seed=0, loss=None, **changes):
    """A trained scorer, its loss and its report."""
    scorer, loss = Scorer(FEATURES, [8, 4, 1], seed=scorer_seed), loss or ARFLoss(2, 2)
    return scorer, loss, training.train(scorer, log, loss=loss, **{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def trained(log):
    return train(log)


def assert_same_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def train_slowly(log, scorer, loss, stop, label_noise=0.0, seed=0):
    """Reference of `training.train`: one `train_on_batch` a step; returns the losses."""
    training.set_up_backend()
    trainee = training.Trainee(scorer, loss)
    trainee.compile(training.Adagrad(SETTINGS["learning_rate"], epsilon=1e-8), loss)
    losses = []
    for step, batch in enumerate(
        reader.stream(log, FEATURES, BATCH, window=SETTINGS["window"], seed=seed, stop=stop)
    ):
        target = training.ranks(batch.v, batch.mask)
        if label_noise:
            target = training._with_noise(target, label_noise, seed, step)
        losses.append(np.ravel(trainee.train_on_batch(training.as_inputs(batch), target))[0])
    return losses


def alpha(loss):
    """Where the loss's own weight ended; None where it has none."""
    return loss.alpha.numpy() if hasattr(loss, "alpha") else None


def interrupt(monkeypatch, at):
    """Ctrl-C after `at` steps; returns a list with an entry for each step made."""
    original, made = training.Learner.take_steps, []

    def take_steps(self, examples, full):
        now = examples if at is None else examples[: at - len(made)]
        made.extend(now)
        losses = original(self, now, full) if now else []
        if len(now) < len(examples):
            raise KeyboardInterrupt
        return losses

    monkeypatch.setattr(training.Learner, "take_steps", take_steps)
    return made


# ---- what is learnt -------------------------------------------------------


def test_the_trained_model_ranks_unseen_impressions(trained, test):
    scorer, loss, report = trained
    assert report.losses[-5:].mean() < 0.8 * report.losses[:5].mean()
    rng = np.random.default_rng(0)
    chance = training.metrics.evaluate(rng.random(test.v.shape), test.v, test.ecpm, 2, 2, test.mask)
    got = training.evaluate(scorer, test, m=2, k=2)
    for name in ("r_over_r_star", "ndcg", "recall", "opa"):
        gain, noise = got[name].value - chance[name].value, chance[name].standard_error
        assert gain > 5 * noise, name
    assert loss.alpha.numpy() != 1


def test_the_report_counts_everything_once(trained, log):
    _, _, report = trained
    first = reader.read(log, FEATURES, stop=STOP)
    assert (report.impressions, report.samples) == (STOP, first.mask.sum())
    assert len(report.losses) == STOP / BATCH
    assert report.timed_impressions == STOP - BATCH  # the first step compiles
    assert report.impressions_per_second == pytest.approx((STOP - BATCH) / report.seconds)
    assert 0 < report.share_of_peak < 1


def test_one_step_is_adagrad_on_the_loss(log):
    """Every weight, the embeddings of frequent ids and alpha among them."""
    import tensorflow as tf

    scorer, loss, report = train(log, stop=BATCH, window=0)
    fresh = Scorer(FEATURES, [8, 4, 1], seed=0)
    batch = reader.read(log, FEATURES, stop=BATCH)
    start = [v.numpy() for v in fresh.trainable_variables]
    with tf.GradientTape() as tape:
        scores = fresh(training.as_inputs(batch), training=True)
        target = training.ranks(batch.v, batch.mask)
        relax, everywhere = relax_and_global(target, scores, m=2, k=2, tau=1.0)
        value = tf.reduce_mean(relax + everywhere / 2)
    assert report.losses[0] == pytest.approx(float(value), rel=1e-5)

    def adagrad(weight, slope):  # the sum of squares starts at 0.1 in Keras
        return weight - 0.1 * slope / np.sqrt(0.1 + slope**2 + 1e-8)

    slopes = tape.gradient(value, fresh.trainable_variables)
    for variable, weight, slope in zip(scorer.trainable_variables, start, slopes, strict=True):
        want = adagrad(weight, tf.convert_to_tensor(slope).numpy())
        np.testing.assert_allclose(variable.numpy(), want, rtol=1e-4, atol=1e-5)
    assert loss.alpha.numpy() == pytest.approx(adagrad(1, 1 - float(tf.reduce_mean(everywhere))))
    assert np.isnan(report.impressions_per_second) and np.isnan(report.share_of_peak)


# ---- the same numbers -----------------------------------------------------


def test_the_same_run_gives_the_same_weights(trained, log):
    again, loss, report = train(log)
    assert_same_weights(again, trained[0])
    assert loss.alpha.numpy() == trained[1].alpha.numpy()
    np.testing.assert_array_equal(report.losses, trained[2].losses)


@pytest.mark.parametrize(
    ("family", "make_loss", "label_noise", "stop"),
    [
        ("mlp", lambda: ARFLoss(2, 2), 0.0, 6 * BATCH + 9),
        ("twin_tower", lambda: RelaxLoss(2, 2), 0.5, 6 * BATCH + 9),
        ("mlp", SoftmaxLoss, 0.5, 6 * BATCH),
        ("mlp", PairwiseLogisticLoss, 0.0, 6 * BATCH),
    ],
    ids=["arf", "relax", "softmax", "pairwise"],
)
def test_many_steps_a_call_equal_one_a_call(
    log, tmp_path, monkeypatch, family, make_loss, label_noise, stop
):
    """To the last bit: also in a shorter last batch, and gone on with from a checkpoint."""
    fast, slow = ((Scorer(FEATURES, [8, 4, 1], family, seed=3), make_loss()) for _ in range(2))
    settings = {
        **SETTINGS,
        "stop": stop,
        "label_noise": label_noise,
        "loss": fast[1],
        "checkpoint": tmp_path / "run.npz",
        "checkpoint_every": 4,
    }
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 5)
        training.train(fast[0], log, **settings)
    report = training.train(fast[0], log, **settings)
    want = train_slowly(log, *slow, stop=stop, label_noise=label_noise)
    np.testing.assert_array_equal(report.losses, want)
    assert_same_weights(fast[0], slow[0])
    assert alpha(fast[1]) == alpha(slow[1])


def test_a_scorer_trained_again_is_not_compiled_again(log, monkeypatch):
    """And only its weights and alpha come from the training before."""
    fast, slow = ((Scorer(FEATURES, [8, 4, 1], seed=3), ARFLoss(2, 2)) for _ in range(2))
    original, compiled = training._compiled, []
    monkeypatch.setattr(
        training, "_compiled", lambda *shape: compiled.append(shape) or original(*shape)
    )
    for seed in range(2):
        report = training.train(fast[0], log, loss=fast[1], **{**SETTINGS, "stop": 100}, seed=seed)
        want = train_slowly(log, *slow, stop=100, seed=seed)
        np.testing.assert_array_equal(report.losses, want)
    assert len(compiled) == 1
    assert_same_weights(fast[0], slow[0])
    assert alpha(fast[1]) == alpha(slow[1])


def test_calls_end_where_something_is_due(monkeypatch):
    """Each list is a call; a batch of 3 is shorter than the others."""
    monkeypatch.setattr(training, "STEPS_A_CALL", 4)
    batches = [range(10 * i, 10 * i + 5) for i in range(13)] + [range(3)]

    def calls(first, done, checkpoint_every):
        return [
            (step, len(part))
            for step, part in training._calls(batches[first:], first, done, checkpoint_every)
        ]

    assert calls(0, 0, 500) == [(0, 1), (1, 4), (5, 4), (9, 4), (13, 1)]
    assert calls(4, 6, 5) == [(6, 1), (7, 3), (10, 3), (13, 1)]
    assert calls(12, 13, 5) == [(13, 1)]
    assert calls(12, 14, 5) == []
    (_, part), *_ = training._calls(batches[4:], 4, 6, 5)
    assert part == [batches[6]]


def test_an_interrupted_run_ends_in_the_same_weights(trained, log, tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.checkpoint"
    resumable = {"checkpoint": checkpoint, "checkpoint_every": 6}
    # A window has four steps: the first checkpoint lies within one, the second between two.
    for steps in (7, 13 - 6):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            made = interrupt(patch, steps)
            train(log, **resumable)
        assert len(made) == steps
        assert list(tmp_path.iterdir()) == [checkpoint]
    made = interrupt(monkeypatch, None)
    scorer, loss, report = train(log, **resumable)
    assert len(made) == 20 - 12
    assert_same_weights(scorer, trained[0])
    assert loss.alpha.numpy() == trained[1].alpha.numpy()
    np.testing.assert_array_equal(report.losses, trained[2].losses)
    assert (report.impressions, report.samples) == (STOP, trained[2].samples)
    # Once more: nothing is left to do.
    finished, _, report = train(log, **resumable)
    assert len(made) == 20 - 12
    assert_same_weights(finished, trained[0])
    assert report.samples == trained[2].samples


def test_padding_changes_nothing_but_rounding(log):
    short = {"stop": 100, "window": 0}
    (one, _, a), (other, _, b) = train(log, **short), train(log, ads=12, **short)
    np.testing.assert_allclose(a.losses, b.losses, rtol=1e-4)
    for x, y in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-4)


def test_the_seed_changes_the_weights(trained, log, test):
    other, _, report = train(log, seed=1, stop=100, label_noise=0.5)
    assert (report.losses != trained[2].losses[:4]).all()
    assert (training.predict(other, test) != training.predict(trained[0], test))[test.mask].all()
    a, b = (Scorer(FEATURES, [8, 4, 1], seed=seed) for seed in (0, 1))
    assert (training.predict(a, test) != training.predict(b, test))[test.mask].all()


# ---- targets, predictions, files ------------------------------------------


def test_ranks_equal_a_loop():
    rng = np.random.default_rng(0)
    v, mask = rng.integers(-3, 3, (40, 6)) / 2, rng.random((40, 6)) < 0.7
    for row, real, got in zip(v, mask, training.ranks(v, mask), strict=True):
        want = [
            sum(row[i] < row[j] for i in range(6) if real[i]) if real[j] else -1 for j in range(6)
        ]
        assert got.tolist() == want


def test_label_noise_reorders_the_real_ads_only():
    target = training.ranks(
        np.tile(np.arange(6.0), (500, 1)),
        np.arange(6) < np.r_[np.full(250, 6), np.full(250, 4)][:, None],
    )
    same, mild, wild = (
        training._with_noise(target, scale, seed=0, step=3) for scale in (1e-9, 0.5, 50)
    )
    np.testing.assert_array_equal(same, target)
    for noisy in (mild, wild):
        np.testing.assert_array_equal(np.sort(noisy), np.sort(target))
        np.testing.assert_array_equal(noisy < 0, target < 0)
    assert 0 < (mild != target).mean() < (wild != target).mean()
    assert (training._with_noise(target, 50, seed=0, step=4) != wild).any()


def test_predictions_do_not_depend_on_the_batch(trained, test):
    scores = training.predict(trained[0], test)
    np.testing.assert_allclose(
        training.predict(trained[0], test, batch_impressions=17), scores, rtol=1e-4, atol=1e-5
    )
    assert scores.shape == test.v.shape
    assert not scores[~test.mask].any()


def test_saved_weights_come_back(trained, tmp_path, test):
    path = tmp_path / "weights"
    training.save_weights(path, trained[0])
    assert list(tmp_path.iterdir()) == [path]
    again = training.load_weights(path, Scorer(FEATURES, [8, 4, 1], seed=5))
    assert_same_weights(again, trained[0])
    np.testing.assert_array_equal(training.predict(again, test), training.predict(trained[0], test))
    with pytest.raises(ValueError, match=r"weights are of another model than mlp \[16, 9, 4, 1\]"):
        training.load_weights(path, Scorer(FEATURES, [9, 4, 1]))


# ---- what is refused ------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"seed": 1}, "another seed;"),
        ({"loss": RelaxLoss(2, 2)}, "another loss;"),
        (
            {"learning_rate": 0.2, "stop": 75, "scorer_seed": 1},
            "another seed of the weights, stop, learning_rate;",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(log, tmp_path, changes, match):
    run = {"stop": 50, "window": 25, "checkpoint": tmp_path / "run.npz"}
    scorer, loss = Scorer(FEATURES, [8, 4, 1], seed=0), ARFLoss(2, 2)
    description = training._description(
        scorer,
        loss,
        impressions=700,
        start=0,
        ads=7,
        seed=0,
        epsilon=1e-8,
        label_noise=0.0,
        **{
            name: {**SETTINGS, **run}[name]
            for name in ("stop", "batch_impressions", "window", "learning_rate")
        },
    )
    training._write_arrays(run["checkpoint"], run=training.json.dumps(description), done=1)
    with pytest.raises(ValueError, match=f"run.npz: the checkpoint is of a run with {match}"):
        train(log, **{**run, **changes})


@pytest.mark.parametrize(
    "changes", [{"stop": 701}, {"stop": 0}, {"start": 200, "stop": 200}, {"start": -100}]
)
def test_a_stretch_outside_the_log_is_refused(log, changes):
    with pytest.raises(ValueError, match=r"0 <= start < stop <= 700, the impressions of .*log"):
        train(log, **changes)


def test_a_diverging_run_is_refused(log):
    with pytest.raises(ValueError, match=r"the loss of step \d+ is (nan|inf); lower learning_rate"):
        train(log, learning_rate=1e25)


def test_the_first_bad_step_is_named(log, monkeypatch):
    """Not the last one of its call; no checkpoint is left of it."""
    monkeypatch.setattr(
        training.Learner,
        "take_steps",
        lambda self, examples, full: [
            1.0 if len(examples) == 1 else value
            for value, _ in zip([3, np.inf, 2, np.nan], examples)
        ],
    )
    checkpoint = log.with_name("diverged.npz")
    with pytest.raises(ValueError, match=r"the loss of step 2 is inf; lower learning_rate = 0\.1"):
        train(log, stop=5 * BATCH, checkpoint=checkpoint)
    assert not checkpoint.exists()
