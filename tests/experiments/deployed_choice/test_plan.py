"""Plans that can be carried out."""

import pytest

from lib.experiments.deployed_choice import Plan
from tests.experiments.test_converged_system import TINY

PLAN = {
    "system": {name: value for name, value in TINY.items() if name != "seed"},
    "law_sizes": [[8, 1]],
    "law_seeds": [0],
    "variants": [{"model": "half", "kind": "data", "data_share": 0.5}],
    "towers": [[4, 2]],
    "tower_seeds": [0],
    "base_tower": [4, 2],
    "tower_log_impressions": 384,
    "tower_train_impressions": 256,
    "sizes": [[8, 1], [16, 1]],
    "tower_sizes": [[8, 4], [4, 2]],
    "deployed_seeds": [10],
    "choice_users": 80,
    "choice_visits": 2,
    "deployed_visits": 3,
}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": [[16, 1]]}, r"sizes must hold today's size \[8, 1\]"),
        ({"tower_sizes": [[4, 2], [4]]}, r"tower_sizes must hold .* of as many layers"),
        ({"deployed_seeds": [0]}, "deployed_seeds others than the two"),
        ({"law_seeds": []}, "must each name a seed"),
        ({"choice_users": 200}, "choice_users must leave some of the world's 200 users"),
        ({"tower_train_impressions": 384}, "must be below tower_log_impressions = 384; got 384"),
        ({"variants": [{"model": "x", "loss": "hinge"}]}, "loss"),
        ({"system": PLAN["system"] | {"worlds": "M"}}, "worlds"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Plan(**PLAN | wrong)
