"""Decisions: by hand, by a loop over draws and sizes, and what must hold whatever the draws."""

import numpy as np
import pytest

from lib.design.decision import Decision
from lib.design.size_economics import SizeEconomics
from lib.design.size_grids import Sizes

SIZES = Sizes(np.array([[4, 2, 1], [8, 2, 1], [8, 4, 1], [16, 4, 1]]), np.array([20, 36, 72, 136]))


def economics(lift_draws, cost_draws, **changes):
    lift_draws, cost_draws = np.asarray(lift_draws, float), np.asarray(cost_draws, float)
    arguments = {
        "sizes": Sizes(*(x[: lift_draws.shape[1]] for x in SIZES)),
        "base": 0,
        "lift": lift_draws.mean(axis=0),
        "lift_draws": lift_draws,
        "machine_cost": cost_draws[0],
        "machine_cost_draws": cost_draws,
        "revenue_per_hour": 1000.0,
    }
    return SizeEconomics(**arguments | changes)


def random_economics(draws=300, seed=0, **changes):
    rng = np.random.default_rng(seed)
    lift = np.array([0.0, 0.01, 0.02, 0.025]) * rng.normal(1, 0.8, (draws, 1))
    lift[:, 1:] += rng.normal(0, 0.004, (draws, 3))
    cost = np.array([100.0, 105.0, 112.0, 120.0]) * rng.lognormal(0, 0.03, (draws, 4))
    cost[rng.random(draws) < 0.1, 3] = np.inf
    cost[0] = [100.0, 105.0, 112.0, 120.0]
    return economics(lift, cost, **changes)


def by_loop(case, limit):
    """Value, regret and what keeps the bound, size by size and draw by draw."""
    draws, sizes = case.lift_draws.shape
    value, regret = np.zeros((draws, sizes)), np.zeros((draws, sizes))
    meets, revenue, cost = np.zeros((draws, sizes), bool), value.copy(), value.copy()
    for i in range(draws):
        for j in range(sizes):
            beyond = case.machine_cost_draws[i, j] - case.machine_cost_draws[i, case.base]
            own = j if beyond <= case.revenue_per_hour else case.base
            lift, price = case.lift_draws[i, own], case.machine_cost_draws[i, own]
            if case.roi == "incremental":
                revenue[i, j] = case.revenue_per_hour * lift
                cost[i, j] = price - case.machine_cost_draws[i, case.base]
            else:
                revenue[i, j], cost[i, j] = case.revenue_per_hour * (1 + lift), price
            meets[i, j] = own == j and revenue[i, j] >= limit * cost[i, j]
        keeping = [revenue[i, j] for j in range(sizes) if meets[i, j]]
        best = max(keeping) if keeping else revenue[i, case.base]
        for j in range(sizes):
            value[i, j] = min(revenue[i, j], best) - max(limit * cost[i, j] - revenue[i, j], 0)
            regret[i, j] = best - value[i, j]
    return value, regret, meets, revenue, cost


@pytest.mark.parametrize(("roi", "limit"), [("incremental", 1.0), ("total", 9.0), ("total", 20.0)])
def test_all_equals_a_loop(roi, limit, monkeypatch):
    monkeypatch.setattr("lib.design.decision.BLOCK", 40)  # blocks of ten draws
    case = random_economics(roi=roi, roi_min=limit)
    decision = Decision(case, confidence=0.5, tolerance=0.01, near_share=0.5)
    _, regret, meets, revenue, cost = by_loop(case, limit)
    np.testing.assert_allclose(decision.regret_draws, regret, atol=1e-9)
    np.testing.assert_allclose(decision.regret, regret.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(decision.expected_revenue, revenue.mean(axis=0))
    np.testing.assert_allclose(decision.expected_cost, cost.mean(axis=0))
    np.testing.assert_allclose(decision.probability_of_bound, meets.mean(axis=0))
    np.testing.assert_allclose(decision.near_best, (regret <= 10 + 1e-9).mean(axis=0))
    assert (regret >= -1e-9).all()
    np.testing.assert_allclose(decision.table()["share_best"], case.share_best)


def test_by_hand():
    """The second earns 20 for 10; the third 30, 40 or 20 for 30, and so falls 10 short once."""
    case = economics([[0, 0.02, 0.03], [0, 0.02, 0.04], [0, 0.02, 0.02]], [[100, 110, 130]] * 3)
    decision = Decision(case, confidence=0.9, tolerance=0.01, near_share=0.6)
    # Best in each draw: 30, 40, 20; the third's value in the last: 20 - 10.
    np.testing.assert_allclose(decision.regret, [30, 10, 10 / 3])
    np.testing.assert_allclose(decision.probability_of_bound, [1, 1, 2 / 3])
    assert decision.choice == 1 and decision.least_regret == 2
    assert decision.perfect_information == pytest.approx(10 / 3)
    # Within 10 of the best: the second in two of three draws, the third in all.
    np.testing.assert_allclose(decision.near_best, [0, 2 / 3, 1])
    assert decision.near_equivalent.tolist() == [False, True, True]
    assert Decision(case, confidence=0.6).choice == 2


def test_equal_revenues_go_to_the_lower_cost():
    case = economics([[0.0, 0.02, 0.02]] * 2, [[100.0, 110.0, 105.0]] * 2)
    assert Decision(case).choice == 2 and Decision(case).least_regret == 2


def test_a_size_that_cannot_be_served_leaves_the_base_in_place():
    case = economics([[0.0, 0.02], [0.0, 0.02]], [[100.0, 110.0], [100.0, np.inf]])
    decision = Decision(case, confidence=0.9)
    np.testing.assert_allclose(decision.expected_revenue, [0, 10])
    np.testing.assert_allclose(decision.probability_of_bound, [1, 0.5])
    np.testing.assert_allclose(decision.regret, [10, 0])  # the second draw's best is the base
    assert decision.choice == 0


def test_one_draw_of_absurd_cost_does_not_decide():
    """A size that would need 1e200 machines is not deployed, as one that cannot be served."""
    lift = [[0.0, 0.02], [0.0, 0.02]]
    absurd, unserved = (
        Decision(economics(lift, [[100.0, 110.0], [100.0, worst]])) for worst in (1e200, np.inf)
    )
    np.testing.assert_array_equal(absurd.regret, unserved.regret)
    np.testing.assert_array_equal(absurd.expected_cost, unserved.expected_cost)
    dear = Decision(economics(lift, [[100.0, 110.0], [100.0, 1100.0]]))  # as much as is earned
    assert dear.regret[1] == (1000 - 20) / 2


def test_certain_draws_give_the_best_size_without_regret():
    case = random_economics()
    sure = economics(np.tile(case.lift, (5, 1)), np.tile(case.machine_cost, (5, 1)))
    decision = Decision(sure)
    assert decision.choice == decision.least_regret == sure.best()
    assert decision.regret[decision.choice] == 0 == decision.perfect_information


def test_more_confidence_never_earns_more():
    case = random_economics(roi_min=1.0)
    earned = [
        Decision(case, confidence=level).expected_revenue[Decision(case, confidence=level).choice]
        for level in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
    ]
    assert (np.diff(earned) <= 0).all() and earned[0] > earned[-1]


def test_the_frontier_is_the_decision_under_each_bound():
    case = random_economics()
    table = Decision(case).frontier([0.0, 0.5, 1.0, 3.0])
    for row in table.itertuples():
        other = Decision(random_economics(roi_min=row.roi_min))
        assert row.size == other.choice
        assert row.size_parameters == SIZES.size_parameters[other.choice].tolist()
        assert row.revenue == pytest.approx(other.expected_revenue[other.choice])
        assert row.probability_of_bound == pytest.approx(other.probability_of_bound[other.choice])
        assert row.low <= row.revenue <= row.high
        value, regret, *_ = by_loop(case, row.roi_min)
        assert row.perfect == pytest.approx((value + regret).mean())
    assert (np.diff(table["revenue"]) <= 0).all() and (np.diff(table["perfect"]) <= 1e-9).all()


def test_a_bound_that_no_size_keeps():
    case = random_economics(roi="total", roi_min=50.0)
    with pytest.raises(ValueError, match=r"no size keeps roi_min = 50 with a confidence of 0\.9"):
        _ = Decision(case).choice
    (row,) = Decision(case).frontier([50.0]).itertuples()
    assert np.isnan(row.revenue)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"confidence": 1.0}, "Decision: confidence must lie between 0 and 1; got 1.0"),
        ({"near_share": 90}, "Decision: near_share must lie between 0 and 1; got 90"),
        ({"tolerance": -0.1}, "Decision: tolerance must be >= 0; got -0.1"),
    ],
)
def test_bad_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        Decision(random_economics(), **wrong)


def test_draws_that_were_not_made_together():
    case = economics(np.zeros((3, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"drawn together.*\(3, 2\) and \(2, 2\)"):
        Decision(case)


def test_a_limit_below_0():
    with pytest.raises(ValueError, match=r"limits must be >= 0; got \[-1\.0\]"):
        Decision(random_economics()).frontier([-1.0])
