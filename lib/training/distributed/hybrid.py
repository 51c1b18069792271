"""Hybrid training: embeddings asynchronous, the dense part synchronous, as in PERSIA.

Lian et al. 2021, arXiv:2111.05897, Kuaishou's published engine. A round is a batch, of which each
worker has a share. A worker looks up its rows, computes at dense weights that all workers have
alike, sends the slopes of its rows to the servers, which apply them at once, and puts its dense
gradient down beside the weights. When all have, the dense gradients' mean is applied, and the next
round begins. Lookups wait for no round: they run ahead of it by a bounded number.

Batch norm's statistics are of a worker's share; the moving averages take the shares' mean. What
dies, worker or server, stops all; they begin again at the checkpoint.
"""

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf

from lib.training import compiled_step
from lib.training.distributed import parameter_servers
from lib.training.distributed.parameter_servers import ServedLearner, Sharded


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
        self._lookup = tf.function(
            functools.partial(_lookup, self.trainee, served, self.pushes), autograph=False
        )
        self._gradient = tf.function(
            functools.partial(
                _gradient, self.trainee, self.loss, served, self.pushes, self.slots, settings
            ),
            autograph=False,
        )
        self._apply = tf.function(
            functools.partial(_apply, served, self.slots, settings), autograph=False
        )
        self._threads = [ThreadPoolExecutor(1) for _ in range(self.workers)]

    def _take_steps(self, examples, full_batch):
        rounds = [self._shares(example) for example in examples]
        lookups = [[None] * self.workers for _ in rounds]

        def look_up(number):
            if number < len(rounds):
                for worker, thread in enumerate(self._threads):
                    inputs = rounds[number][worker][0]
                    lookups[number][worker] = thread.submit(self._on, worker, self._lookup, inputs)

        for number in range(self.ahead + 1):
            look_up(number)
        losses = []
        for number, shares in enumerate(rounds):
            answers = [
                thread.submit(self._push, worker, shares[worker], lookups[number][worker])
                for worker, thread in enumerate(self._threads)
            ]
            look_up(number + self.ahead + 1)
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
            value, late = self._gradient(
                arrays, vectors, read, tf.constant(worker), tf.constant(part)
            )
            return float(value), int(late)


class _Watched:
    """In a tape's place where no gradient is taken."""

    def watch(self, tensor):
        pass


class _Fetched(Sharded):
    """Lookups whose vectors came before."""

    def __init__(self, table, tape):
        shards, vectors = table
        super().__init__(shards, tape)
        self.waiting = iter(vectors)

    def __call__(self, rows):
        vectors = next(self.waiting)
        self.tape.watch(vectors)
        self.rows.append(tf.reshape(rows, [-1]))
        self.vectors.append(vectors)
        return vectors


def _lookup(trainee, served, pushes, inputs):
    """(for each table the vectors of its lookups in order, pushes before)."""
    read = pushes.read_value()
    with tf.control_dependencies([read]):
        scorer = trainee.scorer
        tables = {
            width: Sharded(shards, _Watched())
            for width, shards in zip(scorer.tables, served.tables, strict=True)
        }
        for side in ("user", "ad"):
            scorer.embed(side, inputs[side], tables)
    return [table.vectors for table in tables.values()], read


def _gradient(trainee, loss, served, pushes, slots, settings, example, vectors, read, worker, part):
    """A worker's round: (its part of the loss, pushes of others since its lookup)."""
    weights, statistics = served.weights.read_value(), served.statistics.read_value()
    form = served.form._replace(tables=list(zip(served.tables, vectors, strict=True)))
    value, slope, new, changes = compiled_step.gradient(
        trainee, loss, form, weights, statistics, example, _Fetched
    )
    # Of the whole batch's mean each worker has the part that its share has of the batch.
    rate, epsilon = (tf.constant(x, tf.float32) for x in settings)
    for table, sums, change in zip(served.tables, served.table_sums, changes, strict=True):
        parts = [(rows, part * slopes) for rows, slopes in change]
        Sharded.update(table, sums, parts, (rate, epsilon), None)
    with tf.device(slots.device):
        numbers = tf.concat([slope, new - statistics], 0) * part
        slots.scatter_update(tf.IndexedSlices(numbers[None], worker[None]))
        now = pushes.assign_add(1, read_value=True)
    return part * value, now - 1 - read


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
