"""Asynchrony in one process: gradients that are late by a number of steps known beforehand.

Workers that take turns at parameter servers compute a gradient at weights that others change
before it is applied. What that costs a model depends on how late it is, which a real cluster
decides by chance; here it is given, and the same numbers come twice.
"""

import collections

import keras
import numpy as np
import tensorflow as tf

from lib.training import compiled_step
from lib.training.compiled_step import ElementWise, State, flat
from lib.training.learner import Learner

DELAYED = ("all", "tables")
_COMPILED = {}  # form and shapes -> TensorFlow function


class DelayedLearner(Learner):
    """A Learner whose gradients are applied `staleness` steps after they were computed.

    The gradient of step t is that of batch t at the weights which the gradients of the steps
    before t - staleness have made. Gradients are applied in order, each by Adagrad as it stands
    then. Batch norm's moving averages are not late.

    Args:
      scorer, loss, learning_rate, epsilon: as of `Learner`.
      staleness: steps, >= 0; 0 trains as `Learner` does, to the last bit.
      delayed: "all", as where all is asynchronous, or "tables": embeddings are late and the dense
        part is not, as in a hybrid training.

    A training ends with up to `staleness` gradients still on their way, as those of workers are
    when a model is exported; `finish` applies them. They are not in a checkpoint.

    Raises: ValueError for a staleness < 0 or another `delayed`.
    """

    def __init__(
        self,
        scorer,
        loss,
        learning_rate: float = 0.01,
        epsilon: float = 1e-8,
        *,
        staleness: int,
        delayed: str = "all",
    ):
        if staleness < 0:
            raise ValueError(f"DelayedLearner: staleness must be >= 0; got {staleness}")
        if delayed not in DELAYED:
            raise ValueError(f"DelayedLearner: delayed must be one of {DELAYED}; got {delayed!r}")
        super().__init__(scorer, loss, learning_rate, epsilon)
        self.staleness, self.delayed = staleness, delayed
        self._late = {"dense": 0 if delayed == "tables" else staleness, "tables": staleness}
        self._pending = {part: collections.deque() for part in self._late}

    @property
    def variables(self) -> list:
        if any(self._pending.values()):
            raise ValueError("DelayedLearner: gradients on their way are not in a checkpoint")
        return super().variables

    def take_steps(self, examples: list, full_batch: int):
        """As `Learner.take_steps`."""
        state = State.of(self.trainee, self.trainee.optimizer)
        settings = [tf.constant(value) for value in (self.learning_rate, self.epsilon)]
        losses = []
        for inputs, target in examples:
            size = len(target) if len(target) == full_batch else None
            value, dense, tables = self._gradient(state, (inputs, target), size)
            for part, gradient in (("dense", dense), ("tables", tables)):
                self._pending[part].append(gradient)
            self._apply(state, settings, self._late)
            losses.append(float(value))
        return np.array(losses, np.float32)

    def finish(self):
        """Apply the gradients that are still on their way."""
        state = State.of(self.trainee, self.trainee.optimizer)
        settings = [tf.constant(value) for value in (self.learning_rate, self.epsilon)]
        self._apply(state, settings, dict.fromkeys(self._late, 0))

    def reset(self):
        """As `Learner.reset`; gradients on their way are dropped."""
        super().reset()
        for pending in self._pending.values():
            pending.clear()

    def description(self) -> dict:
        return super().description() | {"staleness": self.staleness, "delayed": self.delayed}

    def _gradient(self, state, example, size):
        shapes = keras.tree.map_structure(
            lambda array: tf.TensorSpec([size, *array.shape[1:]], array.dtype), example
        )
        function = self._compiled(
            ("gradient", *keras.tree.flatten(shapes)),
            lambda state, example: _gradient(self.trainee, self.loss, state, example),
            state,
            shapes,
        )
        return function(state, keras.tree.map_structure(tf.convert_to_tensor, example))

    def _apply(self, state, settings, late):
        while len(self._pending["dense"]) > late["dense"]:
            gradient = self._pending["dense"].popleft()
            self._compiled("dense", _apply_dense, state, settings, gradient)(
                state, settings, gradient
            )
        while len(self._pending["tables"]) > late["tables"]:
            gradient = self._pending["tables"].popleft()
            shapes = keras.tree.map_structure(
                lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), gradient
            )
            self._compiled("tables", _apply_tables, state, settings, shapes)(
                state, settings, gradient
            )

    def _compiled(self, name, function, *arguments):
        key = self._form, name
        if key not in _COMPILED:
            traced = tf.function(function, autograph=False)
            _COMPILED[key] = traced.get_concrete_function(*arguments)
        return _COMPILED[key]


def _gradient(trainee, loss, state, example):
    value, slope, statistics, changes = compiled_step.gradient(
        trainee, loss, state, flat(state.weights), flat(state.statistics), example
    )
    compiled_step.assign(state.statistics, statistics)
    return value, slope, changes


def _apply_dense(state, settings, slope):
    change, sums = compiled_step.adagrad(slope, flat(state.sums), *settings)
    compiled_step.assign(state.weights, flat(state.weights) - change)
    compiled_step.assign(state.sums, sums)


def _apply_tables(state, settings, changes):
    for table, sums, change in zip(state.tables, state.table_sums, changes, strict=True):
        ElementWise.update(table, sums, change, settings, None)
