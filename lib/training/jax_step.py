"""The training step of a click model on JAX: many steps a call, the rows of a call sent once.

The same algorithm as `compiled_step` with `RowWise`; sums are rounded in another order.
"""

import functools

import jax
import jax.numpy as jnp
import keras

_COMPILED = {}  # form -> jitted function, which compiles for each shape of the examples


def take_steps(form: str, trainee, loss, state, settings, examples):
    """A step on each example in order.

    Args:
      form: of the trainee's model and loss, which are traced where no other of their form has been.
      state: groups of arrays (weights, sums, tables, table sums), given up to the call.
      settings: learning rate, epsilon, and the tables' learning rate.
      examples: (inputs of a click model, labels), each array [steps, B, ...].

    Returns: (new state, losses float32 [steps, replicas]).
    """
    if form not in _COMPILED:
        steps = functools.partial(_steps, trainee, loss)
        _COMPILED[form] = jax.jit(steps, donate_argnums=0)
    settings = [jnp.float32(value) for value in settings]
    return _COMPILED[form](state, settings, jax.device_put(examples))


def _steps(trainee, loss, state, settings, examples):
    """What is traced; of trainee and loss only the form is used."""
    variables, widths = trainee.trainable_variables, list(trainee.scorer.tables)
    tables = {id(trainee.scorer.tables[width].embeddings) for width in widths}
    trained = [variable for variable in variables if id(variable) not in tables]
    rate, epsilon, table_rate = settings

    def step(state, example):
        weights, sums, tables, table_sums = state
        inputs, labels = example

        rows, vectors = {}, {}

        def note(width, table, wanted):
            rows[width], vectors[width] = wanted, table[wanted]
            return vectors[width]

        def value_of(weights, lookups):
            with keras.StatelessScope(state_mapping=list(zip(trained, weights, strict=True))):
                value = loss(labels, trainee.scorer.scores(inputs, True, lookups))
            return value.sum(), value

        def with_vectors(weights, vectors):
            return value_of(weights, {w: lambda _, w=w: vectors[w] for w in widths})

        # The first pass only gathers: of the rest nothing is used, and so nothing is compiled.
        pairs = zip(widths, tables, strict=True)
        value_of(weights, {w: functools.partial(note, w, table) for w, table in pairs})
        slope = jax.value_and_grad(with_vectors, argnums=(0, 1), has_aux=True)
        (_, value), (slopes, vector_slopes) = slope(weights, vectors)
        sums = [s + g * g for s, g in zip(sums, slopes, strict=True)]
        weights = [
            w - rate * g / _root(s, epsilon) for w, g, s in zip(weights, slopes, sums, strict=True)
        ]
        numbers = labels.shape[0], table_rate, epsilon
        changed = [
            _update(table, sums_, rows[width], vector_slopes[width], *numbers)
            for width, table, sums_ in zip(widths, tables, table_sums, strict=True)
        ]
        tables, table_sums = ([pair[i] for pair in changed] for i in range(2))
        return (weights, sums, tables, table_sums), value

    return jax.lax.scan(step, state, examples)


def _update(table, table_sums, rows, slopes, batch, rate, epsilon):
    """Row-wise Adagrad: (table, its sums) after a step; slopes are of the mean over the batch."""
    count = rows.size
    # Rows that stand for no id lie behind the table: they are neither read nor written.
    unique, place = jnp.unique(
        rows.reshape(-1), return_inverse=True, size=count, fill_value=table.shape[0]
    )
    slope = jnp.zeros((count, table.shape[1])).at[place.reshape(-1)].add(slopes.reshape(count, -1))
    groups = table_sums.shape[1]
    grouped = (slope * batch).reshape(count, groups, -1)
    sums = table_sums.at[unique].get(mode="fill", fill_value=0) + (grouped**2).mean(-1)
    change = (rate / _root(sums, epsilon))[..., None] * grouped
    return (
        table.at[unique].add(-change.reshape(count, -1), mode="drop"),
        table_sums.at[unique].set(sums, mode="drop"),
    )


def _root(sums, epsilon):
    return jnp.maximum(jnp.sqrt(sums + epsilon), 1e-30)
