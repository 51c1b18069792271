"""All runs of a small study, and plans that are none."""

import pytest

from lib.online.study import results
from lib.online.study.table import StudyPlan, run
from tests.online.study.small_study import PLAN


def test_a_small_study_from_logs_to_results(tmp_path):
    plan = PLAN.model_copy(update={"seeds": [0]})
    runs = run(plan, tmp_path, backend="loky", n_jobs=1)
    assert set(runs.blocks.run) == {"drifting", "still", "asynchronous"}
    assert set(runs.revenue.run) == {"drifting", "closed loop"}
    assert (runs.blocks.version + plan.delay <= runs.blocks.minute).all()
    drifting = runs.blocks[runs.blocks.run == "drifting"]
    assert set(drifting["size"]) == {"4-4-4", "8-4-4"}
    base = drifting[drifting["size"] == "4-4-4"]
    assert set(base.policy) == {"20 min", "60 min", "1440 min", "anew"}
    late = results.cost_of_asynchrony(runs.blocks, "4-4-4", "20 min")
    assert late[["delayed", "staleness"]].to_numpy().tolist() == [
        ["all", 0],
        ["all", 2],
        ["tables", 2],
    ]
    assert set(results.closed_loop_costs(runs.revenue, "4-4-4").run) == {"drifting", "closed loop"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": [9, 4, 1]}, "base must be one of the sizes"),
        ({"intervals": [20, 63]}, "block must divide intervals and delay"),
        ({"warm_up_days": 2}, "warm_up_days must leave a stretch to measure"),
        ({"served": 30}, "served must be one of"),
        ({"seeds": []}, "seeds"),
        ({"system": {"world": "Z"}}, "preset must be in"),
    ],
)
def test_plans_that_are_none(changes, message):
    with pytest.raises(ValueError, match=message):
        StudyPlan(**{**PLAN.model_dump(), **changes})


def test_tests_of_revenue_see_versions_of_all_ages():
    plan = StudyPlan(**{**PLAN.model_dump(), "system": {"drift": {"days": 3.0}}})
    assert len(plan.test_minutes) == 10
    ages = {(minute - plan.delay) % 240 for minute in plan.test_minutes}
    assert len(ages) == 10 or max(ages) - min(ages) > 120
