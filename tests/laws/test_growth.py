"""Growth of a metric along the logarithm of size."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lib.laws import BNSL, PowerLaw, distance_to_asymptote, gap_closed, growth_per_doubling
from lib.laws.growth import AsymptoteDistance, Growth
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


def test_repeats_of_a_size_count_once():
    """A curve bends off the line: ten repeats of each size make its slope no surer."""
    x, y = np.geomspace(1, 64, 7), 0.9 - 0.1 * np.geomspace(1, 64, 7) ** -0.5
    once, often = growth_per_doubling(x, y), growth_per_doubling(np.repeat(x, 10), np.repeat(y, 10))
    assert often == pytest.approx(once)
    two = growth_per_doubling([1, 1, 2, 2], [0.1, 0.12, 0.2, 0.22])  # too few sizes: all count
    assert two.per_doubling == pytest.approx(0.1) and two.low < 0.1 < two.high


@pytest.mark.parametrize(
    ("low", "high", "rises", "falls"),
    [(0.1, 0.3, True, False), (-0.1, 0.3, False, False), (-0.3, -0.1, False, True)],
)
def test_growth_has_a_direction_where_its_interval_excludes_0(low, high, rises, falls):
    growth = Growth((low + high) / 2, low, high)
    assert (growth.is_towards("rising"), growth.is_towards("falling")) == (rises, falls)


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


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_distances_are_positive_on_the_near_side(sign):
    """To one asymptote: the curve's gap is its power law, measurements keep their order."""
    x = np.geomspace(1e3, 1e6, 12)
    y = 2.0 + sign * 1.5 * (x / 1e3) ** -0.35
    y[3] = 2.0 - sign * 0.001  # beyond the asymptote
    law = PowerLaw().fit(np.delete(x, 3), np.delete(y, 3))
    distance = distance_to_asymptote(law, y, [1e4, 1e5], interval=0.9)
    assert distance.asymptote == pytest.approx(2.0, rel=1e-6)
    np.testing.assert_allclose(distance.curve, 1.5 * np.array([10.0, 100.0]) ** -0.35, rtol=1e-4)
    np.testing.assert_allclose(distance.measured, sign * (y - 2.0), atol=1e-5)
    assert distance.measured_beyond == 1
    assert (distance.nearest < distance.curve).all() and (distance.curve < distance.farthest).all()


def test_where_the_interval_reaches_the_asymptote():
    distance = AsymptoteDistance(
        asymptote=0.9,
        x=np.array([1.0, 2.0, 4.0]),
        curve=np.full(3, 0.1),
        nearest=np.array([0.05, 0.0, -0.01]),
        farthest=np.full(3, 0.2),
        measured=np.array([0.1, 0.0, -0.1]),
    )
    assert distance.reached_from == 2.0 and distance.measured_beyond == 2
    assert replace(distance, nearest=np.full(3, 0.05)).reached_from is None
