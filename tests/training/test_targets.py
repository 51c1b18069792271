"""Training targets: ranks with ties and padding, label noise."""

import numpy as np

from lib.training import RankTarget, ranks


class Batch:
    """What a target looks at of Impressions."""

    def __init__(self, v, mask):
        self.v, self.mask = v, mask


def test_ranks_equal_a_loop():
    rng = np.random.default_rng(0)
    v, mask = rng.integers(-3, 3, (40, 6)) / 2, rng.random((40, 6)) < 0.7
    for row, real, got in zip(v, mask, ranks(v, mask), strict=True):
        want = [
            sum(row[i] < row[j] for i in range(6) if real[i]) if real[j] else -1 for j in range(6)
        ]
        assert got.tolist() == want


def test_label_noise_reorders_the_real_ads_only():
    mask = np.arange(6) < np.r_[np.full(250, 6), np.full(250, 4)][:, None]
    batch = Batch(np.tile(np.arange(6.0), (500, 1)), mask)
    target = RankTarget()(batch, step=3)
    np.testing.assert_array_equal(target, ranks(batch.v, mask))
    same, mild, wild = (RankTarget(noise)(batch, step=3) for noise in (1e-9, 0.5, 50))
    np.testing.assert_array_equal(same, target)
    for noisy in (mild, wild):
        np.testing.assert_array_equal(np.sort(noisy), np.sort(target))
        np.testing.assert_array_equal(noisy < 0, target < 0)
    assert 0 < (mild != target).mean() < (wild != target).mean()


def test_label_noise_is_of_its_seed_and_step():
    batch = Batch(np.tile(np.arange(6.0), (50, 1)), np.ones((50, 6), bool))
    target = RankTarget(50, seed=0)(batch, step=3)
    np.testing.assert_array_equal(RankTarget(50, seed=0)(batch, step=3), target)
    assert (RankTarget(50, seed=0)(batch, step=4) != target).any()
    assert (RankTarget(50, seed=1)(batch, step=3) != target).any()
