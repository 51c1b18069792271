"""R/R* over whole lists: by hand, by loop, and what it says of the oracle."""

import numpy as np
import pytest

from lib import metrics, simulation
from lib.experiments.study.full_candidates import kept_and_best, r_over_r_star


def test_by_hand():
    # Kept are the ads of 10, 0 and 20; the best two of those hold 30, of all 70.
    scores, ecpm = np.array([[9.0, 8.0, 7.0, 1.0]]), np.array([[10.0, 0.0, 20.0, 50.0]])
    assert [float(x[0]) for x in kept_and_best(scores, ecpm, keep=3, m=2)] == [30, 70]


def test_equals_a_loop():
    rng = np.random.default_rng(0)
    scores, ecpm = rng.normal(size=(40, 30)), rng.lognormal(size=(40, 30))
    for s, e, kept, best in zip(scores, ecpm, *kept_and_best(scores, ecpm, 7, 3), strict=True):
        top = sorted(range(30), key=lambda ad: -s[ad])[:7]
        assert kept == pytest.approx(sum(sorted(e[top])[-3:]))
        assert best == pytest.approx(sum(sorted(e)[-3:]))


def test_keeping_as_many_as_are_counted_is_eq_5():
    rng = np.random.default_rng(1)
    scores, ecpm = rng.normal(size=(50, 12)), rng.lognormal(size=(50, 12))
    np.testing.assert_allclose(
        kept_and_best(scores, ecpm, 2, 2), metrics.captured_ecpm(scores, ecpm, ecpm, 2)
    )


def test_perfect_retrieval_has_1_and_noise_lowers_it():
    matched = simulation.match(simulation.World(simulation.world_parameters("small")))
    perfect = simulation.oracle_system(matched)
    np.testing.assert_allclose(r_over_r_star(perfect, 2), 1)
    noise = np.random.default_rng(2).normal(size=perfect.scores.shape)
    found = [
        r_over_r_star(simulation.System(matched, perfect.scores + scale * noise), 2).mean()
        for scale in (0.5, 2.0)
    ]
    assert 1 > found[0] > found[1] > 0
