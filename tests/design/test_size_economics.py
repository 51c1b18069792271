import numpy as np
import pandas as pd
import pytest

from lib.cost.device import CPU_CORE
from lib.cost.roofline import Roofline
from lib.design.roi_choice import best_size
from lib.design.size_economics import SizeEconomics, machine_cost, service_time_model
from lib.design.size_grids import Sizes
from lib.serving.queueing import load_at_limit

SIZES = Sizes(np.array([[4, 2, 1], [8, 2, 1], [8, 4, 1], [16, 4, 1]]), np.array([20, 36, 72, 136]))
LIFT = np.array([-0.01, 0.0, 0.02, 0.03])
COST = np.array([80.0, 100.0, 250.0, np.inf])
TOWARDS = {"revenue_per_hour": 1e4, "roi_min": 1.0, "interval": 0.8}


def economics(**changes):
    rng = np.random.default_rng(0)
    arguments = {
        "sizes": SIZES,
        "base": 1,
        "lift": LIFT,
        "lift_draws": LIFT * rng.uniform(0, 2, size=(500, 1)),
        "machine_cost": COST,
        "machine_cost_draws": np.tile(COST, (500, 1)),
    }
    return SizeEconomics(**arguments | TOWARDS | changes)


def test_best_size_by_hand():
    """The third earns 200 more an hour for 150 more: an ROI of 1.33."""
    assert economics().best() == 2
    assert economics().best(roi_min=1.3) == 2
    assert economics().best(roi_min=1.4) == 1  # the base: nothing for nothing
    # Of little revenue the first would save more than it loses, and Eq 8 asks for most revenue.
    assert economics(revenue_per_hour=1e3).best() == 1


def test_total_and_incremental_roi_differ():
    total = economics(roi="total", roi_min=41.0)
    assert total.best() == 1  # 10,200 / 250 = 40.8
    assert economics(roi="total", roi_min=40.0).best() == 2


def test_shares_follow_the_draws():
    """The best is the third while 1e4 * lift >= 150, which draws of its factor >= 0.75 are."""
    sizes = economics()
    factors = sizes.lift_draws[:, 2] / 0.02
    share = np.mean(factors >= 0.75)
    np.testing.assert_allclose(sizes.share_best, [0, 1 - share, share, 0])


def test_picks_are_rows_of_the_table():
    sizes = economics()
    table, picks = sizes.table(), sizes.picks(other_limits=(0, 5), published=3)
    assert picks["size"].tolist() == [
        "base",
        "best, λ = 1",
        "best, λ = 0",
        "best, λ = 5",
        "the paper's",
    ]
    assert picks["size_parameters"].tolist() == [
        SIZES.size_parameters[i].tolist() for i in (1, 2, 2, 1, 3)
    ]
    assert picks["machines / base"].tolist() == [1, 2.5, 2.5, 1, np.inf]
    assert picks["flops / base"].tolist() == [1, 2, 2, 1, 136 / 36]
    low, high = np.quantile(sizes.lift_draws[:, 2], [0.1, 0.9])  # an interval of 0.8
    assert [table.lift_low[2], table.lift_high[2]] == pytest.approx([low, high])
    assert [picks["lift low"][1], picks["lift high"][1]] == pytest.approx([low, high])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lift": LIFT[:2]}, r"lift must end in an axis of the 4 sizes; got \(2,\)"),
        ({"lift_draws": LIFT}, r"lift_draws must end in an axis of the 4 sizes; got \(4,\)"),
        ({"base": 3}, r"the base \[16, 4, 1\] cannot be served within the latency limit"),
    ],
)
def test_economics_refuse(change, message):
    with pytest.raises(ValueError, match=message):
        economics(**change)


def test_machine_cost_carries_the_base_s_traffic():
    """20 machines of 100 QPS; draws [2, 3] against the base's own draws [2, 1]."""
    qps = np.array([[100.0, 50.0, 0.0], [80.0, 40.0, 160.0]])
    np.testing.assert_allclose(
        machine_cost(qps, qps[:, :1], machines_base=20, price_per_hour=2),
        [[40, 80, np.inf], [40, 80, 20]],
    )


def test_a_base_beyond_its_limit_is_refused():
    with pytest.raises(ValueError, match="the base cannot be served within the latency limit"):
        machine_cost(np.ones((2, 3)), np.array([[1.0], [0.0]]), 20, 1.0)


def test_draws_in_which_the_base_could_not_serve_are_others():
    """It serves now: the draws 1 and 3, in which it cannot, become 0 and 2."""
    qps = np.array([[100.0, 50.0], [0.0, 9.0], [80.0, 20.0], [0.0, 9.0], [60.0, 60.0]])
    np.testing.assert_allclose(
        machine_cost(qps, qps[:, :1], machines_base=20, price_per_hour=1.0)[:, 1],
        [40, 40, 80, 80, 20],
    )
    with pytest.raises(ValueError, match="cannot be served"):  # in most draws
        machine_cost(qps[[0, 1, 3]], qps[[0, 1, 3], :1], 20, 1.0)


def measured(**columns):
    """Five sizes whose times follow the roofline of a core."""
    sizes = [[3328, width, 256, 128, 128, 1] for width in (256, 384, 512, 768, 1024)]
    times = Roofline(CPU_CORE).predict(sizes, "first_layer_optimised", 100)
    table = pd.DataFrame(
        {
            "size_parameters": sizes,
            "form": "first_layer_optimised",
            "candidates": 100,
            "latency_limit_ms": 100.0,
            "qps": load_at_limit(times, 100.0, workers=2),
            "service_ms": times,
            "workers": 2,
        }
    ).assign(**columns)
    table.attrs["path"] = "own/costs.csv"
    return table


def test_times_that_were_not_measured_follow_from_the_qps():
    full = measured()
    least = full.drop(columns=["service_ms", "workers"])
    new = [3328, 640, 256, 128, 128, 1]
    times = [
        float(
            service_time_model(rows, "first_layer_optimised", workers=2).predict(
                np.array(new), "first_layer_optimised", 100
            )
        )
        for rows in (full, least)
    ]
    assert times[1] == pytest.approx(times[0], rel=1e-3)


def test_a_size_beyond_its_limit_tells_no_time():
    least = measured().drop(columns="service_ms")
    least.loc[4, "qps"] = 0.0
    model = service_time_model(least, "first_layer_optimised", workers=2)
    assert len(model.leave_one_out_) == 4


def test_too_few_rows_name_the_file():
    with pytest.raises(ValueError, match=r"own/costs.csv: rows of the form 'naive': .*at least 3"):
        service_time_model(measured(), "naive", workers=2)


def test_best_is_best_size_of_the_money():
    """Against `best_size` on revenue and cost written out."""
    revenue, cost = 1e4 * LIFT, COST - 100
    assert economics().best(roi_min=0.3) == best_size(revenue, cost, 0.3)
