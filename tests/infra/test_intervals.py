"""Equal tails, NaN left out, a probability that is one."""

import numpy as np
import pytest

from lib.infra.intervals import check_interval, interval_bounds


def test_bounds_hold_the_middle_of_the_draws_on_any_axis():
    draws = np.random.default_rng(0).normal([0, 10, 20], size=(4000, 3))
    low, high = interval_bounds(draws, 0.8)
    inside = (draws >= low) & (draws <= high)
    np.testing.assert_allclose(inside.mean(axis=0), 0.8, atol=1e-3)
    np.testing.assert_allclose(low, np.quantile(draws, 0.1, axis=0))
    np.testing.assert_allclose(interval_bounds(draws.T, 0.8, axis=1), [low, high])


def test_undefined_draws_are_left_out():
    assert interval_bounds([1.0, np.nan, 1.0], 0.5) == (1.0, 1.0)


@pytest.mark.parametrize("interval", [0, 1, 90, -0.5, np.nan])
def test_a_probability_outside_0_to_1_is_refused(interval):
    with pytest.raises(ValueError, match="interval must lie between 0 and 1; got"):
        interval_bounds([1.0], interval)
    with pytest.raises(ValueError, match="BNSL: interval must lie"):
        check_interval(interval, "BNSL: interval")
