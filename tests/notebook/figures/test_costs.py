import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lib.cost.device import CPU_CORE, T4
from lib.cost.published import published_t4
from lib.cost.roofline import TERMS, Roofline
from lib.design.cost_models_compared import cost_steps, time_shares
from lib.notebook.figures import costs as figures
from tests.notebook.figures.drawn import points

BASE = [3328, 1024, 256, 256, 256, 1]
SIZES = [[5128, 1024, 512, 512, 512, 1], [16128, 1024, 512, 512, 512, 1]]


def table():
    """Two cached sizes, a naive one that was not measured, a twin tower."""
    return pd.DataFrame(
        {
            "form": ["first_layer_optimised", "first_layer_optimised", "naive", "twin_tower"],
            "size_parameters": [BASE, SIZES[0], BASE, [3328, 512, 64]],
            "flops": [7.6e6, 12.6e6, 7.6e6, 4e6],
            "qps": [1500.0, 600.0, np.nan, 3000.0],
            "qps_low": [1200.0, 500.0, np.nan, 2500.0],
            "qps_high": [1900.0, 800.0, np.nan, 3900.0],
            "p50_ms": [5.0, 18.0, np.nan, 2.0],
            "p95_ms": [20.0, 50.0, np.nan, 40.0],
            "p99_ms": [30.0, 60.0, np.nan, 55.0],
        }
    )


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def assert_legend_covers_nothing(ax):
    ax.figure.draw_without_rendering()
    box = ax.get_legend().get_window_extent()
    assert box.y1 <= ax.get_window_extent().y0 + 1  # under the axes
    assert ax.figure.bbox.y0 <= box.y0 + 1


def test_loads_have_a_colour_and_an_interval_each(ax):
    grid = np.array([[2e6, 3e6, 4e6], [900, 800, 700], [700, 600, 500], [1000, 950, 900]], float)
    figures.loads(ax, table(), 100.0, tuple(grid))
    assert legend(ax) == [
        "sizes of the grid, predicted (first layer cached, 90 %)",
        "MLP, first layer cached",
        "twin tower",
    ]
    drawn = {tuple(point) for line in points(ax) for point in line}
    assert {(7.6e6, 1500.0), (12.6e6, 600.0), (4e6, 3000.0), (2e6, 900.0)} <= drawn
    assert len(ax.containers) == 2  # error bars, a form each
    assert_legend_covers_nothing(ax)


def test_loads_without_predictions(ax):
    figures.loads(ax, table(), 100.0)
    assert legend(ax) == ["MLP, first layer cached", "twin tower"]
    assert "p99 within 100 ms" in ax.get_ylabel()


def test_latencies_are_rows_of_measured_sizes(ax):
    figures.latencies(ax, table(), 100.0)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["3328→1024-256-256-256", "5128→1024-512-512-512", "3328→512-64"]
    colours = [to_hex(label.get_color()) for label in ax.get_yticklabels()]
    expected = [figures.FORM_COLOURS[form].lower() for form in table().form.drop(2)]
    assert colours == expected
    offsets = [part.get_offsets() for part in ax.collections if len(part.get_offsets()) == 3]
    assert [part[:, 0].tolist() for part in offsets] == [[5, 18, 2], [20, 50, 40], [30, 60, 55]]
    assert legend(ax) == [
        *("p50", "p95", "p99", "the limit"),
        *("MLP, first layer cached", "twin tower"),
    ]
    assert_legend_covers_nothing(ax)


def test_latencies_leave_most_of_the_width_to_the_data():
    figure, ax = plt.subplots(figsize=(8.0, 4.6), layout="constrained")
    figures.latencies(ax, table(), 100.0)
    figure.draw_without_rendering()
    assert ax.get_window_extent().width > 0.7 * figure.bbox.width
    assert all(label.get_fontsize() >= 8 for label in ax.get_yticklabels())
    plt.close(figure)


def test_predicted_times_against_measured(ax):
    figures.predicted_times(ax, [BASE, *SIZES], [1.0, 2.0, 4.0], [0.1, -0.2, 0.0])
    drawn = np.concatenate(points(ax))
    np.testing.assert_allclose(drawn, [[1.0, 1.1], [2.0, 1.6], [4.0, 4.0]])
    assert legend(ax) == [
        "within 10 %",
        *("3328→1024-256-256-256", "5128→1024-512-512-512", "16128→1024-512-512-512"),
    ]
    assert ax.get_xlim() == ax.get_ylim()
    ax.figure.draw_without_rendering()
    ticks = {label.get_text() for label in ax.get_xticklabels()}
    assert {"1", "2"} <= ticks and not any("m" in tick for tick in ticks)  # ms, not milli-ms
    assert_legend_covers_nothing(ax)


def test_cost_steps_use_shapes_for_sizes_and_fills_for_machines(ax):
    steps = {"here": cost_steps(SIZES, BASE, 100, CPU_CORE), "T4": cost_steps(SIZES, BASE, 100, T4)}
    figures.cost_steps(ax, steps)
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks == ["FLOPs", "cached", "memory", "transfer", "overhead", "batching"]
    drawn = [line for line in ax.lines if len(line.get_xdata()) == len(ticks)]
    places = np.array([line.get_xdata() for line in drawn])
    np.testing.assert_array_equal(np.round(places), np.tile(np.arange(6), (4, 1)))
    assert len(np.unique(places)) == places.size  # no marker hides another
    assert [line.get_marker() for line in drawn] == ["o", "^", "o", "^"]
    assert [line.get_markerfacecolor() for line in drawn] == ["black"] * 2 + ["white"] * 2
    assert all(line.get_linestyle() == "None" for line in drawn)  # categories are not joined
    np.testing.assert_allclose(drawn[1].get_ydata(), steps["here"].iloc[1, 1:].astype(float))
    # No colour that means a kind of work in the panel beside it.
    assert not {to_hex(line.get_color()) for line in drawn} & set(figures.TERM_COLOURS.values())
    assert_legend_covers_nothing(ax)


def test_time_shares_are_bars_that_add_up_to_one(ax):
    sizes = [BASE, *SIZES]
    shares = time_shares(Roofline(CPU_CORE), sizes, "first_layer_optimised", 100)
    figures.time_shares(ax, shares)
    assert legend(ax) == list(TERMS)
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    np.testing.assert_allclose(ends, 1)
    first = [bars[0].get_width() for bars in ax.containers]
    np.testing.assert_allclose(first, shares.loc[0, list(TERMS)].astype(float))
    assert ax.get_yticklabels()[0].get_text().startswith("3328→1024-256-256-256\n")
    assert_legend_covers_nothing(ax)


def test_published_times_show_what_was_fitted_to(ax):
    rows = published_t4()
    figures.published_times(ax, rows)
    assert legend(ax) == ["FP16, fitted to", "FP16, not seen", "FP32, not seen", "INT8, not seen"]
    assert sum(len(line) for line in points(ax)) == len(rows)


@pytest.mark.parametrize("draw", [figures.loads, figures.latencies])
def test_a_table_without_a_measured_size_is_drawn_empty(ax, draw):
    draw(ax, table().assign(qps=np.nan, p99_ms=np.nan), 100.0)
    assert not any(len(line) for line in points(ax))
