"""The ideal learner: its curve by plain sums, by simulation, and its exponents."""

import numpy as np
import pytest
from scipy.special import digamma, expit, xlog1py, xlogy
from scipy.stats import beta, betabinom, binom, norm

from lib.simulation.ideal_learner import IdealLearner, _IdExcess, _nodes, interaction_excess


def entropy(p):
    return -xlogy(p, p) - xlog1py(1 - p, -p)


def test_an_id_s_excess_by_hand():
    # Uniform rate: predicted 1/2 before any look; after one, 2/3 or 1/3, each right 2/3 of times.
    bayes = digamma(3) - digamma(2)  # the mean entropy of a uniform rate: 1/2
    assert bayes == pytest.approx(0.5)
    excess = _IdExcess(1.0, 1.0)
    assert excess.table[0] == pytest.approx(np.log(2) - 0.5, rel=1e-12)
    assert excess.table[1] == pytest.approx(entropy(1 / 3) - 0.5, rel=1e-12)


@pytest.mark.parametrize(("a", "b"), [(0.5, 4.5), (1.0, 1.0), (30.0, 270.0)])
def test_an_id_s_excess_is_its_log_loss_less_the_truth_s(a, b):
    excess = _IdExcess(a, b)
    rates = beta(a, b)
    truth = rates.expect(entropy)
    for m in (0, 3, 100):
        k = np.arange(m + 1)
        loss = betabinom(m, a, b).pmf(k) @ entropy((a + k) / (a + b + m))
        assert excess.table[m] == pytest.approx(loss - truth, rel=1e-5)
    for m in (200, 1001, 50_001, 400_001):
        assert excess(m) == pytest.approx(excess._exact(m), rel=1e-5)


@pytest.mark.parametrize("samples", [7, 2000, 300_000])
def test_a_mixture_over_looks_is_the_plain_sum(samples):
    excess = _IdExcess(0.5, 4.5)
    shares = np.array([0.9, 0.3, 1e-2, 3e-4, 1e-7])
    plain = []
    for share in shares:
        low, high = binom(samples, share).interval(1 - 1e-14)
        m = np.arange(low, high + 1)
        values = np.where(m <= 256, excess.table[np.minimum(m, 256).astype(int)], excess(m + 0.0))
        plain.append(binom(samples, share).pmf(m) @ values)
    np.testing.assert_allclose(excess.mixed(samples, shares), plain, rtol=3e-6)


@pytest.mark.parametrize("exponent", [0.3, 1.0])
def test_the_curve_is_the_sum_over_ids(exponent):
    learner = IdealLearner(exponent)
    ids = np.arange(1.0, 50_001)
    p = ids**-exponent - (ids + 1) ** -exponent
    for samples in (0, 10, 500):  # beyond 50,000 ids hardly any is met twice
        rest = 50_001.0**-exponent
        plain = p @ learner._id_excess.mixed(samples, p)
        unseen = learner._id_excess.table[0]
        found = learner.expected_log_loss(samples) - learner.bayes_log_loss
        # Of the ids beyond, some have been met: their share is between.
        first = learner._id_excess.mixed(samples, p[-1:])[0]
        assert plain + rest * first <= found * (1 + 1e-6)
        assert found <= (plain + rest * unseen) * (1 + 1e-6)
        assert first > 0.98 * unseen
    known = learner.expected_log_loss(np.inf)
    assert known == pytest.approx(learner.bayes_log_loss, rel=1e-14)
    assert learner.expected_log_loss(0) == pytest.approx(learner.base_log_loss, rel=1e-9)


def test_the_tail_s_integral_is_its_sum():
    for exponent in (0.3, 1.0, 2.0):
        p, weights = _nodes(exponent, 200_000.0)
        ids = np.arange(1.0, 200_001)
        plain = ids**-exponent - (ids + 1) ** -exponent
        for power in (0, 0.3, 1):
            assert weights @ p**power == pytest.approx(plain @ plain**power, rel=1e-6)


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0])
def test_the_exponent_is_within_two_per_cent_over_the_range_that_is_claimed(exponent):
    learner = IdealLearner(exponent)
    samples = np.logspace(np.log10({0.3: 8e3, 0.5: 8e3, 1.0: 1e4}[exponent]), 8, 6).round()
    relative = learner.local_exponent(samples) / learner.data_exponent
    assert np.all(np.abs(relative - 1) < 0.02) and np.all(np.diff(relative) > 0)


def test_the_asymptotic_amplitude_is_the_integral_of_the_derivation():
    learner = IdealLearner(0.5)
    g = learner.data_exponent
    x = np.logspace(-9, 9, 4001)
    mixed = learner._id_excess.mixed(10**15, x / 1e15)
    steps = x**g
    integral = np.sum((mixed[1:] + mixed[:-1]) / 2 * np.diff(steps)) + mixed[0] * steps[0]
    integral += g / (1 - g) / 2 * x[-1] ** (g - 1)  # F~ = 1 / (2 x) beyond
    n = 10**11
    excess = learner.expected_log_loss(n) - learner.bayes_log_loss
    assert excess == pytest.approx((0.5 * n) ** -g * integral, rel=1e-3)


def test_rows_follow_the_tail_of_popularity():
    learner = IdealLearner(0.7)
    rows = np.array([100, 1000, 30_000])
    excess = np.array([learner.expected_log_loss(np.inf, r) for r in rows])
    excess -= learner.bayes_log_loss
    span = excess * (rows + 1.0) ** 0.7
    np.testing.assert_allclose(span, learner.base_log_loss - learner.bayes_log_loss, rtol=4e-3)
    # At finite n more rows help until nothing is left to learn of them.
    finite = [learner.expected_log_loss(10**5, r) for r in (0, 10, 1000, 1001, 10**5)]
    assert np.all(np.diff(finite) < 0)
    assert finite[-1] == pytest.approx(float(learner.expected_log_loss(10**5)), rel=1e-4)


def mean_excess(curves):
    excess = np.array([curve.excess for curve in curves])
    return excess.mean(axis=0), excess.std(axis=0, ddof=1) / np.sqrt(len(curves))


def test_simulated_streams_have_the_expected_curve():
    learner = IdealLearner(0.5)
    marks = [0, 100, 1000, 20_000]
    curves = [learner.sample_curve(seed, marks, 2**14) for seed in range(40)]
    mean, error = mean_excess(curves)
    expected = learner.expected_log_loss(marks) - learner.bayes_log_loss
    assert np.all(np.abs(mean - expected) < 4 * error) and np.all(error < 0.2 * expected)
    # Against labels the same, with more noise.
    noisy = np.mean([curve.log_loss - curve.true_log_loss for curve in curves], axis=0)
    np.testing.assert_allclose(noisy, expected, rtol=0.2, atol=5e-4)
    again = learner.sample_curve(3, marks, 2**14)
    np.testing.assert_array_equal(again.log_loss, curves[3].log_loss)


@pytest.mark.parametrize("samples", [20_000, np.inf])
def test_simulated_tables_have_the_expected_curve(samples):
    learner = IdealLearner(0.5)
    rows = [3, 10, 100, 1000]
    curves = [learner.sample_rows_sweep(seed, rows, samples, 2**13) for seed in range(60)]
    mean, error = mean_excess(curves)
    expected = np.array([float(learner.expected_log_loss(samples, r)) for r in rows])
    expected -= learner.bayes_log_loss
    assert np.all(np.abs(mean - expected) < 4 * error) and np.all(error < 0.1 * expected)


def test_a_learning_curve_by_a_loop():
    learner = IdealLearner(1.0, 1.0, 2.0)
    index, rates, labels = learner._stream(5, 60)
    curve = learner.sample_curve(5, [10, 40], 20)
    for place, mark in enumerate((10, 40)):
        losses = []
        for row in range(mark, mark + 20):
            before = labels[:mark][index[:mark] == index[row]]
            p = (1 + before.sum()) / (3 + len(before))
            losses.append(-np.log(p if labels[row] else 1 - p))
        assert curve.log_loss[place] == pytest.approx(np.mean(losses), rel=1e-12)
    truth = rates[index[10:30]]
    assert curve.true_expected_log_loss[0] == pytest.approx(entropy(truth).mean(), rel=1e-12)


def test_excess_of_factors_by_simulation_and_to_first_order():
    scales = {"bias": -3.0, "logit_sd": 1.5, "interaction_share": 0.3}
    left = np.array([1.0, 1e-3])
    found = interaction_excess(left, **scales)
    generator = np.random.default_rng(0)
    unknown = np.sqrt(1.5**2 * 0.3)
    known = -3 + np.sqrt(1.5**2 * 0.7) * generator.standard_normal(20_000)
    u = unknown * norm.ppf((np.arange(200) + 0.5) / 200)
    p = expit(known[:, None] + u)
    sampled = entropy(p.mean(axis=1)) - entropy(p).mean(axis=1)
    error = sampled.std() / np.sqrt(len(sampled))
    assert abs(found[0] - sampled.mean()) < 4 * error + 0.01 * found[0]
    p = expit(-3 + 1.5 * generator.standard_normal(10**6))
    assert found[1] == pytest.approx(np.mean(p * (1 - p)) * 1.5**2 * 0.3e-3 / 2, rel=0.01)
    assert interaction_excess(0.0, **scales) == pytest.approx(0, abs=1e-12)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="alpha must be positive and finite; got 0"):
        IdealLearner(0.5, alpha=0)
    learner = IdealLearner()
    with pytest.raises(ValueError, match="samples must be whole numbers"):
        learner.expected_log_loss([1.5])
    with pytest.raises(ValueError, match="rows must be at least 0; got -1"):
        learner.expected_log_loss(1, -1)
    for marks in ([], [3, 2], [1.0], [-1]):
        with pytest.raises(ValueError, match="marks must be increasing integers"):
            learner.sample_curve(0, marks)
    with pytest.raises(ValueError, match="rows must be increasing integers"):
        learner.sample_rows_sweep(0, [2**30], 10)
    with pytest.raises(ValueError, match=r"left must lie in 0\.\.1"):
        interaction_excess(2, bias=0, logit_sd=1, interaction_share=1)
