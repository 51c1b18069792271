"""A choice held against a test of its own."""

import numpy as np
import pytest

from lib.experiments import deployed_choice
from lib.experiments.deployed_choice import Options, compare, pairs


def test_pairs_are_all_of_them():
    rng = np.random.default_rng(0)

    def stage(count, today, chosen):
        names = [f"{count}.{i}" for i in range(count)]
        cost = rng.normal(size=count)
        return Options(
            names, rng.normal(size=count), rng.normal(size=(7, count)), cost, today, chosen
        )

    towers, sizes = stage(3, 1, 2), stage(4, 0, 3)
    both = pairs(towers, sizes, budget=0.5)
    for i in range(3):
        for j in range(4):
            place, cost = both.names.index(f"3.{i} + 4.{j}"), towers.cost[i] + sizes.cost[j]
            assert both.predicted[place] == towers.predicted[i] + sizes.predicted[j]
            np.testing.assert_array_equal(
                both.draws[:, place], towers.draws[:, i] + sizes.draws[:, j]
            )
            assert both.cost[place] == (cost if cost <= 0.5 else np.inf)
    assert both.names[both.today] == "3.1 + 4.0" and both.names[both.chosen] == "3.2 + 4.3"


def test_the_interval_is_for_a_measurement():
    """Normal draws and the test's error add up in squares."""
    rng = np.random.default_rng(0)
    base = rng.lognormal(size=2000)
    revenue = base * (1.01 + 0.2 * rng.normal(size=2000))
    row = deployed_choice.held_against(0.01, 0.01 + 0.004 * rng.normal(size=20000), revenue, base)
    assert row["measured"] == pytest.approx(revenue.sum() / base.sum() - 1)
    ratio = revenue.sum() / base.sum()
    error = np.std(revenue - ratio * base, ddof=1) * 2000**0.5 / base.sum()
    assert row["measured_se"] == pytest.approx(error)
    half = 1.645 * np.hypot(0.004, error)
    assert row["high"] - row["low"] == pytest.approx(2 * half, rel=0.03)
    assert row["measured_high"] - row["measured"] == pytest.approx(1.645 * error, rel=1e-3)
    assert row["inside"] == (row["low"] <= row["measured"] <= row["high"])
    far = deployed_choice.held_against(0.5, np.full(9, 0.5), revenue, base)
    assert not far["inside"]


def test_regret_by_hand():
    """Two trainings of three options, today's first; one user."""
    revenue = np.array([[[100.0], [103.0], [101.0]], [[100.0], [101.0], [106.0]]])
    lost = deployed_choice.regret(revenue, today=0, chosen=1, pick=np.argmax)
    assert lost.best == 2
    assert lost.value == pytest.approx(((101 + 106) / 2 - (103 + 101) / 2) / 100)
    # The first training picks option 1, which is the chosen one; the second picks option 2, which
    # the first puts 2 below it.
    assert lost.crossed == pytest.approx(np.mean([0, -0.02]))
    assert np.isnan(deployed_choice.regret(revenue[:1], 0, 1, np.argmax).crossed)


def test_regret_is_paired_and_never_below_zero_for_the_best_of_all():
    rng = np.random.default_rng(1)
    base = rng.lognormal(size=500)
    revenue = base * (1 + 0.01 * rng.normal(size=(2, 5, 1)) + 0.05 * rng.normal(size=(2, 5, 500)))
    revenue[:, 2] = base
    regrets = [deployed_choice.regret(revenue, 2, i, np.argmax) for i in range(5)]
    assert min(one.value for one in regrets) == 0
    assert all(one.value >= 0 for one in regrets)
    difference = revenue.mean(axis=0)[regrets[0].best] - revenue.mean(axis=0)[0]
    drawn = []
    for _ in range(400):
        rows = rng.integers(500, size=500)
        drawn.append(difference[rows].sum() / base[rows].sum())
    assert regrets[0].standard_error == pytest.approx(np.std(drawn), rel=0.25)


def test_a_comparison_has_a_row_an_option_and_one_of_the_choice():
    revenue = np.array([[[10.0, 10.0], [11.0, 10.0], [12.0, 11.0]]])
    draws = np.array([[0.0, 0.04, 0.2], [0.0, 0.06, 0.3]])
    options = Options(["a", "b", "c"], draws.mean(axis=0), draws, np.zeros(3), 0, 1)
    table, row = compare(options, revenue, np.argmax)
    assert table.option.tolist() == ["a", "b", "c"]
    assert table.today.tolist() == [True, False, False]
    assert table.chosen.tolist() == [False, True, False]
    assert table.measured.tolist() == pytest.approx([0, 0.05, 0.15])
    assert (table.iloc[0][["predicted", "low", "high", "measured"]] == 0).all()
    assert (row["chosen"], row["stays"], row["best"]) == ("b", False, "c")
    assert row["measured"] == pytest.approx(0.05) and row["regret"] == pytest.approx(0.1)
    assert row["inside"] == table.inside[1]
