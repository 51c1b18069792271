"""BNSL and PowerLaw: fits, intervals, what they refuse, published numbers."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from benchmarks.report import rmsle
from lib.laws import BNSL, PowerLaw, Prior
from lib.laws.bnsl import mixture_quantile
from lib.laws.curve import bnsl
from tests import DATA
from tests.laws.points import ERRORS, FLOPS, R, X, Y

SHARED = DATA / "scaling_curves"
needs_curves = pytest.mark.skipif(not SHARED.is_dir(), reason=f"public curves not at {SHARED}")


def test_mixture_quantile_of_one_normal():
    centre, sd = np.array([[1.0, 2.0]]), np.array([[0.5, 2.0]])
    found = mixture_quantile(0.95, centre, sd, np.ones(1))
    np.testing.assert_allclose(found, norm.ppf(0.95, centre[0], sd[0]))


def test_prediction_stays_near_the_truth():
    law = BNSL().fit(X, Y)
    ahead = np.array([2e7, 1e8])
    mean, low, high = law.predict(ahead, interval=0.9)
    np.testing.assert_allclose(mean, 0.3 + 5 * ahead**-0.3, rtol=0.05)
    assert np.all((low < mean) & (mean < high)) and np.diff(high / low)[0] > 0
    residuals = Y - law.predict(X)
    assert law.r_squared_ == pytest.approx(1 - np.sum(residuals**2) / np.var(Y) / len(Y))
    assert law.max_deviation_ == np.abs(residuals).max()


def power_law(x):
    return 2 + 3 * (x / 1e9) ** -0.5


def one_break(x):
    return bnsl(x, a=2.0, b=3 * 1e9**0.3, c0=0.3, c=[0.3], d=[1e10], f=[0.3])


def errors_at_twice_the_range(curve, x, noise, seeds):
    """Errors of log y at twice the largest x, by seed; the share of intervals that held; widths."""
    errors, held, half = [], [], []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, len(x)])
        y = curve(x) * np.exp(noise * rng.normal(size=len(x)))
        mean, low, high = BNSL().fit(x, y).predict(2 * x[-1], interval=0.9)
        new = curve(2 * x[-1]) * np.exp(noise * rng.normal())
        errors.append(np.log(mean / curve(2 * x[-1])))
        held.append(low <= new <= high)
        half.append(np.log(high / low) / 2)
    return np.array(errors), np.mean(held), np.median(half)


@pytest.mark.slow
@pytest.mark.parametrize("curve", [power_law, one_break])
@pytest.mark.parametrize("noise", [0.001, 0.01, 0.05])
def test_more_points_bring_the_law_nearer(curve, noise):
    """Consistent and unbiased: the weights of noisy points are no errors in the regressors."""
    sizes, root = (10, 100, 1000), []
    for points in sizes:
        x = np.geomspace(1e9, 1e11, points)
        errors, _, _ = errors_at_twice_the_range(curve, x, noise, seeds=16)
        root.append(np.sqrt(np.mean(errors**2)))
        if points > 10:  # 10 points leave the prior a say
            assert abs(errors.mean()) < 0.6 * noise + 3.5 * errors.std() / np.sqrt(16)
    assert root[2] < root[1] < 1.2 * root[0] and root[2] < 0.5 * root[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("x", "noise", "error"),
    [
        (np.linspace(1e9, 1e11, 100), 0.003, 0.0015),
        (np.linspace(1e9, 1e11, 100), 0.01, 0.003),
        (np.geomspace(1e9, 1e11, 100), 0.01, 0.004),
        (np.geomspace(1e9, 1e11, 20), 0.01, 0.009),
    ],
)
def test_dense_noisy_curves_are_met_and_covered(x, noise, error):
    """90 % of a new measurement at twice the largest size, hardly wider than they need be."""
    errors, held, half = errors_at_twice_the_range(power_law, x, noise, seeds=60)
    assert np.abs(errors).mean() < error
    assert 0.8 <= held <= 0.99  # 60 curves: 0.9 give or take two and a half standard errors
    u = np.log(np.append(x, 2 * x[-1]) / 1e9)  # least squares with the form of the law known
    share = 3 * np.exp(-0.5 * u) / (2 + 3 * np.exp(-0.5 * u))
    slopes = np.column_stack([1 - share, share, -share * u])
    known, new = slopes[:-1], slopes[-1]
    ideal = norm.ppf(0.95) * noise * np.sqrt(1 + new @ np.linalg.inv(known.T @ known) @ new)
    assert half < 1.5 * ideal


@pytest.mark.parametrize("x", [np.linspace(1e9, 1e11, 100), np.geomspace(1e9, 1e11, 100)])
def test_a_spike_moves_no_other_point(x):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y, spike = power_law(x) * np.exp(0.01 * rng.normal(size=100)), rng.integers(100)
        y[spike] *= 1.4
        law = BNSL().fit(x, y)
        off = np.abs(np.log(law.predict(x) / power_law(x)))
        assert np.median(np.delete(off, spike)) < 0.005
        np.testing.assert_allclose(law.points_.spikes, x[spike])


@pytest.mark.parametrize("breaks", [1, 2, 3])
def test_exact_curves_are_recovered(breaks):
    law = {
        "a": 0.12,
        "b": 2.0,
        "c0": 0.15,
        "c": [0.25, -0.2, 0.3][:breaks],
        "d": [3e3, 8e4, 1e6][:breaks],
        "f": [0.4, 0.3, 0.5][:breaks],
    }
    x, ahead = np.geomspace(1e2, 1e7, 50), np.geomspace(1.1e7, 1e8, 10)
    fitted = BNSL().fit(x, bnsl(x, **law))
    error = np.log(fitted.predict(ahead) / bnsl(ahead, **law))
    assert np.sqrt(np.mean(error**2)) < 1e-4
    assert fitted.params_["a"] == pytest.approx(law["a"], rel=1e-3)
    np.testing.assert_allclose(fitted.params_["d"], law["d"], rtol=1e-2)


@pytest.mark.parametrize("sign", [1, -1])
def test_exact_power_laws_are_recovered(sign):
    y = 2.0 + sign * 1.5 * (X / 1e3) ** -0.35
    law = PowerLaw().fit(X, y)
    assert law.params_["b"] == pytest.approx(0.35, rel=1e-6)
    assert law.params_["c"] == pytest.approx(2.0, rel=1e-6)
    np.testing.assert_allclose(law.curve(X), y, rtol=1e-9)
    assert np.sign(law.params_["a"]) == sign


@pytest.mark.parametrize("monotone", [False, True])
@pytest.mark.parametrize("slope", [0.01, -0.01])
@pytest.mark.parametrize("sizes", [5, 6, 12])
def test_straight_lines_in_log_x_have_their_asymptote_far_away(sizes, slope, monotone):
    x = np.geomspace(0.25, 64, sizes).repeat(2)
    y = 0.8 + slope * np.log(x)
    law = BNSL(monotone=monotone).fit(x, y)
    assert np.abs(law.predict(x) - y).max() < 0.05 * np.ptp(y)
    assert law._warnings == []


def test_laws_of_no_weight_leave_intervals_alone():
    """One of them, with an error of e^10, once made the search for quantiles too coarse."""
    y = R.copy()
    y[-1] += 0.03
    mean, low, high = BNSL(direction="rising").fit(FLOPS, y).predict([1e7, 3e8], interval=0.9)
    assert np.all((low < mean) & (mean < high)) and np.all(high - low < 0.2)


def test_units_are_irrelevant():
    law = BNSL().fit(X, Y)
    scaled = BNSL().fit(1e6 * X, 100 * Y)
    for ours, theirs in zip(law.predict(3 * X, 0.9), scaled.predict(3e6 * X, 0.9), strict=True):
        np.testing.assert_allclose(100 * ours, theirs, rtol=1e-6)


def test_order_is_irrelevant_and_fits_are_deterministic():
    shuffled = np.random.default_rng(2).permutation(20)
    first, second = BNSL().fit(X, Y), BNSL().fit(X[shuffled], Y[shuffled])
    np.testing.assert_array_equal(first.predict(3 * X), BNSL().fit(X, Y).predict(3 * X))
    np.testing.assert_allclose(first.predict(3 * X), second.predict(3 * X), rtol=1e-9)
    np.testing.assert_array_equal(first.sample(X, 5, seed=3), first.sample(X, 5, seed=3))


def test_repeats_tell_the_noise():
    rng = np.random.default_rng(4)
    x = np.repeat([1e5, 3e5, 1e6, 3e6, 1e7, 3e7], 3)
    truth = 0.9 - 0.1 * (x / 1e5) ** -0.4
    quiet = BNSL().fit(x, truth + rng.normal(0, 0.0005, x.size))
    noisy = BNSL().fit(x, truth + rng.normal(0, 0.005, x.size))
    assert 0.0003 < quiet.noise_ < 0.0015 and 0.003 < noisy.noise_ < 0.012
    low, high = noisy.predict(1e8, interval=0.9)[1:]
    assert low < 0.9 - 0.1 * 1000**-0.4 < high


def test_named_groups_equal_groups_by_x():
    x, y = np.repeat(X[::4], 2), np.repeat(Y[::4], 2) * np.tile([0.99, 1.01], 5)
    named = BNSL().fit(x, y, groups=np.repeat(list("abcde"), 2))
    np.testing.assert_array_equal(named.predict(1e8), BNSL().fit(x, y).predict(1e8))


def test_monotone_laws_only_approach_their_asymptote():
    rising = 0.9 - 0.1 * (X / 1e3) ** -0.4 + np.random.default_rng(5).normal(0, 0.004, 20)
    law = BNSL(monotone=True).fit(X, rising)
    assert np.all(np.diff(law.predict(np.geomspace(1e2, 1e10, 300))) > 0)
    assert law.warnings_ == []
    assert np.all(np.diff(law.curve(np.geomspace(1e2, 1e10, 300))) > 0)


def test_where_y_turns_the_nearest_monotone_law_stands_in():
    """A valley: no law follows both sides, and the long left side is the one to follow."""
    y = 1 + np.abs(np.log(X) - 14)
    law = BNSL(monotone=True, direction="falling").fit(X, y)
    assert "y turns along x" in law.warnings_[0] and "y turns along x" in law.summary()
    ahead = np.geomspace(1e2, 1e10, 300)
    for values in (law.predict(ahead), law.curve(ahead)):
        assert np.all(np.diff(values) <= 1e-12)
    missed = np.log(y / law.predict(X))
    assert np.std(missed) < 0.6 * np.std(np.log(y))
    assert law.noise_ == pytest.approx(np.sqrt(np.mean(missed**2)), rel=0.1)
    free = BNSL(direction="falling").fit(X, y)
    assert "turns" not in "".join(free.warnings_) and free.noise_ < law.noise_


@pytest.mark.parametrize("breaks", [0, "auto"])
def test_against_its_direction_a_monotone_law_is_the_mean(breaks):
    law = BNSL(breaks, monotone=True, direction="rising").fit(X, Y)
    mean, low, high = law.predict([1e3, 1e9], interval=0.9)
    np.testing.assert_allclose(mean, np.exp(np.log(Y).mean()))
    assert np.mean((low[0] < Y) & (high[0] > Y)) >= 0.8
    assert "against the direction" in law.warnings_[0] and law.params_["c0"] == 0
    np.testing.assert_allclose(law.curve([1e3, 1e9]), mean)
    assert np.ptp(law.sample([1e3, 1e9], 5), axis=1) == pytest.approx(0)


@pytest.mark.slow
@needs_curves
@pytest.mark.parametrize("direction", ["falling", "auto"])
def test_every_public_curve_has_a_monotone_law(direction):
    benchmark = pytest.importorskip("benchmarks.laws")
    warned = 0
    for task in benchmark.read_tasks():
        law = BNSL(monotone=True, direction=direction).fit(task.x, task.y)
        x = np.geomspace(task.x.min() / 10, 100 * task.x.max(), 300)
        for values in (law.predict(x), law.curve(x)):
            assert np.all(law.points_.sign * np.diff(values) <= 1e-9 * values[1:]), task.name
        warned += len(law._warnings)
    assert 0 < warned < 30  # of 108


def test_a_bound_holds():
    rising = 1 - 0.5 * (X / 1e3) ** -0.3
    law = BNSL(bound=1.0).fit(X[:8], rising[:8] * np.exp(ERRORS[:8] / 10))
    for values in (law.predict(1e30, interval=0.9), law.sample([2e3, 1e5, 1e30], 500)):
        assert np.max(values) <= 1.0
    with pytest.raises(ValueError, match="bound must lie beyond every y"):
        BNSL(bound=0.8).fit(X, rising)


def test_samples_spread_as_the_interval_does():
    law = BNSL().fit(X, Y)
    _, low, high = law.predict(1e8, interval=0.9)
    sampled = law.sample(1e8, draws=4000)
    assert 0.4 < np.ptp(np.quantile(sampled, [0.05, 0.95])) / (high - low) < 1.0  # no noise
    refits = law.bootstrap(1e8, refits=200)
    assert refits.shape == (200,) and np.median(refits) == pytest.approx(law.curve(1e8), rel=0.1)


def test_gain_between_two_sizes():
    law = BNSL().fit(FLOPS, R)
    mean, low, high = law.gain([1.26e7, 2.28e7], base=7.6e6)
    drawn = law.sample([1.26e7, 2.28e7, 7.6e6], draws=20_000)
    np.testing.assert_allclose(mean, drawn[:, :2].mean(axis=0) - drawn[:, 2].mean(), rtol=0.02)
    assert np.all((0 < low) & (low < mean) & (mean < high))
    each = law.predict([7.6e6, 2.28e7], interval=0.9)
    assert high[1] - low[1] < (each[2] - each[1]).sum()  # what moves both ends cancels
    assert law.gain(7.6e6, 7.6e6) == (0.0, 0.0, 0.0)


def test_a_last_point_beside_its_law_moves_predictions_and_no_gain():
    """What the last points share fades beyond them, and is no part of what a doubling is worth."""
    rng = np.random.default_rng(1)
    x = np.geomspace(1.0, 1e3, 40)
    shared = 0.02 * np.cos(np.linspace(0, 6 * np.pi, 40)) + 0.002 * rng.normal(size=40)
    law = BNSL(0, direction="falling").fit(x, (0.3 + x**-0.3) * np.exp(shared))
    ahead = np.array([1e3, 1.2e3, 2e3, 1e4])
    plain = np.median(law.sample(ahead, draws=4000), axis=0)
    lean = np.log(law.predict(ahead) / plain)
    assert lean[0] > 0.005 and np.all(np.diff(lean) < 0) and lean[-1] < 0.1 * lean[0]
    assert law.gain(2e3, 1e3)[0] == pytest.approx(plain[2] - plain[0], rel=0.1)


def test_a_saved_law_predicts_the_same():
    for law in (BNSL(bound=1.0, prior=Prior(places=7)).fit(FLOPS, R), PowerLaw().fit(FLOPS, R)):
        again = type(law).from_dict(json.loads(json.dumps(law.to_dict())))
        assert again.predict(3e8) == law.predict(3e8)
        assert again.to_dict() == json.loads(json.dumps(law.to_dict()))
    with pytest.raises(ValueError, match="got a PowerLaw"):
        BNSL.from_dict(law.to_dict())


def test_settings_follow_scikit_learn():
    law = clone(BNSL(breaks=1, bound=1.0))
    assert repr(law) == "BNSL(bound=1.0, breaks=1)"
    assert law.get_params()["breaks"] == 1 and law.set_params(breaks=2).breaks == 2
    with pytest.raises(ValueError, match="Invalid parameter 'brakes'"):
        law.set_params(brakes=1)
    assert set(PowerLaw().get_params()) == {"direction", "bound", "prior"}


def test_model_selection_of_scikit_learn_takes_a_law():
    x, y = X[::5].repeat(3), Y[::5].repeat(3) * np.tile([0.99, 1.0, 1.01], 4)  # 12 points
    assert cross_val_score(BNSL(), X[:, None], Y, cv=4).shape == (4,)
    folds = KFold(3, shuffle=True, random_state=0)
    assert cross_val_score(PowerLaw(), x[:, None], y, cv=folds).min() > 0.9
    search = GridSearchCV(
        BNSL(), {"breaks": [0, 1, "auto"]}, cv=KFold(4, shuffle=True, random_state=0)
    )
    search.fit(X[:12, None], Y[:12])
    assert search.best_score_ > 0.9 and np.all(np.isfinite(search.cv_results_["mean_test_score"]))
    million = FunctionTransformer(lambda x: 1e6 * x)
    scaled = make_pipeline(million, BNSL()).fit(X[:, None], Y)
    np.testing.assert_allclose(scaled.predict(X[:, None]), BNSL().fit(X, Y).predict(X))
    assert scaled.score(X[:, None], Y) == pytest.approx(BNSL().fit(X, Y).r_squared_)


def test_one_column_is_a_list():
    law, column = BNSL().fit(X[:, None], Y), X[:3, None]
    assert law.n_features_in_ == 1
    for ask in (law.predict, law.noise_at, law.curve):
        np.testing.assert_array_equal(ask(column), ask(X[:3]))
    for ask in (law.sample, law.bootstrap):
        assert ask(column, 5).shape == (5, 3) and ask(X[:4].reshape(2, 2), 5).shape == (5, 2, 2)
    assert [v.shape for v in law.predict(column, interval=0.9)] == [(3,)] * 3
    assert law.predict([]).shape == (0,)


@pytest.mark.parametrize(
    "ask",
    [
        lambda law: law.predict(1e8),
        lambda law: law.noise_at(1e8),
        lambda law: law.sample(1e8),
        lambda law: law.gain(1e8, 1e7),
        lambda law: law.bootstrap(1e8),
        lambda law: law.curve(1e8),
        lambda law: law.summary(),
        lambda law: law.to_dict(),
    ],
)
def test_before_fit_it_says_so(ask):
    with pytest.raises(NotFittedError, match="PowerLaw instance is not fitted yet"):
        ask(PowerLaw())
    for name in ("params_", "asymptote_", "residuals_", "r_squared_"):
        assert not hasattr(PowerLaw(), name)


def test_summary_says_what_matters():
    text = BNSL().fit(FLOPS, R).summary()
    assert "rises towards a" in text and "10 sizes" in text and "90 %" in text


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="breaks must be"):
        BNSL(breaks=-1).fit(X, Y)
    with pytest.raises(ValueError, match="direction must be"):
        BNSL(direction="up").fit(X, Y)
    with pytest.raises(ValueError, match="one x; a group holds both"):
        BNSL().fit(X, Y, groups=np.zeros(20))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda law: law.predict(1e8, interval=90), r"predict: interval must lie .*; got 90"),
        (lambda law: law.predict(1e8, interval=np.nan), r"predict: interval must .*; got nan"),
        (lambda law: law.gain(1e8, 1e7, interval=90), r"gain: interval must lie .*; got 90"),
        (lambda law: law.gain(1e8, [1e7, 1e8]), r"gain: base must be one size; got \[1000"),
        (lambda law: law.gain(1e8, 0.0), r"gain: base must be finite and > 0; got 0.0"),
        (
            lambda law: law.predict([1e8, -1.0]),
            r"predict: x must be finite and > 0; got x\[1\] = -1.0",
        ),
        (lambda law: law.sample(np.inf), r"sample: x must be finite and > 0; got inf"),
        (lambda law: law.predict([1j]), r"predict: x: .*Complex data not supported"),
    ],
)
def test_bad_questions_are_named(ask, message):
    with pytest.raises(ValueError, match=f"^PowerLaw.{message}"):
        ask(PowerLaw().fit(X, Y))


numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=12))
@example([(1.0, 0.5), (2.0, 226706.0), (4.0, 1.0)])  # as are the next two: singular, rounded
@example([(1.0, 1.0), (2.0, 226708.0), (3.0, 1.0)])
@example([(1.0, 1.0), (2.0, 15064.0), (3.0, 1.0)])  # an interval beyond all numbers
def test_any_input_is_fitted_or_refused(rows):
    x, y = np.array(rows, dtype=float).reshape(-1, 2).T
    try:
        law = BNSL().fit(x, y)
    except ValueError:
        return
    found = np.array(law.predict(np.array([x.min(), x.max(), 2 * x.max()]), interval=0.9))
    assert np.all(np.isfinite(found)) and np.all(found[1] <= found[2])


@pytest.mark.slow
@needs_curves
def test_public_curves_extrapolate_at_least_as_well_as_m4():
    """Five development curves, about one in twenty; `make bench-laws` runs them all."""
    benchmark = pytest.importorskip("benchmarks.laws")
    tasks = [task for task in benchmark.read_tasks() if task.even and task.domain == "IC"][::8]
    errors = [
        rmsle(BNSL(direction="falling").fit(t.x, t.y).predict(t.x_new), t.y_new) for t in tasks
    ]
    assert np.mean(errors) < 0.0415
