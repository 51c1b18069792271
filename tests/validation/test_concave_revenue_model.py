"""G with diminishing returns: NumPy's parabola, the line where it opens upwards, and the choice."""

import numpy as np
import pytest
from scipy import stats

from lib.validation.concave_revenue_model import (
    ConcaveRevenueModel,
    fit_better,
    leave_one_out_error,
)
from lib.validation.revenue_model import LinearRevenueModel

METRIC = np.linspace(0.80, 0.90, 11)


def bent(curvature, noise=1e-3, seed=0):
    """Lifts that rise by 0.3 per unit in the middle, [models]."""
    x = METRIC - METRIC.mean()
    return 0.3 * x + curvature * x**2 + noise * np.random.default_rng(seed).normal(size=11)


def test_the_parabola_is_numpys():
    lift = bent(-2.0)
    fit, (c, b, a) = ConcaveRevenueModel().fit(METRIC, lift), np.polyfit(METRIC - 0.85, lift, 2)
    assert (fit.curvature_, fit.slope_, fit.intercept_) == pytest.approx((c, b, a))
    assert fit.predict(0.82) == pytest.approx(np.polyval([c, b, a], -0.03))
    top = 0.85 - b / (2 * c)
    assert fit.predict([top, 0.99]) == pytest.approx([a - b**2 / (4 * c)] * 2)  # flat beyond it
    assert fit.r_squared_ > 0.99


def test_draws_are_least_squares_that_open_downwards():
    lift = bent(-1.0, noise=2e-3)
    fit = ConcaveRevenueModel(draws=20_000).fit(METRIC, lift)
    inputs = np.stack([METRIC - 0.85, np.ones(11), (METRIC - 0.85) ** 2], axis=1)
    residual = lift - inputs @ [fit.slope_, fit.intercept_, fit.curvature_]
    errors = np.sqrt(np.diag(np.linalg.inv(inputs.T @ inputs)) * (residual @ residual) / 8)
    curvature = stats.t(8, fit.curvature_, errors[2])
    expected = curvature.ppf(np.array([0.25, 0.5, 0.75]) * curvature.cdf(0))
    np.testing.assert_allclose(
        np.quantile(fit.lines_[:, 2], [0.25, 0.5, 0.75]), expected, rtol=0.03
    )
    assert (fit.lines_[:, 2] <= 0).all()
    slow = [fit._lift(0.88, *line) for line in fit.lines_[:5]]  # a draw's curve, one at a time
    np.testing.assert_allclose(fit.sample(0.88)[:5], slow)
    several = np.full((5, 2), [0.81, 0.88])
    np.testing.assert_allclose(fit.sample(several)[:, 1], slow)


def test_where_it_opens_upwards_it_is_the_line():
    lift = bent(+3.0)
    line, fit = LinearRevenueModel().fit(METRIC, lift), ConcaveRevenueModel().fit(METRIC, lift)
    assert fit.curvature_ == 0 and not fit.lines_[:, 2].any()
    np.testing.assert_allclose(fit.predict([0.7, 0.95]), line.predict([0.7, 0.95]))
    np.testing.assert_allclose(fit.slope_interval(), line.slope_interval(), rtol=0.1)


def test_noise_of_tests_is_no_scatter_of_models():
    lift = bent(-2.0, noise=2e-3)
    plain, known = (ConcaveRevenueModel().fit(METRIC, lift, None, e) for e in (None, [1e-3] * 11))
    expected = np.sqrt(np.maximum(plain.scatter_**2 - 1e-6, 0))
    np.testing.assert_allclose(known.scatter_, expected)


def test_leave_one_out_is_a_loop():
    lift, errors = bent(-2.0), []
    for i in range(11):
        rest = np.arange(11) != i
        line = np.polyfit(METRIC[rest], lift[rest], 1)
        errors.append(abs(np.polyval(line, METRIC[i]) - lift[i]))
    got = leave_one_out_error(LinearRevenueModel(draws=2), METRIC, lift)
    assert got == pytest.approx(np.mean(errors))


@pytest.mark.parametrize(
    ("curvature", "form"), [(-2.0, ConcaveRevenueModel), (3.0, LinearRevenueModel)]
)
def test_the_better_form_is_the_one_that_predicts(curvature, form):
    assert type(fit_better(METRIC, bent(curvature), draws=20)) is form


def test_few_models_get_a_line():
    assert type(fit_better(METRIC[:5], bent(-2.0)[:5], draws=20)) is LinearRevenueModel
    with pytest.raises(ValueError, match="ConcaveRevenueModel: needs metric and lift of 4 or more"):
        ConcaveRevenueModel().fit(METRIC[:3], bent(-2.0)[:3])


@pytest.mark.slow
@pytest.mark.parametrize("curvature", [-3.0, -0.5])
def test_how_often_a_90_percent_interval_holds_the_curve(curvature):
    truth, inside = 0.3 * 0.04 + curvature * 0.04**2, []
    for seed in range(300):
        fit = ConcaveRevenueModel(200, seed).fit(METRIC, bent(curvature, 2e-3, seed))
        _, low, high = fit.predict(0.89, interval=0.9)
        inside.append(low <= truth <= high)
    assert 0.84 <= np.mean(inside) <= 0.98
