"""Metrics of click probabilities: published values, slow references, what is refused."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lib.metrics.clicks import (
    CLIPPED_AT,
    auc,
    base_rate_entropy,
    calibration,
    log_loss,
    normalised_entropy,
)

RNG = np.random.default_rng(0)
N = 300_000  # more than two blocks
TRUTH = RNG.beta(1, 4, N)
CLICKS = (RNG.random(N) < TRUTH).astype(np.uint8)
WEIGHT = RNG.random(N)


def test_torcheval_s_documented_values():
    p, y = [0.2, 0.3], [1.0, 0.0]
    assert normalised_entropy(p, y) == pytest.approx(1.4183, abs=5e-5)
    assert normalised_entropy(p, y, weight=[5.0, 1.0]) == pytest.approx(3.1087, abs=5e-5)


def test_by_hand():
    p, y, weight = [0.5, 0.2, 0.1], [1, 0, 0], [2, 1, 1]
    expected = -(2 * math.log(0.5) + math.log(0.8) + math.log(0.9)) / 4
    assert log_loss(p, y, weight) == pytest.approx(expected)
    assert base_rate_entropy(y, weight) == pytest.approx(math.log(2))
    assert calibration(p, y, weight) == pytest.approx((2 * 0.5 + 0.2 + 0.1) / 2)
    assert calibration(p, y) == pytest.approx(0.8)
    assert auc([0.3, 0.1, 0.3], [1, 0, 0]) == 0.75


def test_log_loss_equals_a_slow_loop_over_blocks():
    expected = -math.fsum(
        w * math.log(p if y else 1 - p) for p, y, w in zip(TRUTH, CLICKS, WEIGHT)
    ) / math.fsum(WEIGHT)
    assert log_loss(TRUTH, CLICKS, WEIGHT) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_auc_counts_ties_half(share):
    y = RNG.random(400) < share
    score = np.round(RNG.normal(size=400) + y, 1).astype(np.float32)
    above, below = score[y][:, None], score[~y]
    expected = np.mean((above > below) + 0.5 * (above == below))
    assert auc(score, y) == pytest.approx(expected, rel=1e-14)
    assert auc(score, y) == pytest.approx(roc_auc_score(y, score), rel=1e-12)
    assert auc(-score, y) == pytest.approx(1 - expected)
    assert auc(score, ~y) == pytest.approx(1 - expected)


def test_several_models_are_each_by_itself():
    models = np.stack([TRUTH, 0.5 * TRUTH, np.full(N, CLICKS.mean())])
    for metric in (log_loss, normalised_entropy, auc, calibration):
        together = metric(models, CLICKS)
        assert together.shape == (3,)
        np.testing.assert_allclose(together, [metric(model, CLICKS) for model in models], 1e-12)
    assert normalised_entropy(models, CLICKS)[2] == pytest.approx(1)
    assert auc(models, CLICKS)[2] == 0.5
    assert auc(models, CLICKS)[0] == auc(models, CLICKS)[1]
    assert log_loss(models[None], CLICKS).shape == (1, 3)


def test_true_probabilities_give_the_expectation_over_clicks():
    p = RNG.beta(1, 4, 40)
    predicted = np.clip(p + 0.1 * RNG.normal(size=40), 0.01, 0.99)
    drawn = RNG.random((20_000, 40)) < p
    losses = [log_loss(predicted, y) for y in drawn]
    error = np.std(losses) / np.sqrt(len(losses))
    assert log_loss(predicted, p) == pytest.approx(np.mean(losses), abs=4 * error)
    assert log_loss(p, p) < log_loss(predicted, p)  # nothing is better than the truth


def test_a_certain_error_costs_a_bounded_loss():
    assert log_loss([0.0], [1]) == pytest.approx(-math.log(CLIPPED_AT))
    assert log_loss([1.0], [0]) == pytest.approx(-math.log(CLIPPED_AT))
    assert log_loss([0.0, 1.0], [0, 1]) == pytest.approx(CLIPPED_AT)


def test_where_nothing_or_everything_was_clicked():
    for y in ([0, 0], [1, 1]):
        assert np.isnan(normalised_entropy([0.1, 0.2], y)) and np.isnan(auc([0.1, 0.2], y))
        assert base_rate_entropy(y) == 0
    assert np.isnan(calibration([0.1, 0.2], [0, 0]))
    assert np.isnan(auc([[0.1, 0.2]] * 2, [0, 0])).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5], []), r"log_loss: clicks must have shape \[n\], n >= 1; got \(0,\)"),
        (([0.5], [1, 0]), r"probability must have shape \[..., 2\], as many as clicks; got \(1,\)"),
        (([0.5, 1.5], [1, 0]), r"probability must be 0..1; got 1.5 at \[1\]"),
        (([[0.5, 0.5], [0.5, np.nan]], [1, 0]), r"probability must be 0..1; got nan at \[1, 1\]"),
        (([0.5, 0.5], [1, -1]), r"clicks must be 0..1; got -1 at \[1\]"),
        (([0.5, 0.5], [1, 0], [1]), r"weight must have shape \[2\]"),
        (([0.5, 0.5], [1, 0], [1, -2]), r"weight must be 0 or above and finite; got -2.0 at \[1\]"),
        (([0.5, 0.5], [1, 0], [0, 0]), "weight must not be 0 everywhere"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        log_loss(*arguments)


def test_auc_refuses_what_is_no_click_and_no_score():
    with pytest.raises(ValueError, match=r"auc: clicks must be 0 or 1; got 0.5"):
        auc([1, 2, 3], [1, 0.5, 0])
    with pytest.raises(ValueError, match=r"auc: score is NaN at \[1\]"):
        auc([1, np.nan], [1, 0])
