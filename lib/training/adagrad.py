"""Adagrad in FP32, the optimizer of section 3.4."""

import keras


class Adagrad(keras.optimizers.Adagrad):
    """Keras' Adagrad, made right for embeddings whose id occurs several times in a batch.

    TensorFlow hands over one gradient an occurrence. Keras squares each by itself, so
    that frequent ids would learn faster, by up to the root of their count, than by
    Adagrad (and than on other backends); here they are summed first.
    """

    def update_step(self, gradient, variable, learning_rate):
        if not hasattr(gradient, "indices"):
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        rows, place = tf.unique(gradient.indices)
        slope = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
        squares = self._accumulators[self._get_variable_index(variable)].value
        squares.scatter_add(tf.IndexedSlices(tf.square(slope), rows))
        scale = tf.sqrt(tf.gather(squares, rows) + self.epsilon)
        step = tf.cast(learning_rate, slope.dtype) * slope / scale
        variable.scatter_sub(tf.IndexedSlices(step, rows))

    def reset(self):
        """Back to the state before the first step."""
        self.iterations.assign(0)
        for squares in self._accumulators:
            squares.assign(keras.ops.full_like(squares, self.initial_accumulator_value))
