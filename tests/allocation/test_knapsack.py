import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.allocation.knapsack import _membership, allocate

size = st.tuples(st.integers(0, 20), st.integers(-2, 12))  # revenue, cost: many ties
scenarios = st.lists(st.lists(size, min_size=1, max_size=6), min_size=1, max_size=4)


def exhaustive(revenue, cost, budget, roi_min):
    """Most revenue over all combinations, None where there is none."""
    best = None
    for choice in itertools.product(*map(range, map(len, revenue))):
        r, c = ([x[i] for x, i in zip(values, choice, strict=True)] for values in (revenue, cost))
        if sum(c) <= budget and all(a >= roi_min * b for a, b in zip(r, c, strict=True)):
            best = sum(r) if best is None else max(best, sum(r))
    return best


@settings(max_examples=150, deadline=None)
@given(scenarios, st.integers(-5, 40), st.sampled_from([0.0, 1.0, 2.0]))
def test_equals_exhaustive_search(sizes, budget, roi_min):
    revenue = [np.array([r for r, _ in scenario], float) for scenario in sizes]
    cost = [np.array([c for _, c in scenario], float) for scenario in sizes]
    best = exhaustive(revenue, cost, budget, roi_min)
    if best is None:
        with pytest.raises(ValueError, match=r"no size reaches roi_min|below .* the cheapest"):
            allocate(revenue, cost, budget, roi_min)
        return
    got = allocate(revenue, cost, budget, roi_min)
    assert got.revenue == pytest.approx(best)
    assert got.revenue == sum(r[i] for r, i in zip(revenue, got.choice, strict=True))
    assert got.cost == sum(c[i] for c, i in zip(cost, got.choice, strict=True)) <= budget
    for r, c, i in zip(revenue, cost, got.choice, strict=True):
        assert r[i] >= roi_min * c[i]
    assert got.gap == pytest.approx(0, abs=1e-6)


def test_a_lift_far_below_the_revenue_is_resolved():
    """0.01 more on a revenue of a million: 1e-8 of it, yet all that is at stake."""
    revenue = [np.array([1e6, 1e6 + 0.01]), np.array([1e6, 1e6 + 0.02])]
    cost = [np.array([5.0, 6.0]), np.array([5.0, 6.0])]
    assert allocate(revenue, cost, budget=11).choice == [0, 1]


def test_todays_combination_fits_its_own_cost():
    revenue, cost = [np.array([1.0])] * 3, [np.array([0.1]), np.array([0.2]), np.array([0.3])]
    budget = 0.3 + (0.2 + 0.1)  # one unit in the last place below 0.1 + 0.2 + 0.3
    assert allocate(revenue, cost, budget).cost == pytest.approx(0.6)


def test_five_scenarios_of_600_undominated_sizes():
    rng = np.random.default_rng(1)
    cost = [np.sort(rng.uniform(1, 100, 600)) for _ in range(5)]
    revenue = [10 * np.sqrt(c) * rng.uniform(1, 3) for c in cost]
    got = allocate(revenue, cost, budget=150, roi_min=1)
    assert got.cost <= 150
    assert got.gap <= 1e-6 * got.revenue
    # No exchange within two scenarios is better.
    for a, b in itertools.combinations(range(5), 2):
        spent = got.cost - cost[a][got.choice[a]] - cost[b][got.choice[b]]
        fits = np.searchsorted(cost[b], 150 - spent - cost[a], side="right") - 1
        pair = np.where(fits >= 0, revenue[a] + revenue[b][fits], -np.inf)
        now = revenue[a][got.choice[a]] + revenue[b][got.choice[b]]
        assert pair.max() <= now * (1 + 1e-9)


def test_roi_of_each_scenario():
    revenue, cost = [np.array([4.0, 6.0])] * 2, [np.array([1.0, 3.0])] * 2
    assert allocate(revenue, cost, budget=9, roi_min=[1, 3]).choice == [1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 1.5}, "budget = 1.5 is below 2, the cheapest combination"),
        ({"roi_min": [0, 5]}, r"scenario 1: no size reaches roi_min = 5; the highest ROI is 4"),
        ({"roi_min": [1, 1, 1]}, r"one for each of the 2 scenarios; got shape \(3,\)"),
        ({"budget": np.inf}, "budget must be finite; got inf"),
        ({"cost": [np.array([1.0])] * 2}, r"scenario 0: revenue and cost must be \[sizes\]"),
        ({"cost": [np.array([1.0, 3.0])]}, "one array per scenario; got 2 and 1"),
        ({"revenue": [], "cost": []}, "one array per scenario; got 0 and 0"),
        ({"revenue": [np.array([4.0, np.inf])] * 2}, "scenario 0: revenue must be finite"),
    ],
)
def test_refuses(change, message):
    case = {
        "revenue": [np.array([4.0, 6.0])] * 2,
        "cost": [np.array([1.0, 3.0])] * 2,
        "budget": 9,
        "roi_min": 1,
    } | change
    with pytest.raises(ValueError, match=message):
        allocate(**case)


def test_many_scenarios_need_memory_of_their_sizes_alone():
    """3,000 scenarios of three sizes: a dense scenario x size matrix has 27 million entries."""
    rng = np.random.default_rng(2)
    cost = list(np.cumsum(rng.uniform(1, 2, (3000, 3)), axis=1))
    revenue = [10 * np.sqrt(values) for values in cost]
    tracemalloc.start()
    answer = allocate(revenue, cost, budget=np.sum(cost, axis=0)[-1], roi_min=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.choice == [2] * 3000  # everything fits
    assert peak < 27e6 / 2  # bytes: less than half a byte an entry


def test_membership_holds_one_entry_for_each_size():
    counts = np.random.default_rng(3).integers(1, 6, 40)
    matrix = _membership(counts)
    assert matrix.nnz == counts.sum()
    scenario = np.repeat(np.arange(40), counts)
    np.testing.assert_array_equal(matrix.toarray(), scenario == np.arange(40)[:, None])
    thousand = _membership([1000] * 1000)  # dense: 8 GB
    assert thousand.shape == (1000, 10**6)
    assert thousand.nnz == 10**6
