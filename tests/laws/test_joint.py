"""The joint law of size and data."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold

from lib.laws import JointPowerLaw
from tests import DATA

SHARED = DATA / "scaling_curves"
needs_curves = pytest.mark.skipif(not SHARED.is_dir(), reason=f"public curves not at {SHARED}")


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
    with pytest.raises(ValueError, match="6 measurements or more; got 0"):
        JointPowerLaw().fit(np.empty((0, 2)), [])
    with pytest.raises(ValueError, match="y is 2 everywhere"):
        JointPowerLaw().fit(x, np.full(36, 2.0))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda law: law.predict([[0, 1e9]]), r"predict: x must be finite .* x\[0, 0\] = 0.0"),
        (lambda law: law.predict([[1e9, np.nan]]), r"predict: x must be .* x\[0, 1\] = nan"),
        (lambda law: law.predict([1e9]), r"predict: x must be .* size and data .* shape \(1,\)"),
        (lambda law: law.predict([[1e9, 1e9, 3]]), r"predict: x must be .* shape \(1, 3\)"),
        (lambda law: law.predict(1e9), r"predict: x must be .* shape \(\)"),
        (lambda law: law.predict([1e9, 1e9], interval=90), "predict: interval must .*; got 90"),
        (lambda law: law.frontier(-1.0), "frontier: budget must be finite and > 0; got -1.0"),
        (lambda law: law.frontier([1e18, np.nan]), r"frontier: budget must .* budget\[1\] = nan"),
        (lambda law: law.frontier(1e18, cost=0), "frontier: cost must be finite and > 0; got 0.0"),
        (lambda law: law.frontier(1e18, interval=1), "frontier: interval must .*; got 1"),
        (lambda law: law.exponents(interval=90), "exponents: interval must .*; got 90"),
    ],
)
def test_bad_questions_are_named(ask, message):
    law = JointPowerLaw(refits=2).fit(*joint_data())
    with pytest.raises(ValueError, match=f"^JointPowerLaw.{message}"):
        ask(law)


@pytest.mark.parametrize(
    "ask",
    [
        lambda law: law.predict([1e9, 1e9]),
        lambda law: law.frontier(1e18),
        lambda law: law.exponents(),
        lambda law: law.summary(),
        lambda law: law.to_dict(),
    ],
)
def test_before_fit_it_says_so(ask):
    with pytest.raises(NotFittedError, match="JointPowerLaw instance is not fitted yet"):
        ask(JointPowerLaw())


def test_predictions_have_the_shape_of_the_points():
    law = JointPowerLaw(refits=2).fit(*joint_data())
    for shape in ((), (0,), (4,), (3, 4)):
        points = np.full((*shape, 2), 1e9)
        assert [np.shape(v) for v in law.predict(points, interval=0.9)] == [shape] * 3
        assert np.shape(law.frontier(np.full(shape, 1e18)).y) == shape


def test_equal_y_share_a_rank():
    """A loss that has levelled off falls, whatever the order of its equal values."""
    x, _ = joint_data()
    levelled = np.where(x.min(axis=1) < 1e7, 0.9, 0.5)
    order = np.argsort(x.sum(axis=1))
    for rows in (order, order[::-1]):
        assert JointPowerLaw().fit(x[rows], levelled[rows]).sign_ == 1.0


def test_model_selection_of_scikit_learn_takes_a_joint_law():
    x, y = joint_data(noise=0.002)
    folds = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(JointPowerLaw(), {"delta": [1e-3, 1e-2]}, cv=folds).fit(x, y)
    assert search.best_score_ > 0.99 and search.best_estimator_.n_features_in_ == 2
    assert repr(clone(JointPowerLaw(refits=7))) == "JointPowerLaw(refits=7)"


@needs_curves
def test_chinchilla_as_besiroglu_et_al_fit_it():
    rows = np.genfromtxt(SHARED / "chinchilla.csv", delimiter=",", names=True)
    rows = np.sort(rows, order="Loss")[:-5]  # they leave out the five highest losses
    x = np.column_stack([rows["Model_Size"], rows["Training_Tokens"]])
    law = JointPowerLaw().fit(x, rows["Loss"])
    published = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
    for name, value in published.items():
        assert law.params_[name] == pytest.approx(value, rel=0.05)


def passes(seed=0, noise=0.01):
    """Measurements whose errors are those of their pass over growing data."""
    x, y = joint_data()
    groups = np.unique(x[:, 0], return_inverse=True)[1]
    return x, y * np.exp(np.random.default_rng(seed).normal(0, noise, 6))[groups], groups


def test_errors_of_a_group_are_one_error():
    """Of six sizes that err by 1 % each, the asymptote errs; single measurements would average."""
    x, y, groups = passes()
    point = np.array([[1e12, 1e14]])
    alone, together = (
        JointPowerLaw(refits=60, delta=0.1).fit(x, y, of).sample(point).std()
        for of in (None, groups)
    )
    assert together > 1.3 * alone


@pytest.mark.slow
def test_intervals_over_groups_hold_the_truth():
    inside = 0
    for seed in range(20):
        law = JointPowerLaw(refits=60, delta=0.1).fit(*passes(seed))
        low, high = np.quantile(law.sample([[1e8, 1e10]]), [0.05, 0.95])
        inside += low <= 1.8 + 50 * 1e8**-0.34 + 300 * 1e10**-0.31 <= high
    assert inside >= 15


def test_redraws_widen_the_intervals():
    x, y, groups = passes(noise=1e-4)
    again = y * np.exp(np.random.default_rng(1).normal(0, 0.02, (50, 1)))
    law = JointPowerLaw(refits=40, delta=0.1).fit(x, y, groups, again)
    drawn = law.sample(x[:2])
    assert drawn[:, 0].std() == pytest.approx(0.02 * y[0], rel=0.35)
    assert JointPowerLaw.from_dict(law.to_dict()).sample(x[:2]) == pytest.approx(drawn)


def test_groups_that_are_refused():
    x, y, groups = passes()
    for given, message in (
        ((groups[:5],), "3 groups or more, one a measurement; got 5 for 5 of 36"),
        ((groups > 2,), "got 2 for 36"),
        ((None, [y]), "redraws need groups"),
        ((groups, y), "redraws must be"),
        ((groups, [-y]), "redraws"),
    ):
        with pytest.raises(ValueError, match=message):
            JointPowerLaw().fit(x, y, *given)
    with pytest.raises(ValueError, match=r"sample: x must be \[..., 2\]"):
        JointPowerLaw().fit(x, y).sample([1.0, 2.0, 3.0])


def test_a_bound_holds_the_asymptote():
    """Points on a straight line in log x, which a law without a bound follows for ever."""
    x, _ = joint_data()
    y = 0.7 + 0.01 * np.log(x[:, 0] / 1e6) + 0.005 * np.log(x[:, 1] / 1e8)
    free, bound = (
        JointPowerLaw(direction="rising", delta=0.1, bound=bound).fit(x, y) for bound in (None, 1.0)
    )
    assert free.params_["E"] > 1 >= bound.params_["E"]
    with pytest.raises(ValueError, match="bound must be None or above all y of a rising metric"):
        JointPowerLaw(bound=0.7).fit(x, y)
