"""Tables in shards are looked up and changed as one table is."""

import numpy as np
import pytest
import tensorflow as tf

from lib.training.compiled_step import ElementWise
from lib.training.distributed.asynchronous import AsynchronousLearner
from lib.training.distributed.parameter_servers import Sharded
from tests.training.distributed.one_process import make_served
from tests.training.small_training import train

ROWS = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_a_step_on_shards_is_a_step_on_the_table(shards):
    """Rows that occur again, in one lookup and in two, and a shard that none is of."""
    wanted = [tf.constant([[0, 3], [3, 6]]), tf.constant([3, 0])]
    settings = tf.constant(0.1), tf.constant(1e-8)
    ends = []
    for kind, cut in ((ElementWise, lambda x: tf.Variable(x)), (Sharded, None)):
        table, sums = (
            [tf.Variable(x[s::shards]) for s in range(shards)] if cut is None else cut(x)
            for x in (ROWS, np.full_like(ROWS, 0.1))
        )
        with tf.GradientTape() as tape:
            lookup = kind(table, tape)
            vectors = [lookup(rows) for rows in wanted]
            np.testing.assert_array_equal(vectors[0], ROWS[wanted[0].numpy()])
            value = tf.reduce_sum(vectors[0] ** 2) + tf.reduce_sum(vectors[1] ** 3)
        kind.update(table, sums, lookup.changes(tape.gradient(value, vectors)), settings, None)
        ends.append((table, sums))
    for whole, parts in zip(*ends, strict=True):
        for shard, part in enumerate(parts):
            np.testing.assert_allclose(part.numpy(), whole.numpy()[shard::shards], rtol=1e-6)


def test_the_servers_hold_what_the_coordinator_had(log, monkeypatch):
    """Into shards and back; what is assigned to the copy goes to the servers with the next step."""
    learner = make_served(monkeypatch, AsynchronousLearner, servers=3)
    before = [variable.numpy() for variable in learner.trainee.variables]
    for variable in learner.trainee.variables:
        variable.assign(np.zeros(variable.shape))
    learner.served.pull()
    for variable, value in zip(learner.trainee.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    trained = train(log, make_served(monkeypatch, AsynchronousLearner), stop=100)
    after = [variable.numpy() for variable in trained.learner.variables]
    for variable, value in zip(learner.variables, after, strict=True):
        variable.assign(value)
    together = [train(log, x, start=100, stop=200).learner for x in (learner, trained.learner)]
    for a, b in zip(together[0].variables, together[1].variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
