"""The smooth curve: against the textbook's process, through exact points, past spikes."""

import numpy as np
import pytest

from lib.laws.smoothing_spline import STIFFNESS, robust_spline, smoothing_spline, trust_of
from tests.laws.points import X, Y

U, Z = np.log(X), np.log(Y)


def test_it_is_the_best_guess_of_a_twice_integrated_wiener_process():
    """The textbook's Gaussian process of some stiffness is the same curve."""
    place = (U - U[0]) / (U[-1] - U[0])
    steps = np.linspace(0, 1, 4001)
    basis = np.maximum(place[:, None] - steps, 0) ** 2 / 2
    kernel = basis @ basis.T * (steps[1] - steps[0])
    parabola = place[:, None] ** np.arange(3)
    found = smoothing_spline(U, Z, np.ones(20)).values

    def distance(stiffness):
        errors = np.linalg.inv(np.eye(20) + stiffness * kernel)
        gain = parabola @ np.linalg.solve(parabola.T @ errors @ parabola, parabola.T @ errors)
        trend = gain @ Z
        return np.abs(trend + stiffness * kernel @ errors @ (Z - trend) - found).max()

    assert min(map(distance, STIFFNESS)) < 1e-4


def test_leaving_a_point_out_by_refitting():
    """The distances from one fit are those of twenty, where the stiffness stays."""
    weight = np.linspace(0.5, 2.0, 20)
    smooth = smoothing_spline(U, Z, weight)
    i = 7
    tiny = np.where(np.arange(20) == i, 1e-9, 1.0)
    other = smoothing_spline(U, Z, weight * tiny)
    distance = np.abs(Z[i] - other.values[i])
    share = smooth.distance[i] * smooth.noise / np.sqrt(weight[i])
    assert share <= distance * 1.05  # standardised: divided by more than the noise alone


def test_noise_is_told_from_the_curve():
    for noise in (0.001, 0.01, 0.1):
        rng = np.random.default_rng(0)
        u = np.linspace(0, 5, 60)
        z = np.sin(u) + noise * rng.normal(size=60)
        smooth = smoothing_spline(u, z, np.ones(60))
        assert smooth.noise == pytest.approx(noise, rel=0.3)
        assert np.std(smooth.values - np.sin(u)) < 0.7 * noise


def test_points_of_more_weight_are_followed_more_closely():
    weight = np.where(np.arange(20) < 10, 100.0, 1.0)
    off = np.abs(smoothing_spline(U, Z, weight).values - Z)
    even = np.abs(smoothing_spline(U, Z, np.ones(20)).values - Z)
    assert off[:10].mean() < even[:10].mean()


@pytest.mark.parametrize("where", [[0], [19], [10], [4, 11]])
def test_spikes_are_left_out(where):
    z = Z.copy()
    z[where] += 0.4
    smooth, trust = robust_spline(U, z, np.ones(20))
    assert np.flatnonzero(trust < 0.5).tolist() == where
    known = np.setdiff1d(np.arange(20), where)
    clean, _ = robust_spline(U[known], Z[known], np.ones(len(known)))
    np.testing.assert_allclose(smooth.values[known], clean.values, atol=0.01)


def test_no_point_of_white_noise_is_left_out():
    rng = np.random.default_rng(3)
    kept = [robust_spline(U, Z + 0.02 * rng.normal(size=20), np.ones(20))[1] for _ in range(50)]
    assert np.mean(np.array(kept) < 0.5) < 0.01


def test_trust_falls_faster_than_distance_grows():
    distance = np.array([0.0, 5.0, 6.0, 60.0, 1e9])
    trust = trust_of(distance)
    assert trust[0] == trust[1] == 1 and np.all(np.diff(trust[1:]) < 0)
    assert np.all(np.diff((np.sqrt(trust) * distance)[1:-1]) < 0) and trust[-1] > 0
