"""Parameters of a world: ranges, and which go together."""

import pytest

from lib.simulation import world_parameters


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"user": 5}, "user"),
        ({"users": 0}, "users"),
        ({"bid_sd": float("nan")}, "bid_sd"),
        ({"matching_ads": 900}, "matching_ads must not exceed ads = 800; got 900"),
        ({"pre_ranking_ads": 5}, "mix_queue must not exceed pre_ranking_ads = 5; got 10"),
        ({"pre_ranking_ads": 50}, "pre_ranking_ads must be at most .* 40; got 50"),
        ({"matching_random_share": 0.8}, "must be at most 1; got 0.27"),
    ],
)
def test_parameters_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        world_parameters("small", **changes)


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match=r"preset must be in .*'A'.*; got 'Z'"):
        world_parameters("Z")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ad_turnover": 0.9},
            r"matching_ads must not exceed ads x \(1 - ad_turnover\) = 80; got 200",
        ),
        ({"user_turnover": 0.999}, "user_turnover must leave a user of 300; got 0.999"),
        ({"logged_losers": 9}, "logged_losers"),
    ],
)
def test_sensitivity_parameters_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        world_parameters("small", **changes)
