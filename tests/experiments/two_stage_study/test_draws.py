"""What arms brought, and what decisions earn, by hand and by resampling."""

import numpy as np
import pytest

from lib.experiments.two_stage_study import LATER, PAST, draws
from tests.experiments.two_stage_study.tiny import STUDY, made


def test_lifts_count_from_today():
    draw = made()
    for window in (PAST, LATER):
        lift = draw.lift(window)
        assert lift[draw.today] == 0 == draw.standard_errors(window)[draw.today]
        by_hand = draw.revenue[window, 1, 0, 2].sum() / draw.revenue[window, 0, 0, 1].sum() - 1
        assert lift[1, 0, 2] == pytest.approx(by_hand)


def test_errors_are_those_of_drawing_users_again():
    draw, rng, drawn = made(users=400), np.random.default_rng(0), []
    arm, base = draw.revenue[LATER][1, 1, 0], draw.revenue[LATER][draw.today]
    for _ in range(500):
        users = rng.integers(400, size=400)
        drawn.append(arm[users].sum() / base[users].sum())
    assert draw.standard_errors(LATER)[1, 1, 0] == pytest.approx(np.std(drawn), rel=0.15)


def test_cost_by_hand():
    cost = made().cost(machines_matching=100, machines_pre_ranking=50)
    assert cost[0, 0, 1] == 150  # today
    assert cost[1, 1, 2] == 100 * 200 / 100 + 50 * 120 / 20


def test_rules_are_judged_on_later_visits():
    draw = made()
    arms = {"cheap": (0, 0, 0), "best": (1, 1, 2)}
    cheap, best = draw.judge(arms, best="best", against="cheap")
    lift = draw.lift(LATER)
    assert cheap["lift"] == pytest.approx(lift[0, 0, 0])
    assert cheap["loss"] == pytest.approx(lift[1, 1, 2] - lift[0, 0, 0]) == best["gain"]
    assert best["loss"] == best["loss_se"] == cheap["gain"] == 0
    assert (best["tower"], best["mlp"], best["candidates"]) == ([8, 4], [16, 4, 1], 400)


def test_every_combination_has_a_row():
    draw = made()
    rows = draw.rows()
    assert len(rows) == 12
    assert rows[-1]["revenue_lift"] == draw.lift(LATER)[1, 1, 2]
    assert rows[-1]["past_lift_se"] == draw.standard_errors(PAST)[1, 1, 2]
    assert (rows[-1]["matching_flops"], rows[-1]["pre_ranking_flops"]) == (200, 120)


def test_requests_are_judged_against_one_option_and_another_policy():
    money = {"one": np.array([1.0, 3.0]), "lot": np.array([2.0, 3.0]), "new": np.array([3.0, 5.0])}
    one, _, new = draws.judge_requests(money, base="one", against="lot")
    assert one["lift"] == one["lift_se"] == 0
    assert (new["lift"], new["gain"]) == (4 / 4, 3 / 4)


def test_what_is_known_of_a_user_is_of_earlier_visits():
    draw = made()
    known = draw.known()
    np.testing.assert_array_equal(known[:, :2], draw.features)
    np.testing.assert_array_equal(known[:, 2], draw.revenue[PAST][draw.today])
    per_user = draw.per_user([(0, 0, 0), (1, 0, 2)], LATER)
    np.testing.assert_array_equal(per_user[:, 1], draw.revenue[LATER, 1, 0, 2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"base_tower": [9, 9]}, r"base_tower must be one of \[\[4, 2\], \[8, 4\]\]; got \[9, 9\]"),
        ({"mlps": [[4, 1]]}, r"hidden must be one of \[\[4, 1\]\]; got \[8, 1\]"),
        ({"candidates": [100, 150]}, r"matching_ads must be one of \[100, 150\]; got 200"),
    ],
)
def test_a_system_of_today_that_is_no_arm_is_refused_before_anything_runs(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        draws.run(tmp_path, [0], **STUDY | wrong)
    assert not list(tmp_path.iterdir())
