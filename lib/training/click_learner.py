"""A click model with its loss and Adagrad, row-wise for the tables, and its step compiled."""

import json

import keras
import numpy as np
from keras import ops

from lib.training import compiled_step
from lib.training.learner import Trainee, set_up_backend


class ClickLoss:
    """Log loss of logits, of each replica by itself: labels [B], logits [B, R] -> [R]."""

    def __call__(self, labels, logits):
        labels = ops.cast(labels, logits.dtype)[:, None]
        fixed = ops.stop_gradient(logits)
        tail = ops.exp(-ops.abs(fixed))
        value = ops.maximum(fixed, 0.0) - labels * fixed + ops.log1p(tail)
        # The slope is written out: TensorFlow's own begins with a processor's estimate.
        slope = ops.where(fixed >= 0, 1.0, tail) / (1.0 + tail) - labels
        return ops.mean(value + slope * (logits - fixed), axis=0)

    def get_config(self):
        return {}


class ClickLearner:
    """A `lib.models.click_model.ClickModel` in training: log loss, Adagrad, row-wise in the tables.

    The dense weights follow the mean of a batch's gradients, a row of a table the sum of its own
    (`compiled_step.RowWise`). All replicas learn from the same batches. As with
    `lib.training.learner.Learner`, learners of one form share what is compiled, and a learner
    goes on from where it stands.

    Args:
      model: trained in place.
      learning_rate: of the dense weights; table_learning_rate: of the tables (default: the same).
      epsilon: added to Adagrad's sums before the root.
      sums: what Adagrad's sums of the dense weights start from; those of the tables start from 0.

    Attributes:
      threads: that the step's operations use.

    Raises: ValueError unless the learning rates are > 0, epsilon > 0 and sums >= 0.
    """

    def __init__(
        self,
        model,
        learning_rate: float = 0.05,
        table_learning_rate: float | None = None,
        epsilon: float = 1e-8,
        sums: float = 0.1,
    ):
        self.threads = set_up_backend()
        self.model, self.loss, self.trainee = model, ClickLoss(), Trainee(model, None)
        rate = learning_rate if table_learning_rate is None else table_learning_rate
        self.settings = {
            "learning_rate": learning_rate,
            "table_learning_rate": rate,
            "epsilon": epsilon,
            "sums": sums,
        }
        for name, value in self.settings.items():
            least = "be >= 0" if name == "sums" else "be > 0"
            if not (0 <= value < np.inf and (value or name == "sums")):
                raise ValueError(f"ClickLearner: {name} must {least} and finite; got {value!r}")
        self.weights, self.tables = compiled_step.parameters(self.trainee)
        self.sums = [_variable(np.full(w.shape, sums, np.float32)) for w in self.weights]
        replicas = model.replicas
        self.table_sums = [
            _variable(np.zeros((t.shape[0], replicas), np.float32)) for t in self.tables
        ]

    @property
    def variables(self) -> list:
        """All that a step changes."""
        return [*self.trainee.variables, *self.sums, *self.table_sums]

    def take_steps(self, inputs: dict, labels) -> np.ndarray:
        """A step on each of some batches, in order.

        Args:
          inputs: of the model, each array [steps, B, ...]; labels: [steps, B].

        Returns: the log loss of each batch before its step, float32 [steps, replicas].
        """
        settings = [self.settings[x] for x in ("learning_rate", "epsilon", "table_learning_rate")]
        form = compiled_step.form_of(self.model, self.loss)
        groups = (self.weights, self.sums, self.tables, self.table_sums)
        weights, sums, tables, table_sums = ([v.value for v in group] for group in groups)
        examples = inputs, labels
        if keras.backend.backend() == "jax":
            from lib.training import jax_step

            state = weights, sums, tables, table_sums
            ends, losses = jax_step.take_steps(
                form, self.trainee, self.loss, state, settings, examples
            )
            for variables, values in zip(groups, ends, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
            return np.asarray(losses)
        return compiled_step.take_steps(
            form,
            self.trainee,
            self.loss,
            compiled_step.State(weights, sums, [], tables, table_sums),
            settings,
            examples,
            labels.shape[1],
            compiled_step.RowWise,
        )

    def description(self) -> dict:
        """What a checkpoint must agree in with the run that continues it."""
        return {"model": json.loads(json.dumps(self.model.get_config())), **self.settings}


def _variable(start):
    return keras.Variable(start, trainable=False)
