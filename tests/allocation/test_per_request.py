"""Options by request: against every assignment there is, and against a linear program."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from lib.allocation import per_request


def test_by_hand():
    """The second request gains 3 for 1, the first 1 for 1: the budget pays for one of them."""
    found = per_request.assign([[0.0, 1.0], [0.0, 3.0]], [1.0, 2.0], budget=1.5)
    assert found.option.tolist() == [0, 1]
    assert (found.gain, found.cost) == (1.5, 1.5)
    assert 1 <= found.price <= 3


@pytest.mark.parametrize("seed", range(20))
def test_no_assignment_of_the_same_cost_earns_more(seed):
    rng = np.random.default_rng(seed)
    gain, cost = rng.normal(size=(6, 3)), np.array([1.0, 2.5, 4.0])
    budget = rng.uniform(1.1, 4)
    found = per_request.assign(gain, cost, budget)
    assert found.cost <= budget
    every = [
        (gain[np.arange(6), options].mean(), cost[list(options)].mean())
        for options in itertools.product(range(3), repeat=6)
    ]
    assert found.gain == pytest.approx(max(g for g, c in every if c <= found.cost + 1e-12))
    best = max(g for g, c in every if c <= budget)
    # What the price cannot reach is what one request's options differ by.
    assert best - found.gain <= np.ptp(gain, axis=1).max() / 6 + 1e-12
    assert best <= found.gain + found.price * (budget - found.cost) + 1e-9  # the dual bound


def test_a_budget_that_pays_for_everyone_has_no_price():
    gain = [[0.0, 1.0], [2.0, 1.0]]
    found = per_request.assign(gain, [1.0, 2.0], budget=2.0)
    assert (found.option.tolist(), found.price) == ([1, 0], 0.0)


def test_the_price_falls_as_the_budget_grows():
    gain = np.random.default_rng(0).exponential(size=(500, 3)).cumsum(axis=1)
    prices = [per_request.assign(gain, [1.0, 2.0, 4.0], b).price for b in (1.2, 2.0, 3.0, 3.9)]
    assert prices == sorted(prices, reverse=True) and prices[-1] > 0


def test_equal_gains_take_the_cheaper_whatever_the_order_of_options():
    assert per_request.assign([[1.0, 1.0]], [2.0, 1.0], budget=2.0).option.tolist() == [1]


@pytest.mark.parametrize("seed", range(20))
def test_the_mixture_is_the_best_of_all_shares(seed):
    rng = np.random.default_rng(seed)
    gain, cost = rng.normal(size=5), rng.uniform(1, 3, 5)
    budget = rng.uniform(cost.min(), 3)
    best = linprog(-gain, A_ub=[cost], b_ub=[budget], A_eq=[np.ones(5)], b_eq=[1])
    mixture = per_request.best_mixture(gain, cost, budget)
    assert mixture.mean(gain) == pytest.approx(-best.fun)
    assert mixture.mean(cost) <= budget + 1e-12


def test_a_user_s_own_gain_is_not_seen():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 3))
    gain = np.column_stack([np.zeros(100), features[:, 0]])
    before = per_request.predicted_gain(features, gain)
    gain[7] = [0.0, 1e6]
    after = per_request.predicted_gain(features, gain)
    np.testing.assert_array_equal(before[7], after[7])
    assert not np.array_equal(before, after)


def test_what_features_tell_is_found():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(3000, 4))
    gain = np.column_stack([np.zeros(3000), features[:, 1] + 3 * rng.normal(size=3000)])
    predicted = per_request.predicted_gain(features, gain)
    assert np.corrcoef(predicted[:, 1], features[:, 1])[0, 1] > 0.95


def test_policies_cost_no_more_and_what_is_known_earns_most():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2000, 2))
    worth = 10 + np.column_stack([np.zeros(2000), 0.5 + features[:, 0], 0.7 + 1.5 * features[:, 0]])
    past, money = (worth + rng.normal(0, 1, worth.shape) for _ in range(2))
    found = per_request.policies(money, past, features, [1.0, 2.0, 4.0], today=1)
    one = found[per_request.ONE_FOR_ALL]
    np.testing.assert_array_equal(one.money, money[:, 1])
    assert one.cost == 2
    assert all(policy.cost <= 2 + 1e-9 for policy in found.values())
    earned = {name: policy.money.mean() for name, policy in found.items()}
    assert earned[per_request.KNOWN] > earned[per_request.PREDICTED]
    assert earned[per_request.PREDICTED] > max(
        earned[per_request.ONE_FOR_ALL], earned[per_request.BY_LOT]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0, 1.0], [1.0, 2.0], 2.0), r"gain must be \[requests, options\]"),
        (([[0.0, 1.0]], [1.0], 2.0), r"got shapes \(1, 2\) and \(1,\)"),
        (([[0.0, np.nan]], [1.0, 2.0], 2.0), "must be finite"),
        (([[0.0, 1.0]], [1.0, 2.0], 0.5), "budget = 0.5 is below 1, what the cheapest option"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        per_request.assign(*arguments)
