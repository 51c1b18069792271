"""A model with its loss and optimizer, and its training step compiled."""

import os

import keras
import numpy as np

from lib.infra import machine
from lib.infra.settings import configure
from lib.training import compiled_step
from lib.training.adagrad import Adagrad


def set_up_backend() -> int:
    """Make TensorFlow deterministic; returns the threads that its operations use."""
    configure()
    if keras.backend.backend() != "tensorflow":
        return machine.cores()
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    # 0 where nothing was set; the variable is TensorFlow's own, and `configure` sets it to 1.
    return (
        tf.config.threading.get_intra_op_parallelism_threads()
        or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0))
        or machine.cores()
    )


class Trainee(keras.Model):
    """A scorer and the loss's own variables, so that one optimizer sees them all."""

    def __init__(self, scorer, loss):
        super().__init__(name="trainee")
        self.scorer = scorer
        self.alpha = getattr(loss, "alpha", None)
        self.built = True

    def call(self, inputs, training=False):
        return self.scorer(inputs, training=training)


class Learner:
    """A scorer, its loss and Adagrad, with the step compiled at its first use.

    Learners of one form (features, family, size, loss) share the compiled step in their process,
    whatever their seeds, weights, logs and learning rates: only the first waits for it. One
    learner may go through several trainings, as a model in a closed loop does: weights and
    Adagrad's sums go on from where they stand (`reset` forgets the sums).
    Making one sets TensorFlow to deterministic operations (`set_up_backend`).

    Args:
      scorer: a `lib.models.scorer.Scorer`; trained in place.
      loss: a loss of `lib.losses` or of Keras on (v, scores).
      learning_rate, epsilon: Adagrad's; the defaults are the paper's.

    Attributes:
      threads: that the step's operations use.
    """

    def __init__(self, scorer, loss, learning_rate: float = 0.01, epsilon: float = 1e-8):
        self.threads = set_up_backend()
        self.scorer, self.loss = scorer, loss
        self.learning_rate, self.epsilon = learning_rate, epsilon
        self.trainee = Trainee(scorer, loss)
        self.trainee.compile(Adagrad(learning_rate, epsilon=epsilon), loss)
        self.trainee.optimizer.build(self.trainee.trainable_variables)
        self._form = compiled_step.form_of(scorer, loss)

    @property
    def variables(self) -> list:
        """All that a step changes."""
        return [*self.trainee.variables, *self.trainee.optimizer.variables]

    def reset(self):
        """Adagrad as before its first step; the weights stay, and so does what is compiled."""
        self.trainee.optimizer.reset()

    def take_steps(self, examples: list, full_batch: int):
        """A step on each of the examples, in order.

        Args:
          examples: list of (inputs of a Scorer, target [B, n]), all of one shape.
          full_batch: impressions of a full batch.

        Returns: the loss of each, before its step.
        """
        if keras.backend.backend() != "tensorflow":
            return [np.ravel(self.trainee.train_on_batch(*example))[0] for example in examples]
        stacked = keras.tree.map_structure(lambda *arrays: np.stack(arrays), *examples)
        size = len(examples[0][1])
        # A static shape for full batches, a dynamic one for shorter ones: division by a constant
        # rounds in another way than by a tensor, and so a batch trains alike in every run.
        size = size if size == full_batch else None
        trainee, settings = self.trainee, (self.learning_rate, self.epsilon)
        state = compiled_step.State.of(trainee, trainee.optimizer)
        return compiled_step.take_steps(
            self._form, trainee, self.loss, state, settings, stacked, size
        )

    def description(self) -> dict:
        """What a checkpoint must agree in with the run that continues it."""
        return {
            "size parameters": self.scorer.size_parameters,
            "family": self.scorer.family,
            "seed of the weights": self.scorer.seed,
            "features": self.scorer.features.model_dump(mode="json"),
            "loss": [type(self.loss).__name__, self.loss.get_config()],
            "learning_rate": self.learning_rate,
            "epsilon": self.epsilon,
        }
