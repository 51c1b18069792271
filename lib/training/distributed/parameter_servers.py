"""Parameter servers: what a training changes, kept by processes of its own.

TensorFlow's servers and workers hold and compute; one coordinator traces the functions and hands
them out. The dense part lies in one vector on the first server; a table's row r is row r // S of
shard r % S, on server r % S of S.
"""

import collections
import functools
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from lib.training import compiled_step
from lib.training.compiled_step import ElementWise, State, flat
from lib.training.distributed.tensorflow_server import cluster_of
from lib.training.learner import Learner


def connect(addresses: dict):
    """Make this process the coordinator of these servers and workers, whom it waits for.

    To be called before the scorer is made: it renames this process's devices, and what was made
    before is lost.
    """
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster_of(addresses), rpc_layer="grpc", task_type="chief", task_id=0
    )
    tf.distribute.ParameterServerStrategy(resolver)  # of which nothing more is needed


class ServerState:
    """All that a training changes, on the servers.

    Args:
      state: `compiled_step.State` of the coordinator, whose numbers it starts from.
      servers: how many.

    Attributes:
      weights, sums, statistics: vectors as of `compiled_step.flat`, on the first server.
      version: changes of the weights so far, beside them.
      tables, table_sums: lists of shards.
    """

    def __init__(self, state: State, servers: int):
        self.local, self.servers = state, servers
        dense = [flat(group) for group in state[:3]]
        with tf.device(server_device(0)):
            self.weights, self.sums, self.statistics = map(_variable, dense)
            self.version = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.tables, self.table_sums = (
            [self._shards(table) for table in group] for group in (state.tables, state.table_sums)
        )
        # What `compiled_step.gradient` takes: the shapes of the dense part, and the shards.
        self.form = state._replace(tables=self.tables, table_sums=self.table_sums)

    def _shards(self, table):
        shards = []
        for server in range(self.servers):
            rows = table[server :: self.servers]
            with tf.device(server_device(server)):
                shards.append(_variable(rows))
        return shards

    def push(self):
        """Set the servers' numbers to the coordinator's."""
        for variable, group in zip(self._dense(), self.local[:3], strict=True):
            variable.assign(flat(group))
        for table, shards in self._pairs():
            for server, shard in enumerate(shards):
                shard.assign(table[server :: self.servers])

    def pull(self):
        """Set the coordinator's numbers to the servers'."""
        for variable, group in zip(self._dense(), self.local[:3], strict=True):
            compiled_step.assign(group, variable.read_value())
        for table, shards in self._pairs():
            rows = tf.range(table.shape[0])
            places = [rows[server :: self.servers] for server in range(self.servers)]
            table.assign(tf.dynamic_stitch(places, [shard.read_value() for shard in shards]))

    def update_tables(self, changes, settings):
        """A step of Adagrad on all tables; to be traced."""
        settings = [tf.constant(value, tf.float32) for value in settings]
        for table, sums, change in zip(self.tables, self.table_sums, changes, strict=True):
            Sharded.update(table, sums, change, settings, None)

    def _dense(self):
        return self.weights, self.sums, self.statistics

    def _pairs(self):
        yield from zip(self.local.tables, self.tables, strict=True)
        yield from zip(self.local.table_sums, self.table_sums, strict=True)


class Sharded(ElementWise):
    """Lookups in a table that is a list of shards; each row that a batch has is sent once."""

    def __call__(self, rows):
        unique, place = tf.unique(tf.reshape(rows, [-1]))
        parts = [
            tf.gather(shard, part // len(self.table))
            for shard, part in zip(self.table, self._by_shard(unique, unique), strict=True)
        ]
        known = tf.dynamic_stitch(self._by_shard(tf.range(tf.size(unique)), unique), parts)
        shape = [*compiled_step.sizes(rows), self.table[0].shape[1]]
        vectors = tf.reshape(tf.gather(known, place), shape)
        self.tape.watch(vectors)
        self.rows.append(tf.reshape(rows, [-1]))
        self.vectors.append(vectors)
        return vectors

    def _by_shard(self, values, rows):
        return tf.dynamic_partition(values, rows % len(self.table), len(self.table))

    def changes(self, slopes):
        """For each shard (its rows, each once, and their slopes)."""
        ids, slopes = super().changes(slopes)
        unique, place = tf.unique(ids)
        slope = tf.math.unsorted_segment_sum(slopes, place, tf.size(unique))
        rows = [part // len(self.table) for part in self._by_shard(unique, unique)]
        return list(zip(rows, self._by_shard(slope, unique), strict=True))

    @staticmethod
    def update(table, table_sums, changes, settings, batch):
        """A step of Adagrad on each shard, computed by its server."""
        rate, epsilon = settings
        for shard, sums, (rows, slope) in zip(table, table_sums, changes, strict=True):
            with tf.device(shard.device):
                # Added, not set: of two workers' squares none is lost.
                sums.scatter_add(tf.IndexedSlices(tf.square(slope), rows))
                change = rate * slope / compiled_step.root(tf.gather(sums, rows), epsilon)
                shard.scatter_sub(tf.IndexedSlices(change, rows))


class Fetched(Sharded):
    """Lookups whose vectors came before; its table is (shards, vectors in order)."""

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


class _NoTape:
    def watch(self, tensor):
        pass


def read_dense(served):
    """(version, weights, statistics), the version no newer than the weights; to be traced."""
    version = served.version.read_value()
    with tf.control_dependencies([version]):
        return version, served.weights.read_value(), served.statistics.read_value()


def look_up(trainee, served, counter, inputs):
    """(for each table the vectors of its lookups in order, counter before); to be traced."""
    before, scorer = counter.read_value(), trainee.scorer
    with tf.control_dependencies([before]):
        tables = {
            width: Sharded(shards, _NoTape())
            for width, shards in zip(scorer.tables, served.tables, strict=True)
        }
        for side in ("user", "ad"):
            scorer.embed(side, inputs[side], tables)
    return [table.vectors for table in tables.values()], before


def gradient(trainee, loss, served, example, vectors, weights, statistics):
    """(loss, slope, change of the statistics, changes of the tables); to be traced."""
    form = served.form._replace(tables=list(zip(served.tables, vectors, strict=True)))
    value, slope, new, changes = compiled_step.gradient(
        trainee, loss, form, weights, statistics, example, Fetched
    )
    return value, slope, new - statistics, changes


class ServedLearner(Learner):
    """A Learner whose numbers lie on servers (`connect` first); its own variables are a copy.

    Args:
      workers, servers: how many.
      The others as of `Learner`.
    """

    def __init__(self, *args, workers: int, servers: int, **kwargs):
        super().__init__(*args, **kwargs)
        self.workers = workers
        self.pools = [ThreadPoolExecutor(1) for _ in range(workers)]  # one to wait for each
        self.served = ServerState(State.of(self.trainee, self.trainee.optimizer), servers)
        self._changed_here = False
        self.staleness = collections.Counter()

    def function(self, body, *known):
        """A TensorFlow function of what `body` takes after the known arguments."""
        return tf.function(functools.partial(body, *known), autograph=False)

    @property
    def variables(self) -> list:
        """A copy of what the servers hold; what is assigned to it, the next step starts from."""
        if not self._changed_here:
            self.served.pull()
            self._changed_here = True
        return super().variables

    @property
    def measured(self) -> dict:
        """staleness: [largest + 1] counts of steps; applied: changes of the dense weights."""
        late = [self.staleness[i] for i in range(max(self.staleness, default=-1) + 1)]
        return {"staleness": late, "applied": int(self.served.version.numpy())}

    def take_steps(self, examples: list, full_batch: int):
        """As `Learner.take_steps`; all are done when it returns."""
        if self._changed_here:
            self.served.push()
            self._changed_here = False
        return self._take_steps(examples, full_batch)


def server_device(index):
    """Where what stands on a server is."""
    return f"/job:ps/replica:0/task:{index}/device:CPU:0"


def worker_device(index):
    """Where a worker computes."""
    return f"/job:worker/replica:0/task:{index}/device:CPU:0"


def _variable(value):
    return tf.Variable(value, trainable=False)
