import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.design.roi_choice import best_size, highest_roi, revenue_and_cost, share_best

money = st.integers(-3, 3).map(float)  # few values: many ties
pairs = st.lists(st.tuples(money, st.sampled_from([-1.0, 0.0, 1.0, 2.0, np.inf])), min_size=1)


@given(pairs, st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_best_size_equals_a_loop(sizes, roi_min):
    revenue, cost = map(np.array, zip(*sizes, strict=True))
    feasible = [i for i, (r, c) in enumerate(sizes) if c < np.inf and r >= roi_min * c]
    if not feasible:
        with pytest.raises(ValueError, match="no size reaches roi_min"):
            best_size(revenue, cost, roi_min)
        return
    best = best_size(revenue, cost, roi_min)
    assert best in feasible
    assert (-revenue[best], cost[best]) == min((-revenue[i], cost[i]) for i in feasible)


def test_total_and_incremental_roi_differ():
    revenue, cost = np.array([100.0, 101.0, 102.0]), np.array([10.0, 11.0, 15.0])
    assert best_size(revenue, cost, roi_min=2) == 2  # 102 / 15 = 6.8
    assert best_size(revenue - 100, cost - 10, roi_min=1) == 1  # 1 / 1, but 2 / 5


def test_share_best_by_hand():
    revenue = [[1, 2, 3], [1, 2, 3], [1, 5, 3], [0, 0, 0]]
    cost = [[1, 1, 1], [1, 1, 4], [1, 1, 1], [1, 1, 1]]
    np.testing.assert_allclose(share_best(revenue, cost, roi_min=1), [0, 2 / 4, 1 / 4])


def test_share_best_of_one_draw_is_best_size():
    rng = np.random.default_rng(0)
    revenue, cost = rng.uniform(size=(20, 50)), rng.uniform(size=50)
    best = [best_size(draw, cost, roi_min=1) for draw in revenue]
    np.testing.assert_allclose(
        share_best(revenue, cost, roi_min=1), np.bincount(best, minlength=50) / 20
    )


@pytest.mark.parametrize(
    ("revenue", "cost", "roi_min", "message"),
    [
        ([1, 2], [1, 2, 3], 1, r"of one shape; got \(2,\) and \(3,\)"),
        ([1, np.nan], [1, 2], 1, "revenue must be finite; got nan"),
        ([1, 2], [1, np.nan], 1, "cost must be a number"),
        ([1, 2], [1, 2], -1, "roi_min must be a number >= 0; got -1"),
        ([], [], 1, "at least one size"),
        ([1, 3], [2, 4], 1, r"no size reaches roi_min = 1; the highest ROI is 0.75 \(size 1\)"),
    ],
)
def test_best_size_refuses(revenue, cost, roi_min, message):
    with pytest.raises(ValueError, match=message):
        best_size(revenue, cost, roi_min)


def test_share_best_refuses_one_dimension():
    with pytest.raises(ValueError, match=r"must be \[draws, sizes\]"):
        share_best([1, 2], [1, 2], 1)


def test_highest_roi_without_any():
    assert "no size has a positive" in highest_roi(np.array([1.0]), np.array([np.inf]))


def test_revenue_and_cost_equal_a_loop():
    rng = np.random.default_rng(1)
    lift, machine_cost = rng.normal(size=(4, 3)), rng.uniform(1, 2, size=(4, 3))
    for roi in ("incremental", "total"):
        revenue, cost = revenue_and_cost(lift, machine_cost, 2, revenue_per_hour=50, roi=roi)
        for draw in range(4):
            for size in range(3):
                beyond = roi == "incremental"
                assert revenue[draw, size] == pytest.approx(
                    50 * lift[draw, size] + (0 if beyond else 50)
                )
                assert cost[draw, size] == pytest.approx(
                    machine_cost[draw, size] - (machine_cost[draw, 2] if beyond else 0)
                )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"roi": "net"}, "roi must be 'incremental' or 'total'; got 'net'"),
        ({"revenue_per_hour": -1.0}, "revenue_per_hour must be > 0; got -1"),
        ({"revenue_per_hour": np.inf}, "revenue_per_hour must be > 0; got inf"),
    ],
)
def test_revenue_and_cost_refuse(wrong, message):
    with pytest.raises(ValueError, match=message):
        revenue_and_cost([0.0], [1.0], 0, **{"revenue_per_hour": 1.0, "roi": "total"} | wrong)
