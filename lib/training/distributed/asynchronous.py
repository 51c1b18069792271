"""Asynchronous training: each worker takes steps of its own, at weights that the others change.

A worker reads the dense part and its batch's rows from the servers, computes, and sends back
gradients, which the servers apply as they come, by Adagrad. Batch norm's statistics are of the
worker's batch; the moving averages take each batch's share as it comes.

The coordinator reads the source and hands out batches. A worker that dies is done without: its
batch is given to another, so that no batch is lost; where it had sent its gradient before, that is
applied twice (`applied` counts them). What a server held is lost with it: all begin again at the
checkpoint, which is written where no step is under way.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from lib.training import compiled_step
from lib.training.distributed.parameter_servers import ServedLearner, Sharded


class AsynchronousLearner(ServedLearner):
    """A Learner whose steps are taken by the workers of a cluster, several at a time."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        step = functools.partial(
            _step, self.trainee, self.loss, self.served, (self.learning_rate, self.epsilon)
        )
        self._step = tf.function(step, autograph=False)

    def _take_steps(self, examples, full_batch):
        results = []
        for example in examples:
            size = full_batch if len(example[1]) == full_batch else None
            shapes = keras.tree.map_structure(
                lambda x, size=size: tf.TensorSpec([size, *x.shape[1:]], x.dtype), example
            )
            function = self._step.get_concrete_function(shapes)
            arrays = keras.tree.map_structure(tf.convert_to_tensor, example)
            results.append(self.coordinator.schedule(function, args=(arrays,)))
        self.coordinator.join()
        found = [result.fetch() for result in results]
        self.staleness.update(int(late) for _, late in found)
        return np.array([value for value, _ in found], np.float32)


def _step(trainee, loss, served, settings, example):
    """What a worker does with a batch: (loss, changes of the weights between reading and own)."""
    rate, epsilon = (tf.constant(value, tf.float32) for value in settings)
    read = served.version.read_value()
    with tf.control_dependencies([read]):
        weights, statistics = served.weights.read_value(), served.statistics.read_value()
    value, slope, new, changes = compiled_step.gradient(
        trainee, loss, served.form, weights, statistics, example, Sharded
    )
    for parts in zip(served.tables, served.table_sums, changes, strict=True):
        Sharded.update(*parts, (rate, epsilon), None)
    change = new - statistics
    with tf.device(served.weights.device):
        served.statistics.assign_add(change)
        sums = served.sums.assign_add(tf.square(slope), read_value=True)
        served.weights.assign_sub(rate * slope / compiled_step.root(sums, epsilon))
        now = served.version.assign_add(1, read_value=True)
    return value, now - 1 - read
