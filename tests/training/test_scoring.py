"""Predictions and metrics of a trained scorer."""

import numpy as np

from lib import metrics
from lib.training import evaluate, predict


def test_predictions_do_not_depend_on_the_batch(trained, held_out):
    scores = predict(trained.scorer, held_out)
    np.testing.assert_allclose(
        predict(trained.scorer, held_out, batch_impressions=17), scores, rtol=1e-4, atol=1e-5
    )
    assert scores.shape == held_out.v.shape
    assert not scores[~held_out.mask].any()


def test_the_trained_model_ranks_unseen_impressions(trained, held_out):
    losses = trained.report.losses
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()
    random = np.random.default_rng(0).random(held_out.v.shape)
    chance = metrics.evaluate(random, held_out.v, held_out.ecpm, 2, 2, held_out.mask)
    values = evaluate(trained.scorer, held_out, m=2, k=2)
    for name in ("r_over_r_star", "ndcg", "recall", "opa"):
        gain, noise = values[name].value - chance[name].value, chance[name].standard_error
        assert gain > 5 * noise, name
    assert trained.loss.alpha.numpy() != 1
