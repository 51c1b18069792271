"""Equal tails, NaN left out, a probability that is one."""

import numpy as np
import pytest

from lib.infra.intervals import binomial_share, check_interval, interval_bounds


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


@pytest.mark.parametrize(
    ("inside", "count", "agrees"),
    [(1, 2, None), (4, 4, None), (1, 4, False), (19, 19, None), (18, 20, True), (13, 20, False)],
)
def test_a_small_count_can_exclude_a_probability_but_not_support_it(inside, count, agrees):
    assert binomial_share(inside, count).agrees_with(0.9) is agrees


def test_the_share_of_all_is_known_by_hand():
    """P(5 of 5) is 5 % at 0.05 ** (1 / 5), the lower bound of the 90 % interval."""
    share = binomial_share(5, 5)
    assert (share.value, share.high) == (1.0, 1.0)
    assert share.low == pytest.approx(0.05 ** (1 / 5))
    assert share.exceeds(0.5) is True and share.exceeds(0.6) is None
    assert binomial_share(0, 5).exceeds(0.5) is False


@pytest.mark.parametrize(("inside", "count"), [(0, 0), (3, 2), (-1, 2)])
def test_counts_that_are_none_are_refused(inside, count):
    with pytest.raises(ValueError, match=f"inside must lie in 0..count; got {inside} of {count}"):
        binomial_share(inside, count)
