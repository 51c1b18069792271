"""Power law plus constant: exponent and constant with intervals over replicas."""

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.exceptions import NotFittedError

from lib.laws import PowerLawPlusConstant
from lib.laws.power_law_plus_constant import Evidence, excess_variance

X = np.geomspace(1e3, 1e7, 9)


def curves(replicas=5, exponent=0.3, constant=0.4, shift=1e-3, noise=3e-4, seed=0, x=X):
    """x, y, replica of curves with a fall of .1 at the first size; errors and levels normal."""
    rng = np.random.default_rng(seed)
    y = constant + 0.1 * (x / x[0]) ** -exponent + shift * rng.standard_normal((replicas, 1))
    y = y + noise * rng.standard_normal(y.shape)
    return np.tile(x, replicas), y.ravel(), np.repeat(np.arange(replicas), len(x))


def test_one_curve_is_fitted_by_least_squares():
    x, y, _ = curves(replicas=1)
    law = PowerLawPlusConstant().fit(x, y)
    (constant, amplitude, exponent), _ = optimize.curve_fit(
        lambda x, constant, amplitude, exponent: constant + amplitude * (x / 1e3) ** -exponent,
        *(x, y, [0.4, 0.1, 0.3]),
    )
    assert law.exponent_ == pytest.approx(exponent, rel=1e-4)
    assert law.constant_ == pytest.approx(constant, rel=1e-5)
    assert law.amplitude_ * 1e3**-law.exponent_ == pytest.approx(amplitude, rel=1e-4)


def test_ends_of_the_interval_are_where_student_t_over_replicas_rejects():
    """Written out for sizes that scatter alike and a mean curve on its law."""
    x, y, replica = curves(replicas=6, seed=3)
    law = PowerLawPlusConstant().fit(x, y, replica)
    profile = law._profile
    profile.root = np.ones(9)
    profile.excess = 0.0
    found = profile._confidence(lambda exponents: profile._parts(exponents).along[:, :, 2])
    for end in found.quantiles(np.array([0.05, 0.95])):
        power = X**-end
        design = np.column_stack([np.ones(9), power])
        direction = power * np.log(X)
        direction = direction - design @ np.linalg.lstsq(design, direction, rcond=None)[0]
        t = stats.ttest_1samp(y.reshape(6, 9) @ direction, 0).statistic
        assert abs(t) == pytest.approx(stats.t.ppf(0.95, 5), rel=0.02)


def test_levels_and_amplitudes_of_replicas_do_not_turn_the_exponent():
    x, y, replica = curves(shift=0.0)
    level, factor = np.repeat([0.03, 0.0, 0.05, 0.02, 0.01], 9), np.repeat([1, 2, 0.5, 1, 1.5], 9)
    moved = 0.4 + level + 0.1 * factor * (x / X[0]) ** -0.3 + (y - 0.4 - 0.1 * (x / X[0]) ** -0.3)
    low, high, is_identified = PowerLawPlusConstant().fit(x, moved, replica).interval().exponent
    assert is_identified and 0.28 < low < 0.3 < high < 0.32


@pytest.mark.parametrize("order", ["shuffled", "other units", "named replicas"])
def test_order_units_and_names_do_not_matter(order):
    x, y, replica = curves()
    law = PowerLawPlusConstant().fit(x, y, replica)
    if order == "shuffled":
        rows = np.random.default_rng(1).permutation(len(x))
        other = PowerLawPlusConstant().fit(x[rows], y[rows], replica[rows])
    elif order == "other units":
        other = PowerLawPlusConstant().fit(1e6 * x, y, replica)
    else:
        other = PowerLawPlusConstant().fit(x, y, np.array(list("edcba"))[replica])
    assert other.exponent_ == pytest.approx(law.exponent_, rel=1e-6)
    assert other.interval().exponent == pytest.approx(law.interval().exponent, rel=1e-4)
    assert other.interval().constant == pytest.approx(law.interval().constant, rel=1e-3)


def test_what_the_points_do_not_settle_is_not_identified():
    """Half a decade of a nearly straight line: from a line in log x to a steep fall, all go."""
    x, y, replica = curves(x=np.geomspace(1e3, 3e3, 5), noise=2e-3, seed=1)
    law = PowerLawPlusConstant().fit(x, y, replica)
    exponent, constant = law.interval()
    assert not exponent.identified and not constant.identified
    assert constant.low == 0.0 and not law.reachable_left().identified
    assert "not identified" in law.summary()


def test_a_flat_curve_does_not_follow_and_settles_nothing():
    x, _, replica = curves()
    rng = np.random.default_rng(5)
    law = PowerLawPlusConstant().fit(x, 0.4 + 1e-3 * rng.standard_normal(len(x)), replica)
    assert law.evidence().flat > 0.05 and law.evidence().follows() is False
    assert not any(bounds.identified for bounds in law.interval())


def test_evidence_tells_the_law_from_its_rivals():
    clear = PowerLawPlusConstant().fit(*curves()).evidence()
    assert max(clear[:3]) < 0.001 < clear.law and clear.follows() is True
    x, y, replica = curves(constant=0.001, shift=1e-5, noise=1e-5)
    assert PowerLawPlusConstant().fit(x, y - 0.001 + 1e-9, replica).evidence().no_constant > 0.01
    x, y, replica = curves(noise=1e-4)
    bent = y + 2e-3 * np.sin(1.5 * np.log(x))  # not of the family
    assert PowerLawPlusConstant().fit(x, bent, replica).evidence().follows() is False
    line = 0.4 - 0.01 * np.log(x / X[0]) + (y - 0.4 - 0.1 * (x / X[0]) ** -0.3)
    assert PowerLawPlusConstant().fit(x, line, replica).evidence().straight_line > 0.05
    assert Evidence(0.01, 0.3, 0.3, 0.5).follows() is None


def test_a_law_that_holds_but_roughly_gets_a_wider_interval():
    x, y, replica = curves(noise=1e-4)
    bent = y + 1e-3 * np.sin(1.1 * np.log(x))
    widths = [
        np.ptp(PowerLawPlusConstant().fit(x, z, replica).interval().exponent[:2]) for z in (y, bent)
    ]
    assert widths[1] > 3 * widths[0]


def test_the_constant_stays_within_what_is_possible():
    x, y, replica = curves(noise=2e-3, seed=2)
    law = PowerLawPlusConstant(lowest=0.399).fit(x, y, replica)
    assert law.constant_ >= 0.399 and law.interval().constant.low >= 0.399
    free, held = PowerLawPlusConstant().fit(x, y, replica), law
    assert np.ptp(held.interval(0.9).exponent[:2]) <= np.ptp(free.interval(0.9).exponent[:2]) + 1e-9


def test_doubling_is_the_difference_of_two_predictions():
    law = PowerLawPlusConstant().fit(*curves())
    falls = law.predict(X) - law.predict(2 * X)
    assert law.doubling(X) == pytest.approx(falls)
    value, low, high = law.doubling(X[-1], 0.9)
    assert low < value < high and high - low < value
    low, high, is_identified = law.reachable_left()
    assert is_identified and low < 1 - 2**-0.3 < high
    for shape in ((), (0,), (2, 3)):
        assert [np.shape(v) for v in law.predict(np.full(shape, 1e4), 0.9)] == [shape] * 3


def test_excess_variance_of_paule_and_mandel():
    squares, known = np.array([1.0, 4.0, 9.0, 16.0]), np.array([1.0, 0.5, 2.0, 1.0])
    added = excess_variance(squares, known, 3)
    assert np.sum(squares / (known + added)) == pytest.approx(3)
    assert excess_variance(known / 2, known, 3) == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": lambda y: -y}, r"fit: y must be finite and > 0; got y\[0\]"),
        ({"x": lambda x: np.where(x > 1e6, np.nan, x)}, "fit: x must be finite"),
        ({"y": lambda y: y[:-1]}, "equal length"),
        ({"y": lambda y: 0 * y + 0.5}, "y is 0.5 everywhere"),
        ({"x": lambda x: np.where(x > 5e3, 1e5, x)}, "needs 4 different x or more"),
        ({"replica": lambda r: r[:-1]}, "name the replica of every measurement; got 44 for 45"),
        ({"replica": lambda r: np.append(r[:-1], 7)}, "each of the 9 sizes once; .* 1 to 9"),
    ],
)
def test_bad_measurements_are_named(change, message):
    given = dict(zip(("x", "y", "replica"), curves(), strict=True))
    for name, changed in change.items():
        given[name] = changed(given[name])
    with pytest.raises(ValueError, match=f"PowerLawPlusConstant.*{message}"):
        PowerLawPlusConstant().fit(**given)


def test_bad_questions_are_named():
    with pytest.raises(ValueError, match=r"y must lie above lowest = 0.45"):
        PowerLawPlusConstant(lowest=0.45).fit(*curves())
    with pytest.raises(ValueError, match="lowest must be finite and >= 0; got -1"):
        PowerLawPlusConstant(lowest=-1).fit(*curves())
    law = PowerLawPlusConstant().fit(*curves())
    with pytest.raises(ValueError, match=r"predict: x must be finite and > 0"):
        law.predict(0.0)
    with pytest.raises(ValueError, match=r"doubling: interval must .*; got 90"):
        law.doubling(1e3, 90)
    with pytest.raises(ValueError, match=r"interval: interval must .*; got 2"):
        law.interval(2)
    with pytest.raises(NotFittedError):
        PowerLawPlusConstant().predict(1.0)


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0.2, 0.6])
def test_intervals_cover_in_re_draws_of_all_replicas(exponent):
    inside = []
    for seed in range(150):
        law = PowerLawPlusConstant().fit(*curves(exponent=exponent, seed=seed))
        exponents, constants = law.interval(0.9)
        inside.append(
            [exponents.low <= exponent <= exponents.high, constants.low <= 0.4 <= constants.high]
        )
    assert np.all(np.abs(np.mean(inside, axis=0) - 0.9) < 0.06)
