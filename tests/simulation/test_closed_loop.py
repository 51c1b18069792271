"""The closed loop: a learner that trains on the logs of its own systems."""

import numpy as np
import pytest

from lib.simulation import ab_test, closed_loop, install_pre_ranking, oracle_system
from tests.simulation.helpers import columns


class Ridge:
    """A small learner: v on bid and products of embeddings, from all logs so far."""

    def __init__(self, world):
        self.world, self.gram, self.moment = world, 1e-3, 0.0
        self.rounds = []

    def inputs(self, users, ads):
        u, a = self.world.user_features(users), self.world.ad_features(ads)
        left = np.concatenate([u["user_embedding"], np.ones((len(users), 1))], axis=1)
        statistics = ("bid", "ad_impressions", "ad_clicks", "ad_conversions")
        logs = np.log1p(np.stack([a[name] for name in statistics], axis=-1))
        right = np.concatenate([a["ad_embedding"], logs], axis=-1)
        return (left[:, :, None] * right[:, None, :]).reshape(len(users), -1)

    def train(self, tables, previous, number):
        self.rounds.append((number, previous))
        for table in tables:
            x = self.inputs(*columns(table, "user_id", "ad_id"))
            x = x - x.mean(axis=0)
            v = table["v"].to_numpy()
            self.gram = self.gram + x.T @ x
            self.moment = self.moment + x.T @ (v - v.mean())
        weight = np.linalg.solve(self.gram + 0.1 * np.eye(len(self.moment)), self.moment)
        return lambda users, ads: (
            self.inputs(np.repeat(users, ads.shape[1]), ads.ravel()) @ weight
        ).reshape(ads.shape)


def test_closed_loop_learns(world, matched):
    learner = Ridge(world)
    rounds = list(
        closed_loop(
            world,
            learner.train,
            rounds=2,
            impressions_per_round=1000,
            first_impressions=500,
            seed=0,
            matched=matched,
        )
    )
    gaps = [r.oracle_gap.revenue_lift for r in rounds]
    blind = ab_test(oracle_system(matched), install_pre_ranking(matched)).revenue_lift
    assert blind + 0.1 < gaps[0] < 0 and gaps[1] < 0
    assert [r.next_impression for r in rounds] == [500, 1500]
    assert learner.rounds[0] == (0, None) and learner.rounds[1] == (1, rounds[0].model)
    assert rounds[0].change is None
    ratio = (1 + gaps[1]) / (1 + gaps[0])
    assert rounds[1].change.revenue_lift == pytest.approx(ratio - 1)


def test_closed_loop_without_rounds_is_refused(world):
    with pytest.raises(ValueError, match=r"rounds must be at least 1; got 0"):
        next(closed_loop(world, None, rounds=0, impressions_per_round=10, seed=0))
