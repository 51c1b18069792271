"""The joint law of size and data."""

import numpy as np
import pytest

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


@needs_curves
def test_chinchilla_as_besiroglu_et_al_fit_it():
    rows = np.genfromtxt(SHARED / "chinchilla.csv", delimiter=",", names=True)
    rows = np.sort(rows, order="Loss")[:-5]  # they leave out the five highest losses
    x = np.column_stack([rows["Model_Size"], rows["Training_Tokens"]])
    law = JointPowerLaw().fit(x, rows["Loss"])
    published = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
    for name, value in published.items():
        assert law.params_[name] == pytest.approx(value, rel=0.05)
