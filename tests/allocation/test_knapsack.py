import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.allocation.knapsack import allocate, allocate_chunks
from tests.allocation import made

size = st.tuples(st.integers(0, 20), st.integers(-2, 12))  # revenue, cost: many ties
scenarios = st.lists(st.lists(size, min_size=1, max_size=6), min_size=1, max_size=4)


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_a_thousand_small_problems_with_every_option_equal_exhaustive_search(whole):
    feasible = 0
    for seed in range(500):
        problem = made.small(np.random.default_rng(seed), whole=whole)
        best = made.exhaustive(**problem)
        if best is None:
            with pytest.raises(ValueError, match=r"no size|is below .* the cheapest"):
                allocate(**problem)
            continue
        got = allocate(**problem)
        assert got.revenue == pytest.approx(best, abs=1e-9), seed
        assert got.gap == 0
        feasible += 1
    assert feasible > 200


@settings(max_examples=150, deadline=None)
@given(scenarios, st.integers(-5, 40), st.sampled_from([0.0, 1.0, 2.0]))
def test_equals_exhaustive_search(sizes, budget, roi_min):
    revenue = [np.array([r for r, _ in scenario], float) for scenario in sizes]
    cost = [np.array([c for _, c in scenario], float) for scenario in sizes]
    best = made.exhaustive(revenue, cost, budget, [roi_min] * len(sizes))
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
        ({"budget": None}, "budget must be a number where there are no pool_budgets"),
        ({"pools": ["a", "b"]}, "pools and pool_budgets go together"),
        ({"pools": ["a"], "pool_budgets": {"a": 1}}, "one for each of the 2 scenarios; got 1"),
        (
            {"pools": ["a", "b"], "pool_budgets": {"a": 5, "b": 0.5}},
            r"pool 'b': budget = 0.5 is below 1, the cheapest .*scenario 1 needs most of it, 1",
        ),
        ({"least_revenue": [0, 7]}, r"scenario 1: no size has least_revenue = 7; of those .* 6"),
        (
            {"capacity": [[1, 2]] * 2, "least_capacity": [1, 3]},
            "scenario 1: no size has least_capacity = 3; .* size 1 has most, 2",
        ),
        ({"least_capacity": 3}, "least_capacity needs capacity"),
        ({"switching_cost": 3, "today": [0, 0]}, "switching_cost needs horizon_hours"),
        ({"machine_price": 0}, "machine_price must be a number > 0; got 0"),
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


@pytest.mark.parametrize("kind", ["random", "weak", "subset sum", "concave"])
def test_hard_kinds_are_proven(kind):
    revenue, cost, budget = made.large(kind, 60, 40)
    got = allocate(revenue, cost, budget, 0)
    assert got.cost <= budget * (1 + 1e-9)
    assert got.relative_gap <= 1e-10
    one = allocate(revenue[::-1, ::-1], cost[::-1, ::-1], budget, 0)
    assert one.revenue == pytest.approx(got.revenue, rel=1e-10)


def test_more_budget_never_buys_less_and_the_shadow_price_says_how_much():
    revenue, cost, budget = made.large("concave", 300, 30, seed=3)
    answers = [allocate(revenue, cost, budget * share, 0) for share in (0.9, 1.0, 1.01, 1.2, 99)]
    earned = [answer.revenue for answer in answers]
    assert earned == sorted(earned)
    price = answers[1].shadow_price
    assert earned[2] - earned[1] == pytest.approx(0.01 * budget * price, rel=0.02)
    assert answers[0].shadow_price > price > answers[3].shadow_price > 0
    assert answers[-1].shadow_price == 0 and answers[-1].choice == revenue.argmax(axis=1).tolist()


def test_units_do_not_matter():
    revenue, cost, budget = made.large("weak", 80, 20, seed=4)
    got = allocate(revenue, cost, budget, 0.3)
    other = allocate(revenue * 1e-7, cost * 3e5, budget * 3e5, 0.3 * 1e-7 / 3e5)
    assert other.choice == got.choice
    assert other.shadow_price == pytest.approx(got.shadow_price * 1e-7 / 3e5)


def test_dominated_sizes_change_nothing():
    revenue, cost, budget = made.large("concave", 50, 20, seed=5)
    worse = np.hstack([revenue, revenue - 1]), np.hstack([cost, cost + 1])
    assert allocate(*worse, budget, 0).choice == allocate(revenue, cost, budget, 0).choice


def test_scenarios_of_unlike_lengths():
    revenue, cost, budget = made.large("random", 40, 60, seed=6)
    cut = np.random.default_rng(0).integers(1, 61, 40)
    ragged = [[row[:n] for row, n in zip(values, cut, strict=True)] for values in (revenue, cost)]
    there = np.arange(60) < cut[:, None]
    budget = sum(row.min() for row in ragged[1]) * 1.5
    got = allocate(*ragged, budget, 0)
    full = allocate(revenue, np.where(there, cost, np.inf), budget, 0)
    assert got.choice == full.choice and got.gap == 0


@pytest.mark.parametrize("common", [None, 0.8])
def test_pools_are_met_and_proven(common):
    revenue, cost, budget = made.large("random", 90, 30, seed=7)
    pools = ["a", "b", "c"] * 30
    own = {"a": 0.2 * budget, "b": 0.3 * budget, "c": 0.6 * budget}
    got = allocate(revenue, cost, common and common * budget, 0, pools=pools, pool_budgets=own)
    assert got.relative_gap <= 1e-9
    spent = {name: 0.0 for name in own}
    for line, j, name in zip(cost, got.choice, pools, strict=True):
        spent[name] += line[j]
    assert all(spent[name] <= own[name] for name in own)
    assert (got.shadow_price > 0) == (common is not None)
    if common is None:  # each pool by itself
        for i, name in enumerate(own):
            alone = allocate(revenue[i::3], cost[i::3], own[name], 0)
            assert got.choice[i::3] == alone.choice
            assert got.pool_shadow_prices[name] == pytest.approx(alone.shadow_price)


def test_whole_machines_are_paid():
    revenue, cost = [[10.0, 20.0, 26.0]], [[1.2, 2.0000000001, 2.1]]
    got = allocate(revenue, cost, budget=2.5, roi_min=0, machine_price=1.0)
    assert (got.choice, got.cost) == ([1], 2.0)
    assert allocate(revenue, cost, budget=3, roi_min=0, machine_price=1.0).choice == [2]


def test_switching_pays_back_within_the_horizon():
    """5 more per hour for 600 once: after 120 hours it has paid, before it has not."""
    problem = {"revenue": [[50.0, 55.0]], "cost": [[10.0, 10.0]], "budget": 10.0}
    switching = {"today": [0], "switching_cost": 600.0}
    assert allocate(**problem, **switching, horizon_hours=119.0).choice == [0]
    got = allocate(**problem, **switching, horizon_hours=121.0)
    assert got.choice == [1] and got.revenue == pytest.approx(55 - 600 / 121)


def test_published_case_of_two_stages_is_solved_as_by_the_grid():
    """Section 5.2: two stages, all pairs searched."""
    rng = np.random.default_rng(8)
    revenue = [np.sort(rng.uniform(50, 100, 150)) for _ in range(2)]
    cost = [np.sort(rng.uniform(1, 30, 150)) for _ in range(2)]
    pairs = np.add.outer(*revenue)
    allowed = (np.add.outer(*cost) <= 25) & np.logical_and.outer(
        *(r >= 1.0 * c for r, c in zip(revenue, cost, strict=True))
    )
    assert allocate(revenue, cost, 25, 1).revenue == np.where(allowed, pairs, 0).max()


def test_chunks_give_the_same_however_they_are_cut():
    revenue, cost, budget = made.large("weak", 500, 30, seed=9)
    whole = allocate(revenue, cost, budget, 0)
    for step in (7, 100, 500):
        got = allocate_chunks(
            lambda step=step: (
                (revenue[i : i + step], cost[i : i + step]) for i in range(0, 500, step)
            ),
            budget,
            0,
            relative_gap=0,
        )
        assert got.choice.tolist() == whole.choice
        assert got.revenue == pytest.approx(whole.revenue) and got.gap == 0


def test_chunks_carry_their_terms_and_pools():
    revenue, cost, _ = made.large("random", 40, 10, seed=10)
    terms = {"pools": ["a", "b"] * 10, "roi_min": np.linspace(0, 1, 20)}
    own = {"a": 300.0, "b": 350.0}
    got = allocate_chunks(
        lambda: ((revenue[i : i + 20], cost[i : i + 20], terms) for i in (0, 20)),
        600,
        pool_budgets=own,
        relative_gap=0,
    )
    whole = allocate(
        revenue, cost, 600, np.tile(terms["roi_min"], 2), pools=["a", "b"] * 20, pool_budgets=own
    )
    assert got.choice.tolist() == whole.choice
