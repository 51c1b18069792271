"""Notebook 05c refuses what would only fail after its systems are built."""

import pytest

from lib.run.parameters import read_parameters
from tests import ROOT
from tests.notebooks.cells import run_cells

SYSTEM = read_parameters(ROOT / "params/quick/05c_deployed.yaml")["system"]


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_what_the_profiles_ask_for_can_be_carried_out(tmp_path, profile):
    plan = run_cells("05c_deployed", tmp_path, "checks", profile=profile)["plan"]
    assert plan.sizes[plan.base_size] == plan.base
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"draws": []}, "draws must be a list of one or more"),
        ({"metric": "auc"}, "metric must be one of"),
        ({"price_per_hour": 0.0}, "price_per_hour must be a number > 0"),
        ({"budget": -0.5}, "budget must be a number >= 0"),
        ({"interval": 1.0}, "interval must be a number between 0 and 1"),
        ({"choice_users": 1000}, "choice_users must leave some of the world's 1000 users"),
        ({"base_tower": [5, 5]}, r"towers must hold today's size \[5, 5\]"),
        ({"system": SYSTEM | {"world": "Z"}}, r"system\['world'\]: input should be"),
    ],
)
def test_parameters_are_refused_by_name(tmp_path, parameters, message):
    with pytest.raises(ValueError, match=message):
        run_cells("05c_deployed", tmp_path, "checks", profile="quick", **parameters)
