"""Tables of worlds, dials and variants, and the committed plan."""

import pytest
import yaml

from lib.experiments import study
from lib.experiments.study import table
from tests import ROOT
from tests.experiments.study.small_study import BASE

PARAMS = ROOT / "params"


def test_points_that_change_nothing_are_the_plain_world():
    line = {"dial": "pre_ranking_ads", "values": [20, 40], "world": "D", "seeds": [1]}
    same, other = study.expand_dials([line])
    assert same["changes"] == {} and other["changes"] == {"pre_ranking_ads": 40}
    plain = study.expand_worlds([{"world": "D", "seeds": [1]}])[0]
    assert table._world_task(same, BASE, 0.0) == table._world_task(plain, BASE, 0.0)


def test_plain_values_are_those_without_changes_of_their_own():
    plan = [
        {"dial": "drift", "values": [0.3, 0.0], "world": "D", "seeds": [0, 1], "reason": ""},
        {
            "dial": "exposures",
            "world": "D",
            "seeds": [0],
            "reason": "",
            "points": [
                {"value": 1, "changes": {"position_discounts": [1.0]}},
                {"value": 3, "changes": {}},
            ],
        },
    ]
    for everywhere in ({}, {"users": 2000, "ads": 5000}):
        points = study.expand_dials(plan, everywhere)
        assert study.plain_values(points) == {"drift": 0.0, "exposures": 3}
    assert study.plain_values([]) == {}


def test_models_train_on_whole_batches():
    base = BASE | {"train_impressions": 1000}
    sizes = [
        study.training_fields(line, base, 2, 2)["train_impressions"]
        for line in ({}, {"data_share": 0.3}, {"batch_impressions": 64}, {"data_share": 0.1})
    ]
    assert sizes == [7 * 128, 2 * 128, 15 * 64, 100]  # fewer than a batch are a batch


def test_unknown_dials_are_refused():
    with pytest.raises(ValueError, match="no_such_dial"):
        study.expand_dials([{"dial": "no_such_dial", "values": [1], "world": "D", "seeds": [0]}])


@pytest.mark.parametrize("profile", ["quick", "full", "full_candidates"])
def test_the_committed_plan_is_one_and_gives_its_reasons(profile):
    plan = yaml.safe_load((PARAMS / profile / "01_metric_validation.yaml").read_text())
    base = plan["dial_study"].get("base", BASE)
    models = [
        study.Variant(logs="", features="", **study.training_fields(line, base, 2, 2)).model
        for line in plan["variants"]
    ]
    assert len(set(models)) == len(models)
    assert not plan["dials"] or sum("on_dials" in line for line in plan["variants"]) >= 4
    for line in plan["variants"] + plan["worlds"] + plan["dials"]:
        assert line["reason"]
    study.expand_dials(plan["dials"], plan["dial_study"].get("changes"))
    assert len(study.expand_worlds(plan["worlds"])) == (2 if profile == "quick" else 8)
    sets = [line.get("set", "primary") for line in plan["variants"]]
    assert profile == "quick" or (sets.count("primary") >= 30 and "secondary" in sets)
