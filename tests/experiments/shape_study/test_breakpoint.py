import numpy as np
import pytest

from lib.experiments.shape_study.breakpoint import carried_over, compared, find_break, on_line

X = np.tile([1.0, 2, 4, 8, 16, 32, 64], 3)
LEVEL = np.repeat([6, 14, 34], 7)
SLOPES = {6: -0.03, 14: -0.02, 34: -0.01}


def made(rng, at=10.0, noise=0.003):
    slope = np.array([SLOPES[level] for level in LEVEL])
    y = 0.01 * (LEVEL == 6) + slope * np.maximum(0, np.log2(X / at))
    return y + rng.normal(0, noise, len(y))


def test_without_noise_the_break_is_found():
    y = made(np.random.default_rng(0), noise=1e-6)
    found = find_break(X, y, LEVEL, np.ones(21))
    assert found.value == pytest.approx(10, rel=0.04)
    assert found.slopes == pytest.approx(SLOPES, rel=0.05)
    assert found.is_bounded == (True, True)
    assert on_line(found, [1.0, 64.0], 6) == pytest.approx(
        [0.01, 0.01 - 0.03 * np.log2(6.4)], abs=1e-3
    )


def test_intervals_hold_the_break():
    inside = 0
    for seed in range(150):
        found = find_break(X, made(np.random.default_rng(seed)), LEVEL, np.ones(21), draws=500)
        inside += found.low <= 10 <= found.high
    assert 0.82 <= inside / 150 <= 0.97


def test_redraws_widen_the_interval():
    rng = np.random.default_rng(1)
    y = made(rng, noise=0.001)
    again = y + rng.normal(0, 0.01, (100, 21))
    narrow, wide = (find_break(X, y, LEVEL, np.ones(21), redraws=r) for r in (None, again))
    assert wide.high / wide.low > 1.5 * narrow.high / narrow.low


def test_a_metric_that_does_not_fall_has_no_bounds():
    """At the level of the interval: by chance one in ten has each of them."""
    bounded = [
        find_break(
            X, np.random.default_rng(i).normal(size=21), LEVEL, np.ones(21), draws=9
        ).is_bounded
        for i in range(60)
    ]
    assert (np.mean(bounded, axis=0) < 0.35).all()


def test_a_metric_that_falls_from_the_first_ratio_on_is_not_bounded_from_below():
    found = find_break(X, made(np.random.default_rng(0), at=1.0), LEVEL, np.ones(21))
    assert found.is_bounded == (False, True)


def test_a_level_that_ends_below_the_break_has_no_slope():
    """Its points say nothing of the slope, and do not disturb the others'."""
    x = np.where(LEVEL == 34, np.minimum(X, 6 + X / 100), X)
    y = made(np.random.default_rng(3), noise=1e-5) * (LEVEL != 34)
    found = find_break(x, y, LEVEL, np.ones(21))
    assert found.value == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": -X}, r"find_break: x"),
        ({"error": np.zeros(21)}, "find_break: error"),
        ({"y": np.zeros(20)}, "lists of one length"),
        ({"level": np.arange(21)}, "more than 43 of 21 levels"),
        ({"interval": 1.0}, "interval must lie between 0 and 1"),
    ],
)
def test_what_is_refused(change, message):
    given = {"x": X, "y": np.zeros(21), "level": LEVEL, "error": np.ones(21)} | change
    with pytest.raises(ValueError, match=message):
        find_break(**given)


def test_what_carries_over_is_told():
    """The loss depends on units alone: fewer units at the lower level for the same ratio."""
    units = np.maximum(1, LEVEL * 4 / X)
    y = -0.02 * np.maximum(0, np.log2(8 / units))
    table = compared({"ratio": X, "units": 1 / units}, y, LEVEL)
    error = table.groupby("property").error.mean()
    assert error["units"] < 1e-3 < error["ratio"]
    assert (table.no_loss > 0).all() and len(table) == 6


def test_one_level_carries_nothing_over():
    with pytest.raises(ValueError, match="two levels or more; got 1"):
        carried_over(X[:7], X[:7], LEVEL[:7])
