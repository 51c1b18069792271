import numpy as np
import pandas as pd

from lib.notebook.figures import online as figures
from lib.online.study.published import published_staleness
from tests.notebook import made_online as made
from tests.notebook.figures.drawn import texts


def lines(ax):
    return [line.get_xydata().tolist() for line in ax.lines]


def test_over_time_names_each_policy(ax):
    table = pd.DataFrame(
        [
            {"policy": policy, "hour": hour, "loss": 0.01 * place + 0.001 * hour}
            for place, policy in enumerate(["20 min", "1440 min", "anew"])
            for hour in (25, 27)
        ]
    )
    figures.over_time(ax, table, "loss", "lost")
    assert sorted(texts(ax)) == ["1 day", "20 min", "anew daily"]
    assert ax.lines[2].get_linestyle() == "--"
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.035, 0.037])


def test_costs_of_each_size_by_interval(ax):
    figures.costs(ax, made.costs(), "cost", "low", "high", "lost")
    assert sorted(texts(ax)) == ["24-8", "96-24"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["20 min", "1 h", "1 day"]
    assert ax.lines[0].get_ydata().tolist() == [0, 0.002, 0.04]


def test_published_beside_batch_training(ax):
    figures.published(ax, published_staleness(), 0.0037)
    assert texts(ax) == ["batch training"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["30 min", "1 h", "5 h"]


def test_by_age(ax):
    table = pd.DataFrame(
        {"age": [1.0, 5], "cost": [0.0, 0.02], "low": [-0.01, 0.01], "high": [0.01, 0.03]}
    )
    figures.by_age(ax, {"drifts": table, "still": table.assign(cost=0.0)})
    assert sorted(texts(ax)) == ["drifts", "still"]
    assert lines(ax)[0] == [[1, 0], [5, 0.02]]


def test_sizes_and_slopes(ax):
    table = pd.DataFrame(
        [
            {"draw": draw, "flops": flops, "loss": 0.1 * draw + flops / 1e5}
            for draw in (0, 1)
            for flops in (1000, 4000)
        ]
    )
    figures.sizes(ax, table, "loss", "lost")
    assert texts(ax) == ["mean"] and len(ax.lines) == 3
    np.testing.assert_allclose(ax.lines[2].get_ydata(), [0.06, 0.09])
    ax.clear()
    figures.slopes(ax, made.slopes())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(figures.SLOPES.values())


def test_asynchrony(ax):
    figures.asynchrony(ax, made.late())
    assert sorted(texts(ax)) == ["all gradients late", "tables alone"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["4", "64"]
