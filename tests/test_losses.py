"""Losses: Eq 2-4 in slow NumPy loops, gradients by finite differences, hard scores."""

import keras
import keras_rs
import numpy as np
import pytest
from keras import ops

from lib.losses import (
    ARFLoss,
    PairwiseLogisticLoss,
    RelaxLoss,
    SoftmaxLoss,
    log_neural_sort,
    neural_sort,
    relax_and_global,
)

rng = np.random.default_rng(0)
SCORES = rng.normal(size=(6, 5))
V = rng.permuted(np.tile(np.arange(5.0), (6, 1)), axis=1)
LOSSES = [
    ARFLoss(2, 2),
    ARFLoss(3, 2, tau=0.5, alpha=0.7),
    ARFLoss(2, 2, tau=4.0, tau_v=0.3, name="arf_tau_v"),
    ARFLoss(2, 2, tau=2.0, tau_v=1e-4, name="arf_hard"),
    RelaxLoss(2, 3),
    RelaxLoss(2, 3, tau=0.5, tau_v=1e-4, name="relax_hard"),
    SoftmaxLoss(),
    PairwiseLogisticLoss(),
]


def numbers(tensor):
    return ops.convert_to_numpy(tensor)


def gradient(loss, v, scores):
    """Of the mean loss by the scores, and by alpha where the loss has one."""
    import tensorflow as tf

    scores = tf.Variable(scores)
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss.call(tf.constant(v, scores.dtype), scores))
    by_scores, by_alpha = tape.gradient(value, [scores, getattr(loss, "alpha", scores)])
    return numbers(value), numbers(by_scores), numbers(by_alpha)


# ---- Eq 2-4 one number at a time, in float64 -------------------------------


def sort_by_loop(s, tau):
    """NeuralSort, Grover et al. 2019, eq. 5 with places from 1."""
    n, out = len(s), np.zeros((len(s), len(s)))
    for i in range(n):
        logits = [
            ((n + 1 - 2 * (i + 1)) * s[j] - sum(abs(s[j] - x) for x in s)) / tau for j in range(n)
        ]
        shares = [np.exp(x - max(logits)) for x in logits]
        out[i] = np.array(shares) / sum(shares)
    return out


def relax_by_loop(v, s, m, k, tau, tau_v=None):
    true, model = sort_by_loop(v, tau_v or tau), sort_by_loop(s, tau)
    return -sum(true[:k, j].sum() * np.log(model[:m, j].sum() / m) for j in range(len(s)))


def global_by_loop(v, s, tau, tau_v=None):
    true, model, n = sort_by_loop(v, tau_v or tau), sort_by_loop(s, tau), len(s)
    return -sum(true[j, h] * np.log(model[j, h]) for j in range(n) for h in range(n))


def loss_by_loop(loss, v, s):
    if isinstance(loss, ARFLoss):
        alpha = loss.initial_alpha
        return (
            relax_by_loop(v, s, loss.m, loss.k, loss.tau, loss.tau_v)
            + global_by_loop(v, s, loss.tau, loss.tau_v) / (2 * alpha**2)
            + np.log(abs(alpha))
        )
    if isinstance(loss, RelaxLoss):
        return relax_by_loop(v, s, loss.m, loss.k, loss.tau, loss.tau_v)
    if isinstance(loss, SoftmaxLoss):
        shares, target = (np.exp(x) / sum(np.exp(x)) for x in (s, v))
        return -sum(target * np.log(shares))
    pairs = [
        np.log(1 + np.exp(s[j] - s[i])) for i in range(len(s)) for j in range(len(s)) if v[i] > v[j]
    ]
    return sum(pairs) / len(pairs)


def test_neural_sort_by_hand():
    # Two ads, s = (1, 3): A 1 = (2, 2); logits of place 1 are s - 2, of place 2 -s - 2.
    a = 1 / (1 + np.exp(-2))
    np.testing.assert_allclose(
        numbers(neural_sort([1.0, 3.0])), [[1 - a, a], [a, 1 - a]], rtol=1e-6
    )


@pytest.mark.parametrize("tau", [0.3, 1.0, 4.0])
def test_neural_sort_equals_a_loop(tau):
    got = numbers(neural_sort(SCORES, tau=tau))
    np.testing.assert_allclose(got, [sort_by_loop(s, tau) for s in SCORES], rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_losses_equal_a_loop(loss):
    want = [loss_by_loop(loss, v, s) for v, s in zip(V, SCORES, strict=True)]
    np.testing.assert_allclose(
        numbers(loss.call(V.astype("f"), SCORES.astype("f"))), want, rtol=2e-5
    )
    assert numbers(loss(V, SCORES)) == pytest.approx(np.mean(want), rel=2e-5)


@pytest.mark.parametrize("tau_v", [None, 0.8, 3.0, 1e-4])
@pytest.mark.parametrize(("m", "k"), [(1, 1), (2, 3), (5, 2), (9, 9)])
def test_the_two_parts_equal_a_loop(m, k, tau_v):
    relax, everywhere = relax_and_global(V, SCORES, m=m, k=k, tau=0.8, tau_v=tau_v)
    np.testing.assert_allclose(
        numbers(relax),
        [relax_by_loop(v, s, m, k, 0.8, tau_v) for v, s in zip(V, SCORES, strict=True)],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        numbers(everywhere),
        [global_by_loop(v, s, 0.8, tau_v) for v, s in zip(V, SCORES, strict=True)],
        rtol=1e-6,
    )


@pytest.mark.parametrize("length", [2, 5])
def test_ranknet_is_keras_rs_s_over_its_pairs(length):
    v, scores = (x[:, :length].astype("f") for x in (V, SCORES))
    # keras-rs leaves the sum over the worse ad of each pair; ours is the mean over all pairs.
    theirs = numbers(keras_rs.losses.PairwiseLogisticLoss(reduction=None)(v, scores)).sum(axis=-1)
    ours = numbers(PairwiseLogisticLoss().call(v, scores))
    np.testing.assert_allclose(ours, theirs / (length * (length - 1) / 2), rtol=1e-5)


# ---- NeuralSort -----------------------------------------------------------


def test_rows_sum_to_one_and_do_not_depend_on_the_origin_of_the_scores():
    matrix = numbers(neural_sort(SCORES))
    np.testing.assert_allclose(matrix.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(numbers(neural_sort(SCORES + 50)), matrix, rtol=1e-6)
    np.testing.assert_allclose(numbers(neural_sort(3 * SCORES, tau=3.0)), matrix, rtol=1e-6)


def test_a_low_temperature_gives_the_permutation():
    order = np.argsort(-SCORES, axis=-1)
    for tau in (1e-3, 1e-6):
        matrix = numbers(neural_sort(SCORES, tau=tau))
        np.testing.assert_allclose(matrix, np.eye(5)[order], atol=1e-6)
    np.testing.assert_allclose(
        matrix @ SCORES[..., None], np.sort(SCORES)[..., ::-1, None], atol=1e-6
    )


def test_permuting_the_ads_permutes_the_columns():
    turn = rng.permutation(5)
    np.testing.assert_allclose(
        numbers(neural_sort(SCORES[:, turn])), numbers(neural_sort(SCORES))[..., turn], rtol=1e-6
    )


# ---- the temperature of v -------------------------------------------------


def hard_with_ties(v):
    """The limit: each place is shared in equal parts by the ads whose v stands there."""
    return (np.sort(v)[::-1, None] == v) / (v == v[:, None]).sum(axis=0)


def test_hard_labels_by_hand():
    # v = (1, 2, 0) at a low temperature: the first place is the second ad's, and so on down.
    # Scores all 0: every ad has a third of every place.
    v, scores = [[1.0, 2.0, 0.0]], [[0.0, 0.0, 0.0]]
    relax, everywhere = relax_and_global(v, scores, m=2, k=1, tau=5.0, tau_v=1e-4)
    assert float(relax[0]) == pytest.approx(-np.log(2 / 3 / 2))
    assert float(everywhere[0]) == pytest.approx(-3 * np.log(1 / 3))
    # Scores as v at tau 5, by the formula: logits of place 1 are 2 s - A 1 = (0, 1, -3) / 5.
    relax, _ = relax_and_global(v, v, m=1, k=1, tau=5.0, tau_v=1e-4)
    want = np.exp(1 / 5) / (1 + np.exp(1 / 5) + np.exp(-3 / 5))
    assert float(relax[0]) == pytest.approx(-np.log(want))


@pytest.mark.parametrize("tau", [1e-4, 1e-12, 1e-20])
@pytest.mark.parametrize("length", [1, 2, 9, 40])
def test_the_limit_is_the_permutation_with_ties_in_equal_parts(length, tau):
    v = rng.integers(0, length // 2 + 1, (20, length)).astype("f")
    want = [hard_with_ties(row) for row in v]
    np.testing.assert_allclose(numbers(neural_sort(v, tau=tau)), want, rtol=1e-6, atol=1e-30)
    padded = np.concatenate([np.full((20, 2), -1, "f"), v], axis=1)
    matrix = np.exp(numbers(log_neural_sort(padded, tau, padded >= 0)))
    np.testing.assert_allclose(matrix[:, :length, 2:], want, rtol=1e-6, atol=1e-30)
    assert not matrix[..., :2].any()


def test_at_the_temperature_of_scores_the_order_of_v_is_nearly_lost():
    v = np.arange(10.0)[None]
    shares = numbers(neural_sort(v, tau=200.0))
    assert np.abs(shares - 0.1).max() < 0.025
    assert shares[0, 0, -1] == pytest.approx(0.114, abs=1e-3)
    assert numbers(neural_sort(v))[0, 0, -1] == pytest.approx(0.721, abs=1e-3)


@pytest.mark.parametrize("tau", [0.5, 1.0, 200.0])
def test_one_temperature_asks_for_scores_as_v_a_lower_one_of_v_for_scores_far_apart(tau):
    v = np.arange(10.0)

    def loss(spread, tau_v=None):
        return float(relax_and_global(v, spread * v, m=2, k=2, tau=tau, tau_v=tau_v)[1])

    spreads = [0.25, 0.5, 1.0, 2.0, 4.0]
    same = [loss(spread) for spread in spreads]
    shares = numbers(neural_sort(v, tau=tau))
    assert np.argmin(same) == 2  # spread 1: the cross-entropy is v's own entropy
    assert same[2] == pytest.approx(-(shares * np.log(shares + 1e-30)).sum(), rel=1e-5)
    hard = [loss(spread, 1e-4) for spread in spreads]
    assert hard == sorted(hard, reverse=True)


# ---- padding --------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:You are using a softmax")  # of a list of one
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_a_padded_list_has_the_loss_of_the_unpadded_one(loss, length):
    v, scores = (x[:, :length].astype("f") for x in (V, SCORES))
    place = rng.permutation(8)[:length]  # padding anywhere
    padded_v, padded = np.full((6, 8), -1, "f"), rng.normal(0, 50, (6, 8)).astype("f")
    padded_v[:, place], padded[:, place] = v, scores
    np.testing.assert_allclose(
        numbers(loss.call(padded_v, padded)), numbers(loss.call(v, scores)), rtol=1e-4, atol=1e-6
    )
    _, by_scores, by_alpha = gradient(loss, v, scores)
    _, by_padded, padded_by_alpha = gradient(loss, padded_v, padded)
    np.testing.assert_allclose(by_padded[:, place], by_scores, rtol=1e-3, atol=1e-6)
    assert not np.delete(by_padded, place, axis=1).any()
    if isinstance(loss, ARFLoss):
        assert by_alpha == pytest.approx(padded_by_alpha, rel=1e-4)


def test_padded_columns_get_no_weight():
    real = np.array([True, False, True, True, False])
    matrix = np.exp(numbers(log_neural_sort(SCORES[0], real=real)))
    np.testing.assert_allclose(matrix[:3, real], sort_by_loop(SCORES[0][real], 1.0), rtol=1e-6)
    assert not matrix[:, ~real].any()


# ---- gradients ------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_gradients_equal_finite_differences(loss):
    value, got, _ = gradient(loss, V.astype("f"), SCORES.astype("f"))
    assert value == pytest.approx(
        np.mean([loss_by_loop(loss, v, s) for v, s in zip(V, SCORES, strict=True)]), rel=2e-5
    )
    step, want = 1e-5, np.zeros_like(SCORES)
    for i, j in np.ndindex(SCORES.shape):
        up, down = SCORES[i].copy(), SCORES[i].copy()
        up[j], down[j] = up[j] + step, down[j] - step
        want[i, j] = (loss_by_loop(loss, V[i], up) - loss_by_loop(loss, V[i], down)) / (2 * step)
    np.testing.assert_allclose(got, want / len(SCORES), rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("alpha", [1.0, -0.5, 3.0])
def test_gradient_of_alpha(alpha):
    loss = ARFLoss(2, 2, alpha=alpha)
    _, everywhere = relax_and_global(V, SCORES, m=2, k=2, tau=1.0)
    by_alpha = gradient(loss, V.astype("f"), SCORES.astype("f"))[2]
    # d/d alpha of L / (2 alpha^2) + log|alpha|; at the minimum alpha^2 = L.
    want = -numbers(everywhere).mean() / alpha**3 + 1 / alpha
    assert by_alpha == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize(
    "scores",
    [
        np.zeros((2, 7)),
        np.full((2, 7), 1e6),
        np.tile([0.0, 0, 1, 1, 1, 2, 2], (2, 1)),
        1e6 * rng.normal(size=(2, 7)),
        1e-30 * rng.normal(size=(2, 7)),
        1e6 + rng.normal(size=(2, 7)),
        np.tile([-1e6, 0, 0, 1e-30, 1e-30, 5, 1e6], (2, 1)),
    ],
    ids=["zero", "equal", "ties", "far", "near", "offset", "mixed"],
)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_hard_scores_have_a_finite_loss_and_gradient(loss, scores):
    for v in (
        [0, 1, 2, 3, 4, 5, 6],
        [0, 0, 0, 3, 3, 5, 5],
        [3] * 7,
        [0, 1, 2, -1, -1, -1, -1],
        [-1] * 7,
    ):
        value, *gradients = gradient(loss, np.tile(v, (2, 1)).astype("f"), scores.astype("f"))
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)


def test_losses_fall_along_their_gradient():
    for loss in LOSSES:
        v, scores = V.astype("f"), SCORES.astype("f")
        before, by_scores, _ = gradient(loss, v, scores)
        assert gradient(loss, v, scores - 0.05 * by_scores)[0] < before


def test_relax_prefers_the_true_top_and_ignores_the_rest():
    v = np.array([[9.0, 8, 1, 0]])
    loss, tau = RelaxLoss(m=2, k=2, tau=0.01), 0.01
    good, swapped, wrong = (np.array([s], "f") for s in ([4, 3, 2, 1], [3, 4, 1, 2], [4, 2, 3, 1]))
    right = numbers(loss(v, good))
    assert right == pytest.approx(2 * np.log(2), abs=1e-3)  # each of two at share 1 / m
    assert numbers(loss(v, swapped)) == pytest.approx(right, abs=1e-3)
    # The ad that is missed comes third by a score of 1: its log share is -1 / tau.
    assert numbers(loss(v, wrong)) == pytest.approx(right + 1 / tau, rel=1e-4)


# ---- as Keras objects -----------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_a_saved_loss_is_the_same(loss):
    saved = keras.losses.serialize(loss)
    assert saved["registered_name"] == f"retrieval_scaling>{type(loss).__name__}"
    again = keras.losses.deserialize(saved)
    assert type(again) is type(loss)
    assert numbers(again(V, SCORES)) == numbers(loss(V, SCORES))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ARFLoss(0, 2), "ARFLoss: m and k must be >= 1, .* m = 0"),
        (lambda: RelaxLoss(2, 0), "RelaxLoss: m and k must be >= 1, .* k = 0"),
        (lambda: ARFLoss(2, 2, tau=0), "tau_v >= 1e-20; got m = 2, k = 2, tau = 0, tau_v = None"),
        (lambda: RelaxLoss(2, 2, tau=float("nan")), "tau = nan"),
        (lambda: ARFLoss(2, 2, tau_v=0), "ARFLoss: .* tau = 1.0, tau_v = 0"),
        (lambda: RelaxLoss(2, 2, tau_v=float("nan")), "RelaxLoss: .* tau_v = nan"),
        (lambda: ARFLoss(2, 2, alpha=0), "alpha must be a number other than 0"),
        (lambda: neural_sort(SCORES, tau=-1), "tau must be >= 1e-20; got -1"),
    ],
)
def test_bad_parameters_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
