"""Kendall's tau of resamples is SciPy's of the rows that they hold."""

import numpy as np
from scipy import stats

from lib.validation.rank_correlation import kendall_tau

rng = np.random.default_rng(0)


def test_rows_are_scipys_with_ties():
    first, second = rng.integers(0, 4, (2, 5, 7))
    expected = [stats.kendalltau(x, y).statistic for x, y in zip(first, second, strict=True)]
    np.testing.assert_allclose(kendall_tau(first, second), expected)


def test_weights_are_repeated_models():
    first, second = rng.integers(0, 5, (2, 9))
    weights = rng.multinomial(9, np.full(9, 1 / 9), 20)
    expected = [
        stats.kendalltau(np.repeat(first, weight), np.repeat(second, weight)).statistic
        for weight in weights
    ]
    np.testing.assert_allclose(kendall_tau(first, second, weights), expected)


def test_rows_with_weights_of_their_own():
    first, second = rng.normal(size=(2, 4, 6))
    weights = rng.multinomial(6, np.full(6, 1 / 6), 4)
    expected = [kendall_tau(*row[:2], row[2][None])[0] for row in zip(first, second, weights)]
    np.testing.assert_allclose(kendall_tau(first, second, weights), expected)


def test_equal_values_have_no_rank_correlation():
    assert np.isnan(kendall_tau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
