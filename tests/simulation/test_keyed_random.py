"""Random numbers by key: uniform, normal, independent, the item's own."""

import zlib

import numpy as np
import pytest
from scipy import stats

from lib.simulation.keyed_random import integers, normal, uniform, visit_keys


def splitmix(x):
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def test_keys_equal_plain_integer_arithmetic():
    assert splitmix(0) == 0xE220A8397B1DCDAF  # published first output of SplitMix64, seed 0
    key = zlib.crc32(b"mix")
    for part in (5, 6, 7):
        key = splitmix((key + part) % 2**64)
    assert visit_keys(5, "mix", 6, 7) == key


def test_numbers_are_uniform_and_normal():
    keys = visit_keys(1, "test", np.arange(300), 2)
    ads = np.arange(400)
    assert stats.kstest(uniform(keys, ads).ravel(), "uniform").pvalue > 0.01
    assert stats.kstest(normal(keys, ads).ravel(), "norm").pvalue > 0.01
    assert stats.chisquare(np.bincount(integers(visit_keys(1, "i", 0, ads), 0, 8))).pvalue > 0.01
    assert 0 < uniform(keys, ads).min() and uniform(keys, ads).max() < 1


@pytest.mark.parametrize(
    "other",
    [(2, "test", 3, 4), (1, "tesu", 3, 4), (1, "test", 4, 4), (1, "test", 3, 5), (1, "test", 4, 3)],
)
def test_neighbouring_keys_are_independent(other):
    ads = np.arange(20_000)
    first, second = (
        normal(np.atleast_1d(visit_keys(*key)), ads)[0] for key in ((1, "test", 3, 4), other)
    )
    for lag in (0, 1, 2):
        assert abs(np.corrcoef(first, np.roll(second, lag))[0, 1]) < 4 / np.sqrt(20_000)


def test_a_number_belongs_to_the_ad_and_not_to_its_place():
    keys = visit_keys(1, "test", [3, 8], 4)
    ads = np.array([[5, 9, 2], [1, 9, 7]])
    np.testing.assert_array_equal(uniform(keys, ads)[:, ::-1], uniform(keys, ads[:, ::-1]))
    np.testing.assert_array_equal(uniform(keys, ads)[1:], uniform(keys[1:], ads[1:]))
