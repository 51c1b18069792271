"""A size and a pair chosen from made trainings, held against exhaustive search."""

import itertools

import numpy as np
import pytest

from lib.experiments.deployed_choice import Known, Plan
from lib.models.flop_count import matrix_flops
from lib.notebook.choices import Prices, choose
from tests.experiments.deployed_choice.test_plan import PLAN
from tests.experiments.deployed_choice.test_predictions import made_trainings

INPUTS = 86
SIZES = [[8, 4, 4, 4, 1], [16, 4, 4, 4, 1], [32, 8, 8, 8, 1], [64, 16, 16, 16, 1]]
TOWERS = [[8, 4], [32, 16], [64, 32]]


def plan():
    return Plan(
        **PLAN
        | {
            "system": PLAN["system"] | {"hidden": [32, 8, 8, 8, 1]},
            "law_sizes": SIZES,
            "sizes": SIZES,
            "towers": TOWERS,
            "tower_sizes": TOWERS,
            "base_tower": [32, 16],
        }
    )


def known(slope=0.5, tower_slope=0.2):
    tables = [made_trainings(one).assign(size_parameters=None) for one in (slope, tower_slope)]
    for table in tables:
        table["size_parameters"] = [[INPUTS, 32, 8, 8, 8, 1]] * len(table)
    return Known(0, *tables, last_change=0.001)


def prices(**changes):
    machines = {"Pre-ranking": 100.0, "Matching": 50.0}
    return Prices(
        **{
            "machines": machines,
            "price_per_hour": 0.1,
            "revenue_per_hour": 1e4,
            "roi_min": 1.0,
            "budget": 0.5,
        }
        | changes
    )


def relative(hidden, today, family):
    flops = [int(matrix_flops([INPUTS, *layers], family)) for layers in hidden]
    return np.array(flops) / flops[today]


@pytest.mark.parametrize("price", [0.01, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("budget", [0.0, 0.5, 4.0])
def test_the_choice_is_the_best_of_all(price, budget):
    money = prices(price_per_hour=price, budget=budget)
    chosen = choose(known(), plan(), money, draws=50)
    size, pair = chosen["size"], chosen["pair"]
    cost = 100 * price * (relative(SIZES, 2, "mlp") - 1)
    tower_cost = 50 * price * (relative(TOWERS, 1, "twin_tower") - 1)
    np.testing.assert_allclose(size.cost, cost, atol=1e-9)
    pays = 1e4 * size.predicted >= cost
    assert size.chosen == max(np.flatnonzero(pays), key=lambda i: size.predicted[i])
    # The towers' lifts are what pairs with today's Pre-ranking are predicted to earn.
    tower = pair.predicted.reshape(3, 4)[:, 2]
    within = [
        (tower[i] + size.predicted[j], i * 4 + j)
        for i, j in itertools.product(range(3), range(4))
        if pays[j]
        and 1e4 * tower[i] >= tower_cost[i] - 1e-9
        and tower_cost[i] + cost[j] <= money.budget_per_hour + 1e-9
    ]
    assert pair.chosen == max(within)[1]
    assert pair.names[pair.today] == "32-16 + 32-8-8-8" and pair.predicted[pair.today] == 0
    assert np.isfinite(pair.cost[pair.chosen])


def test_the_two_stages_err_independently():
    chosen = choose(known(tower_slope=0.5), plan(), prices(), draws=2000)
    size, pair = chosen["size"].draws[:, 3], chosen["pair"].draws.reshape(2000, 3, 4)
    tower = pair[:, 2, 2]
    assert tower.std() > 0 and size.std() > 0
    assert abs(np.corrcoef(tower, size)[0, 1]) < 0.1
    np.testing.assert_allclose(pair[:, 2, 3], tower + size)


def test_prices_pick_and_judge_like_eq_8():
    lift, cost = np.array([0.0, 0.002, 0.004, 0.01]), np.array([0.0, 15.0, 50.0, np.inf])
    assert prices().best(lift, cost) == 1  # 40 for 50; inf is out of the budget
    assert prices(roi_min=0.5).best(lift, cost) == 2
    assert prices().meets_roi(0.002, 15.0) and not prices().meets_roi(0.004, 50.0)
    assert prices(budget=0.5).budget_per_hour == pytest.approx(0.5 * 0.1 * 150)
