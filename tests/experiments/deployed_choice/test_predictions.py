"""What sizes are predicted to earn."""

import numpy as np
import pandas as pd

from lib.experiments import deployed_choice
from lib.experiments.deployed_choice import SingleTrainings
from lib.laws import BNSL


def made_trainings(slope=0.5, noise=0.002, seeds=2):
    """Sizes whose metric grows with FLOPs and whose lift follows it."""
    rng = np.random.default_rng(0)
    flops = np.repeat(6000.0 * 2.0 ** np.arange(-2, 3), seeds)
    metric = 0.9 - 0.1 * (flops / 1500) ** -0.5 + noise * rng.normal(size=len(flops))
    lift = slope * (metric - 0.85) + 0.0005 * rng.normal(size=len(flops))
    return pd.DataFrame(
        {
            "model": [f"{i}" for i in range(len(flops))],
            "kind": np.where(flops == 6000, "none", "size"),
            "flops": flops,
            "r_over_r_star": metric,
            "r_over_r_star_se": 0.001,
            "revenue_lift": lift,
            "revenue_lift_se": 0.0005,
        }
    )


def test_draws_are_of_single_trainings():
    """The law's own draws and its noise, which a size has but once."""
    trainings = made_trainings(noise=0.01)
    law = BNSL(monotone=True).fit(trainings.flops, trainings.r_over_r_star, groups=trainings.flops)
    x = np.array([3000.0, 12000.0, 3000.0])
    drawn, plain = (one.sample(x, 4000, 1) for one in (SingleTrainings(law), law))
    assert (drawn[:, 0] == drawn[:, 2]).all()
    noise = np.log(drawn / plain)
    np.testing.assert_allclose(noise.std(axis=0), law.noise_at(x), rtol=0.05)
    assert abs(np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]) < 0.05
    np.testing.assert_array_equal(SingleTrainings(law).predict(x), law.predict(x))


def test_predicted_lifts_follow_the_truth_and_today_earns_nothing():
    relative = np.array([0.25, 1.0, 4.0])
    lift, draws = deployed_choice.predicted_lifts(made_trainings(), relative, draws=500)
    truth = 0.5 * -0.1 * ((4 * relative) ** -0.5 - 4**-0.5)
    assert lift[1] == 0 and (draws[:, 1] == 0).all()
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    assert (low[[0, 2]] < truth[[0, 2]]).all() and (truth[[0, 2]] < high[[0, 2]]).all()
    np.testing.assert_allclose(lift, truth, atol=0.003)
