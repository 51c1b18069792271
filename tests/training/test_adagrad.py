"""One step of Adagrad, by hand."""

import numpy as np
import pytest

from lib.logs import reader
from lib.losses import relax_and_global
from lib.models.scorer import Scorer
from lib.training import as_inputs, ranks
from tests.small_log import FEATURES
from tests.training.small_training import BATCH, train


def test_one_step_is_adagrad_on_the_loss(log):
    """Every weight, the embeddings of frequent ids and alpha among them."""
    import tensorflow as tf

    trained = train(log, stop=BATCH, window=0)
    fresh = Scorer(FEATURES, [8, 4, 1], seed=0)
    batch = reader.read(log, FEATURES, stop=BATCH)
    start = [v.numpy() for v in fresh.trainable_variables]
    with tf.GradientTape() as tape:
        scores = fresh(as_inputs(batch), training=True)
        target = ranks(batch.v, batch.mask)
        relax, everywhere = relax_and_global(target, scores, m=2, k=2, tau=1.0)
        value = tf.reduce_mean(relax + everywhere / 2)
    assert trained.report.losses[0] == pytest.approx(float(value), rel=1e-5)

    def adagrad(weight, slope):  # the sum of squares starts at 0.1 in Keras
        return weight - 0.1 * slope / np.sqrt(0.1 + slope**2 + 1e-8)

    slopes = tape.gradient(value, fresh.trainable_variables)
    variables = trained.scorer.trainable_variables
    for variable, weight, slope in zip(variables, start, slopes, strict=True):
        want = adagrad(weight, tf.convert_to_tensor(slope).numpy())
        np.testing.assert_allclose(variable.numpy(), want, rtol=1e-4, atol=1e-5)
    alpha = trained.loss.alpha.numpy()
    assert alpha == pytest.approx(adagrad(1, 1 - float(tf.reduce_mean(everywhere))))
    report = trained.report
    assert np.isnan(report.impressions_per_second) and np.isnan(report.share_of_peak)
