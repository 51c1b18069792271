"""The curve of Eq 6, from a hand-worked value to a sharp break."""

import numpy as np
import pytest

from lib.laws.curve import bnsl, log_bnsl
from tests.laws.points import X


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
