"""Grids: rounding by hand, exact sums, and where they end."""

import math

import numpy as np
import pytest

from lib.infra.grid import check_exact, exact_product, on_grid, significant

RNG = np.random.default_rng(0)


def test_rounding_equals_a_loop():
    x = RNG.normal(0, 100, 500)
    np.testing.assert_array_equal(on_grid(x, 5), [round(float(value) * 32) / 32 for value in x])
    slow = [round(v / (scale := 2.0 ** (math.frexp(v)[1] - 6))) * scale for v in map(float, x)]
    np.testing.assert_array_equal(significant(x, 6), slow)
    assert significant([0.0, np.inf], 6).tolist() == [0, np.inf]
    np.testing.assert_array_equal(on_grid(on_grid(x, 5), 5), on_grid(x, 5))


def test_a_small_error_does_not_reach_the_grid():
    x = RNG.normal(size=100_000)
    off = x * (1 + 1e-14 * RNG.uniform(-1, 1, x.shape))
    assert (off != x).mean() > 0.9
    np.testing.assert_array_equal(on_grid(off, 16), on_grid(x, 16))
    np.testing.assert_array_equal(significant(off, 20), significant(x, 20))


def test_an_exact_product_does_not_hang_on_the_order_of_its_terms():
    first, second = on_grid(RNG.normal(size=(30, 900)), 16), on_grid(RNG.normal(size=(900, 16)), 16)
    order = RNG.permutation(900)
    product = exact_product(first, second, 16)
    np.testing.assert_array_equal(product, exact_product(first[:, order], second[order], 16))
    rough = RNG.normal(size=(30, 900)), RNG.normal(size=(900, 16))
    assert (rough[0] @ rough[1] != rough[0][:, order] @ rough[1][order]).any()


def test_sums_that_may_be_rounded_are_refused():
    check_exact(2.0**20, 32)
    with pytest.raises(ValueError, match=r"must stay below 2\^21"):
        check_exact(2.0**21, 32)
    with pytest.raises(ValueError, match="not exact"):
        exact_product(np.full((1, 4), 100.0), np.full((4, 1), 1000.0), 20)
