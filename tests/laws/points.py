"""Points that several tests of the laws are fitted to."""

import numpy as np

from lib.laws.observations import check_points, gather_points

# Figure 7 of the paper: FLOPs per user-ad pair, R/R* (read off the figure).
FLOPS = np.array(
    [864320, 1753216, 3604736, 7602688, 8913920, 13109248, 16778240, 4.0e7, 49284096, 142608384]
)
R = np.array([0.8238, 0.8347, 0.8428, 0.8517, 0.8545, 0.8572, 0.8578, 0.8632, 0.8628, 0.8695])

ERRORS = np.random.default_rng(0).normal(0, 0.01, 20)
X = np.geomspace(1e3, 1e7, 20)  # 20 sizes
Y = (0.3 + 5 * X**-0.3) * np.exp(ERRORS)  # 1 % of noise


def points_of(x, y, **settings):
    """`Points` of measurements, with the defaults of the laws."""
    given = {"direction": "auto", "bound": None, "name": "test"} | settings
    return gather_points(*check_points(x, y, name="test", least=3), **given)
