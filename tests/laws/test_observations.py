"""What a law is fitted to: the errors of neighbouring sizes, bad points named."""

import numpy as np
import pytest

from lib.laws import BNSL
from lib.laws.observations import whitening


def test_errors_of_neighbours_by_hand():
    """Three sizes half the measured range apart, the largest measured twice."""
    V = whitening(np.array([-2.0, -1.0, 0.0]), np.array([1.0, 1.0, 2.0]), ratio=2.0, length=0.1)
    cov = np.linalg.inv(V.T @ V)  # in units of noise^2; a shared error counts 2 / (4 / 3)
    assert cov[1, 1] == pytest.approx((1 + 1.5) / (1 + 2))
    assert cov[2, 2] == pytest.approx((1 / 2 + 1.5) / (1 + 2))
    assert cov[1, 2] == pytest.approx(1.5 * np.exp(-0.5 / 0.1) / (1 + 2))


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
