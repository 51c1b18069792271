"""The training step as one TensorFlow function that all models of a form share.

What a step changes is handed to it, not built into it: it is traced and optimised once in a
process, which takes as long as a thousand of a small model's steps, and serves any weights,
learning rate and log. While a call lasts, all weights but the embeddings lie in one vector, so
that Adagrad costs a few operations; of the embeddings only the rows of the batch are touched.
"""

import functools
import json
from typing import NamedTuple

import keras

_COMPILED = {}  # (form, shapes of the examples) -> TensorFlow function


class State(NamedTuple):
    """All that a step changes, each a list of TensorFlow variables in the form's order.

    Attributes:
      weights, statistics: trained and averaged variables but for the embeddings; sums: Adagrad's
        sums of squares of the weights.
      tables, table_sums: embeddings, [rows, width] each, and their sums of squares.
    """

    weights: list
    sums: list
    statistics: list
    tables: list
    table_sums: list

    @classmethod
    def of(cls, trainee, optimizer) -> "State":
        """The variables of a `lib.training.learner.Trainee` and its Adagrad."""
        weights, tables = _parameters(trainee)
        sums, table_sums = (
            [optimizer.sum_of_squares(variable) for variable in group]
            for group in (weights, tables)
        )
        groups = (weights, sums, trainee.non_trainable_variables, tables, table_sums)
        return cls(*([variable.value for variable in group] for group in groups))


def form_of(scorer, loss) -> str:
    """What decides a step but for its numbers: equal for models that share a compiled one."""
    # The seed says where weights start, not what is done with them.
    model = {**scorer.get_config(), "seed": None}
    kind = type(loss)
    return json.dumps([model, kind.__module__, kind.__qualname__, loss.get_config()])


def take_steps(form: str, trainee, loss, state: State, settings, examples, size: int | None):
    """A step on each example in order.

    Args:
      form: of the trainee's scorer and loss (`form_of`).
      trainee, loss: traced where no other of their form has been.
      state: what the steps change.
      settings: learning rate and epsilon of Adagrad.
      examples: (inputs of a Scorer, target), each array [examples, impressions, ...].
      size: impressions of an example that the step is compiled for; None: any.

    Returns: losses before each step, float32 [examples].
    """
    import tensorflow as tf

    shapes = keras.tree.map_structure(
        lambda array: tf.TensorSpec([None, size, *array.shape[2:]], array.dtype), examples
    )
    settings = [tf.constant(value, tf.float32) for value in settings]
    key = (form, *keras.tree.flatten(shapes))
    if key not in _COMPILED:
        function = tf.function(functools.partial(_steps, trainee, loss), autograph=False)
        _COMPILED[key] = function.get_concrete_function(state, settings, shapes)
    examples = keras.tree.map_structure(tf.convert_to_tensor, examples)
    return _COMPILED[key](state, settings, examples).numpy()


def _steps(trainee, loss, state, settings, examples):
    """What is traced; of trainee and loss only the form is used."""
    import tensorflow as tf

    count = tf.shape(examples[1])[0]

    def step(i, losses, weights, sums, statistics):
        example = keras.tree.map_structure(lambda array: array[i], examples)
        value, slope, statistics, rows = gradient(
            trainee, loss, state, weights, statistics, example
        )
        change, sums = _adagrad(slope, sums, *settings)
        for table, table_sums, (ids, slopes) in zip(state.tables, state.table_sums, rows):
            _update_rows(table, table_sums, ids, slopes, settings)
        return i + 1, losses.write(i, value), weights - change, sums, statistics

    def more(i, *_):
        return i < count

    start = (0, tf.TensorArray(tf.float32, count), *map(flat, state[:3]))
    _, losses, *ends = tf.while_loop(more, step, start, parallel_iterations=1)
    for variables, end in zip(state[:3], ends, strict=True):
        for variable, value in zip(variables, _parts(end, variables), strict=True):
            variable.assign(value)
    return losses.stack()


def gradient(trainee, loss, state, weights, statistics, example):
    """A forward and a backward pass, to be traced.

    Args:
      weights, statistics: vectors made by `flat`, in the order of `state`, whose shapes they have.
      example: (inputs of a Scorer, target).

    Returns: (loss, slope of the weights, new statistics, and for each table its looked-up rows
      [lookups] with the slopes of the vectors [lookups, width]).
    """
    import tensorflow as tf

    inputs, target = example
    trained, _ = _parameters(trainee)
    averaged = trainee.non_trainable_variables
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        lookups = {
            width: _Lookups(table, tape)
            for width, table in zip(trainee.scorer.tables, state.tables, strict=True)
        }
        values = [
            *zip(trained, _parts(weights, state.weights), strict=True),
            *zip(averaged, _parts(statistics, state.statistics), strict=True),
        ]
        with keras.StatelessScope(state_mapping=values) as scope:
            value = loss(target, trainee.scorer.scores(inputs, True, lookups))
    slope, slopes = tape.gradient(value, (weights, [x.vectors for x in lookups.values()]))
    rows = [
        (tf.concat(x.rows, 0), tf.concat([tf.reshape(s, [-1, s.shape[-1]]) for s in part], 0))
        for x, part in zip(lookups.values(), slopes, strict=True)
    ]
    new = [scope.get_current_value(variable) for variable in averaged]
    return value, slope, flat(new), rows


class _Lookups:
    """Lookups in a table whose vectors are what a gradient is taken of, not the table."""

    def __init__(self, table, tape):
        self.table, self.tape, self.rows, self.vectors = table, tape, [], []

    def __call__(self, rows):
        import tensorflow as tf

        vectors = tf.gather(self.table, rows)
        self.tape.watch(vectors)
        self.rows.append(tf.reshape(rows, [-1]))
        self.vectors.append(vectors)
        return vectors


def _adagrad(slope, sums, learning_rate, epsilon):
    """(What is taken off the weights, new sums)."""
    import tensorflow as tf

    sums = sums + tf.square(slope)
    # The maximum changes nothing but keeps TensorFlow from making a division by a root an
    # rsqrt, which begins with an estimate of each processor's own.
    return learning_rate * slope / tf.maximum(tf.sqrt(sums + epsilon), 1e-30), sums


def _update_rows(table, table_sums, ids, slopes, settings):
    """Adagrad on some rows of a table, with the slopes of a row that occurs again summed first."""
    import tensorflow as tf

    rows, place = tf.unique(ids)
    slope = tf.math.unsorted_segment_sum(slopes, place, tf.size(rows))
    change, sums = _adagrad(slope, tf.gather(table_sums, rows), *settings)
    table_sums.scatter_update(tf.IndexedSlices(sums, rows))
    table.scatter_sub(tf.IndexedSlices(change, rows))


def _parameters(trainee):
    """The trained variables: (all but the embeddings, embeddings)."""
    tables = [table.embeddings for table in trainee.scorer.tables.values()]
    known = {id(table) for table in tables}
    return [v for v in trainee.trainable_variables if id(v) not in known], tables


def flat(arrays):
    """All numbers of some arrays as one vector."""
    import tensorflow as tf

    return tf.concat([tf.reshape(array, [-1]) for array in arrays], 0)


def _parts(vector, variables):
    """The vector that `flat` made, cut into the variables' shapes."""
    import tensorflow as tf

    shapes = [variable.shape for variable in variables]
    parts = tf.split(vector, [shape.num_elements() for shape in shapes])
    return [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]
