"""Equal tails, NaN left out, a probability that is one."""

import numpy as np
import pytest

from lib.infra.intervals import binomial_share, check_interval, interval_bounds, mean_interval


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


def test_the_interval_of_a_mean_by_hand():
    """Of 1 and 3: a standard error of 1, and 6.314 of them for 90 % (Student's t, 1 freedom)."""
    assert mean_interval([1.0, 3.0]) == pytest.approx((2.0, 2 - 6.3138, 2 + 6.3138), abs=1e-4)
    half = mean_interval([1.0, 3.0], 0.5)
    assert half.high - half.value == pytest.approx(1.0)  # its quartile is 1


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(5.0, 2.0, size=(800, 4))
    bounds = np.array([mean_interval(row, 0.8)[1:] for row in draws])
    held = np.mean((bounds[:, 0] <= 5) & (5 <= bounds[:, 1]))
    assert held == pytest.approx(0.8, abs=0.035)


def test_one_draw_does_not_tell_its_error():
    alone = mean_interval([4.0])
    assert alone.value == 4.0 and np.isnan(alone[1:]).all()


def test_draws_that_are_alike_have_no_width():
    assert mean_interval([0.25, 0.25, 0.25]) == (0.25, 0.25, 0.25)


def test_a_mean_s_probability_is_one():
    with pytest.raises(ValueError, match="interval must lie between 0 and 1; got 90"):
        mean_interval([1.0, 2.0], 90)


def test_no_draw_has_no_mean():
    with pytest.raises(ValueError, match="values must hold one draw or more; got none"):
        mean_interval([])
