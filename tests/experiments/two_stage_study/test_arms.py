"""Every combination of a tiny system, tested."""

import numpy as np
import pytest

from lib import simulation
from lib.experiments.two_stage_study import LATER, PAST, arms, draws
from tests.experiments.two_stage_study.tiny import STUDY


def test_a_world_that_hands_on_another_number_is_the_same_world():
    world = simulation.World(simulation.world_parameters("small", users=50, ads=400))
    other = arms.handing_on(world, 100)
    users = np.arange(50)
    few, many = simulation.match(other), simulation.match(world)
    assert (few.ads.shape[1], many.ads.shape[1]) == (100, 200)
    assert other.truth is world.truth and world.parameters.matching_ads == 200
    # The revenue pathway's best are in both.
    best = np.argsort(-world.truth.revenue_stand_in(users), axis=1)[:, :60]
    for found in (few, many):
        assert all(np.isin(one, ads).all() for one, ads in zip(best, found.ads, strict=True))


def test_too_few_candidates_are_refused():
    world = simulation.World(simulation.world_parameters("small", users=50, ads=400))
    with pytest.raises(ValueError, match="pre_ranking_ads must be at most a quarter"):
        arms.handing_on(world, 50)


def test_flops_of_a_request_by_hand():
    """Matching: the user's tower once, an inner product for each ad."""
    assert arms.request_flops("twin_tower", [12, 8, 4], 100) == 2 * (6 * 8 + 8 * 4) + 100 * 2 * 4
    # Pre-ranking: the user's half of the first layer once, the upper layers for each ad.
    once, each = 2 * 6 * 8, 2 * (8 * 4 + 4)
    assert arms.request_flops("first_layer_optimised", [12, 8, 4, 1], 10) == once + 10 * each


@pytest.mark.slow
def test_a_draw(tmp_path, monkeypatch):
    (draw,) = draws.run(tmp_path, [0], **STUDY)
    assert draw.today == (0, 0, 1)
    assert draw.revenue.shape == (2, 2, 2, 2, 200) and (draw.revenue >= 0).all()
    assert not np.array_equal(draw.revenue[PAST], draw.revenue[LATER])
    assert draw.features.shape == (200, len(draw.feature_names))
    assert np.isfinite(draw.features).all()
    assert draw.matching_flops[1] > draw.matching_flops[0]
    assert (np.diff(draw.pre_ranking_flops, axis=0) > 0).all()
    assert draw.lift(LATER)[draw.today] == 0 < np.abs(draw.lift(LATER)).max()
    # What is finished is not done again.
    monkeypatch.setattr(arms.converged_system, "build", None)
    (again,) = draws.run(tmp_path, [0], **STUDY)
    np.testing.assert_array_equal(again.revenue, draw.revenue)
