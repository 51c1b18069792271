"""Dense weights change once a round, by the mean of all workers; embeddings as each is done."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lib.training.distributed.cluster import Cluster, Plan, addresses
from lib.training.distributed.hybrid import HybridLearner
from lib.training.distributed.launcher import train_distributed
from lib.training.scoring import as_inputs
from lib.training.targets import RankTarget
from tests.training.distributed.one_process import assert_close, make_served
from tests.training.distributed.small_work import BATCH, STEPS, make_work, wait_for
from tests.training.small_training import LEARNING_RATE, make_learner, make_source, train


def test_one_worker_that_runs_not_ahead_is_the_plain_training(log, monkeypatch):
    served = train(log, make_served(monkeypatch, HybridLearner, ahead=0), stop=85)
    plain = train(log, stop=85)
    assert_close(served.learner, plain.learner, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(served.report.losses, plain.report.losses, rtol=1e-4)
    assert served.learner.measured == {"staleness": [4], "applied": 4}


def test_lookups_run_ahead_by_what_was_said(log, monkeypatch):
    """Of one worker: each lookup lacks the last `ahead` updates, but where a call begins."""
    served = train(log, make_served(monkeypatch, HybridLearner, ahead=3), stop=500)
    assert served.learner.measured["staleness"][-1] > 1
    assert len(served.learner.measured["staleness"]) == 4


def test_a_round_takes_the_workers_mean(log, monkeypatch):
    """The dense step of a round is Adagrad's with the mean of the shares' gradients."""
    served, plain = make_served(monkeypatch, HybridLearner, workers=2, ahead=0), make_learner()
    batch, _ = next(make_source(log).batches())
    inputs, target = as_inputs(batch), RankTarget()(batch, 0)
    trained = plain.trainee.trainable_variables
    ends, expected, loss = [0, 12, 25], [], 0
    for a, b in itertools.pairwise(ends):
        part = keras.tree.map_structure(lambda x, a=a, b=b: x[a:b], inputs)
        with tf.GradientTape() as tape:
            value = plain.loss(target[a:b], plain.scorer(part, training=True))
        slopes = tape.gradient(value, [v.value for v in trained])
        share = (b - a) / ends[-1]
        loss += share * float(value)
        dense = [share * tf.convert_to_tensor(slope).numpy() for slope in slopes]
        expected = [a + b for a, b in zip(expected or [0] * len(dense), dense, strict=True)]
    losses = served.take_steps([(inputs, target)], 25)
    np.testing.assert_allclose(losses, [loss], rtol=1e-5)
    tables = {id(table.embeddings) for table in plain.scorer.tables.values()}
    served.served.pull()
    for old, new, slope in zip(trained, served.trainee.trainable_variables, expected, strict=True):
        if id(old) not in tables:
            change = LEARNING_RATE * slope / np.sqrt(0.1 + slope**2 + 1e-8)
            np.testing.assert_allclose(new.numpy(), old.numpy() - change, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_killed_server_stops_all_and_they_go_on_from_the_checkpoint(log, tmp_path):
    """Two workers on two servers; every batch is counted once."""
    checkpoint = tmp_path / "checkpoint.npz"
    work = make_work(log, checkpoint=checkpoint, every=4)
    plan = Plan("hybrid", work, addresses("hybrid", 2, 2), {})
    with Cluster(plan, tmp_path / "killed") as cluster:
        wait_for(checkpoint.exists, 100)
        cluster.processes["server_1"].kill()
        with pytest.raises(RuntimeError, match="ended with code"):
            cluster.wait(60)
    report = train_distributed("hybrid", work, servers=2, timeout=150)
    assert report.impressions == STEPS * BATCH and len(report.losses) == STEPS
    assert report.applied < STEPS  # the rest was in the checkpoint
    assert report.staleness.sum() == 2 * report.applied
    assert report.losses[-3:].mean() < report.losses[:3].mean()
