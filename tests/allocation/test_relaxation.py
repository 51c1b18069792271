import numpy as np
import pytest
from scipy.optimize import linprog

from lib.allocation.relaxation import prices, rows, survey
from lib.allocation.scenarios import Terms, blocks
from tests.allocation import made


def solved(revenue, cost, pool, budget, own):
    """Prices of a problem, its survey, and what the budgets leave beyond the cheapest sizes."""
    parts = blocks(revenue, cost, Terms(roi_min=0), pool)
    found = survey(parts)
    kept = list(rows(lambda: parts, found))
    spare = None if budget is None else budget - found.cost.sum()
    pool_spare = None
    if own is not None:
        pool_spare = np.array(own) - np.bincount(pool, found.cost, minlength=len(own))

    def source(wanted):
        for part in kept:
            mine = slice(None) if wanted is None else wanted[part.ids]
            yield type(part)(*(values[mine] for values in part))

    return prices(source, found, spare, pool_spare), found, spare, pool_spare


def linear_relaxation(revenue, cost, pool, budget, own):
    """Revenue and the budgets' prices by a solver of linear programs."""
    n, k = revenue.shape
    limits, right = [], []
    if budget is not None:
        limits.append(cost.ravel())
        right.append(budget)
    for i, limit in enumerate(own or []):
        limits.append((cost * (pool == i)[:, None]).ravel())
        right.append(limit)
    result = linprog(-revenue.ravel(), limits, right, np.kron(np.eye(n), np.ones(k)), np.ones(n))
    return -result.fun, -result.ineqlin.marginals


@pytest.mark.parametrize("kind", ["random", "weak", "concave"])
@pytest.mark.parametrize("budgets", ["common", "pools", "both"])
def test_prices_and_bound_are_those_of_the_linear_program(kind, budgets):
    revenue, cost, budget = made.large(kind, 30, 12, seed=2)
    revenue = revenue + 10  # none below 0, which an ROI of 0 would forbid
    pool = np.arange(30) % 3
    own = None if budgets == "common" else [0.25 * budget, 0.3 * budget, 0.7 * budget]
    common = None if budgets == "pools" else 0.9 * budget
    at, found, spare, pool_spare = solved(revenue, cost, pool * (own is not None), common, own)
    best, marginals = linear_relaxation(revenue, cost, pool, common, own)
    own_prices = at.pools - at.common
    expected = ([at.common] if common is not None else []) + (list(own_prices) if own else [])
    np.testing.assert_allclose(expected, marginals, rtol=1e-6, atol=1e-9)
    price = at.pools[found.pool][:, None]
    bound = (revenue - price * (cost - found.cost[:, None])).max(axis=1).sum()
    bound += at.common * spare if spare is not None else 0
    bound += own_prices @ pool_spare if own else 0
    assert bound == pytest.approx(best, rel=1e-9)


def test_the_choice_is_within_the_budget_and_best_at_the_price():
    revenue, cost, budget = made.large("weak", 200, 30, seed=3)
    at, found, spare, _ = solved(revenue, cost, np.zeros(200, int), budget, None)
    assert at.extra.sum() <= spare
    each = np.arange(200)
    net = np.where(revenue >= 0, revenue - at.common * cost, -np.inf)
    np.testing.assert_allclose(net[each, at.choice], net.max(axis=1), rtol=1e-9)
    np.testing.assert_allclose(cost[each, at.choice] - found.cost, at.extra, atol=1e-9)


def test_sums_are_exact_in_any_order():
    revenue, cost, _ = made.large("random", 300, 20, seed=4)
    parts = blocks(revenue, cost, Terms(roi_min=0))
    (part,) = rows(lambda: parts, survey(parts))
    extra = part.extra.max(axis=1)
    assert extra.sum() == extra[::-1].sum() == np.cumsum(np.sort(extra))[-1]


def test_scenarios_all_alike_share_the_budget():
    revenue, cost = np.tile([0.0, 3.0, 4.0], (50, 1)), np.tile([0.0, 1.0, 2.0], (50, 1))
    at, *_ = solved(revenue, cost, np.zeros(50, int), 20.0, None)
    assert at.common == pytest.approx(3.0) and at.extra.sum() == 20
