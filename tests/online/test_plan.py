"""The plan on paper, against numbers worked by hand."""

import pytest

from lib.online.plan import Rates, Workload, plan_on_paper

WORK = {"impressions": 20e9, "days": 10, "ads": 1e7}
RATES = {
    "trained_flops": 1e12,
    "training_efficiency": 0.5,
    "requests": 100,
    "record_bytes": 4000,
    "partition_bytes": 5e7,
    "producer_flops": 1e12,
    "memory": 6.4e10,
    "used_share": 0.5,
}


def planned(work=None, rates=None):
    table = plan_on_paper(Workload(**{**WORK, **(work or {})}), Rates(**{**RATES, **(rates or {})}))
    return table.set_index(["part", "quantity"]).value


def test_by_hand():
    plan = planned()
    mean = 20e9 / 864_000
    assert plan["traffic", "impressions a second, mean"] == pytest.approx(mean)
    peak = 1.5 * mean
    assert plan["stream", "partitions"] == 6  # 34,722 x 4,000 / 2.5e7 = 5.6
    step = 3 * 7_602_688 * 10
    assert plan["trainers", "FLOPs an impression"] == step
    assert plan["trainers", "machines"] == -(-peak * step // (1e12 * 0.5 * 0.5))
    assert plan["servers", "machines"] == -(-peak // 50)
    dense = 4 * 7_602_688 / 2
    export = (1e11 + dense + 11 * (1e10 + dense)) / 12
    assert plan["exports", "bytes a version, mean"] == pytest.approx(export)
    assert plan["exports", "bytes a day"] == pytest.approx(72 * export)
    update = 2 * 1664 * 1024 * 1e7
    assert plan["Embedding Producer", "FLOPs a version"] == pytest.approx(update)
    assert plan["Embedding Producer", "machines"] == -(-update // (1e12 * 0.5 * 300))
    assert plan["Embedding Producer", "bytes of parts"] == 1e7 * 1024 * 2
    assert plan["Embedding Producer", "machines that share a copy"] == 2  # 41 GB in 32 GB each


@pytest.mark.parametrize(
    ("changes", "grows", "factor"),
    [
        ({"impressions": 40e9}, ("trainers", "machines"), 2),
        ({"ads": 2e7}, ("Embedding Producer", "bytes of parts"), 2),
        ({"export_minutes": 10}, ("exports", "bytes a day"), 2),
        ({"retention_days": 6}, ("stream", "bytes kept"), 2),
    ],
)
def test_what_doubles_with_what(changes, grows, factor):
    assert planned(changes)[grows] == pytest.approx(factor * planned()[grows], rel=0.02)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Workload, {**WORK, "user_width": 3328}, "user_width must be below a_0 = 3328"),
        (Workload, {**WORK, "days": 0}, "days"),
        (Workload, {**WORK, "size_parameters": (8,)}, "size parameters"),
        (Rates, {**RATES, "used_share": 0}, "used_share"),
    ],
)
def test_what_is_no_plan(kind, values, message):
    with pytest.raises(ValueError, match=message):
        kind(**values)
