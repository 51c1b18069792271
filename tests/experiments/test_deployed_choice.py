"""Models known before a choice, and the choice held against a test of its own."""

import numpy as np
import pandas as pd
import pytest

from lib import simulation
from lib.experiments import converged_system, deployed_choice
from lib.experiments.deployed_choice import Options, Plan, SingleTrainings, compare, pairs
from lib.laws import BNSL
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


def test_pairs_are_all_of_them():
    rng = np.random.default_rng(0)

    def stage(count, today, chosen):
        names = [f"{count}.{i}" for i in range(count)]
        cost = rng.normal(size=count)
        return Options(
            names, rng.normal(size=count), rng.normal(size=(7, count)), cost, today, chosen
        )

    towers, sizes = stage(3, 1, 2), stage(4, 0, 3)
    both = pairs(towers, sizes, budget=0.5)
    for i in range(3):
        for j in range(4):
            place, cost = both.names.index(f"3.{i} + 4.{j}"), towers.cost[i] + sizes.cost[j]
            assert both.predicted[place] == towers.predicted[i] + sizes.predicted[j]
            np.testing.assert_array_equal(
                both.draws[:, place], towers.draws[:, i] + sizes.draws[:, j]
            )
            assert both.cost[place] == (cost if cost <= 0.5 else np.inf)
    assert both.names[both.today] == "3.1 + 4.0" and both.names[both.chosen] == "3.2 + 4.3"


def test_the_interval_is_for_a_measurement():
    """Normal draws and the test's error add up in squares."""
    rng = np.random.default_rng(0)
    base = rng.lognormal(size=2000)
    revenue = base * (1.01 + 0.2 * rng.normal(size=2000))
    row = deployed_choice.held_against(0.01, 0.01 + 0.004 * rng.normal(size=20000), revenue, base)
    assert row["measured"] == pytest.approx(revenue.sum() / base.sum() - 1)
    ratio = revenue.sum() / base.sum()
    error = np.std(revenue - ratio * base, ddof=1) * 2000**0.5 / base.sum()
    assert row["measured_se"] == pytest.approx(error)
    half = 1.645 * np.hypot(0.004, error)
    assert row["high"] - row["low"] == pytest.approx(2 * half, rel=0.03)
    assert row["measured_high"] - row["measured"] == pytest.approx(1.645 * error, rel=1e-3)
    assert row["inside"] == (row["low"] <= row["measured"] <= row["high"])
    far = deployed_choice.held_against(0.5, np.full(9, 0.5), revenue, base)
    assert not far["inside"]


def test_regret_by_hand():
    """Two trainings of three options, today's first; one user."""
    revenue = np.array([[[100.0], [103.0], [101.0]], [[100.0], [101.0], [106.0]]])
    lost = deployed_choice.regret(revenue, today=0, chosen=1, pick=np.argmax)
    assert lost.best == 2
    assert lost.value == pytest.approx(((101 + 106) / 2 - (103 + 101) / 2) / 100)
    # The first training picks option 1, which is the chosen one; the second picks option 2, which
    # the first puts 2 below it.
    assert lost.crossed == pytest.approx(np.mean([0, -0.02]))
    assert np.isnan(deployed_choice.regret(revenue[:1], 0, 1, np.argmax).crossed)


def test_regret_is_paired_and_never_below_zero_for_the_best_of_all():
    rng = np.random.default_rng(1)
    base = rng.lognormal(size=500)
    revenue = base * (1 + 0.01 * rng.normal(size=(2, 5, 1)) + 0.05 * rng.normal(size=(2, 5, 500)))
    revenue[:, 2] = base
    regrets = [deployed_choice.regret(revenue, 2, i, np.argmax) for i in range(5)]
    assert min(one.value for one in regrets) == 0
    assert all(one.value >= 0 for one in regrets)
    difference = revenue.mean(axis=0)[regrets[0].best] - revenue.mean(axis=0)[0]
    drawn = []
    for _ in range(400):
        rows = rng.integers(500, size=500)
        drawn.append(difference[rows].sum() / base[rows].sum())
    assert regrets[0].standard_error == pytest.approx(np.std(drawn), rel=0.25)


def test_a_comparison_has_a_row_an_option_and_one_of_the_choice():
    revenue = np.array([[[10.0, 10.0], [11.0, 10.0], [12.0, 11.0]]])
    draws = np.array([[0.0, 0.04, 0.2], [0.0, 0.06, 0.3]])
    options = Options(["a", "b", "c"], draws.mean(axis=0), draws, np.zeros(3), 0, 1)
    table, row = compare(options, revenue, np.argmax)
    assert table.option.tolist() == ["a", "b", "c"]
    assert table.today.tolist() == [True, False, False]
    assert table.chosen.tolist() == [False, True, False]
    assert table.measured.tolist() == pytest.approx([0, 0.05, 0.15])
    assert (table.iloc[0][["predicted", "low", "high", "measured"]] == 0).all()
    assert (row["chosen"], row["stays"], row["best"]) == ("b", False, "c")
    assert row["measured"] == pytest.approx(0.05) and row["regret"] == pytest.approx(0.1)
    assert row["inside"] == table.inside[1]


@pytest.mark.slow
def test_a_draw(tmp_path):
    plan = Plan(**PLAN)
    (known,) = deployed_choice.learn(plan, [3], tmp_path, n_jobs=1)
    pre_ranking, matching = known.pre_ranking, known.matching
    assert pre_ranking.model.tolist() == ["8 seed 0", "half"]
    assert pre_ranking.kind.tolist() == ["none", "data"]
    assert pre_ranking.seed.tolist() == [3000, 3000]
    assert pre_ranking.samples[1] < pre_ranking.samples[0]
    assert (pre_ranking.users == 80).all() and (pre_ranking.impressions == 160).all()
    today = matching.iloc[0]
    assert (today.model, today.kind, today.revenue_lift) == ("4-2 seed 0", "none", 0)
    (deployed,) = deployed_choice.deploy(plan, [3], tmp_path, n_jobs=1)
    assert deployed.sizes.shape == (1, 2, 120) and deployed.pairs.shape == (2, 2, 120)
    # Today's size, by hand: the base on the other users.
    folders = [path for path in (tmp_path / "systems").iterdir() if path.is_dir()]
    system = converged_system.load(folders[0])
    users = np.arange(80, 200)
    matched = simulation.match(system.world, users=users)
    arm = simulation.run_arm(
        simulation.install_pre_ranking(matched, system.base()), visits=3, seed=4
    )
    np.testing.assert_array_equal(deployed.sizes[0, plan.base_size], arm.revenue)
    assert (deployed.sizes[0, 1] != arm.revenue).any()
    assert (deployed.pairs[0] != deployed.pairs[1]).any()
    again = deployed_choice.deploy(plan, [3], tmp_path, n_jobs=1)[0]
    np.testing.assert_array_equal(again.pairs, deployed.pairs)
