"""The paper's own recipe."""

import numpy as np
import pytest

from lib.laws import BNSL, BasinHoppingBNSL
from tests.laws.points import FLOPS, R


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
