"""Synchronous training: each step on the whole batch, each worker computing its share of it.

JAX's distributed runtime runs one program on the devices of all workers: its arrays are global,
and so are the mean of the loss and batch norm's statistics; what has to travel goes by gloo. All
weights stand on every worker. Gradients of the dense part are summed over workers; of the
embeddings the batch's rows and their slopes are brought together, in the batch's order.
"""

import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lib.training import compiled_step
from lib.training.learner import Learner

AXIS = "workers"


def connect(coordinator: str, workers: int, index: int, timeout: int = 60):
    """Join the other workers; to be called before JAX computes anything.

    Args:
      coordinator: host:port of worker 0.
      timeout: seconds to wait for the others; a worker is given up after as long without a sign.
    """
    host, _, port = coordinator.rpartition(":")
    jax.distributed.initialize(
        coordinator,
        workers,
        index,
        initialization_timeout=timeout,
        heartbeat_timeout_seconds=timeout,
        shutdown_timeout_seconds=timeout,
        coordinator_bind_address=f"{host}:{port}",
    )


class SynchronousLearner(Learner):
    """A Learner whose steps all workers take together, each on its part of the impressions.

    Every worker makes the same calls with the same examples, and so ends with the same weights.
    A batch that cannot be cut into equal parts is computed whole by each. Arguments as of
    `Learner`; KERAS_BACKEND is jax.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        mesh = Mesh(np.array(jax.devices()), AXIS)
        self._whole = NamedSharding(mesh, PartitionSpec())
        self._cut = NamedSharding(mesh, PartitionSpec(AXIS))
        self._groups = self._variables_in_groups()
        step = functools.partial(_step, self.trainee, self.loss, self._groups, self._whole)
        self._step = jax.jit(step, donate_argnums=0, out_shardings=(self._whole, self._whole))

    def _variables_in_groups(self):
        weights, tables = compiled_step.parameters(self.trainee)
        optimizer = self.trainee.optimizer
        sums, table_sums = ([optimizer.sum_of_squares(v) for v in x] for x in (weights, tables))
        return weights, sums, self.trainee.non_trainable_variables, tables, table_sums

    def take_steps(self, examples: list, full_batch: int):
        """As `Learner.take_steps`; the examples are whole batches."""
        state = jax.tree.map(
            lambda variable: self._global(np.asarray(variable.value), self._whole), self._groups
        )
        settings = jnp.float32(self.learning_rate), jnp.float32(self.epsilon)
        losses = []
        for example in examples:
            place = self._cut if len(example[1]) % len(jax.devices()) == 0 else self._whole
            share = functools.partial(self._global, place=place)
            example = keras.tree.map_structure(share, example)
            state, value = self._step(state, settings, example)
            losses.append(value)
        for variables, values in zip(self._groups, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(np.asarray(value))
        return [float(np.asarray(value)) for value in losses]

    def _global(self, array, place):
        """An array of all workers, of which each holds its part (or the whole)."""
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, place, lambda index: array[index])


def _step(trainee, loss, groups, whole, state, settings, example):
    """What is traced: (new state, loss) of a step on a batch that lies on all workers."""
    weights, sums, statistics, tables, table_sums = state
    trained, _, averaged, *_ = groups
    inputs, target = example
    widths = list(trainee.scorer.tables)

    rows, vectors = {}, {}

    def note(width, table, wanted):
        rows.setdefault(width, []).append(wanted)
        vectors.setdefault(width, []).append(table[wanted])
        return vectors[width][-1]

    def value_of(weights, lookups):
        values = [*zip(trained, weights, strict=True), *zip(averaged, statistics, strict=True)]
        with keras.StatelessScope(state_mapping=values) as scope:
            value = loss(target, trainee.scorer.scores(inputs, True, lookups))
        return value, [scope.get_current_value(variable) for variable in averaged]

    def with_vectors(weights, vectors):
        remaining = {width: iter(found) for width, found in vectors.items()}
        lookups = {width: lambda _, w=width: next(remaining[w]) for width in widths}
        return value_of(weights, lookups)

    # The first pass only gathers: of the rest nothing is used, and so nothing is compiled.
    pairs = zip(widths, tables, strict=True)
    value_of(weights, {w: functools.partial(note, w, table) for w, table in pairs})
    slope_of = jax.value_and_grad(with_vectors, argnums=(0, 1), has_aux=True)
    (value, statistics), (slopes, vector_slopes) = slope_of(weights, vectors)

    rate, epsilon = settings
    changed = [_adagrad(g, s, rate, epsilon) for g, s in zip(slopes, sums, strict=True)]
    weights = [w - change for w, (change, _) in zip(weights, changed, strict=True)]
    sums = [s for _, s in changed]
    rows, vector_slopes = (_brought_together(part, whole) for part in (rows, vector_slopes))
    changed = [
        _update(table, sums_, rows[width], vector_slopes[width], rate, epsilon)
        for width, table, sums_ in zip(widths, tables, table_sums, strict=True)
    ]
    tables, table_sums = ([pair[i] for pair in changed] for i in range(2))
    return (weights, sums, statistics, tables, table_sums), value


def _brought_together(arrays, whole):
    """The same tree of arrays [impressions, ...], each whole on every worker: in one message."""
    leaves, tree = jax.tree.flatten(arrays)
    joined = jnp.concatenate([x.reshape(len(x), -1) for x in leaves], axis=1)
    joined = jax.lax.with_sharding_constraint(joined, whole)
    parts = jnp.split(joined, np.cumsum([x[0].size for x in leaves])[:-1], axis=1)
    return tree.unflatten([part.reshape(x.shape) for part, x in zip(parts, leaves, strict=True)])


def _update(table, table_sums, rows, slopes, rate, epsilon):
    """Adagrad on the rows that were looked up: (table, its sums) after a step."""
    rows = jnp.concatenate([x.reshape(-1) for x in rows])
    slopes = jnp.concatenate([x.reshape(-1, table.shape[1]) for x in slopes])
    # Rows that stand for no id lie behind the table: they are neither read nor written.
    unique, place = jnp.unique(rows, return_inverse=True, size=rows.size, fill_value=table.shape[0])
    slope = jnp.zeros_like(slopes).at[place].add(slopes)
    sums = table_sums.at[unique].get(mode="fill", fill_value=0)
    change, sums = _adagrad(slope, sums, rate, epsilon)
    return (
        table.at[unique].add(-change, mode="drop"),
        table_sums.at[unique].set(sums, mode="drop"),
    )


def _adagrad(slope, sums, rate, epsilon):
    sums = sums + slope**2
    return rate * slope / jnp.maximum(jnp.sqrt(sums + epsilon), 1e-30), sums
