"""G, from metric to revenue lift: NumPy's line, honest intervals."""

import copy

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib.laws import BNSL
from lib.validation.revenue_model import (
    LinearRevenueModel,
    fit_to_models,
    lifts_by_reference,
    neighbouring_deviations,
)

METRIC = np.array([0.80, 0.81, 0.83, 0.84, 0.86, 0.90])
LIFT = np.array([-0.010, 0.000, 0.004, 0.012, 0.015, 0.033])


@pytest.fixture(scope="module")
def fit():
    return LinearRevenueModel().fit(METRIC, LIFT)


def test_the_line_is_numpys(fit):
    slope, intercept = np.polyfit(METRIC, LIFT, 1)
    assert (fit.slope_, fit.intercept_) == pytest.approx((slope, intercept))
    deviation = np.abs(LIFT - (slope * METRIC + intercept))
    assert fit.mean_deviation_ == pytest.approx(deviation.mean())
    assert fit.max_deviation_ == pytest.approx(deviation.max())
    assert fit.r_squared_ == pytest.approx(np.corrcoef(METRIC, LIFT)[0, 1] ** 2)
    assert fit.spearman_ == pytest.approx(stats.spearmanr(METRIC, LIFT).statistic)


def test_lines_have_the_spread_of_least_squares():
    fit = LinearRevenueModel(draws=40_000, seed=4).fit(METRIC, LIFT)
    want = stats.linregress(METRIC, LIFT)
    # Student's t with 4 degrees of freedom: its quartiles, which a tail does not move.
    quartile = stats.t(4).ppf(0.75) * want.stderr
    np.testing.assert_allclose(
        np.quantile(fit.lines_[:, 0], [0.25, 0.5, 0.75]),
        want.slope + quartile * np.array([-1, 0, 1]),
        rtol=0.02,
    )


def test_a_perfect_line_has_no_interval():
    fit = LinearRevenueModel().fit(METRIC, 0.5 * METRIC - 0.4)
    np.testing.assert_allclose(
        fit.predict([0.85, 0.95], interval=0.9), [[0.025, 0.075]] * 3, atol=1e-12
    )
    assert fit.slope_interval() == pytest.approx((0.5, 0.5))
    assert fit.r_squared_interval() == pytest.approx((1, 1))


@pytest.mark.parametrize(("models", "share"), [(5, 0.90), (14, 0.90), (40, 0.90)])
def test_how_often_a_90_percent_interval_covers_the_true_line(models, share):
    """What the class says of itself; 90 % would be right."""
    rng, covered = np.random.default_rng(0), []
    truth = 0.3 * np.array([0.02, 0.05, 0.08])
    for seed in range(400):
        metric = rng.uniform(0.8, 0.9, models)
        lift = 0.3 * (metric - 0.8) + 0.002 * rng.normal(size=models)
        fit = LinearRevenueModel(draws=200, seed=seed).fit(metric, lift)
        _, low, high = fit.predict([0.82, 0.85, 0.88], interval=0.9)
        covered.append((low <= truth) & (truth <= high))
    assert np.mean(covered) == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("metric", [0.85, [0.85], [0.8, 0.9], [[0.8, 0.85], [0.9, 0.95]]])
def test_predictions_have_the_shape_of_the_metric(fit, metric):
    mean, low, high = fit.predict(metric, interval=0.8)
    for values in (fit.predict(metric), mean, low, high):
        assert np.shape(values) == np.shape(metric)
    assert (low < mean).all() and (mean < high).all()
    np.testing.assert_allclose(mean, fit.slope_ * np.asarray(metric) + fit.intercept_)
    last = np.ravel(metric)[-1]
    assert np.ravel(high)[-1] == pytest.approx(np.quantile(fit.lines_ @ [last, 1], 0.9))


def test_draws_of_an_uncertain_metric_go_through_refits_of_their_own(fit):
    slope, intercept = fit.lines_.T
    np.testing.assert_allclose(fit.sample(0.85), slope * 0.85 + intercept)
    assert fit.sample([0.8, 0.9]).shape == (1000, 2)
    metric = np.random.default_rng(0).normal(0.85, 0.01, (1500, 3))
    got, line = fit.sample(metric), fit.lines_[np.arange(1500) % 1000]
    np.testing.assert_allclose(got, line[:, :1] * metric + line[:, 1:])


def test_the_seed_decides_the_draws():
    a, b, c = (LinearRevenueModel(seed=seed).fit(METRIC, LIFT) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.lines_, b.lines_)
    assert a.slope_interval() != c.slope_interval()


def test_resamples_without_a_slope_are_left_out_of_r_squared():
    fit = LinearRevenueModel().fit([0.8, 0.8, 0.9], [0.0, 0.01, 0.02])
    assert 500 < len(fit.r_squared_draws_) < 1000
    assert np.isfinite(fit.r_squared_interval()).all()


@pytest.mark.parametrize(
    ("metric", "lift", "match"),
    [
        ([0.8, 0.9], [0, 0.01], r"3 or more models; got shapes \(2,\) and \(2,\)"),
        ([0.8, 0.9, 1], [0, 0.01], r"got shapes \(3,\) and \(2,\)"),
        ([[0.8, 0.9, 1]], [[0, 0.01, 0]], r"got shapes \(1, 3\)"),
        ([], [], r"got shapes \(0,\) and \(0,\)"),
        ([0.8, 0.9, np.nan], [0, 0.01, 0.02], r"metric must be finite, .*; got metric\[2\] = nan"),
        ([0.8, 0.9, 1], [0, np.inf, 0.02], r"lift must be finite, .*; got lift\[1\] = inf"),
        (None, [0, 0.01, 0.02], "metric: .* got None"),
        ([0.8, 0.8, 0.8], [0, 0.01, 0.02], "same metric, 0.8"),
        ([0.8, 0.9, 1], [0.01, 0.01, 0.01], "same lift, 0.01"),
    ],
)
def test_what_has_no_line_is_refused(metric, lift, match):
    with pytest.raises(ValueError, match=f"LinearRevenueModel: .*{match}"):
        LinearRevenueModel().fit(metric, lift)


def test_lifts_over_the_base_share_what_law_and_line_have_in_common(fit):
    law = BNSL(direction="rising", bound=1.0).fit(FLOPS, R)
    x = np.array([FLOPS[3], 2 * FLOPS[3]])
    lifts, draws = fit.over_base(law, x, FLOPS[3], draws=50, seed=1)
    assert draws.shape == (50, 2)
    assert lifts[0] == 0 and not draws[:, 0].any()  # the base itself, in every draw
    assert lifts[1] == pytest.approx(fit.slope_ * np.diff(law.predict(x))[0])
    exact = copy.copy(fit)
    exact.scatter_ = np.zeros(1)
    slow = [
        fit.lines_[i, 0] * (law.sample(x, 50, 1)[i, 1] - law.sample(x, 50, 1)[i, 0])
        for i in range(50)
    ]
    np.testing.assert_allclose(exact.over_base(law, x, FLOPS[3], draws=50, seed=1)[1][:, 1], slow)
    # What single models lie off the line by is in the lifts: twice the base shares half of it.
    far = fit.over_base(law, x, FLOPS[3], draws=4000, seed=1)[1][:, 1]
    without = exact.over_base(law, x, FLOPS[3], draws=4000, seed=1)[1][:, 1]
    scatter = np.resize(fit.scatter_, 4000)
    assert np.std((far - without) / scatter) == pytest.approx(1.0, abs=0.05)


def test_neighbouring_sizes_lie_off_the_line_alike():
    x = np.array([8.0, 1.0, 2.0, 8.0])
    drawn = neighbouring_deviations(x, 50_000, np.random.default_rng(0))
    assert (drawn[:, 0] == drawn[:, 3]).all()
    expected = np.minimum.outer(x, x) / np.maximum.outer(x, x)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.02)


def test_the_scatter_of_a_line_is_that_of_least_squares():
    """Residual squares over chi squared of 4 degrees of freedom."""
    fit = LinearRevenueModel(draws=20_000).fit(METRIC, LIFT)
    squares = np.square(LIFT - fit.predict(METRIC)).sum()
    expected = np.sqrt(squares / stats.chi2(4).ppf([0.75, 0.5, 0.25]))
    np.testing.assert_allclose(np.quantile(fit.scatter_, [0.25, 0.5, 0.75]), expected, rtol=0.02)


def test_it_is_an_estimator_like_others(fit):
    model = LinearRevenueModel(draws=50, seed=3)
    assert repr(model) == "LinearRevenueModel(draws=50, seed=3)"
    other = clone(model.fit(METRIC, LIFT))
    assert other.get_params() == {"draws": 50, "seed": 3} and not hasattr(other, "slope_")
    other.fit(METRIC, LIFT)
    np.testing.assert_array_equal(other.lines_, model.lines_)


@pytest.mark.parametrize(
    "ask",
    [
        lambda g: g.predict(0.85),
        lambda g: g.predict(0.85, interval=0.9),
        lambda g: g.sample(0.85),
        lambda g: g.over_base(None, [1.0], 1.0, 10),
        lambda g: g.slope_interval(),
        lambda g: g.r_squared_interval(),
    ],
)
def test_before_fit_it_says_so(ask):
    with pytest.raises(NotFittedError, match="LinearRevenueModel instance is not fitted yet"):
        ask(LinearRevenueModel())


@pytest.mark.parametrize("method", ["predict", "slope_interval", "r_squared_interval"])
def test_an_interval_is_a_probability(fit, method):
    given = {"metric": 0.85} if method == "predict" else {}
    message = f"^LinearRevenueModel.{method}: interval must lie between 0 and 1; got 90"
    with pytest.raises(ValueError, match=message):
        getattr(fit, method)(**given, interval=90)


def test_a_metric_that_is_no_number_is_refused(fit):
    with pytest.raises(ValueError, match=r"^LinearRevenueModel\.predict: metric .* got nan"):
        fit.predict([0.8, np.nan])


def test_model_selection_of_scikit_learn_takes_it():
    metric, lift = METRIC[:, None], 0.3 * METRIC - 0.2
    assert cross_val_score(LinearRevenueModel(10), metric, lift, cv=2) == pytest.approx(1.0)
    search = GridSearchCV(LinearRevenueModel(), {"draws": [5, 10]}, cv=2).fit(metric, LIFT)
    assert search.best_estimator_.n_features_in_ == 1
    centred = make_pipeline(StandardScaler(), LinearRevenueModel(10)).fit(metric, LIFT)
    np.testing.assert_allclose(
        centred.predict(metric), LinearRevenueModel(10).fit(METRIC, LIFT).predict(METRIC)
    )
    assert [v.shape for v in centred[-1].predict(metric, interval=0.9)] == [(6,)] * 3


def test_a_fit_forgets_the_one_before():
    fit = LinearRevenueModel(20).fit(METRIC, LIFT, np.full(6, 0.001), np.full(6, 0.002))
    assert hasattr(fit, "r_squared_true_")
    assert not hasattr(fit.fit(METRIC, LIFT), "r_squared_true_")


# G identified by one test

FLOPS = np.array(
    [864320, 1753216, 3604736, 7602688, 8913920, 13109248, 16778240, 4.0e7, 49284096, 142608384]
)
R = np.array([0.8238, 0.8347, 0.8428, 0.8517, 0.8545, 0.8572, 0.8578, 0.8632, 0.8628, 0.8695])
TESTS = pd.DataFrame(
    {
        "model": ["base", "5128", "10128", "16128"],
        "flops": [7602688, 12600320, 22840320, 35128320],
        "revenue_lift": [0.0, 0.0038, 0.0069, 0.0085],
    }
)


def test_lifts_of_the_paper_s_two_new_sizes():
    """Section 4.2: predicted +0.33 % and +0.62 %, measured +0.38 % and +0.69 %."""
    law = BNSL(direction="rising", bound=1.0).fit(FLOPS, R)
    lifts = lifts_by_reference(law, TESTS, "base", "16128").set_index("model")
    assert 0.0033 <= round(lifts.by_law["5128"], 4) <= 0.0038
    assert 0.0062 <= round(lifts.by_law["10128"], 4) <= 0.0069
    assert (lifts.low <= lifts.by_law).all() and (lifts.by_law <= lifts.high).all()
    assert lifts.by_law["base"] == 0 and lifts.by_law["16128"] == pytest.approx(0.0085)


def test_lifts_by_reference_of_a_law_by_hand():
    class Line:  # metric = FLOPs
        def predict(self, x):
            return x

        def sample(self, x, draws, seed):
            return np.stack([x, x**2])

    tests = pd.DataFrame(
        {"model": list("abc"), "flops": [1.0, 2.0, 3.0], "revenue_lift": [0.0, np.nan, 0.04]}
    )
    lifts = lifts_by_reference(Line(), tests, "a", "c", interval=0.9)
    np.testing.assert_allclose(lifts.by_law, [0, 0.04 * 1 / 2, 0.04])
    # Two draws, 3 / 8 and 1 / 2 of the reference's lift: quantiles lie between them.
    np.testing.assert_allclose(lifts.low, [0, 0.04 * (0.375 + 0.05 * 0.125), 0.04])
    np.testing.assert_allclose(lifts.high, [0, 0.04 * (0.5 - 0.05 * 0.125), 0.04])


@pytest.mark.parametrize(
    ("change", "base", "reference", "message"),
    [
        ({}, "nobody", "16128", "base 'nobody' must be one of"),
        ({"revenue_lift": 0.0}, "base", "16128", "needs a measured revenue_lift other than 0"),
        ({"model": "base"}, "base", "base", "found 4"),
    ],
)
def test_lifts_by_reference_names_what_is_wrong(change, base, reference, message):
    law = BNSL(direction="rising").fit(FLOPS, R)
    with pytest.raises(ValueError, match=message):
        lifts_by_reference(law, TESTS.assign(**change), base, reference)
    with pytest.raises(ValueError, match=r"^lifts_by_reference: interval must lie .*; got 90"):
        lifts_by_reference(law, TESTS, "base", "16128", interval=90)
    with pytest.raises(ValueError, match="column flops is missing"):
        lifts_by_reference(law, TESTS.drop(columns="flops"), "base", "16128")


def test_errors_are_used_where_both_are_known():
    models = pd.DataFrame(
        {"ndcg": METRIC, "revenue_lift": LIFT, "ndcg_se": 0.001, "revenue_lift_se": 0.002}
    )
    with_errors = LinearRevenueModel(200, 1).fit(METRIC, LIFT, np.full(6, 0.001), np.full(6, 0.002))
    plain = LinearRevenueModel(200, 1).fit(METRIC, LIFT)
    drawn = {"draws": 200, "seed": 1}
    np.testing.assert_array_equal(fit_to_models(models, "ndcg", **drawn).lines_, with_errors.lines_)
    for bare in (models.drop(columns="ndcg_se"), models.assign(revenue_lift_se=np.nan)):
        np.testing.assert_array_equal(fit_to_models(bare, "ndcg", **drawn).lines_, plain.lines_)
