"""The laws, from a hand-worked curve to published numbers."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from lib.laws import BNSL, BasinHoppingBNSL, JointPowerLaw, PowerLaw, Prior
from lib.laws.bayesian_average import Grid, design, prior_terms
from lib.laws.bnsl import mixture_quantile
from lib.laws.curve import bnsl, log_bnsl
from lib.laws.observations import check_points, gather_points, whitening
from lib.laws.variable_projection import Projection
from tests import DATA

SHARED = DATA / "scaling_curves"
needs_curves = pytest.mark.skipif(not SHARED.is_dir(), reason=f"public curves not at {SHARED}")

# Figure 7 of the paper: FLOPs per user-ad pair, R/R* (read off the figure).
FLOPS = np.array(
    [864320, 1753216, 3604736, 7602688, 8913920, 13109248, 16778240, 4.0e7, 49284096, 142608384]
)
R = np.array([0.8238, 0.8347, 0.8428, 0.8517, 0.8545, 0.8572, 0.8578, 0.8632, 0.8628, 0.8695])

ERRORS = np.random.default_rng(0).normal(0, 0.01, 20)
X = np.geomspace(1e3, 1e7, 20)
Y = (0.3 + 5 * X**-0.3) * np.exp(ERRORS)


def points_of(x, y, **settings):
    given = {
        "direction": "auto",
        "bound": None,
        "error_ratio": 2.0,
        "error_length": 0.1,
        "name": "test",
    } | settings
    return gather_points(*check_points(x, y, name="test", least=3), **given)


# The curve


def test_curve_by_hand():
    # before its break the slope is c0 = 1, after it c0 + c = 3
    law = {"a": 0.0, "b": 8.0, "c0": 1.0, "c": [2.0], "d": [10.0], "f": [0.001]}
    assert bnsl(2.0, **law) == pytest.approx(8 / 2)
    assert bnsl(100.0, **law) == pytest.approx(8 / 10 * (10 / 100) ** 3)
    assert bnsl(2.0, **law | {"a": 9.0, "b": -8.0}) == pytest.approx(9 - 8 / 2)


def test_curve_equals_equation_6_written_out():
    law = {"a": 0.2, "b": 3.0, "c0": 0.1, "c": [0.2, -0.1], "d": [5.0, 300.0], "f": [0.5, 0.2]}
    for x in X[:5] / 1e3:
        product = np.prod(
            [
                (1 + (x / d) ** (1 / f)) ** (-c * f)
                for c, d, f in zip(law["c"], law["d"], law["f"], strict=True)
            ]
        )
        written_out = law["a"] + law["b"] * x ** -law["c0"] * product
        assert bnsl(x, **law) == pytest.approx(written_out)
        assert log_bnsl(x, **law) == pytest.approx(np.log(written_out))


def test_curve_does_not_overflow_at_a_sharp_break():
    law = {"a": 0.0, "b": 1.0, "c0": 0.1, "c": [0.5], "d": [1.0], "f": [1e-4]}
    assert bnsl(1e12, **law) == pytest.approx(1e12**-0.6)


# The average


def test_evidence_equals_that_of_a_gaussian_process():
    """The closed form against the multivariate normal of its linear model, way by way."""
    points = points_of(X, Y)
    prior = Prior(noises=(0.01, 0.03, 0.1), distance_power=0.0, noise_spread=1e9)
    grid = Grid(points, prior)
    precision, mean = prior_terms(2, prior)
    ways, found, expected = grid.log_evidence(2), [], []
    errors = np.linalg.inv(points.whiten.T @ points.whiten)
    rows = np.random.default_rng(1).choice(len(grid.log_weight), 5, replace=False)
    pairs = [(i, j) for i in range(prior.places) for j in range(i + 1, prior.places)]
    for row in rows:
        noise, sharp, floor = np.unravel_index(row, grid.shape)
        gap = points.y - grid.asymptotes[floor]
        scale = gap / points.y  # errors of log y, not of log gap
        for way, (i, j) in enumerate(pairs[:6]):
            basis = design(points.u, grid.places[None, [i, j]], grid.sharpness[sharp, None, None])
            basis = scale[:, None] * basis[0]
            cov = grid.noises[noise] ** 2 * errors + basis / precision @ basis.T
            target = multivariate_normal(basis @ mean, cov)
            expected.append(target.logpdf(scale * np.log(gap)))
            found.append(ways[way, row])
    differences = np.array(found) - np.array(expected)
    np.testing.assert_allclose(differences, differences[0], atol=1e-4)


def test_errors_of_neighbours_by_hand():
    """Three sizes half the measured range apart, the largest measured twice."""
    V = whitening(np.array([-2.0, -1.0, 0.0]), np.array([1.0, 1.0, 2.0]), ratio=2.0, length=0.1)
    cov = np.linalg.inv(V.T @ V)  # in units of noise^2; a shared error counts 2 / (4 / 3)
    assert cov[1, 1] == pytest.approx((1 + 1.5) / (1 + 2))
    assert cov[2, 2] == pytest.approx((1 / 2 + 1.5) / (1 + 2))
    assert cov[1, 2] == pytest.approx(1.5 * np.exp(-0.5 / 0.1) / (1 + 2))


def test_mixture_quantile_of_one_normal():
    centre, sd = np.array([[1.0, 2.0]]), np.array([[0.5, 2.0]])
    found = mixture_quantile(0.95, centre, sd, np.ones(1))
    np.testing.assert_allclose(found, norm.ppf(0.95, centre[0], sd[0]))


def test_jacobian_of_the_projection_by_differences():
    """On an exact curve, where Kaufman's Jacobian is that of the projected errors."""
    x = np.geomspace(1.0, 1e4, 20)
    points = points_of(x, bnsl(x, a=0.2, b=1.0, c0=0.3, c=[0.2], d=[50.0], f=[1.2]))
    problem = Projection(points, Prior(), breaks=1)
    share = (points.best - 0.2 / points.unit) / points.best  # of the way from y down to 0
    p, noise = np.array([[np.log(share / (1 - share)), np.log(50 / 1e4), np.log(1.2)]]), [1e-9]
    _, jacobian, _, square = problem.solve(p, np.array(noise))
    assert square[0] < 1e-20
    for k in range(3):
        step = 1e-5 * np.eye(3)[k]
        ahead, behind = (problem.solve(q, np.array(noise))[0] for q in (p + step, p - step))
        slope = (ahead - behind)[0, :20] / 2e-5
        np.testing.assert_allclose(jacobian[0, :20, k], slope, atol=1e-4 * np.abs(slope).max())


# Fits


def test_prediction_stays_near_the_truth():
    law = BNSL().fit(X, Y)
    ahead = np.array([2e7, 1e8])
    mean, low, high = law.predict(ahead, interval=0.9)
    np.testing.assert_allclose(mean, 0.3 + 5 * ahead**-0.3, rtol=0.05)
    assert np.all((low < mean) & (mean < high)) and np.diff(high / low)[0] > 0
    residuals = Y - law.predict(X)
    assert law.r_squared_ == pytest.approx(1 - np.sum(residuals**2) / np.var(Y) / len(Y))
    assert law.max_deviation_ == np.abs(residuals).max()


def test_intervals_cover_new_measurements():
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        floor, slope = rng.uniform(0.0, 0.5), rng.uniform(0.1, 0.6)
        x = np.append(X, 2 * X[-1])
        y = (floor + (x / 1e3) ** -slope) * np.exp(rng.normal(0, 0.01, 21))
        _, low, high = BNSL().fit(X, y[:20]).predict(x[20], interval=0.9)
        inside.append(low < y[20] < high)
    assert 0.8 <= np.mean(inside) <= 1.0


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
    with pytest.raises(ValueError, match="y turns along x"):
        BNSL(monotone=True, breaks=2).fit(X, 1 + np.abs(np.log(X) - 11))


def test_a_bound_holds():
    rising = 1 - 0.5 * (X / 1e3) ** -0.3
    law = BNSL(bound=1.0).fit(X[:8], rising[:8] * np.exp(ERRORS[:8] / 10))
    assert law.predict(1e30) <= 1.0
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
    np.testing.assert_allclose(mean, law.predict([1.26e7, 2.28e7]) - law.predict(7.6e6))
    assert np.all((0 < low) & (low < mean) & (mean < high))
    each = law.predict([7.6e6, 2.28e7], interval=0.9)
    assert high[1] - low[1] < (each[2] - each[1]).sum()  # what moves both ends cancels
    assert law.gain(7.6e6, 7.6e6) == (0.0, 0.0, 0.0)


def test_a_saved_law_predicts_the_same():
    for law in (BNSL(bound=1.0, prior=Prior(places=7)).fit(FLOPS, R), PowerLaw().fit(FLOPS, R)):
        again = type(law).from_dict(json.loads(json.dumps(law.to_dict())))
        assert again.predict(3e8) == law.predict(3e8)
        assert again.to_dict() == json.loads(json.dumps(law.to_dict()))
    with pytest.raises(ValueError, match="got a PowerLaw"):
        BNSL.from_dict(law.to_dict())


def test_settings_follow_scikit_learn():
    base = pytest.importorskip("sklearn.base")
    law = base.clone(BNSL(breaks=1, bound=1.0))
    assert law.get_params()["breaks"] == 1 and law.set_params(breaks=2).breaks == 2
    with pytest.raises(ValueError, match="unknown setting 'brakes'"):
        law.set_params(brakes=1)


def test_summary_says_what_matters():
    text = BNSL().fit(FLOPS, R).summary()
    assert "rises towards a" in text and "10 sizes" in text and "90 %" in text


# What must not become a silent nonsense curve


@pytest.mark.parametrize(
    "x, y, message",
    [
        ([1, 2], [3, 2], "3 different x or more; got 2"),
        ([1, 2, 3, 4], [1, 1, 1, 1], "constant"),
        ([1, 2, 3, 4], [4, 3, np.nan, 1], r"got y\[2\] = nan"),
        ([0, 2, 3, 4], [4, 3, 2, 1], r"got x\[0\] = 0"),
        ([1, 2, 3, 4], [4, 3, 2, -1], r"got y\[3\] = -1"),
        ([1, 2, 3], [4, 3], "equal length"),
    ],
)
def test_bad_points_are_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        BNSL().fit(x, y)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="breaks must be"):
        BNSL(breaks=-1).fit(X, Y)
    with pytest.raises(ValueError, match="direction must be"):
        BNSL(direction="up").fit(X, Y)
    with pytest.raises(ValueError, match="one x; a group holds both"):
        BNSL().fit(X, Y, groups=np.zeros(20))
    law = BNSL().fit(X, Y)
    with pytest.raises(ValueError, match="interval must lie between"):
        law.predict(1e8, interval=90)
    with pytest.raises(ValueError, match="x must be finite"):
        law.predict([1e8, -1.0])


numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=12))
def test_any_input_is_fitted_or_refused(rows):
    x, y = np.array(rows, dtype=float).reshape(-1, 2).T
    try:
        law = BNSL().fit(x, y)
    except ValueError:
        return
    found = np.array(law.predict(np.array([x.min(), x.max(), 2 * x.max()]), interval=0.9))
    assert np.all(np.isfinite(found)) and np.all(found[1] <= found[2])


# The joint law


def joint_data(sign=1.0, noise=0.0):
    size, data = (
        v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6))
    )
    y = 1.8 + sign * (50 * size**-0.34 + 300 * data**-0.31)
    return np.column_stack([size, data]), y * np.exp(np.random.default_rng(6).normal(0, noise, 36))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_joint_law_is_recovered(sign):
    x, y = joint_data(sign)
    law = JointPowerLaw().fit(x, y)
    expected = {"E": 1.8, "A": 50, "B": 300, "alpha": 0.34, "beta": 0.31}
    assert law.params_ == pytest.approx(expected, rel=1e-3)
    assert law.exponents()["size"] == pytest.approx(0.31 / 0.65, rel=1e-3)


def test_frontier_equals_a_search():
    law = JointPowerLaw().fit(*joint_data())
    best = law.frontier(1e18, cost=6.0)
    size = best.size * np.geomspace(0.1, 10, 2001)
    y = law.predict(np.column_stack([size, 1e18 / 6 / size]))
    assert size[np.argmin(y)] == pytest.approx(best.size, rel=5e-3)
    assert best.y == pytest.approx(y.min()) and best.size * best.data == pytest.approx(1e18 / 6)


def test_joint_intervals_hold_the_truth():
    law = JointPowerLaw(refits=50).fit(*joint_data(noise=0.005))
    share, low, high = law.exponents(interval=0.9)["size"]
    assert low < share < high and low < 0.31 / 0.65 < high
    _, low, high = law.predict(np.array([[1e10, 1e12]]), interval=0.9)
    assert low[0] < 1.8 + 50 * 1e10**-0.34 + 300 * 1e12**-0.31 < high[0]
    assert "budget^" in law.summary()
    assert JointPowerLaw.from_dict(law.to_dict()).params_ == law.params_


def test_joint_law_refuses_what_it_cannot_tell():
    x, y = joint_data()
    with pytest.raises(ValueError, match="3 different amounts of data"):
        JointPowerLaw().fit(np.column_stack([x[:, 0], np.full(36, 1e9)]), y)
    with pytest.raises(ValueError, match=r"got y\[0\] = 0.0"):
        JointPowerLaw().fit(x, np.r_[0.0, y[1:]])
    with pytest.raises(ValueError, match="got shapes"):
        JointPowerLaw().fit(x[:, 0], y)


# Published numbers


def test_figure_7_with_the_paper_s_recipe():
    law = BasinHoppingBNSL(breaks=6, hops=20).fit(FLOPS, R)
    assert law.r_squared_ == pytest.approx(0.996, abs=0.004)
    assert BNSL().fit(FLOPS, R).r_squared_ == pytest.approx(0.996, abs=0.004)


@pytest.mark.parametrize("slope", [0.02, -0.02])
def test_basin_hopping_starts_at_the_points_where_they_have_no_asymptote(slope):
    """A straight line in log x: the power law's asymptote lies far outside the box."""
    y = 0.7 + slope * (np.log(FLOPS) - np.log(FLOPS).mean())
    law = BasinHoppingBNSL(breaks=0, hops=2).fit(FLOPS, y)
    assert law.r_squared_ > 0.99


def test_gradient_of_basin_hopping_by_differences():
    law = BasinHoppingBNSL(breaks=1)
    law._sign = -1.0
    p = np.array([0.1, -3.0, 0.3, 0.2, -3.0, -0.5])
    u, z = np.linspace(-6, 0, 9), np.linspace(-0.3, -0.1, 9)
    _, gradient = law._loss(p, u, z)
    for k in range(6):
        step = np.eye(6)[k] * 1e-6
        slope = (law._loss(p + step, u, z)[0] - law._loss(p - step, u, z)[0]) / 2e-6
        assert gradient[k] == pytest.approx(slope, rel=1e-4)


@needs_curves
def test_chinchilla_as_besiroglu_et_al_fit_it():
    rows = np.genfromtxt(SHARED / "chinchilla.csv", delimiter=",", names=True)
    rows = np.sort(rows, order="Loss")[:-5]  # they leave out the five highest losses
    x = np.column_stack([rows["Model_Size"], rows["Training_Tokens"]])
    law = JointPowerLaw().fit(x, rows["Loss"])
    published = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
    for name, value in published.items():
        assert law.params_[name] == pytest.approx(value, rel=0.05)


@needs_curves
def test_public_curves_extrapolate_at_least_as_well_as_m4():
    """Five development curves, about one in twenty; `make bench-laws` runs them all."""
    benchmark = pytest.importorskip("benchmarks.laws")
    tasks = [task for task in benchmark.read_tasks() if task.even and task.domain == "IC"][::8]
    errors = [
        benchmark.rmsle(BNSL(direction="falling").fit(t.x, t.y).predict(t.x_new), t.y_new)
        for t in tasks
    ]
    assert np.mean(errors) < 0.0415
