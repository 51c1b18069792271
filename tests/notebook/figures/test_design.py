import numpy as np
import pandas as pd
import pytest

from lib.design.decision import Decision, choices
from lib.design.paper_case import least_price
from lib.notebook.figures import design
from tests.notebook.economics import GRID, grid_economics, paper_size
from tests.notebook.figures.drawn import assert_texts_can_be_read, points, texts


def test_what_is_drawn(ax):
    economics = grid_economics()
    design.sizes(ax, economics, 3.0, paper_size())
    best = economics.best()
    beyond, inside, *marks = points(ax)
    assert len(beyond) == np.sum(economics.relative_flops > 3)
    assert len(beyond) + len(inside) == len(GRID.flops)
    assert [1, 0] in [mark[0].tolist() for mark in marks]  # the base
    assert [economics.relative_cost[best], economics.lift[best]] in [
        mark[0].tolist() for mark in marks
    ]
    assert {text for text in texts(ax) if text} == {
        f"best: {GRID.size_parameters[best].tolist()}",
        "base",
        "the paper's choice",
        "ROI of 1",
    }
    assert "90 % interval" in ax.get_title(loc="left")


def test_the_line_is_what_the_limit_asks(ax):
    """At twice the base's cost of 100 an ROI of 5 asks 500 of 10,000 an hour: a lift of 5 %."""
    design.sizes(ax, grid_economics(roi_min=5.0))
    (line,) = [line for line in ax.lines if hasattr(line, "get_slope") and line.get_slope()]
    assert line.get_slope() == pytest.approx(0.05)
    assert line.get_xy1() == (1, 0)


@pytest.mark.parametrize("revenue_per_hour", [1.0, 10.0, 1e4, 1e9])
@pytest.mark.parametrize("roi_min", [0.0, 1.0, 20.0])
def test_labels_stay_on_the_axes_whatever_the_currency(ax, revenue_per_hour, roi_min):
    design.sizes(
        ax, grid_economics(revenue_per_hour=revenue_per_hour, roi_min=roi_min), 3.0, paper_size()
    )
    assert_texts_can_be_read(ax)
    low, high = ax.get_ylim()
    assert high - low < 0.1  # the lifts' range is 0.02


def test_total_roi_has_no_line(ax):
    design.sizes(ax, grid_economics(roi="total"), 3.0, paper_size())
    assert not [text for text in texts(ax) if "ROI" in text]
    assert_texts_can_be_read(ax)


def test_sizes_that_cannot_be_served_are_counted_and_not_drawn(ax):
    cost = grid_economics().machine_cost
    economics = grid_economics(
        machine_cost=np.where(cost > 300, np.inf, cost),
        machine_cost_draws=np.tile(np.where(cost > 300, np.inf, cost), (50, 1)),
    )
    design.sizes(ax, economics)
    assert np.isfinite(ax.get_xlim()).all()
    assert f"{np.sum(cost > 300):,} sizes cannot meet the latency limit" in design.sizes_caption(
        economics
    )
    assert_texts_can_be_read(ax)


def test_the_caption_says_what_costs_of_equal_flops_are():
    economics = grid_economics()
    relative, best = economics.relative_flops, economics.best()
    alike = np.abs(relative / relative[best] - 1) <= 0.05
    cost = economics.relative_cost[alike]
    assert (
        f"the {alike.sum()} sizes within 5 % of the marked one's FLOPs cost {cost.min():.2f} to "
        f"{cost.max():.2f} times" in design.sizes_caption(economics)
    )
    assert "Grey" not in design.sizes_caption(economics)  # all within what was measured
    assert "Above the line" not in design.sizes_caption(grid_economics(roi="total"))


def test_the_choice_can_be_marked_in_place_of_the_best(ax):
    economics = grid_economics()
    design.sizes(ax, economics, choice=137)
    assert f"the choice: {GRID.size_parameters[137].tolist()}" in texts(ax)


@pytest.mark.parametrize("roi", ["incremental", "total"])
def test_regret_marks_each_size_once(ax, roi):
    decision = Decision(grid_economics(draws=200, roi=roi))
    design.regret(ax, decision)
    assert_texts_can_be_read(ax)
    named = " ".join(text for text in texts(ax))
    assert all(name in named for name in ("the choice", "least regret", "base"))
    unsure, sure, *_ = points(ax)
    chances = decision.probability_of_bound
    assert len(sure) == np.sum(chances >= 0.9) and len(unsure) + len(sure) == len(chances)


def test_the_frontier_leaves_out_bounds_that_nothing_keeps(ax):
    decision = Decision(grid_economics(draws=200, roi="total", roi_min=50.0))
    table = decision.frontier([1.0, 50.0, 1e6])
    design.frontier(ax, table, decision)
    assert len(ax.get_xticks()) == table.revenue.notna().sum() < 3
    assert "1 bounds that no size keeps" in design.decision_caption(decision, table)
    assert_texts_can_be_read(ax)


def test_costs_by_input_add_up(ax):
    economics = grid_economics()
    parts = {"training": 20 * economics.relative_flops}
    rows = design.cost_by_input(ax, economics, parts)
    assert GRID.size_parameters[rows, 0].tolist() == [3328, 6528, 9728, 12928, 16128, 19328]
    tops = [patch.get_y() + patch.get_height() for patch in ax.patches[-len(rows) :]]
    total = economics.machine_cost + parts["training"]
    np.testing.assert_allclose(tops, total[rows] / total[economics.base])
    assert_texts_can_be_read(ax)


def test_steps_name_each_choice(ax):
    decision = Decision(grid_economics(draws=100))
    table = choices({"serving": decision, "+ training": decision})
    design.steps(ax, table)
    assert len(ax.patches) == 4
    assert_texts_can_be_read(ax)


def region(prices, low, high):
    table = pd.DataFrame({"price": prices, "low": low, "high": high, "rival": 0})
    return table.assign(possible=table.low < table.high)


def test_the_paper_s_map_draws_what_is_possible(ax):
    regions = {
        "one": region([0.0, 0.5, 1.0], [0.02, 0.01, 0.005], [0.01, 0.02, 0.01]),
        "none": region([0.0, 0.5, 1.0], [0.02] * 3, [0.01] * 3),
    }
    design.paper_map(ax, regions)
    assert len(ax.collections) == 1 and "one" in texts(ax) and "none" not in texts(ax)
    assert_texts_can_be_read(ax)
    caption = design.paper_map_caption(
        regions, {name: least_price(table) for name, table in regions.items()}
    )
    assert "by one: it can be the answer only if inputs cost the base at least 50%" in caption
    assert "within 100.0% of each other" in caption
    assert "by none: no price of inputs" in caption
