"""A study of two draws that takes seconds, and a draw made of numbers."""

import numpy as np

from lib.experiments.two_stage_study.draws import TwoStages
from tests.experiments.test_converged_system import TINY

STUDY = {
    **{name: value for name, value in TINY.items() if name != "seed"},
    "towers": [[4, 2], [8, 4]],
    "base_tower": [4, 2],
    "mlps": [[8, 1], [16, 4, 1]],
    "candidates": [100, 200],
    "visits": 1,
    "matching_impressions": 128,
    "log_impressions": 640,
}


def made(seed=0, users=50):
    """Two towers, two MLPs, three numbers of candidates; revenue at random."""
    rng = np.random.default_rng(seed)
    return TwoStages(
        towers=[[4, 2], [8, 4]],
        mlps=[[8, 1], [16, 4, 1]],
        candidates=np.array([100, 200, 400]),
        today=(0, 0, 1),
        revenue=rng.gamma(2.0, 1.0, users) * rng.normal(1, 0.1, (2, 2, 2, 3, users)),
        matching_flops=np.array([100.0, 200.0]),
        pre_ranking_flops=np.array([[10.0, 20.0, 40.0], [30.0, 60.0, 120.0]]),
        features=rng.normal(size=(users, 2)),
        feature_names=["one", "two"],
    )
