"""What a law is fitted to: the errors of neighbouring sizes, bad points named."""

from types import SimpleNamespace

import numpy as np
import pytest

from lib.laws import BNSL
from lib.laws.observations import noise_slope, relative_variance, whitening
from tests.laws.points import points_of


def covariance(u, count, variance, ratio, length):
    points = SimpleNamespace(u=np.array(u), count=np.array(count), variance=np.array(variance))
    V, log_det = whitening(points, ratio, length)
    assert log_det == pytest.approx(np.linalg.slogdet(V)[1])
    return np.linalg.inv(V.T @ V)  # in units of noise^2


def test_errors_of_neighbours_by_hand():
    """Three sizes half the measured range apart, the largest measured twice."""
    cov = covariance([-2.0, -1.0, 0.0], [1, 1, 2], np.ones(3), ratio=1.5, length=0.2)
    assert cov[1, 1] == pytest.approx(1 + 1.5)
    assert cov[2, 2] == pytest.approx(1 / 2 + 1.5)
    assert cov[1, 2] == pytest.approx(1.5 * np.exp(-1 / 0.2))


def test_a_noisier_size_counts_less():
    cov = covariance([-1.0, 0.0], np.ones(2), [1.5, 0.5], ratio=2.0, length=0.1)
    assert np.diag(cov) == pytest.approx([1.5 + 2, 0.5 + 2])


def test_the_noise_of_sizes_by_hand():
    """Variances 4, 2, 1 of sizes a unit apart: slope -log 2, each log erring by trigamma(2)."""
    u, count = np.array([-2.0, -1.0, 0.0]), np.full(3, 5.0)
    squares = 4 * np.array([4.0, 2.0, 1.0])
    error = (np.pi**2 / 6 - 1) / 2  # variance of the slope: trigamma(2) over sum of u^2
    expected = -np.log(2) * (1 - error / np.log(2) ** 2)
    assert noise_slope(u, count, squares) == pytest.approx(expected)
    assert noise_slope(u, count, np.ones(3)) == 0.0
    assert noise_slope(u, np.array([5.0, 5.0, 1.0]), squares) == 0.0  # two sizes are no trend
    variance = relative_variance(u, expected, u)
    assert variance.mean() == pytest.approx(1)
    assert variance[0] / variance[1] == pytest.approx(np.exp(-expected))


def test_a_spike_beside_one_size_of_a_cell_makes_no_trend_of_noise():
    """Its cell counts a little more than one measurement, whose variance no one knows."""
    u, count = np.array([-3.0, -2.0, -1.0, 0.0]), np.array([1 + 1e-8, 4.0, 4.0, 4.0])
    assert noise_slope(u, count, np.full(4, 3.0)) == noise_slope(u[1:], count[1:], np.full(3, 3.0))
    for seed in range(20):
        rng, x = np.random.default_rng(seed), np.linspace(1.0, 500.0, 300)
        y = (0.3 + x**-0.5) * np.exp(0.01 * rng.normal(size=300))
        y[rng.choice(300, 9, replace=False)] *= 1.4
        points = points_of(x, y)
        assert np.all((points.variance > 0.05) & (points.variance < 20))


def repeated(noise, seed, repeats=6):
    """Nine sizes on a law; `noise` gives the standard deviation of log y at u from -7 to 0."""
    rng, u = np.random.default_rng(seed), np.repeat(np.linspace(-7, 0, 9), repeats)
    y = (0.9 - 0.1 * np.exp(-0.5 * (u + 7))) * np.exp(noise(u) * rng.normal(size=len(u)))
    return 1e6 * np.exp(u), y


def test_large_sizes_scatter_less_where_their_repeats_do():
    x, y = repeated(lambda u: 0.002 * np.exp(-0.25 * u), 0)
    law = BNSL(direction="rising").fit(x, y, groups=x)
    small, large = law.noise_at(x[[0, -1]])
    assert small > 1.7 * large
    even = BNSL(direction="rising").fit(*repeated(lambda u: 0.005 + 0 * u, 1))
    small, large = even.noise_at(x[[0, -1]])
    assert small == pytest.approx(large, rel=0.35)
    _, low, high = law.predict(x[[0, -1]], interval=0.9)
    assert high[0] - low[0] > 1.5 * (high[1] - low[1])
    assert law.noise_at(9 * x[-1]) == pytest.approx(law.noise_at(x[-1]))  # no trend beyond


def test_the_mean_of_several_trainings_is_surer_than_one():
    x, y = repeated(lambda u: 0.005 + 0 * u, 2)
    law = BNSL(direction="rising").fit(x, y, groups=x)
    one, many = law.noise_at(x[0]), law.noise_at(x[0], repeats=10**6)
    ratio = law.members_.weight @ law.members_.ratio
    assert 0 < ratio < 1 and many == pytest.approx(one * np.sqrt(ratio / (1 + ratio)), rel=0.3)
    (_, low, high), (_, low3, high3) = (law.predict(x[-1], 0.9, repeats=n) for n in (1, 3))
    assert low < low3 < high3 < high


@pytest.mark.parametrize(
    ("y", "sign"),
    [
        ([0.9, 0.5, 0.5, 0.5, 0.5], 1.0),  # ranks 5 and four times 2.5
        ([0.5, 0.5, 0.5, 0.5, 0.9], -1.0),
        ([2, 10, 1, 9], -1.0),  # ranks without a trend: the straight line decides
        ([3, 10, 0.5, 4], 1.0),
        ([2, 4, 1, 3], 1.0),  # no trend of any kind: as losses
    ],
)
def test_the_direction_is_the_sign_of_the_rank_correlation(y, sign):
    assert points_of(np.geomspace(1, 1e3, len(y)), np.array(y, float)).sign == sign


@pytest.mark.slow
def test_intervals_hold_new_measurements_of_small_and_large_sizes():
    inside = []
    for seed in range(60):
        x, y = repeated(lambda u: 0.002 * np.exp(-0.25 * u), seed, repeats=3)
        _, new = repeated(lambda u: 0.002 * np.exp(-0.25 * u), seed + 1000, repeats=3)
        _, low, high = BNSL(direction="rising").fit(x, y, groups=x).predict(x, interval=0.9)
        inside.append((low <= new) & (new <= high))
    by_size = np.mean(inside, axis=0).reshape(9, 3).mean(axis=1)
    assert by_size.min() > 0.72 and by_size.mean() == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(
    "x, y, message",
    [
        ([1, 2], [3, 2], "3 different x or more; got 2"),
        ([1, 2, 3, 4], [1, 1, 1, 1], "constant"),
        ([1, 2, 3, 4], [4, 3, np.nan, 1], r"got y\[2\] = nan"),
        ([0, 2, 3, 4], [4, 3, 2, 1], r"got x\[0\] = 0"),
        ([1, 2, 3, 4], [4, 3, 2, -1], r"got y\[3\] = -1"),
        ([1, 2, 3], [4, 3], "equal length"),
        ([], [], "3 different x or more; got 0"),
        (None, [1, 2, 3], "^BNSL.fit: x: .* got None"),
        ([[1, 2], [3, 4]], [1, 2], r"got shapes \(2, 2\) and \(2,\)"),
    ],
)
def test_bad_points_are_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        BNSL().fit(x, y)
