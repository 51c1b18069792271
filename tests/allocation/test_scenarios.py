import numpy as np
import pytest

from lib.allocation.scenarios import Terms, blocks, pool_positions, whole_machines


def test_scenarios_of_like_lengths_share_a_block():
    lengths = [3, 1, 10, 3, 11]
    sizes = [np.arange(1.0, n + 1) for n in lengths]
    made = blocks(sizes, sizes, Terms(roi_min=0), first=100)
    assert [block.ids.tolist() for block in made] == [[101], [100, 103], [102, 104]]
    (_, _, long) = made
    assert long.revenue.shape == (2, 11)
    assert long.revenue[0, -1] == -np.inf and long.cost[0, -1] == 0  # padding is not allowed


def test_what_is_not_allowed_is_marked():
    (block,) = blocks(
        np.array([[1.0, 5.0, 9.0, 9.0]]),
        np.array([[1.0, 6.0, 3.0, np.inf]]),
        Terms(roi_min=1, least_revenue=1, capacity=np.array([[3.0, 9, 1, 9]]), least_capacity=2),
    )
    assert block.revenue.tolist() == [[1.0, -np.inf, -np.inf, -np.inf]]
    assert block.cost.tolist() == [[1.0, 0, 0, 0]]


def test_machines_are_rounded_before_the_roi_is_asked():
    """1.1 machines earn 1.9: enough for 1.1, not for the 2 that must be bought."""
    arguments = np.array([[1.0, 1.9]]), np.array([[1.0, 1.1]])
    (block,) = blocks(*arguments, Terms())
    assert np.isfinite(block.revenue).all()
    (block,) = blocks(*arguments, Terms(machine_price=1.0))
    assert block.revenue.tolist() == [[1.0, -np.inf]]


def test_switching_is_paid_by_all_sizes_but_today_s():
    (block,) = blocks(
        np.full((2, 3), 10.0),
        np.ones((2, 3)),
        Terms(today=[1, -1], switching_cost=[6.0, 6.0], horizon_hours=3),
    )
    assert block.revenue.tolist() == [[8.0, 10.0, 8.0], [10.0, 10.0, 10.0]]


def test_a_sum_s_last_bits_buy_no_machine():
    assert whole_machines(0.1 + 0.2 + 0.7) == 1
    assert whole_machines([1.001, np.inf]).tolist() == [2, np.inf]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"roi_min": np.nan}, "roi_min must be a number >= 0; got nan"),
        ({"roi_min": [1, 1, 1]}, r"each of the 2 scenarios; got shape \(3,\)"),
        ({"horizon_hours": 0}, "horizon_hours must be > 0; got 0"),
        ({"capacity": [[1, 2]]}, "capacity needs least_capacity"),
        ({"capacity": [[1, 2]], "least_capacity": 1}, "capacity must hold one array per scenario"),
    ],
)
def test_refuses(terms, message):
    with pytest.raises(ValueError, match=message):
        blocks([[1.0, 2.0]] * 2, [[1.0, 2.0]] * 2, Terms(**terms))


def test_all_bounds_together_forbid_what_each_allows():
    with pytest.raises(ValueError, match=r"least_capacity = 5; of those .* least_revenue = 4"):
        blocks(
            [[2.0, 4.0]], [[1.0, 1.0]], Terms(least_revenue=4, capacity=[[5, 3]], least_capacity=5)
        )


def test_pools_are_named_once():
    names, pool, budgets = pool_positions(["b", "a", "b"], {"a": 1, "b": 2, "c": 0}, 3)
    assert (names, pool.tolist(), budgets.tolist()) == (["a", "b", "c"], [1, 0, 1], [1, 2, 0])
    with pytest.raises(ValueError, match="pool 'a': its budget must be finite; got inf"):
        pool_positions(["a"], {"a": np.inf}, 1)
