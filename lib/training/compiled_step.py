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
      tables, table_sums: embeddings, [rows, width] each, and their sums of squares: as wide where
        `ElementWise` is to change them, [rows, groups] for `RowWise`.
    """

    weights: list
    sums: list
    statistics: list
    tables: list
    table_sums: list

    @classmethod
    def of(cls, trainee, optimizer) -> "State":
        """The variables of a `lib.training.learner.Trainee` and its Adagrad."""
        weights, tables = parameters(trainee)
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


class ElementWise:
    """Lookups in a table whose vectors are what a gradient is taken of, not the table.

    Adagrad then changes the rows looked up, with the slopes of a row that occurs again summed
    first. Args: table; tape: told to watch the vectors.
    """

    def __init__(self, table, tape):
        self.table, self.tape, self.rows, self.vectors = table, tape, [], []

    def __call__(self, rows):
        import tensorflow as tf

        vectors = tf.gather(self.table, rows)
        self.tape.watch(vectors)
        self.rows.append(tf.reshape(rows, [-1]))
        self.vectors.append(vectors)
        return vectors

    def changes(self, slopes):
        """(rows [lookups], slopes [lookups, width]) from the slopes of `vectors`."""
        import tensorflow as tf

        flat = [tf.reshape(slope, [-1, slope.shape[-1]]) for slope in slopes]
        return tf.concat(self.rows, 0), tf.concat(flat, 0)

    @staticmethod
    def update(table, table_sums, changes, settings, batch):
        """A step of Adagrad by what `changes` gave."""
        import tensorflow as tf

        ids, slopes = changes
        rows, place = tf.unique(ids)
        slope = tf.math.unsorted_segment_sum(slopes, place, tf.size(rows))
        change, sums = adagrad(slope, tf.gather(table_sums, rows), *settings)
        table_sums.scatter_update(tf.IndexedSlices(sums, rows))
        table.scatter_sub(tf.IndexedSlices(change, rows))


class RowWise(ElementWise):
    """As `ElementWise` for row-wise Adagrad: a row's sum holds the mean of its squared slopes.

    So does fbgemm's exact row-wise Adagrad. Slopes are those of the mean over `batch` examples; a
    row's is made that of their sum, so that what an id learns by an occurrence does not depend on
    how many others stand beside it. A row of [groups * width] numbers with `table_sums`
    [rows, groups] has a sum for each group. Of a large table each row is read and written once.
    """

    def __call__(self, rows):
        import tensorflow as tf

        if self.vectors:
            raise ValueError("RowWise: a model must look up each of its tables once a step")
        unique, place = tf.unique(tf.reshape(rows, [-1]))
        known = tf.gather(self.table, unique)
        vectors = tf.reshape(tf.gather(known, place), [*sizes(rows), self.table.shape[1]])
        self.tape.watch(vectors)
        self.rows += unique, place, known
        self.vectors.append(vectors)
        return vectors

    def changes(self, slopes):
        """(rows [unique], their vectors and slopes [unique, width])."""
        import tensorflow as tf

        (slope,), (rows, place, known) = slopes, self.rows
        slope = tf.reshape(slope, [-1, slope.shape[-1]])
        return rows, known, tf.math.unsorted_segment_sum(slope, place, tf.size(rows))

    @staticmethod
    def update(table, table_sums, changes, settings, batch):
        import tensorflow as tf

        rows, known, slope = changes
        _, epsilon, rate = settings
        groups, width = table_sums.shape[1], table.shape[1]
        grouped = tf.reshape(slope * tf.cast(batch, tf.float32), [-1, groups, width // groups])
        sums = tf.gather(table_sums, rows) + tf.reduce_mean(tf.square(grouped), -1)
        change = (rate / root(sums, epsilon))[..., None] * grouped
        table_sums.scatter_update(tf.IndexedSlices(sums, rows))
        # Not scatter_sub, which takes five times as long.
        table.scatter_update(tf.IndexedSlices(known - tf.reshape(change, [-1, width]), rows))


def sizes(array):
    """Its sizes, an int each where it is known."""
    import tensorflow as tf

    return [n if n is not None else tf.shape(array)[i] for i, n in enumerate(array.shape)]


def take_steps(
    form: str, trainee, loss, state: State, settings, examples, size: int | None, kind=ElementWise
):
    """A step on each example in order.

    Args:
      form: of the trainee's scorer and loss (`form_of`).
      trainee, loss: traced where no other of their form has been.
      state: what the steps change.
      settings: of Adagrad: learning rate, epsilon, and for `RowWise` the tables' learning rate.
      examples: (inputs of a Scorer, target), each array [examples, impressions, ...].
      size: impressions of an example that the step is compiled for; None: any.
      kind: of the lookups, which says how embeddings change: `ElementWise` or `RowWise`.

    Returns: losses before each step, float32 [examples, and the loss's own axes].
    """
    import tensorflow as tf

    shapes = keras.tree.map_structure(
        lambda array: tf.TensorSpec([None, size, *array.shape[2:]], array.dtype), examples
    )
    settings = [tf.constant(value, tf.float32) for value in settings]
    key = (form, kind, *keras.tree.flatten(shapes))
    if key not in _COMPILED:
        function = tf.function(functools.partial(_steps, trainee, loss, kind), autograph=False)
        _COMPILED[key] = function.get_concrete_function(state, settings, shapes)
    examples = keras.tree.map_structure(tf.convert_to_tensor, examples)
    return _COMPILED[key](state, settings, examples).numpy()


def _steps(trainee, loss, kind, state, settings, examples):
    """What is traced; of trainee and loss only the form is used."""
    import tensorflow as tf

    count = tf.shape(examples[1])[0]

    def step(i, losses, weights, sums, statistics):
        example = keras.tree.map_structure(lambda array: array[i], examples)
        value, slope, statistics, changes = gradient(
            trainee, loss, state, weights, statistics, example, kind
        )
        change, sums = adagrad(slope, sums, *settings[:2])
        batch = tf.shape(example[1])[0]
        for table, table_sums, change_of in zip(state.tables, state.table_sums, changes):
            kind.update(table, table_sums, change_of, settings, batch)
        return i + 1, losses.write(i, value), weights - change, sums, statistics

    def more(i, *_):
        return i < count

    start = (0, tf.TensorArray(tf.float32, count), *map(flat, state[:3]))
    _, losses, *ends = tf.while_loop(more, step, start, parallel_iterations=1)
    for variables, end in zip(state[:3], ends, strict=True):
        assign(variables, end)
    return losses.stack()


def gradient(trainee, loss, state, weights, statistics, example, kind=ElementWise):
    """A forward and a backward pass, to be traced.

    Args:
      weights, statistics: vectors made by `flat`, in the order of `state`, whose shapes they have.
      example: (inputs of a Scorer, target).
      kind: of the lookups, `ElementWise` or `RowWise`.

    Returns: (loss, slope of the weights, new statistics, and for each table what its lookups'
      `changes` give). Of a loss of several numbers the slopes are of their sum.
    """
    import tensorflow as tf

    inputs, target = example
    trained, _ = parameters(trainee)
    averaged = trainee.non_trainable_variables
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        lookups = {
            width: kind(table, tape)
            for width, table in zip(trainee.scorer.tables, state.tables, strict=True)
        }
        values = [
            *zip(trained, _parts(weights, state.weights), strict=True),
            *zip(averaged, _parts(statistics, state.statistics), strict=True),
        ]
        with keras.StatelessScope(state_mapping=values) as scope:
            value = loss(target, trainee.scorer.scores(inputs, True, lookups))
    slope, slopes = tape.gradient(value, (weights, [x.vectors for x in lookups.values()]))
    changes = [x.changes(part) for x, part in zip(lookups.values(), slopes, strict=True)]
    new = [scope.get_current_value(variable) for variable in averaged]
    return value, slope, flat(new), changes


def adagrad(slope, sums, learning_rate, epsilon):
    """A step of Adagrad: (what is taken off the weights, new sums)."""
    import tensorflow as tf

    sums = sums + tf.square(slope)
    return learning_rate * slope / root(sums, epsilon), sums


def root(sums, epsilon):
    """What Adagrad divides by."""
    import tensorflow as tf

    # The maximum changes nothing but keeps TensorFlow from making a division by a root an
    # rsqrt, which begins with an estimate of each processor's own.
    return tf.maximum(tf.sqrt(sums + epsilon), 1e-30)


def parameters(trainee):
    """The trained variables: (all but the embeddings, embeddings)."""
    tables = [table.embeddings for table in trainee.scorer.tables.values()]
    known = {id(table) for table in tables}
    return [v for v in trainee.trainable_variables if id(v) not in known], tables


def flat(arrays):
    """All numbers of some arrays as one vector."""
    import tensorflow as tf

    if not arrays:
        return tf.zeros(0)
    return tf.concat([tf.reshape(array, [-1]) for array in arrays], 0)


def assign(variables, vector):
    """Set some variables to what `flat` made of their new values."""
    for variable, value in zip(variables, _parts(vector, variables), strict=True):
        variable.assign(value)


def _parts(vector, variables):
    """The vector that `flat` made, cut into the variables' shapes."""
    import tensorflow as tf

    if not variables:
        return []
    shapes = [variable.shape for variable in variables]
    parts = tf.split(vector, [shape.num_elements() for shape in shapes])
    return [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]
