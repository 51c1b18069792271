"""Figures of several systems: Student's t by hand, its coverage, and what is refused."""

import numpy as np
import pytest
from scipy import stats

from lib.infra.intervals import interval_bounds
from lib.validation.systems import AcrossSystems


def test_by_hand():
    across = AcrossSystems([1.0, 2.0, 6.0])
    se = np.sqrt(7.0 / 3)  # variance (4 + 1 + 9) / 2 = 7
    assert across.mean == 3.0 and across.standard_error == pytest.approx(se)
    low, high = across.interval(0.9)
    assert (low, high) == pytest.approx((3 - 2.919986 * se, 3 + 2.919986 * se), rel=1e-6)
    low, high = across.interval_of_next(0.9)
    assert high - low == pytest.approx(2 * 2.919986 * np.sqrt(7 * (1 + 1 / 3)), rel=1e-6)


def test_draws_have_the_interval_of_each_figure():
    across = AcrossSystems(np.random.default_rng(0).normal(size=(5, 3)))
    draws = across.draws(200_000)
    assert draws.shape == (200_000, 3)
    for drawn, exact in zip(interval_bounds(draws, 0.9), across.interval(0.9), strict=True):
        np.testing.assert_allclose(drawn, exact, atol=0.02)


def test_draws_keep_what_systems_have_in_common():
    rng = np.random.default_rng(1)
    shared = rng.normal(size=6)
    across = AcrossSystems(np.stack([shared, 2 * shared, -shared], axis=1))
    draws = across.draws(1000) - across.mean
    np.testing.assert_allclose(draws[:, 1], 2 * draws[:, 0], atol=1e-12)
    np.testing.assert_allclose(draws[:, 2], -draws[:, 0], atol=1e-12)


@pytest.mark.parametrize("systems", [3, 5])
def test_coverage(systems):
    """Of 90 % intervals of the mean, and of a further system, as many hold it as they say."""
    rng, trials = np.random.default_rng(2), 4000
    values = rng.normal(0.5, 0.1, size=(systems, trials))
    across, further = AcrossSystems(values), rng.normal(0.5, 0.1, size=trials)
    for (low, high), truth in (
        (across.interval(0.9), 0.5),
        (across.interval_of_next(0.9), further),
    ):
        inside = int(np.sum((low <= truth) & (truth <= high)))
        bounds = stats.binomtest(inside, trials).proportion_ci(0.999)
        assert bounds.low < 0.9 < bounds.high


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0], "3 or more systems; got shape \\(2,\\)"),
        (1.0, "3 or more systems"),
        ([1.0, np.nan, 2.0], "finite"),
    ],
)
def test_refused(values, message):
    with pytest.raises(ValueError, match=message):
        AcrossSystems(values)
