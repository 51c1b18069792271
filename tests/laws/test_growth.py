"""Growth of a metric along the logarithm of size."""

import numpy as np
import pytest
from scipy import stats

from lib.laws import BNSL, PowerLaw, gap_closed, growth_per_doubling
from tests.laws.points import FLOPS, R


def test_growth_is_the_textbook_line():
    """Slope and Student's t interval of least squares, written out."""
    x, y = np.log2(FLOPS), R
    slope = np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)
    residual = y - y.mean() - slope * (x - x.mean())
    error = np.sqrt(np.sum(residual**2) / 8 / np.sum((x - x.mean()) ** 2))
    half = stats.t.ppf(0.95, df=8) * error
    growth = growth_per_doubling(FLOPS, R, interval=0.9)
    assert growth == pytest.approx((slope, slope - half, slope + half))


@pytest.mark.slow
def test_the_interval_of_growth_covers_the_truth():
    rng, x = np.random.default_rng(0), np.geomspace(1.0, 64.0, 7)
    inside, widths = [], []
    for _ in range(1000):
        _, low, high = growth_per_doubling(x, 0.8 + 0.01 * np.log2(x) + rng.normal(0, 0.01, 7))
        inside.append(low < 0.01 < high)
        widths.append(high - low)
    assert 0.87 < np.mean(inside) < 0.93
    assert 0.0055 < np.mean(widths) < 0.009  # 2 x 2.015 x 0.01 / sqrt(28) = 0.0076, less 5 %


def test_growth_does_not_depend_on_units_of_x():
    assert growth_per_doubling(1e6 * FLOPS, R) == pytest.approx(growth_per_doubling(FLOPS, R))


@pytest.mark.parametrize(
    ("x", "message"), [([1.0, 2.0], "got 2 of 2"), ([3.0, 3.0, 3.0], "got 3 of 1")]
)
def test_too_little_to_see_growth(x, message):
    with pytest.raises(ValueError, match=message):
        growth_per_doubling(x, np.arange(1.0, len(x) + 1))


@pytest.mark.parametrize("interval", [0.0, 1.0, 90])
def test_an_interval_is_a_probability(interval):
    with pytest.raises(ValueError, match=f"interval must lie between 0 and 1; got {interval}"):
        growth_per_doubling(FLOPS, R, interval=interval)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gap_closed_by_hand(sign):
    """A power law y = c + a x^-b closes 1 - factor^-b of its gap, wherever it is asked."""
    x = np.geomspace(1e3, 1e6, 12)
    y = 2.0 + sign * 1.5 * (x / 1e3) ** -0.35
    for law in (BNSL(), PowerLaw()):
        law.fit(x, y)
        assert law.asymptote_ == pytest.approx(2.0, rel=1e-6)
        assert gap_closed(law, 1e6) == pytest.approx(1 - 2**-0.35, rel=1e-4)
        assert gap_closed(law, 1e4, factor=8.0) == pytest.approx(1 - 8**-0.35, rel=1e-4)
