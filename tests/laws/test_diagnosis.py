"""What a law says of itself: back-tests by hand, and each warning on a curve that earns it."""

import numpy as np
import pytest

from lib.laws import BNSL, PowerLaw
from lib.laws.diagnosis import BackTest, back_test, few_sizes, missed_before, warnings_of
from lib.laws.observations import MOST_SIZES
from tests.laws.points import FLOPS, R, X, Y


def test_back_tests_by_hand():
    law = BNSL().fit(X, Y)
    tests = back_test(law)
    assert [test.sizes_ahead for test in tests] == [1, 1]  # a size every factor 1.6
    for test in tests:
        known = test.largest_x >= X
        part = BNSL(direction="falling").fit(X[known], Y[known])
        ahead = (test.largest_x < X) & (2 * test.largest_x >= X)
        missed = part.deviations(X[ahead], Y[ahead])
        assert test.sizes_ahead == ahead.sum()
        assert test.missed == pytest.approx(np.sqrt(np.mean(missed**2)))
    assert law.back_tests_ == tests
    assert back_test(BNSL().fit(X[:6], Y[:6])) == []  # too few to leave any out


def test_deviations_are_standard_where_the_law_is_right():
    rng = np.random.default_rng(0)
    x = np.geomspace(1.0, 1e3, 60)
    law = BNSL().fit(x, (0.3 + x**-0.5) * np.exp(0.01 * rng.normal(size=60)))
    new = (0.3 + x**-0.5) * np.exp(0.01 * rng.normal(size=60))
    assert np.std(law.deviations(x, new)) == pytest.approx(1, abs=0.2)


def test_intervals_widen_where_the_law_missed():
    law = BNSL().fit(X, Y)
    half = np.log(np.divide(*law.predict(2 * X[-1], interval=0.9)[:0:-1])) / 2
    law._back_tests = [BackTest(X[10], 3, 3.0), BackTest(X[8], 3, 3.0)]
    wider = np.log(np.divide(*law.predict(2 * X[-1], interval=0.9)[:0:-1])) / 2
    assert wider == pytest.approx(half * missed_before(law.back_tests_))
    assert missed_before(law.back_tests_) == pytest.approx(np.sqrt((2 + 18) / 4))
    assert missed_before([]) == missed_before([BackTest(1.0, 1, 0.1)]) == 1.0
    assert missed_before([BackTest(1.0, 1, 1e9)]) < 4  # one test is no more than one
    assert few_sizes(6) > few_sizes(10) > few_sizes(50) > 1


def test_a_law_that_its_points_bear_out_has_no_warnings():
    rng = np.random.default_rng(1)
    x = np.geomspace(1.0, 1e4, 40)
    law = BNSL().fit(x, (0.3 + x**-0.4) * np.exp(0.003 * rng.normal(size=40)))
    assert warnings_of(law) == law.warnings_ == []
    assert "warning" not in law.summary()


def test_spikes_are_named():
    y = np.tile(Y, 2) * np.where(np.arange(40) == 11, 1.4, 1.0)
    x = np.geomspace(1e3, 1e7, 40)
    y = (0.3 + 5 * x**-0.3) * np.exp(0.01 * np.random.default_rng(0).normal(size=40))
    y[11] *= 1.4
    (text,) = [text for text in BNSL().fit(x, y).warnings_ if "neighbours" in text]
    assert text.startswith("1 of 40 measurements") and f"x = {x[11]:.4g}" in text


def test_a_tail_that_steepens_is_named():
    x = np.linspace(1.0, 100.0, 60)
    loss = 2 + 3 * x**-0.3 - 0.8 * (x / 100) ** 3  # falls faster, as a rate that decays makes it
    noisy = loss * np.exp(0.003 * np.random.default_rng(0).normal(size=60))
    assert any(
        "the tail steepens" in text for text in BNSL(direction="falling").fit(x, noisy).warnings_
    )
    straight = (2 + 3 * x**-0.3) * np.exp(0.003 * np.random.default_rng(0).normal(size=60))
    assert not any("steepens" in text for text in BNSL().fit(x, straight).warnings_)


def test_an_asymptote_that_nothing_tells_is_named():
    x = np.geomspace(1.0, 8.0, 6)
    law = PowerLaw().fit(x, (1 + x**-0.2) * np.exp(0.01 * np.random.default_rng(0).normal(size=6)))
    assert any("the asymptote is not identified" in text for text in law.warnings_)


def test_one_point_that_decides_is_named():
    y = R.copy()
    y[-1] += 0.03  # the last size alone leaves the others' law
    texts = BNSL(direction="rising").fit(FLOPS, y).warnings_
    assert any("one point decides: without x = 1.426e+08" in text for text in texts)
    assert not any("decides" in text for text in BNSL(direction="rising").fit(FLOPS, R).warnings_)


def test_warnings_of_many_sizes_need_no_refits_of_each():
    x = np.geomspace(1.0, 1e3, 5 * MOST_SIZES)
    law = BNSL().fit(
        x, (0.3 + x**-0.4) * np.exp(0.01 * np.random.default_rng(2).normal(size=len(x)))
    )
    assert law.warnings_ == []
