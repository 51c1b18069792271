"""One budget, by hand: machines by Algorithm 1, memory's floor, what is best under a limit."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.design.click_budget import ClickModelPrices, best_under, price_options, seconds_at_the_roof

PRICES = {
    "serving_machines": 100,
    "memory_share": 0.25,
    "training_machines": 20,
    "storage_per_hour": 10.0,
    "price_per_hour": 2.0,
    "revenue_per_hour": 1000.0,
}
# name: (today, samples, serving and training seconds, embedding parameters, revenues of two draws)
OPTIONS = {
    "base": (True, 1000, 1e-6, 3e-6, 64, (2.0, 4.0)),
    "more data": (False, 2000, 1e-6, 3e-6, 64, (2.2, 4.2)),
    "slow": (False, 1000, 1.5e-6, 6e-6, 64, (2.0, 4.0)),
    "large": (False, 1000, 1e-6, 3e-6, 640, (2.4, 4.8)),
    "small": (False, 500, 0.5e-6, 1.5e-6, 32, (1.8, 3.6)),
}


def options(**changes):
    made = [
        {"option": name, "today": today, "samples": samples, "serving_seconds": serving}
        | {"training_seconds": training, "embedding_parameters": size}
        | {"revenue": revenue, "draw": draw}
        for name, (today, samples, serving, training, size, revenues) in OPTIONS.items()
        for draw, revenue in enumerate(revenues)
    ]
    return pd.DataFrame(made).assign(**changes)


@pytest.fixture
def priced():
    return price_options(options(), ClickModelPrices(**PRICES)).set_index("option")


def test_costs_by_hand(priced):
    got = priced[["serving_cost", "training_cost", "storage_cost"]].T.to_dict("list")
    assert {name: pytest.approx(costs) for name, costs in got.items()} == {
        "base": [200, 40, 10],
        "more data": [200, 80, 20],  # twice the samples: twice the trainers and the storage
        "slow": [300, 80, 10],
        "large": [500, 40, 10],  # ten times the tables: 2.5 times all the memory there is
        "small": [100, 10, 5],  # half the time a sample, half the samples
    }
    assert priced.cost["base"] == pytest.approx(250) and priced.extra_cost["base"] == 0
    assert priced.extra_cost["small"] == pytest.approx(-135)


def test_tables_below_a_machine_s_memory_need_no_more_machines():
    made = options(embedding_parameters=lambda t: t.embedding_parameters.where(~t.today, 400))
    got = price_options(made, ClickModelPrices(**PRICES)).set_index("option")
    assert got.serving_cost["large"] == pytest.approx(200)  # .25 x 640 / 400 = .4 of it


def test_lifts_are_paired_by_draw(priced):
    """More data: 10 and 5 %; Student's interval of two draws is sd x 6.31 / sqrt 2."""
    t = stats.t(1).ppf(0.95)
    more = priced.loc["more data"]
    assert [more.lift, more.low] == pytest.approx([0.075, 0.075 - t * 0.025])
    assert [priced.lift["large"], priced.low["large"]] == pytest.approx([0.2, 0.2])
    assert more.extra_revenue == pytest.approx(75) and more.roi == pytest.approx(75 / 50)
    assert np.isnan(priced.roi["base"]) and priced.roi["slow"] == 0


def test_a_draw_s_order_changes_nothing(priced):
    shuffled = options().sample(frac=1, random_state=0)
    again = price_options(shuffled, ClickModelPrices(**PRICES)).set_index("option")
    pd.testing.assert_frame_equal(again.loc[priced.index], priced)


def test_today_is_needed_once_in_every_draw():
    prices = ClickModelPrices(**PRICES)
    message = r"every draw must hold today's option once; it is there in draws {} of \[0, 1\]"
    with pytest.raises(ValueError, match=message.format(r"\[0\]")):
        price_options(options().query("not (today and draw == 1)"), prices)
    twice = pd.concat([options(), options()[:1]])
    with pytest.raises(ValueError, match=message.format(r"\[0, 1, 0\]")):
        price_options(twice, prices)


def test_today_is_one_option_in_all_draws():
    made = options()
    made["today"] = np.where(made.draw == 0, made.option == "base", made.option == "slow")
    with pytest.raises(ValueError, match=r"same in every draw; got \[\['base', 1000\], \['slow'"):
        price_options(made, ClickModelPrices(**PRICES))


@pytest.mark.parametrize("name", PRICES)
@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf])
def test_prices_are_above_0(name, value):
    with pytest.raises(ValueError, match=f"{name} must be > 0; got {value}"):
        ClickModelPrices(**PRICES | {name: value})


def test_a_machine_s_memory_is_all_there_is():
    assert ClickModelPrices(**PRICES | {"memory_share": 1}).memory_share == 1
    with pytest.raises(ValueError, match=r"memory_share must lie in \(0, 1\]; got 1.5"):
        ClickModelPrices(**PRICES | {"memory_share": 1.5})


def test_best_under_a_budget_by_a_loop(priced):
    """Costs over today's: small .46, base 1, more data 1.2, slow 1.56, large 2.2."""
    got = best_under(priced.reset_index(), [0.5, 1.0, 1.2, 2.0, 2.2, 9.0])
    assert got.option.tolist() == ["small", "base", "more data", "more data", "large", "large"]
    for found in got.itertuples():
        affordable = priced[priced.cost <= found.budget * 250 + 1e-6]
        assert found.lift == affordable.lift.max() and found.cost <= found.budget * 250 + 1e-6
        shares = found.serving_share, found.training_share, found.storage_share
        assert sum(shares) == pytest.approx(1)
    assert got.serving_share[1] == pytest.approx(0.8)
    assert got.storage_share[2] == pytest.approx(20 / 300)


def test_of_equal_lifts_the_cheapest_is_best(priced):
    """The slow model earns what the base does."""
    frame = priced.loc[["slow", "base"]].reset_index()
    assert best_under(frame, [2.0]).option.tolist() == ["base"]


def test_a_budget_that_buys_nothing_is_named(priced):
    with pytest.raises(
        ValueError, match=r"got 0.3 times today's cost, the cheapest costs 0.46 times"
    ):
        best_under(priced.reset_index(), [1.0, 0.3])


def test_the_roof_is_the_slower_of_two():
    got = seconds_at_the_roof([[2.0], [20.0]], [3.0, 30.0], peak_flops=2.0, bandwidth=3.0)
    assert got.tolist() == [[1.0, 10.0], [10.0, 10.0]]
