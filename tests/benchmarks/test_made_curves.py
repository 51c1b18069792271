"""Made curves: what is promised of every kind, and the ideal interval by simulation."""

import numpy as np
import pytest

from benchmarks.made_curves import KINDS, POINTS, ideal_half_width, made_curves, power_law
from lib.laws import PowerLaw


@pytest.mark.parametrize("kind", KINDS)
def test_curves_of_a_kind(kind):
    curves = made_curves(kind, 8, seed=5)
    again = made_curves(kind, 8, seed=5)
    for made, same in zip(curves, again, strict=True):
        np.testing.assert_array_equal(made.y, same.y)
        assert np.all(np.diff(made.x) > 0) and made.x_new.min() > made.x[-1]
        assert made.x_new.max() <= 2.000001 * made.x[-1]
        assert np.all(np.isfinite(made.y)) and made.y.min() > 0 and made.truth.min() > 0
        assert np.std(np.log(made.y_new / made.truth)) < 0.2  # new points scatter about the truth
    if kind != "few flat points":
        assert [len(made.x) for made in curves] == [*POINTS, *POINTS]
    assert not np.array_equal(curves[0].y, made_curves(kind, 1, seed=6)[0].y)


def test_spikes_are_few_and_large():
    spiked = KINDS["loss spikes"](np.random.default_rng(0), 100)
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(spiked.y, 5), axis=1)
    assert 1 <= np.sum(spiked.y[2:-2] > 1.08 * smooth) <= 3


def test_the_rate_s_decay_lets_losses_fall_below_the_law_of_their_start():
    """A power law through the first half of the points predicts more than the end then is."""
    above = []
    for made in made_curves("learning-rate decay", 40)[3::4]:  # 100 points each
        half = made.x <= made.x[-1] / 2
        law = PowerLaw(direction="falling").fit(made.x[half], made.y[half])
        above.append(np.log(law.predict(made.x_new) / made.truth).mean() > 0)
    assert np.mean(above) >= 0.8


def test_the_ideal_interval_holds_what_it_says():
    """Least squares of a + b x^-c from the truth on, linearised: nine in ten new points."""
    x, noise = np.geomspace(1e9, 1e11, 100), 0.01
    half = ideal_half_width(x, 2e11, noise)
    rng = np.random.default_rng(0)
    u = np.log(np.append(x, 2e11) / 1e9)
    slopes = np.column_stack([np.ones(101), 3 * np.exp(-0.5 * u), -3 * u * np.exp(-0.5 * u)])
    slopes = slopes / power_law(np.append(x, 2e11))[:, None]
    errors = noise * rng.normal(size=(2000, 101))
    moved = errors[:, :100] @ np.linalg.pinv(slopes[:100]).T @ slopes[100]
    assert np.mean(np.abs(moved - errors[:, 100]) < half) == pytest.approx(0.9, abs=0.02)
