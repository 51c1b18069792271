"""Why FLOPs do not tell the cost, by hand."""

import numpy as np
import pytest

from lib.cost.device import CPU_CORE, T4
from lib.cost.roofline import TERMS, Roofline
from lib.design.cost_models_compared import best_by_cost, cost_steps, step_errors, time_shares
from tests.cost.test_roofline import SIZES, measured

BASE, SOLVED = [3328, 1024, 256, 256, 256, 1], [16128, 1024, 512, 512, 512, 1]


def test_steps_by_hand():
    """FLOPs of the solved size are 4.62 times the base's, 2.67 times behind the cached layer."""
    steps = cost_steps([SOLVED], BASE, 10**6, T4).iloc[0]
    assert steps["flops"] == pytest.approx(35_128_320 / 7_602_688)
    # 2 (1024 x 512 + 512 x 512 + 512 x 512 + 512) over 2 (1024 x 256 + 256 x 256 x 2 + 256)
    assert steps["cached"] == pytest.approx(2_098_176 / 786_944, rel=1e-2)


def test_step_errors_of_a_machine_that_is_the_model():
    rows = measured({}, forms=["first_layer_optimised"])
    errors = step_errors(rows[rows["candidates"] == 1500], BASE, CPU_CORE).set_index("step")
    assert errors.loc["overhead", "largest_error"] < 1e-9
    assert errors.loc["flops", "median_error"] > 0.3
    with pytest.raises(ValueError, match="one number of candidates; got 2 rows"):
        step_errors(rows, BASE, CPU_CORE)


def test_time_shares_add_up():
    shares = time_shares(Roofline(T4), SIZES, "first_layer_optimised", 1500)
    np.testing.assert_allclose(shares[list(TERMS)].sum(axis=1), 1)


def test_best_by_cost_by_hand():
    """Twice the revenue at twice the cost of 10 machines; then at 1.5 times."""
    sizes = np.array([[4, 2, 1], [8, 2, 1]])
    table = best_by_cost(
        sizes,
        np.array([0.0, 8.0]),
        0,
        {"dear": [1.0, 2.0], "cheap": [1.0, 1.5]},
        machines_base=10,
        price_per_hour=1.0,
    )
    assert table["size_parameters"].tolist() == [[4, 2, 1], [8, 2, 1]]
    assert table["cost"].tolist() == [1.0, 1.5]
    assert table["roi"].tolist() == [np.inf, 8 / 5]
