"""The paper's own recipe, converged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lib.laws import BasinHoppingBNSL, PowerLaw
from lib.laws.basin_hopping import LeastSquaresProblem
from lib.laws.curve import bnsl
from tests.laws.points import FLOPS, R


@pytest.fixture(scope="module")
def figure_7():
    return BasinHoppingBNSL(breaks=6, hops=20).fit(FLOPS, R)


def test_breaks_are_used_on_figure_7(figure_7):
    """A local minimiser that stops early leaves them at size 0: R2 .9957, as without breaks."""
    assert figure_7.with_breaks(0).r_squared_ == pytest.approx(0.99566, abs=1e-5)
    assert figure_7.with_breaks(1).r_squared_ > 0.998
    assert figure_7.with_breaks(2).r_squared_ >= 0.9985


def test_21_parameters_go_through_the_ten_points_of_figure_7(figure_7):
    np.testing.assert_allclose(figure_7.predict(FLOPS), R, rtol=1e-5)
    assert figure_7.sum_of_squares_ < 1e-9


def test_more_breaks_never_fit_worse_on_figure_7(figure_7):
    squares = [figure_7.with_breaks(t).sum_of_squares_ for t in range(7)]
    assert np.all(np.diff(squares) <= 1e-12)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    c0=st.floats(0.1, 0.6),
    bend=st.floats(-0.3, 0.3),
    place=st.floats(0.2, 0.8),
    noise=st.integers(0, 2**32 - 1),
)
def test_more_breaks_never_fit_worse(c0, bend, place, noise):
    x = np.geomspace(1.0, 1e4, 14)
    y = bnsl(x, a=0.2, b=1.0, c0=c0, c=[bend], d=[1e4**place], f=[0.3])
    y = y * np.exp(np.random.default_rng(noise).normal(0.0, 0.01, len(x)))
    law = BasinHoppingBNSL(breaks=3, hops=3).fit(x, y)
    squares = [law.with_breaks(t).sum_of_squares_ for t in range(4)]
    assert np.all(np.diff(squares) <= 1e-12)


def test_no_power_law_fits_better_than_0_breaks():
    law = BasinHoppingBNSL(breaks=0, hops=2).fit(FLOPS, R)
    curve = PowerLaw().fit(FLOPS, R).curve(FLOPS)
    assert law.sum_of_squares_ < np.sum(np.log(curve / R) ** 2)


def test_an_exact_broken_law_is_found():
    x, beyond = np.geomspace(1.0, 1e4, 30), np.array([1e5, 1e6])
    true = {"a": 0.2, "b": 1.0, "c0": 0.4, "c": [-0.25], "d": [60.0], "f": [0.2]}
    law = BasinHoppingBNSL(breaks=1, hops=20).fit(x, bnsl(x, **true))
    np.testing.assert_allclose(law.predict(beyond), bnsl(beyond, **true), rtol=1e-3)
    assert law.params_["c"] == pytest.approx(true["c"], rel=0.02)
    assert law.params_["d"] == pytest.approx(true["d"], rel=0.02)


def test_a_fit_of_fewer_breaks_is_the_one_on_the_way():
    law = BasinHoppingBNSL(breaks=2, hops=3, seed=5).fit(FLOPS, R)
    assert law.with_breaks(1).params_ == BasinHoppingBNSL(1, hops=3, seed=5).fit(FLOPS, R).params_
    with pytest.raises(ValueError, match=r"breaks must be 0\.\.2, the breaks of the fit; got 3"):
        law.with_breaks(3)


def test_units_do_not_matter():
    law = BasinHoppingBNSL(breaks=1, hops=3).fit(FLOPS, R)
    other = BasinHoppingBNSL(breaks=1, hops=3).fit(FLOPS * 1e3, R * 1e2)
    np.testing.assert_allclose(other.predict(FLOPS * 1e4), 1e2 * law.predict(FLOPS * 10), rtol=1e-4)


@pytest.mark.parametrize("slope", [0.02, -0.02])
def test_basin_hopping_starts_at_the_points_where_they_have_no_asymptote(slope):
    """A straight line in log x: the power law's asymptote lies far outside the box."""
    y = 0.7 + slope * (np.log(FLOPS) - np.log(FLOPS).mean())
    law = BasinHoppingBNSL(breaks=0, hops=2).fit(FLOPS, y)
    assert law.r_squared_ > 0.99


@pytest.mark.parametrize(("x", "y"), [(FLOPS, R), (FLOPS, 1 / R)])
def test_jacobian_by_differences(x, y):
    problem = LeastSquaresProblem(x, y, PowerLaw().fit(x, y))
    p = np.array([0.1, -3.0, 0.3, 0.2, -0.1, -3.0, -1.0, -0.5, 0.2])
    _, jacobian = problem.errors(p)
    for k, step in enumerate(1e-6 * np.eye(len(p))):
        slope = (problem.errors(p + step)[0] - problem.errors(p - step)[0]) / 2e-6
        np.testing.assert_allclose(jacobian[:, k], slope, rtol=1e-4, atol=1e-5)


def test_the_loss_counts_in_the_power_law_s_mean_square():
    problem = LeastSquaresProblem(FLOPS, R, PowerLaw().fit(FLOPS, R))
    assert problem.loss(problem.power_law) == pytest.approx(len(R))
    another = problem.with_another_break(problem.power_law)
    assert problem.loss(another) == pytest.approx(len(R))  # of size 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"breaks": -1}, "BasinHoppingBNSL: breaks must be whole numbers >= 0; got -1"),
        ({"hops": 1.5}, "BasinHoppingBNSL: hops must be whole numbers >= 0; got 1.5"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        BasinHoppingBNSL(**settings).fit(FLOPS, R)


def test_it_answers_after_fit_only_and_for_positive_x():
    with pytest.raises(NotFittedError, match="BasinHoppingBNSL instance is not fitted yet"):
        BasinHoppingBNSL().predict(1e8)
    law = BasinHoppingBNSL(breaks=0, hops=2).fit(FLOPS[:, None], R)
    np.testing.assert_array_equal(law.predict(FLOPS[:, None]), law.predict(FLOPS))
    with pytest.raises(ValueError, match=r"^BasinHoppingBNSL\.predict: x must be .*; got -1.0"):
        law.predict(-1)
    assert repr(clone(law)) == "BasinHoppingBNSL(breaks=0, hops=2)"
