"""Adagrad in FP32, the optimizer of section 3.4."""

import keras
from keras import ops


class Adagrad(keras.optimizers.Adagrad):
    """Keras' Adagrad, made right for embeddings whose id occurs several times in a batch.

    TensorFlow hands over one gradient an occurrence. Keras squares each by itself, so
    that frequent ids would learn faster, by up to the root of their count, than by
    Adagrad (and than on other backends); here they are summed first.
    """

    def sum_of_squares(self, variable) -> keras.Variable:
        """Adagrad's sum of a variable's squared gradients."""
        return self._accumulators[self._get_variable_index(variable)]

    def update_step(self, gradient, variable, learning_rate):
        accumulator = self._accumulators[self._get_variable_index(variable)]
        if not hasattr(gradient, "indices"):
            self.assign_add(accumulator, ops.square(gradient))
            step = ops.cast(learning_rate, gradient.dtype) * gradient / self._root(accumulator)
            self.assign_sub(variable, step)
            return
        import tensorflow as tf

        rows, place = tf.unique(gradient.indices)
        slope = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
        squares = accumulator.value
        squares.scatter_add(tf.IndexedSlices(tf.square(slope), rows))
        step = tf.cast(learning_rate, slope.dtype) * slope / self._root(tf.gather(squares, rows))
        variable.scatter_sub(tf.IndexedSlices(step, rows))

    def _root(self, squares):
        # The maximum changes nothing but keeps TensorFlow from making a division by a root an
        # rsqrt, which begins with an estimate of each processor's own.
        return ops.maximum(ops.sqrt(squares + self.epsilon), 1e-30)

    def reset(self):
        """Back to the state before the first step."""
        self.iterations.assign(0)
        for squares in self._accumulators:
            squares.assign(ops.full_like(squares, self.initial_accumulator_value))
