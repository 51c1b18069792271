import numpy as np

from lib.allocation import allocate_table, table_frontier
from lib.notebook.figures import allocation
from tests.notebook.allocations import budgets, chosen, own_scenarios, stages
from tests.notebook.figures.drawn import assert_texts_can_be_read, points, texts


def test_every_size_is_on_the_axes(ax):
    system = stages()
    allocation.stage_sizes(ax, system, chosen(system), price_per_hour=1.0)
    low, high = ax.get_xlim()
    dots = points(ax)[: len(system)]
    for stage, drawn in zip(system.values(), dots, strict=True):
        cost = stage.sizes.machine_cost_per_hour / 100
        np.testing.assert_allclose(drawn[:, 0], cost)
        assert low < cost.min() and cost.max() < high
    assert high > 9


def test_the_chosen_sizes_are_large_and_named(ax):
    system = stages()
    answer = chosen(system)
    allocation.stage_sizes(ax, system, answer, price_per_hour=1.0)
    assert texts(ax) == ["Matching", "Pre-ranking"]
    for mark, (name, row) in zip(points(ax)[2:], answer.choice.items(), strict=True):
        sizes = system[name].sizes
        assert mark[0].tolist() == [sizes.machine_cost_per_hour[row] / 100, sizes.lift[row]]
    assert_texts_can_be_read(ax)


def test_ticks_are_plain_numbers(ax):
    system = stages()
    allocation.stage_sizes(ax, system, chosen(system), price_per_hour=1.0)
    ax.figure.draw_without_rendering()
    labels = {label.get_text() for label in ax.get_xticklabels()}
    assert {"0.5", "1", "2", "5"} <= labels


def test_a_size_that_cannot_be_served_is_not_drawn(ax):
    system = stages()
    system["Matching"].sizes.loc[5, "machine_cost_per_hour"] = np.inf
    allocation.stage_sizes(ax, system, chosen(system), price_per_hour=1.0)
    assert len(points(ax)[0]) == len(system["Matching"].sizes) - 1
    assert np.isfinite(ax.get_xlim()).all()


def test_the_frontier_and_the_allocation_at_no_more_cost(ax):
    system = stages()
    answer, table = chosen(system), budgets(system)
    allocation.frontier(ax, table, answer, interval=0.8)
    np.testing.assert_allclose(points(ax)[0], table[["cost / today", "lift"]])
    (bar,) = [segments for c in ax.containers for segments in c.lines[2][0].get_segments()]
    np.testing.assert_allclose(bar[:, 1], [answer.low, answer.high])
    assert set(texts(ax)) == {"no more than today", "today"}
    assert "80 % interval" in ax.get_title(loc="left")
    assert_texts_can_be_read(ax)


def test_the_frontier_of_a_table_and_what_more_budget_earns(ax):
    table = own_scenarios()
    _, best = allocate_table(table, 300)
    line = table_frontier(table, 300)
    allocation.revenue_frontier(ax, line, best)
    drawn, mark = points(ax)
    np.testing.assert_allclose(drawn, line[["cost", "revenue"]])
    assert mark[0].tolist() == [best.cost, best.revenue]
    assert texts(ax) == [f"the budget: +1 earns {best.shadow_price:.3g}"]
    assert_texts_can_be_read(ax)
