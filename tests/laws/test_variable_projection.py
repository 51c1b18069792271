"""Variable projection: its Jacobian."""

import numpy as np

from lib.laws import Prior
from lib.laws.curve import bnsl
from lib.laws.variable_projection import Projection
from tests.laws.points import points_of


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
