import numpy as np
import pytest

from lib.experiments.shape_study.spending import Prices, best_split, by_training_price, next_unit
from lib.laws import JointPowerLaw
from lib.validation.revenue_model import LinearRevenueModel

BASE = (6000.0, 60000.0)
PRICES = Prices(serving=100.0, training=10.0, data=0.0, revenue=1e4)
TRUTH = {"E": 0.95, "A": 4.0, "B": 20.0, "alpha": 0.4, "beta": 0.5}


@pytest.fixture(scope="module")
def law():
    size, data = (
        v.ravel() for v in np.meshgrid(np.geomspace(1e3, 1e5, 5), np.geomspace(1e4, 3e5, 5))
    )
    y = TRUTH["E"] - TRUTH["A"] * size ** -TRUTH["alpha"] - TRUTH["B"] * data ** -TRUTH["beta"]
    y = y + np.random.default_rng(0).normal(0, 1e-5, 25)
    groups = np.unique(size, return_inverse=True)[1]
    return JointPowerLaw(direction="rising", refits=40).fit(
        np.column_stack([size, data]), y, groups
    )


@pytest.fixture(scope="module")
def g():
    metric = np.linspace(0.6, 0.9, 12)
    return LinearRevenueModel(draws=100).fit(metric, 0.5 * metric - 0.4)


def slopes():
    """dy / dlog of size and data at the base, by hand."""
    size, data = BASE
    return (
        TRUTH["alpha"] * TRUTH["A"] * size ** -TRUTH["alpha"],
        TRUTH["beta"] * TRUTH["B"] * data ** -TRUTH["beta"],
    )


def test_the_next_unit_by_hand(law, g):
    table = next_unit(law, g, BASE, PRICES).set_index("spent_on")
    of_size, of_data = slopes()
    assert table.loc["a bigger model", "return"] == pytest.approx(
        0.5 * 1e4 * of_size / 110, rel=0.02
    )
    assert table.loc["more data", "return"] == pytest.approx(0.5 * 1e4 * of_data / 10, rel=0.02)
    assert table.probability.sum() == pytest.approx(1)
    assert (table.return_low <= table["return"]).all() and (
        table["return"] <= table.return_high
    ).all()
    doubling = 0.5 * TRUTH["A"] * BASE[0] ** -TRUTH["alpha"] * (1 - 2 ** -TRUTH["alpha"])
    assert table.loc["a bigger model", "a_doubling"] == pytest.approx(doubling, rel=0.02)


def test_by_price_agrees_and_falls(law, g):
    table = by_training_price(law, BASE, PRICES, [0.01, 0.1, 1.0])
    unit = next_unit(law, g, BASE, PRICES).set_index("spent_on")["return"]
    assert table.data_over_size[1] == pytest.approx(unit["more data"] / unit["a bigger model"])
    of_size, of_data = slopes()
    assert table.data_over_size[0] == pytest.approx(of_data / of_size * 101, rel=0.02)
    assert table.data_over_size.is_monotonic_decreasing
    assert ((table.low <= table.data_over_size) & (table.data_over_size <= table.high)).all()


def test_the_best_split_is_that_of_a_search(law, g):
    budgets = [0.5, 1.0, 2.0]
    table = best_split(law, g, BASE, PRICES, budgets, most_data=1e9)
    for budget, row in zip(budgets, table.itertuples(), strict=True):
        size = np.geomspace(0.01, 3, 20001)
        data = (110 * budget - 100 * size) / (10 * size)
        x = np.column_stack([size, data])[data > 0] * BASE
        y = law.predict(x)
        assert row.size == pytest.approx(x[y.argmax(), 0], rel=0.03)
        assert row.cost == pytest.approx(budget)
    assert table.lift.is_monotonic_increasing
    assert ((table.lift_low <= table.lift) & (table.lift <= table.lift_high)).all()


def test_no_more_data_than_there_are(law, g):
    table = best_split(law, g, BASE, PRICES, [1.0, 4.0], most_data=120000.0)
    assert (table.data <= 120000 * (1 + 1e-9)).all()
    assert table.data.iloc[1] == pytest.approx(120000)
    assert (table.cost <= table.budget + 1e-9).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"serving": 0.0}, "Prices: serving must be finite and > 0; got 0.0"),
        ({"training": -1.0}, "Prices: training must be finite and >= 0; got -1.0"),
        ({"revenue": np.inf}, "Prices: revenue must be finite"),
        ({"training": 0.0}, "training or data must cost something"),
    ],
)
def test_prices_that_are_refused(change, message):
    given = {"serving": 100.0, "training": 10.0, "data": 0.0, "revenue": 1e4}
    with pytest.raises(ValueError, match=message):
        Prices(**given | change)


def test_what_is_refused(law, g):
    with pytest.raises(ValueError, match="best_split: budgets"):
        best_split(law, g, BASE, PRICES, [0.0], most_data=1e9)
    with pytest.raises(ValueError, match="by_training_price: ratios"):
        by_training_price(law, BASE, PRICES, [-1.0])
