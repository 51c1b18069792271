"""Asynchronous training: each worker takes steps of its own, at weights that the others change.

A worker reads the dense part and its batch's rows from the servers, computes, and sends back
gradients, which the servers apply as they come, by Adagrad. Batch norm's statistics are of the
worker's batch; the moving averages take each batch's share as it comes.

The coordinator reads the source and hands out batches. A worker that dies is done without: its
batch is given to another, so that no batch is lost; where it had sent its gradient before, that is
applied twice (`applied` counts them). What a server held is lost with it: all begin again at the
checkpoint, which is written where no step is under way.
"""

import collections

import keras
import numpy as np
import tensorflow as tf

from lib.training import compiled_step
from lib.training.distributed import parameter_servers
from lib.training.distributed.parameter_servers import ServedLearner, gradient, look_up, read_dense


class AsynchronousLearner(ServedLearner):
    """A Learner whose steps are taken by the workers of a cluster, several at a time.

    Attributes:
      alive: the workers that no call has failed on.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.alive = set(range(self.workers))
        served, settings = self.served, (self.learning_rate, self.epsilon)
        self._dense = self.function(read_dense, served)
        self._lookup = self.function(look_up, self.trainee, served, served.version)
        self._gradient = self.function(gradient, self.trainee, self.loss, served)
        self._put = self.function(_put, served, settings)

    def _take_steps(self, examples, full_batch):
        waiting, found = collections.deque(enumerate(examples)), {}

        def work(worker):
            while waiting:
                try:
                    number, example = waiting.popleft()
                except IndexError:  # another took the last one
                    return
                try:
                    found[number] = self._step(worker, example)
                except tf.errors.OpError:
                    waiting.appendleft((number, example))
                    self.alive.remove(worker)
                    raise

        while waiting:
            answers = [self.pools[worker].submit(work, worker) for worker in sorted(self.alive)]
            errors = [answer.exception() for answer in answers]
            for error in filter(None, errors):
                # Without workers, or without a server that all of them need, nothing goes on.
                if not self.alive or not isinstance(error, tf.errors.OpError):
                    raise error
        self.staleness.update(found[number][1] for number in range(len(examples)))
        return np.array([found[number][0] for number in range(len(examples))], np.float32)

    def _step(self, worker, example):
        """What a worker does with a batch: (loss, changes of the weights between reading and own).

        Four calls, not one: a server carries out its parts of calls one after the other, and would
        let nobody else read while its part of a whole step waits for the worker.
        """
        with tf.device(parameter_servers.worker_device(worker)):
            inputs, target = keras.tree.map_structure(tf.convert_to_tensor, example)
            read, *dense = self._dense()
            vectors, _ = self._lookup(inputs)
            value, *found = self._gradient((inputs, target), vectors, *dense)
            return float(value), int(self._put(*found, read))


def _put(served, settings, slope, change, changes, read):
    """Apply a worker's gradients: changes of the weights by others since it read them."""
    served.update_tables(changes, settings)
    rate, epsilon = (tf.constant(value, tf.float32) for value in settings)
    with tf.device(served.weights.device):
        served.statistics.assign_add(change)
        sums = served.sums.assign_add(tf.square(slope), read_value=True)
        served.weights.assign_sub(rate * slope / compiled_step.root(sums, epsilon))
        now = served.version.assign_add(1, read_value=True)
        return now - 1 - read
