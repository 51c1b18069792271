import numpy as np
import pandas as pd
import pytest

from lib.allocation.knapsack import allocate
from lib.allocation.tables import allocate_table, table_frontier, table_ways
from tests.allocation import made

TABLE = pd.DataFrame(
    {
        "scenario": ["feed", "search", "feed", "search"],
        "size_parameters": [[4, 1], [4, 1], [8, 1], [8, 1]],
        "revenue": [50.0, 80.0, 54.0, 95.0],
        "cost": [10.0, 10.0, 20.0, 20.0],
        "roi_min": [1.0, 2.0, 1.0, 2.0],
        "pool": ["gpu", "cpu", "gpu", "cpu"],
        "today": [True, False, False, True],
        "switching_cost": 10.0,
    }
)


def test_a_table_of_scenarios():
    rows, got = allocate_table(TABLE, 30, horizon_hours=100)
    assert rows["scenario"].tolist() == ["feed", "search"]
    assert rows["revenue"].tolist() == [50.0, 95.0]
    assert got.cost == 30 and got.revenue == pytest.approx(145)
    rows, got = allocate_table(TABLE, None, pool_budgets={"gpu": 20, "cpu": 15}, horizon_hours=100)
    assert rows["revenue"].tolist() == [54.0, 80.0] and got.revenue == pytest.approx(134 - 0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"roi_min": [9.0, 2.0, 9.0, 2.0]}, "scenario 'feed': no size reaches roi_min = 9"),
        ({"roi_min": [1.0, 2.0, 3.0, 2.0]}, "roi_min must be the same .* 'feed' it is 1.0 and 3.0"),
        ({"least_revenue": 60.0}, "scenario 'feed': no size has least_revenue = 60; .* size 1"),
        ({"pool": "tpu"}, "pool 'tpu' has no budget; pool_budgets has .'gpu', 'cpu'."),
    ],
)
def test_a_table_s_fault_names_the_scenario(change, message):
    with pytest.raises(ValueError, match=message):
        allocate_table(
            TABLE.assign(**change), 30, pool_budgets={"gpu": 20, "cpu": 20}, horizon_hours=100
        )


def test_a_table_without_a_column_is_refused():
    with pytest.raises(ValueError, match="columns scenario, revenue and cost; cost is missing"):
        allocate_table(TABLE.drop(columns="cost"), 30)


def drawn():
    """100 scenarios of 20 sizes, rows in any order."""
    revenue, cost, budget = made.large("concave", 100, 20, seed=1)
    table = pd.DataFrame(
        {
            "scenario": np.repeat([f"s{i:02d}" for i in range(100)], 20),
            "revenue": revenue.ravel(),
            "cost": cost.ravel(),
            "today": (cost == np.sort(cost, axis=1)[:, 5, None]).ravel(),
        }
    )
    return table.sample(frac=1, random_state=0), revenue, cost, budget


def test_the_order_of_rows_does_not_matter():
    table, revenue, cost, budget = drawn()
    rows, best = allocate_table(table, budget, 0.1)
    whole = allocate(revenue, cost, budget, 0.1)
    assert best.revenue == pytest.approx(whole.revenue)
    assert rows["revenue"].sum() == pytest.approx(whole.revenue)
    assert rows["scenario"].tolist() == list(dict.fromkeys(table["scenario"]))


def test_frontier_and_ways():
    table, *_, budget = drawn()
    line = table_frontier(table, budget, [0, 0.1], roi_min=0.1)
    assert line["revenue"].is_monotonic_increasing and (line["gap"] == 0).all()
    ways = table_ways(table, budget, 0.1).set_index("way")
    assert ways.loc["exact", "revenue"] == pytest.approx(line["revenue"][0])
    assert ways.loc["proportional", "changed"] > 0
    assert table_ways(table.drop(columns="today"), budget) is None
    assert table_ways(table.assign(pool="a"), budget) is None


def test_without_a_common_budget_the_pools_grow():
    line = table_frontier(
        TABLE.drop(columns="switching_cost"), None, [0, 1], pool_budgets={"gpu": 10, "cpu": 10}
    )
    assert line["revenue"].tolist() == [50.0 + 80.0, 54.0 + 95.0]
