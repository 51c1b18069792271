"""Hybrid training: embeddings asynchronous, the dense part synchronous, as in PERSIA.

Lian et al. 2021, arXiv:2111.05897, Kuaishou's published engine. A round is a batch, of which each
worker has a share. A worker looks up its rows, computes at dense weights that all workers have
alike, sends the slopes of its rows to the servers, which apply them at once, and puts its dense
gradient down beside the weights. When all have, the dense gradients' mean is applied, and the next
round begins. Lookups wait for no round: they run ahead of it by a bounded number.

Batch norm's statistics are of a worker's share; the moving averages take the shares' mean. What
dies, worker or server, stops all; they begin again at the checkpoint.
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

from lib.training import compiled_step
from lib.training.distributed import parameter_servers
from lib.training.distributed.parameter_servers import ServedLearner, gradient, look_up, read_dense


class HybridLearner(ServedLearner):
    """A Learner each of whose steps is a round of all workers.

    Args:
      ahead: rounds, >= 0: a worker's lookups lack at most so many of its own updates, and one
        round more of the others'.
      The others as of `ServedLearner`.

    `staleness` counts a worker's updates of embeddings by the updates of others, and its own, that
    were sent between its lookup and it; dense weights are never stale.
    """

    def __init__(self, *args, ahead: int = 1, **kwargs):
        super().__init__(*args, **kwargs)
        self.ahead, served = ahead, self.served
        numbers = served.weights.shape[0] + served.statistics.shape[0]
        with tf.device(served.weights.device):
            self.pushes = tf.Variable(0, dtype=tf.int64, trainable=False)
            # A row a worker: its gradient, and what it would add to the moving averages.
            self.slots = tf.Variable(tf.zeros([self.workers, numbers]), trainable=False)
        settings = self.learning_rate, self.epsilon
        self._lookup = self.function(look_up, self.trainee, served, self.pushes)
        self._dense = self.function(read_dense, served)
        self._gradient = self.function(gradient, self.trainee, self.loss, served)
        self._put = self.function(_put, served, self.pushes, self.slots, settings)
        self._apply = self.function(_apply, served, self.slots, settings)

    def _take_steps(self, examples, full_batch):
        rounds = [self._shares(example) for example in examples]
        lookups = [[None] * self.workers for _ in rounds]

        def ask(number):
            if number < len(rounds):
                for worker, thread in enumerate(self.pools):
                    inputs = rounds[number][worker][0]
                    lookups[number][worker] = thread.submit(self._on, worker, self._lookup, inputs)

        for number in range(self.ahead + 1):
            ask(number)
        losses = []
        for number, shares in enumerate(rounds):
            answers = [
                thread.submit(self._push, worker, shares[worker], lookups[number][worker])
                for worker, thread in enumerate(self.pools)
            ]
            ask(number + self.ahead + 1)
            found = [answer.result() for answer in answers]
            self._apply()
            losses.append(sum(value for value, _ in found))
            self.staleness.update(late for _, late in found)
            lookups[number] = None
        return np.array(losses, np.float32)

    def _shares(self, example):
        """(inputs, target, part of the batch) of each worker."""
        count = len(example[1])
        ends = [count * i // self.workers for i in range(self.workers + 1)]
        return [
            (
                *keras.tree.map_structure(lambda x, a=a, b=b: x[a:b], example),
                np.float32((b - a) / count),
            )
            for a, b in itertools.pairwise(ends)
        ]

    def _on(self, worker, function, inputs):
        with tf.device(parameter_servers.worker_device(worker)):
            return function(keras.tree.map_structure(tf.convert_to_tensor, inputs))

    def _push(self, worker, share, lookup):
        inputs, target, part = share
        vectors, read = lookup.result()
        with tf.device(parameter_servers.worker_device(worker)):
            arrays = keras.tree.map_structure(tf.convert_to_tensor, (inputs, target))
            _, *dense = self._dense()
            value, *found = self._gradient(arrays, vectors, *dense)
            late = self._put(*found, read, tf.constant(worker), tf.constant(part))
            return float(part * value), int(late)


def _put(served, pushes, slots, settings, slope, change, changes, read, worker, part):
    """A worker's gradients, given up to the servers: pushes of others since its lookup."""
    # Of the whole batch's mean each worker has the part that its share has of the batch.
    served.update_tables([[(rows, part * x) for rows, x in table] for table in changes], settings)
    with tf.device(slots.device):
        numbers = tf.concat([slope, change], 0) * part
        slots.scatter_update(tf.IndexedSlices(numbers[None], worker[None]))
        now = pushes.assign_add(1, read_value=True)
        return now - 1 - read


def _apply(served, slots, settings):
    """The workers' mean gradient, on the server."""
    rate, epsilon = (tf.constant(x, tf.float32) for x in settings)
    with tf.device(served.weights.device):
        total = tf.reduce_sum(slots.read_value(), 0)
        slope, change = tf.split(total, [served.weights.shape[0], served.statistics.shape[0]])
        served.statistics.assign_add(change)
        sums = served.sums.assign_add(tf.square(slope), read_value=True)
        served.weights.assign_sub(rate * slope / compiled_step.root(sums, epsilon))
        served.version.assign_add(1)
