"""A study's plan: what is trained where, checked before anything is."""

import numpy as np
import pandas as pd
import pytest

from lib.experiments.study import assembly
from lib.experiments.study.assembly import StudyPlan, first_tables, population_of

GIVEN = {
    "system": "system",
    "variants": [{"model": "base again", "on_dials": True}, {"model": "wide"}],
    "visits": 2,
    "seeds": [0],
    "stale": 0.3,
    "worlds": [{"world": "A", "seeds": [0, 3], "reason": ""}],
    "world_study": {"visits": 4, "seeds": [1]},
    "held_out": {"worlds": ["A seed 3"], "variants": [{"model": "wider"}], "seeds": [5]},
    "dials": [{"dial": "drift", "world": "D", "seeds": [0], "values": [0.0, 0.3], "reason": ""}],
    "dial_study": {"changes": {"users": 2000}, "visits": 1, "seeds": [0]},
}


def calls(monkeypatch, **changes):
    made = []

    def record(worlds, variants, **settings):
        made.append((worlds, variants, settings))
        built = [{"world": world["world"], "system": "folder", "stale": ""} for world in worlds]
        return pd.DataFrame(built), pd.DataFrame({"model": [v["model"] for v in variants]})

    monkeypatch.setattr(assembly, "run", record)
    tables = StudyPlan(**GIVEN | changes).run("folder", cuts=[1, 2], m=2, k=1, n_jobs=1)
    return made, tables


def test_every_part_gets_its_worlds_models_and_settings(monkeypatch):
    made, (worlds, trainings) = calls(monkeypatch)
    assert [[world["world"] for world in part] for part, *_ in made] == [
        ["notebook 00"],
        ["A seed 0", "A seed 3"],
        ["A seed 3"],
        ["D seed 0", "D seed 0"],
    ]
    assert [[variant["model"] for variant in variants] for _, variants, _ in made] == [
        ["base again", "wide"],
        ["base again", "wide"],
        ["wider"],
        ["base again"],
    ]
    assert made[2][1][0]["set"] == "held_out"
    of_all = {"cuts": [1, 2], "m": 2, "k": 1, "n_jobs": 1, "folder": "folder"}
    assert [settings for *_, settings in made] == [
        {"stale": 0.3, "seeds": [0], "visits": 2} | of_all,
        {"stale": 0.3, "visits": 4, "seeds": [1]} | of_all,
        {"stale": 0.3, "visits": 4, "seeds": [5]} | of_all,
        {"visits": 1, "seeds": [0]} | of_all,
    ]
    assert worlds.world.tolist() == ["notebook 00", "A seed 0", "A seed 3", "D seed 0"]
    assert trainings.model.tolist() == ["base again", "wide"] * 2 + ["wider", "base again"]


def test_one_world_is_a_plan_as_well(monkeypatch):
    made, _ = calls(monkeypatch, worlds=[], held_out={}, dials=[])
    assert len(made) == 1


def test_what_the_plan_knows_of_its_worlds():
    plan = StudyPlan(**GIVEN)
    assert plan.log_seeds == {"A seed 0": 0, "A seed 3": 3}
    assert plan.plain_values == {"drift": 0.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": GIVEN["held_out"] | {"worlds": ["B seed 0"]}}, "held_out: worlds has 'B se"),
        ({"worlds": [], "dials": []}, "'A seed 3'; expected some of none"),
        ({"dials": [GIVEN["dials"][0] | {"dial": "drfit"}]}, "drfit"),
        ({"worlds": [{"world": "Z", "seeds": [0]}]}, "Z"),
    ],
)
def test_a_plan_is_checked_when_it_is_made(changes, message):
    with pytest.raises(ValueError, match=message):
        StudyPlan(**GIVEN | changes)


def test_tables_of_the_first_world():
    trainings = pd.DataFrame(
        {
            "world": ["notebook 00"] * 4 + ["A seed 0"] * 2,
            "dial": "",
            "value": np.nan,
            "set": "primary",
            "kind": "size",
            "model": ["x", "x", "y", "y", "x", "y"],
            "seed": [0, 1, 0, 1, 0, 0],
            "r_over_r_star": [0.8, 0.9, 0.7, 0.7, 0.5, 0.6],
            "revenue_lift": [0.0, 0.02, -0.01, -0.03, 0.5, 0.6],
            "revenue_lift_se": 0.001,
            "impressions": 100,
        }
    )
    measurements, tests = first_tables(population_of(trainings))
    assert measurements.model.tolist() == tests.model.tolist() == ["x", "y"]
    np.testing.assert_allclose(measurements.r_over_r_star, [0.85, 0.7])
    np.testing.assert_allclose(tests.revenue_lift, [0.01, -0.02])
    assert not {"revenue_lift", "dial", "value", "impressions"} & set(measurements)
    assert {"revenue_lift_se", "revenue_lift_spread", "impressions"} < set(tests)
