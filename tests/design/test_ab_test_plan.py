"""Traffic of a test: by hand, and by simulating the tests it plans."""

import numpy as np
import pytest

from lib.design.ab_test_plan import plan_tests

MADE = {
    "standard_error": 0.002,
    "impressions": 1e5,
    "paired": False,
    "variance_ratio": 50.0,
    "impressions_per_day": 1e6,
}


def test_by_hand():
    """(1.96 + 0.84) errors of 0.002 for a lift of 0.0056: one such test is enough."""
    table = plan_tests([0.0056], **MADE).set_index("design")
    assert table.impressions["unpaired"] == pytest.approx(1e5, rel=0.01)
    assert table.impressions["paired"] == pytest.approx(1e5 / 50, rel=0.01)
    assert table.days["unpaired"] == pytest.approx(0.1, rel=0.01)


def test_half_a_lift_takes_four_times_the_traffic():
    one, half = plan_tests([0.01, -0.005], **MADE).query("design == 'paired'").impressions
    assert half == pytest.approx(4 * one)


def test_a_paired_test_says_the_same():
    unpaired = plan_tests([0.01], **MADE)
    paired = plan_tests([0.01], **MADE | {"paired": True, "standard_error": 0.002 / 50**0.5})
    np.testing.assert_allclose(paired.impressions, unpaired.impressions)


def test_the_planned_tests_have_the_power():
    """Of simulated tests of the planned size the asked share finds the lift."""
    lift, power, level = 0.004, 0.7, 0.9
    (needed,) = (
        plan_tests([lift], power=power, level=level, **MADE)
        .query("design == 'unpaired'")
        .impressions
    )
    error = 0.002 * np.sqrt(1e5 / needed)
    measured = np.random.default_rng(0).normal(lift, error, size=20_000)
    assert np.mean(np.abs(measured) > 1.645 * error) == pytest.approx(power, abs=0.01)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lifts": [0.01, 0.0]}, r"lifts must be numbers other than 0; got \[0.01, 0.0\]"),
        ({"standard_error": 0.0}, "standard_error must be > 0; got 0.0"),
        ({"variance_ratio": -1.0}, "variance_ratio must be > 0; got -1.0"),
        ({"impressions_per_day": 0}, "impressions_per_day must be > 0; got 0"),
        ({"power": 1.0}, "power must lie between 0 and 1; got 1.0"),
        ({"level": 95}, "level must lie between 0 and 1; got 95"),
    ],
)
def test_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        plan_tests(**{"lifts": [0.01]} | MADE | wrong)
