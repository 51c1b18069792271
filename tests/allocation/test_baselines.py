import numpy as np
import pytest

from lib.allocation import baselines
from lib.allocation.baselines import _membership
from lib.allocation.knapsack import allocate
from tests.allocation import made

# Scenario 0 gains most from its second size, scenario 1 from its third.
REVENUE = [np.array([10.0, 16.0, 17.0]), np.array([20.0, 21.0, 30.0])]
COST = [np.array([2.0, 4.0, 8.0])] * 2


def test_by_hand():
    assert baselines.keep_today(REVENUE, COST, [1, 0]).revenue == 36
    # Twice today's cost everywhere: second sizes; four times: third ones, too dear.
    assert baselines.scale_proportionally(REVENUE, COST, 10, 0, [0, 0]).choice == [1, 1]
    # 6 for 2 first; then 1 for 2 comes before 1 for 4, and 9 for 4 after that no longer fits.
    assert baselines.take_greedily(REVENUE, COST, 9, 0).choice == [1, 1]
    assert baselines.take_greedily(REVENUE, COST, 12, 0).choice == [1, 2]
    assert baselines.plain_milp(REVENUE, COST, 10, 0).choice == [0, 2]


def test_incremental_costs_scale_what_is_spent_today():
    base = [4.0, 4.0]
    beyond = [values - 4 for values in COST]
    got = baselines.scale_proportionally(REVENUE, beyond, 0, 0, [1, 1], cost_today=base)
    whole = baselines.scale_proportionally(REVENUE, COST, 8, 0, [1, 1])
    assert got.choice == whole.choice


@pytest.mark.parametrize("kind", ["random", "weak", "concave"])
def test_none_beats_the_exact_choice(kind):
    revenue, cost, budget = made.large(kind, 40, 15, seed=1)
    best = allocate(revenue, cost, budget, 0)
    for way in (
        baselines.take_greedily(revenue, cost, budget, 0),
        baselines.scale_proportionally(revenue, cost, budget, 0, cost.argmin(axis=1)),
    ):
        assert way.cost <= budget * (1 + 1e-9)
        assert way.revenue <= best.revenue * (1 + 1e-12)
    exact = baselines.plain_milp(revenue, cost, budget, 0)
    assert exact.revenue == pytest.approx(best.revenue, rel=1e-8)
    assert exact.bound == pytest.approx(best.revenue, rel=1e-8)


def test_membership_holds_one_entry_for_each_size():
    counts = np.random.default_rng(3).integers(1, 6, 40)
    matrix = _membership(counts)
    assert matrix.nnz == counts.sum()
    scenario = np.repeat(np.arange(40), counts)
    np.testing.assert_array_equal(matrix.toarray(), scenario == np.arange(40)[:, None])
    thousand = _membership([1000] * 1000)  # dense: 8 GB
    assert thousand.shape == (1000, 10**6)
    assert thousand.nnz == 10**6


def test_compared_in_one_table():
    table = baselines.compare(REVENUE, COST, 10, 0, [0, 0]).set_index("way")
    assert table.index.tolist() == ["today", "proportional", "greedy", "plain MILP", "exact"]
    assert table.loc["exact", "gap"] == 0 and table["revenue"].max() == table.revenue["exact"]
    assert table.loc["today", "changed"] == 0
