"""What the runs say, worked by hand on a few blocks."""

import numpy as np
import pandas as pd
import pytest

from lib.infra.intervals import mean_interval
from lib.online.study import results
from lib.online.study.published import BATCH_AUC, published_staleness


def blocks(value, policies=("20 min", "1440 min"), draws=(0, 1, 2), sizes=("4-4", "8-4"), **about):
    """Blocks of half an hour over a day; value(draw, size, policy, age in hours)."""
    rows = []
    for draw in draws:
        for size in sizes:
            for policy in policies:
                for minute in range(1440, 2880, 30):
                    version = 1440 if policy == "1440 min" else minute // 20 * 20
                    r = value(draw, size, policy, (minute - version) / 60)
                    row = {"draw": draw, "size": size, "policy": policy, "minute": minute}
                    row |= {"version": version, "r_over_r_star": r, "impressions": 10}
                    row |= {"new_ads": 0.1, "flops": 100 * int(size[0]), "run": "drifting"}
                    rows.append(row | {"staleness": 0, "delayed": "none"} | about)
    return pd.DataFrame(rows)


def linear(draw, size, policy, age):
    level = 0.8 + 0.01 * draw + 0.02 * (size == "8-4")
    return level - (0.001 + 0.0001 * draw) * age * (policy == "1440 min")


def revenue(policies, sizes=("4-4", "8-4"), run="drifting"):
    rows = []
    for draw in range(3):
        for size in sizes:
            for policy in ("oracle", *policies):
                for minute in (1500, 2000):
                    money = {"oracle": 100.0, "20 min": 98.0, "60 min": 98.0}.get(policy, 96.0)
                    row = {"draw": draw, "size": size, "policy": policy, "minute": minute}
                    rows.append(row | {"run": run, "revenue": money * (1 + draw), "visits": 5})
    return pd.DataFrame(rows)


TABLE = blocks(linear)


def test_means_are_weighted_by_impressions():
    table = pd.DataFrame(
        {"draw": [0, 0, 1], "r_over_r_star": [0.5, 0.8, 0.9], "impressions": [1, 2, 5]}
    )
    found = results.weighted(table, ["draw"])
    assert found.tolist() == pytest.approx([(0.5 + 1.6) / 3, 0.9])


def test_costs_are_paired_by_draw():
    tests = revenue(["20 min", "1440 min"])
    costs = results.costs_of_staleness(TABLE, tests, "20 min").set_index(["size", "policy"])
    age = np.arange(0, 24, 0.5).mean()
    expected = mean_interval([0.001 * age, 0.0011 * age, 0.0012 * age])
    row = costs.loc["4-4", "1440 min"]
    assert (row.cost, row.low, row.high) == pytest.approx(tuple(expected))
    assert row.revenue_cost == pytest.approx(1 - 96 / 98)
    assert costs.loc["4-4", "20 min"].cost == 0
    assert "revenue_cost" not in results.costs_of_staleness(TABLE, tests.iloc[:0], "20 min")


def test_cost_by_age_finds_the_slope():
    own = TABLE[TABLE["size"] == "4-4"]
    by_age = results.cost_by_age(own, "1440 min", "20 min", bins=4)
    np.testing.assert_allclose(by_age.cost, 0.0011 * by_age.age, rtol=1e-6)
    assert (by_age.low <= by_age.cost).all() and (by_age.cost <= by_age.high).all()


def test_cost_of_drift_is_what_the_still_world_does_not_explain():
    still = blocks(
        lambda *a: 0.9 - 0.0005 * a[3] * (a[2] == "1440 min"), sizes=("4-4",), run="still"
    )
    both = pd.concat([TABLE, still])
    row = results.costs_of_drift(both, "4-4", "20 min").iloc[0]
    age = np.arange(0, 24, 0.5).mean()
    assert row.still == pytest.approx(0.0005 * age)
    assert row.difference == pytest.approx((0.0011 - 0.0005) * age)


def test_slopes_of_sizes():
    slopes = results.size_slopes(TABLE, "20 min", 2.0).set_index("what")
    assert slopes.slope["online"] == pytest.approx(0.02)  # 400 to 800 FLOPs: one doubling
    assert slopes.slope["difference"] == pytest.approx(0, abs=1e-9)
    assert slopes.slope["staleness"] == pytest.approx(0, abs=1e-9)
    of_sizes = results.sizes_online(TABLE, revenue(["20 min", "1440 min"]), "20 min")
    assert len(of_sizes) == 6 and of_sizes.loss.tolist() == pytest.approx([0.02] * 6)


def test_late_gradients_against_the_same_minutes_in_time():
    late = blocks(
        lambda *a: linear(*a) - 0.03,
        policies=("20 min",),
        sizes=("4-4",),
        run="asynchronous",
        staleness=4,
        delayed="all",
    )
    found = results.cost_of_asynchrony(
        pd.concat([TABLE, late[late.minute < 2000]]), "4-4", "20 min"
    )
    assert found.staleness.tolist() == [0, 4]
    assert found.cost.tolist() == pytest.approx([0, 0.03])


def test_closed_loop_beside_the_open_loop():
    tests = pd.concat([revenue(["60 min", "1440 min"], run=r) for r in ("drifting", "closed loop")])
    found = results.closed_loop_costs(tests, "4-4").set_index("run")
    assert found.cost.tolist() == pytest.approx([1 - 96 / 98] * 2)
    assert results.closed_loop_costs(revenue(["60 min"]), "4-4").empty


def test_over_time_and_by_the_hour():
    by_time = results.over_time(TABLE, hours=2)
    assert by_time.hour.min() == 25 and by_time.hour.max() == 47
    lost = results.revenue_over_time(revenue(["20 min"]))
    assert lost.loss.tolist() == pytest.approx([0.02, 0.02]) and lost.hour.tolist() == [
        25,
        2000 / 60,
    ]
    hours = results.hourly(TABLE)
    assert len(hours) == 24 * 2 * 2 * 3 and (hours.impressions == 20).all()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"age": [1], "metric": [2]}), "age_minutes"),
        (pd.DataFrame({"age_minutes": [1], "metric": [2]}), "two rows"),
        (pd.DataFrame({"age_minutes": [1, 2], "metric": [2, np.nan]}), "finite"),
    ],
)
def test_ages_that_are_none(table, message):
    with pytest.raises(ValueError, match=message):
        results.own_ages(table)


def test_published():
    table = published_staleness()
    assert table.auc.is_monotonic_decreasing and table.auc.min() > BATCH_AUC
