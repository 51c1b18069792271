import itertools

import numpy as np
import pandas as pd
import pytest

from lib.allocation.stages import Stage, added_lifts, allocate_stages, frontier, ways_compared

MONEY = {"revenue_per_hour": 1e4, "price_per_hour": 2.0, "roi_min": 0.5}


def stage(seed, machines, count=12):
    """Random sizes; the first is today's: no lift, today's cost."""
    rng = np.random.default_rng(seed)
    lift = np.append(0.0, rng.normal(0.002, 0.004, count))
    return Stage(
        pd.DataFrame(
            {
                "size_parameters": [[100 + i, 8, 1] for i in range(count + 1)],
                "flops": 1.0,
                "lift": lift,
                "lift_low": lift - 0.001,
                "lift_high": lift + 0.002,
                "machine_cost_per_hour": np.append(
                    2.0 * machines, 2.0 * machines * rng.uniform(0.5, 2, count)
                ),
            }
        ),
        machines,
    )


STAGES = {"Matching": stage(0, 30), "Pre-ranking": stage(1, 70), "Ranking": stage(2, 10)}


@pytest.mark.parametrize("budget", [-0.2, 0.0, 0.3])
def test_the_choice_equals_a_loop_over_all_combinations(budget):
    best = None
    for rows in itertools.product(*(range(13) for _ in STAGES)):
        lift, cost = 0.0, 0.0
        for row, (sizes, machines) in zip(rows, STAGES.values(), strict=True):
            spent = sizes.machine_cost_per_hour[row] - 2.0 * machines
            if 1e4 * sizes.lift[row] < 0.5 * spent:
                break
            lift, cost = lift + sizes.lift[row], cost + spent
        else:
            if cost <= budget * 220 + 1e-9 and (best is None or lift > best[0]):
                best = lift, cost, rows
    got = allocate_stages(STAGES, budget, **MONEY)
    assert got.lift == pytest.approx(best[0])
    assert got.cost == pytest.approx(1 + best[1] / 220)
    assert tuple(got.choice.values()) == best[2]
    assert got.size_parameters["Ranking"] == [100 + best[2][2], 8, 1]
    # Three independent errors of 0.001 below and 0.002 above.
    assert got.low == pytest.approx(best[0] - 0.001 * 3**0.5)
    assert got.high == pytest.approx(best[0] + 0.002 * 3**0.5)


def test_more_money_never_buys_less():
    table = frontier(STAGES, np.linspace(-0.3, 1, 14), **MONEY)
    assert table.lift.is_monotonic_increasing
    assert (table["cost / today"] <= table["budget / today"] + 1e-9).all()
    assert table["Matching"].map(len).eq(3).all()


def test_no_stage_keeps_its_lift_and_interval():
    assert added_lifts([0.01], [0.0], [0.03]) == pytest.approx((0.01, 0.0, 0.03))


def test_added_intervals_hold_the_sum_as_often_as_their_parts():
    """Independent normal errors: 90 % intervals of the parts give a 90 % one of the sum."""
    rng = np.random.default_rng(0)
    scales, half = np.array([1.0, 2.0, 0.5]), 1.6448536
    lifts = rng.normal(0, scales, size=(20_000, 3))
    inside = [
        low <= 0 <= high
        for _, low, high in (
            added_lifts(row, row - half * scales, row + half * scales) for row in lifts
        )
    ]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.01)


def test_a_budget_below_the_cheapest_is_refused():
    with pytest.raises(ValueError, match=r"below .* the cheapest combination"):
        allocate_stages(STAGES, -0.9, **MONEY)


def test_ways_are_compared_by_what_all_stages_earn_and_cost():
    table = ways_compared(STAGES, 0.0, **MONEY).set_index("way")
    best = allocate_stages(STAGES, 0.0, **MONEY)
    exact = table.loc["exact", ["lift", "cost / today"]].tolist()
    assert exact == pytest.approx([best.lift, best.cost])
    assert table.loc["today", ["lift", "cost / today", "changed"]].tolist() == [0.0, 1.0, 0]
    assert table["lift"].max() == pytest.approx(best.lift)
    assert (table["cost / today"] <= 1 + 1e-9).all()


def test_the_shadow_price_falls_as_the_budget_grows():
    table = frontier(STAGES, np.linspace(-0.3, 2, 8), **MONEY)
    assert (table["shadow price"].diff().dropna() <= 1e-9).all() and table["shadow price"][0] > 0
