"""A line through points with errors on both axes."""

import numpy as np
import pytest

from lib.validation.errors_in_variables import _integrated, posterior
from lib.validation.revenue_model import LinearRevenueModel


def models(seed, count=14, x_error=0.01, y_error=0.002, scatter=0.002):
    """Metrics and lifts of models on lift = 0.3 (metric - 0.8), and what is measured of them."""
    rng = np.random.default_rng(seed)
    metric = rng.uniform(0.8, 0.9, count)
    lift = 0.3 * (metric - 0.8) + scatter * rng.normal(size=count)
    return (
        metric + x_error * rng.normal(size=count),
        lift + y_error * rng.normal(size=count),
        np.full(count, x_error),
        np.full(count, y_error),
    )


def test_the_likelihood_is_the_normal_one_integrated_by_brute_force():
    u, v, su, sv = models(1, count=5)
    u, v = (u - u.mean()) / u.std(), (v - v.mean()) / v.std()
    su, sv = np.full(5, 0.3), np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    centres = np.stack([x.ravel() for x in np.meshgrid(*[np.linspace(-6, 6, 301)] * 2)], axis=1)

    def by_hand(b, sigma2, tau2):
        total = np.zeros(len(centres))
        for i in range(5):
            cov = np.array(
                [[tau2 + su[i] ** 2, b * tau2], [b * tau2, b**2 * tau2 + sigma2 + sv[i] ** 2]]
            )
            off = np.array([u[i], v[i]]) - centres
            total -= 0.5 * (
                np.einsum("ni,ij,nj->n", off, np.linalg.inv(cov), off) + np.log(np.linalg.det(cov))
            )
        return np.log(np.exp(total).sum() * (12 / 300) ** 2 / (2 * np.pi))

    cells = [(0.5, 0.3, 1.0), (-1.2, 0.05, 0.4), (2.0, 1.0, 0.7)]
    got, *_ = _integrated(u, v, su**2, sv**2, *np.array(cells).T)
    np.testing.assert_allclose(got, [by_hand(*cell) for cell in cells], atol=1e-3)


def test_without_errors_it_is_least_squares():
    x, y, *_ = models(2, count=30, x_error=0.0)
    plain = LinearRevenueModel().fit(x, y)
    lines, scatter, r_squared = posterior(
        x, y, np.zeros(30), np.zeros(30), 4000, np.random.default_rng(0)
    )
    spread = plain.lines_[:, 0].std()
    assert np.median(lines[:, 0]) == pytest.approx(plain.slope_, abs=0.15 * spread)
    assert lines[:, 0].std() == pytest.approx(spread, rel=0.15)
    residual = y - plain.predict(x)
    assert np.median(scatter) == pytest.approx(np.sqrt(residual @ residual / 28), rel=0.05)
    assert np.median(r_squared) == pytest.approx(plain.r_squared_, abs=0.02)


def test_how_often_intervals_hold_the_slope_when_metrics_are_measured_with_error():
    """Least squares flattens the slope and is too sure of it; 0.9 would be right."""
    held, slopes = [], []
    for seed in range(40):
        x, y, *errors = models(seed, count=20)
        fits = [LinearRevenueModel(draws=400, seed=seed).fit(x, y, *e) for e in ((), errors)]
        held.append([low <= 0.3 <= high for low, high in (f.slope_interval() for f in fits)])
        slopes.append([fit.slope_ for fit in fits])
    plain, ours = np.mean(held, axis=0)
    flat, straight = np.mean(slopes, axis=0)
    assert ours >= 0.82 and ours > plain
    assert abs(straight - 0.3) < abs(flat - 0.3) and flat < 0.29


def test_r_squared_without_the_noise_of_the_tests():
    x, y, _, y_error = models(3, count=40, x_error=0.0, y_error=0.008, scatter=1e-4)
    fit = LinearRevenueModel().fit(x, y, np.zeros(40), y_error)
    assert fit.r_squared_ < 0.75 < np.median(fit.r_squared_true_)


def test_a_noisy_test_counts_less():
    x, y, x_error, y_error = models(4, count=12, x_error=0.0, scatter=5e-4)
    y, y_error = y.copy(), y_error.copy()
    last = np.argmax(x)
    y[last], y_error[last] = y[last] - 0.05, 0.05
    plain, ours = (LinearRevenueModel().fit(x, y, *e) for e in ((), (x_error, y_error)))
    assert abs(ours.slope_ - 0.3) < 0.3 * abs(plain.slope_ - 0.3)


def test_unit_and_order_are_irrelevant():
    x, y, *errors = models(5)
    fit = LinearRevenueModel(seed=1).fit(x, y, *errors)
    scaled = LinearRevenueModel(seed=1).fit(100 * x, 1000 * y, 100 * errors[0], 1000 * errors[1])
    assert scaled.slope_ == pytest.approx(10 * fit.slope_)
    assert scaled.predict(85) == pytest.approx(1000 * fit.predict(0.85))
    back = LinearRevenueModel(seed=1).fit(x[::-1], y[::-1], *(e[::-1] for e in errors))
    assert back.slope_ == pytest.approx(fit.slope_, rel=1e-6)


def test_the_same_methods_serve_both():
    x, y, *errors = models(6)
    fit = LinearRevenueModel(seed=2).fit(x, y, *errors)
    mean, low, high = fit.predict([0.82, 0.88], interval=0.9)
    assert (low < mean).all() and (mean < high).all()
    assert fit.sample(0.85).shape == (1000,)
    again = LinearRevenueModel(seed=2).fit(x, y, *errors)
    np.testing.assert_array_equal(fit.lines_, again.lines_)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ((None, [0.1] * 5), "metric_error is missing; give both"),
        (([0.1] * 5, None), "lift_error is missing; give both"),
        (([0.1] * 4, [0.1] * 5), "metric_error must be 5 finite numbers >= 0; got"),
        (([0.1] * 5, [0.1] * 4 + [-1]), "lift_error must be 5 finite numbers"),
    ],
)
def test_errors_that_are_none_are_refused(errors, message):
    with pytest.raises(ValueError, match=message):
        LinearRevenueModel().fit([0.8, 0.82, 0.84, 0.86, 0.9], [0, 1, 2, 3, 4], *errors)


def test_three_models_are_too_few_with_errors():
    with pytest.raises(ValueError, match="4 or more models; got 3"):
        LinearRevenueModel().fit([0.8, 0.82, 0.9], [0, 1, 2], [0.1] * 3, [0.1] * 3)
