"""Late gradients: none late is the plain training; late ones follow the rule, step by step."""

import numpy as np
import pytest
import tensorflow as tf

from lib.losses import ARFLoss
from lib.models.scorer import Scorer
from lib.training.distributed.delayed import DelayedLearner
from lib.training.scoring import as_inputs
from lib.training.targets import RankTarget
from tests.small_log import FEATURES
from tests.training.small_training import (
    BATCH,
    LEARNING_RATE,
    assert_same_weights,
    make_learner,
    make_source,
    train,
)


def make(staleness, delayed="all", seed=0):
    scorer = Scorer(FEATURES, [8, 4, 1], "mlp", seed)
    loss = ARFLoss(2, 2)
    return DelayedLearner(scorer, loss, LEARNING_RATE, staleness=staleness, delayed=delayed)


def after(log, learner, **changes):
    return train(log, learner, **changes).learner


@pytest.mark.parametrize("delayed", ["all", "tables"])
def test_none_late_is_the_plain_training_to_the_last_bit(log, delayed):
    """A shorter last batch too."""
    learner, plain = after(log, make(0, delayed), stop=460), train(log, stop=460).learner
    learner.finish()
    for a, b in zip(learner.variables, plain.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def loop(log, staleness, late, steps):
    """The rule written anew: weights of every step are kept, gradients are Keras' dense ones."""
    learner = make_learner()
    trained, scorer = learner.trainee.trainable_variables, learner.scorer
    is_table = [any(v is t.embeddings for t in scorer.tables.values()) for v in trained]
    history = [[v.numpy() for v in trained]]
    sums = [
        np.full_like(w, learner.trainee.optimizer.initial_accumulator_value) for w in history[0]
    ]
    for t, (batch, _) in enumerate(make_source(log, stop=steps * BATCH).batches()):
        stale = history[max(t - staleness, 0)]
        for v, old, new, table in zip(trained, stale, history[t], is_table):
            v.assign(old if table or late == "all" else new)
        with tf.GradientTape() as tape:
            value = learner.loss(RankTarget()(batch, t), scorer(as_inputs(batch), training=True))
        slopes = tape.gradient(value, [v.value for v in trained])
        history.append([])
        for i, slope in enumerate(map(tf.convert_to_tensor, slopes)):
            sums[i] = sums[i] + slope.numpy() ** 2
            change = LEARNING_RATE * slope.numpy() / np.sqrt(sums[i] + 1e-8)
            history[-1].append(history[t][i] - change)
    return history[steps - staleness], history[steps]


@pytest.mark.parametrize(("staleness", "late"), [(0, "all"), (3, "all"), (3, "tables")])
def test_late_gradients_follow_a_loop(log, staleness, late):
    """Before `finish` the last gradients are on their way, after it all are applied."""
    steps = 8
    learner = after(log, make(staleness, late), stop=steps * BATCH)
    before, end = loop(log, staleness, late, steps)
    trained = learner.trainee.trainable_variables
    if late == "all":
        for variable, value in zip(trained, before, strict=True):
            np.testing.assert_allclose(variable.numpy(), value, rtol=1e-4, atol=1e-6)
    learner.finish()
    for variable, value in zip(trained, end, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-4, atol=1e-6)


def test_several_trainings_are_one(log):
    """Gradients on their way stay so from one training to the next."""
    whole, parts = after(log, make(3)), make(3)
    for start in (0, 300):
        after(log, parts, start=start, stop=start + 300 if not start else 500)
    assert_same_weights(whole.scorer, parts.scorer)
    parts.reset()
    parts.finish()
    assert_same_weights(whole.scorer, parts.scorer)


def test_what_is_refused(log, tmp_path):
    with pytest.raises(ValueError, match="staleness must be >= 0; got -1"):
        make(-1)
    with pytest.raises(ValueError, match="delayed must be one of"):
        make(1, "dense")
    with pytest.raises(ValueError, match="not in a checkpoint"):
        train(log, make(2), checkpoint=tmp_path / "checkpoint.npz", every=5)
