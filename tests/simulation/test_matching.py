"""Matching: distinct candidates, a sample of losers, a model in the revenue pathway."""

import numpy as np
import pytest

from lib.simulation import ab_test, match, oracle_matching, oracle_system


def test_matching_hands_on_distinct_ads_and_keeps_a_sample_of_losers(matched):
    everyone = np.sort(np.concatenate([matched.ads, matched.lost_ads], axis=1), axis=1)
    assert (np.diff(everyone, axis=1) > 0).all()
    assert matched.ads.shape == (300, 200) and matched.lost_ads.shape == (300, 200)


def test_a_matching_model_replaces_the_revenue_pathway(world, oracle):
    best = match(world, oracle_matching(world), users=np.arange(40))
    values = world.truth.ranking_log_ecpm(np.arange(40), np.broadcast_to(np.arange(800), (40, 800)))
    for ads, value in zip(best.ads, values, strict=True):
        assert set(np.argsort(-value)[:120]) <= set(ads)  # 60 % of 200
    nothing = match(world, lambda users: np.random.default_rng(0).normal(size=(len(users), 800)))
    loss = ab_test(oracle, oracle_system(nothing), visits=2)
    assert loss.revenue_lift < -3 * loss.revenue_lift_se


def test_bad_matching_scores_are_refused(world):
    with pytest.raises(ValueError, match=r"matching: scores must have shape \(9, 800\)"):
        match(world, lambda users: np.zeros((len(users), 5)), users=np.arange(9))
