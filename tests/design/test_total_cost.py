"""Costs beside serving, by hand and beside the functions that count one size."""

import numpy as np
import pandas as pd
import pytest

from lib.cost.embedding_producer import producer_machines
from lib.design.size_economics import SizeEconomics
from lib.design.size_grids import size_grid
from lib.design.total_cost import (
    Growth,
    Producer,
    Tables,
    Training,
    economics_by_step,
    impression_flops,
    training_seconds,
)
from lib.models.flop_count import training_flops

BASE, WIDE = [3328, 1024, 256, 256, 256, 1], [16128, 1024, 512, 512, 512, 1]
SIZES = np.array([BASE, WIDE, [3328, 256, 128, 128, 128, 1]])


def test_flops_are_those_of_a_step():
    for size in SIZES.tolist():
        step = training_flops(size, "first_layer_optimised", impressions=7, ads=10)
        assert 7 * impression_flops(size, 10) == step


def test_without_measurements_time_follows_flops():
    cost = Training(20.0, 1.5).cost(SIZES, BASE)
    ratio = impression_flops(WIDE) / impression_flops(BASE)
    np.testing.assert_allclose(cost[:2], [30.0, 30.0 * ratio])


def measured(seconds, **changes):
    return pd.DataFrame(
        {"size_parameters": [BASE, SIZES[2].tolist()], "impressions_per_second": 1 / seconds}
    ).assign(**changes)


def test_measured_times_are_met_and_followed_by_flops_beyond_them():
    seconds = np.array([0.006, 0.002])
    flops = impression_flops(SIZES)
    found = training_seconds(flops, measured(seconds))
    np.testing.assert_allclose(found[[0, 2]], seconds)
    assert found[1] == pytest.approx(0.006 * flops[1] / flops[0])


def test_the_shared_first_layer_counts_where_it_was_measured():
    rows = pd.concat(
        [
            measured(np.array([0.006, 0.002]), form="first_layer_optimised"),
            measured(np.array([0.060, 0.020]), form="naive"),
        ]
    )
    assert training_seconds(impression_flops(BASE), rows) == pytest.approx(0.006)


def test_one_size_or_none_say_nothing_of_the_slope():
    flops = impression_flops(SIZES)
    for rows in (None, pd.DataFrame(), measured(np.array([0.006, 0.002])).iloc[:1]):
        np.testing.assert_array_equal(training_seconds(flops, rows), flops)


def test_a_table_without_times_is_refused():
    with pytest.raises(ValueError, match="column impressions_per_second is missing; got size_par"):
        training_seconds([1.0], measured(np.ones(2)).drop(columns="impressions_per_second"))


def test_the_producer_counts_machines_as_for_one_size():
    producer = Producer(1e7, 20.0, 8e10, 16e9, 2.0)
    for size, cost in zip(SIZES.tolist(), producer.cost(SIZES), strict=True):
        need = producer_machines(
            size,
            size[0] // 2,
            ads=1e7,
            minutes=20.0,
            flops_per_second=8e10,
            memory=16e9,
            part_bytes=2,
            whole=False,
        )
        assert cost == pytest.approx(2.0 * max(need["computing"], need["holding"]))
    np.testing.assert_array_equal(producer.cache_bytes(SIZES), [2.048e10, 2.048e10, 5.12e9])


def test_tables_by_hand():
    """80 values of 4 bytes in 1e8 rows, twice: 64 GB, at a hundredth each."""
    tables = Tables(1e8, 2, 200, 128, 0.01)
    np.testing.assert_allclose(tables.cost(SIZES), [0.128, 0.64, 0.128])


def test_mean_growth_equals_a_sum_of_days():
    growth = Growth(0.3, 0.0, 3.0)
    days = (np.arange(3 * 365) + 0.5) / 365
    assert growth.mean(0.3) == pytest.approx(np.mean(1.3**days), rel=1e-5)


@pytest.mark.parametrize(("rate", "years"), [(-1.0, 1.0), (0.1, 0.0)])
def test_growth_refuses(rate, years):
    with pytest.raises(ValueError, match="rates must be > -1 and years > 0"):
        Growth(rate, 0.0, years).mean(rate)


def test_steps_add_up():
    grid = size_grid()
    count, rng = len(grid.flops), np.random.default_rng(0)
    serving, draws = rng.uniform(50, 200, count), rng.uniform(50, 200, (6, count))
    draws[2, 7] = np.inf
    economics = SizeEconomics(grid, 137, np.zeros(count), np.zeros((6, count)), serving, draws, 1e4)
    parts = {"training": rng.uniform(5, 50, count), "tables": rng.uniform(0, 5, count)}
    growth = Growth(0.2, 0.1, 2.0)
    steps = economics_by_step(economics, parts, growth)
    assert list(steps) == ["serving", "+ training", "+ tables", "+ growth"]
    both = parts["training"] + parts["tables"]
    np.testing.assert_allclose(steps["+ tables"].machine_cost_draws, draws + both)
    last, factor = steps["+ growth"], growth.mean(0.2)
    np.testing.assert_allclose(
        last.machine_cost, factor * (serving + parts["training"]) + parts["tables"]
    )
    assert last.revenue_per_hour == pytest.approx(1e4 * growth.mean(0.1))
    assert list(economics_by_step(economics, {})) == ["serving"]
