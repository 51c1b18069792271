"""Paired A/B tests: lifts and their standard errors, arms by blocks."""

import numpy as np
import pytest

from lib.simulation import (
    Arm,
    System,
    World,
    ab_test,
    install_pre_ranking,
    match,
    run_arm,
    run_arms,
    world_parameters,
)
from lib.simulation.ab_tests import ratio_of_sums
from tests.simulation.helpers import noisy


def arm(revenue, **changes):
    revenue = np.array(revenue, dtype=float)
    return Arm(
        **{
            "revenue": revenue,
            "revenue_gsp": revenue / 2,
            "revenue_true": revenue,
            "users": np.arange(len(revenue)),
            "visits": 4,
            "seed": 0,
            **changes,
        }
    )


def test_lift_by_hand():
    # 10 -> 12 is +20 %. Residuals variant - 1.2 base: -.2, .8, -.6; the ratio's variance is
    # n / (n - 1) x sum of squares / (total of the base)^2.
    result = ab_test(arm([1, 2, 2]), arm([1, 3.2, 1.8]), model="wide")
    assert result.revenue_lift == pytest.approx(0.2)
    assert result.revenue_lift_se == pytest.approx(np.sqrt(3 / 2 * (0.04 + 0.64 + 0.36)) / 5)
    assert result.as_row()["model"] == "wide" and result.impressions == 12 and result.users == 3


def test_bootstrap_agrees_with_the_delta_method():
    rng = np.random.default_rng(0)
    base = rng.lognormal(size=400)
    variant = base * rng.lognormal(0.1, 0.3, 400)
    plain, boot = (ab_test(arm(base), arm(variant), bootstrap=b) for b in (0, 2000))
    assert boot.revenue_lift == plain.revenue_lift
    assert boot.revenue_lift_se == pytest.approx(plain.revenue_lift_se, rel=0.1)


def test_standard_error_is_the_spread_between_worlds_of_users(matched):
    """z-scores of disjoint groups of users against the lift over all: unit spread."""
    base, variant = (run_arm(noisy(matched, sd), visits=4, seed=0) for sd in (0.5, 1.0))
    whole = ab_test(base, variant).revenue_lift
    z = []
    for part in np.array_split(np.random.default_rng(0).permutation(300), 15):
        pair = (arm(a.revenue[part], users=part) for a in (base, variant))
        result = ab_test(*pair)
        z.append((result.revenue_lift - whole) / result.revenue_lift_se)
    assert 0.5 < np.std(z) < 2


def test_a_system_against_itself_is_exactly_level(matched):
    base = run_arm(noisy(matched, 0.5), visits=2, seed=3)
    result = ab_test(base, noisy(matched, 0.5))
    assert result.revenue_lift == 0 and result.revenue_lift_se == 0
    assert result.impressions == 600


def test_scale_and_shift_of_scores_are_irrelevant(matched):
    system = noisy(matched, 0.5)
    assert ab_test(system, System(matched, 4 * system.scores - 64), visits=2).revenue_lift == 0


def test_pairing_saves_traffic(matched):
    first, second = (run_arm(noisy(matched, sd), visits=4, seed=0) for sd in (0.5, 0.7))
    paired = ab_test(first, second).revenue_lift_se
    unpaired = np.sqrt(2 * np.var(first.revenue) / 300) / first.revenue.mean()
    assert paired < unpaired / 5


def test_arms_by_blocks_of_users_are_the_arms(world):
    models = [lambda users, ads: -np.abs(ads - 400.0 - users[:, None]), None]
    whole = [
        run_arm(install_pre_ranking(match(world), model), visits=2, seed=1, users=250)
        for model in models
    ]
    parts = run_arms(world, models, visits=2, seed=1, users=250, block_users=64)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one.users, other.users)
        np.testing.assert_array_equal(one.revenue, other.revenue)
    with pytest.raises(ValueError, match=r"users must lie in 1..300; got 301"):
        run_arms(world, models, visits=1, seed=0, users=301)
    with pytest.raises(ValueError, match=r"a world with budgets needs all users at once"):
        run_arms(World(world_parameters("small", budget_tightness=1.0)), models, visits=1, seed=0)


def test_arms_that_cannot_be_paired_are_refused(matched):
    for changes, message in [
        ({"seed": 1}, "same seed; got 0 and 1"),
        ({"visits": 3}, "same visits; got 4 and 3"),
        ({"users": np.array([0, 2])}, "same users"),
    ]:
        with pytest.raises(ValueError, match=message):
            ab_test(arm([1, 2]), arm([1, 2], **changes))
    with pytest.raises(ValueError, match=r"base must earn something"):
        ab_test(arm([0, 0]), arm([1, 2]))
    with pytest.raises(ValueError, match=r"users must lie in 1..300; got 301"):
        run_arm(install_pre_ranking(matched), visits=1, seed=0, users=301)
    with pytest.raises(ValueError, match=r"visits must be at least 1; got 0"):
        run_arm(install_pre_ranking(matched), visits=0, seed=0)


def test_the_bottleneck_bites(matched, oracle):
    """Worse Pre-ranking earns visibly less, random Pre-ranking much less than the oracle."""
    base = run_arm(oracle, visits=4, seed=0)
    results = [ab_test(base, noisy(matched, sd)) for sd in (0.5, 0.75, 1.0, 1.5)]
    lifts = np.array([r.revenue_lift for r in results])
    errors = np.array([r.revenue_lift_se for r in results])
    assert (np.diff(lifts) < -3 * errors[1:]).all()
    assert lifts[2] < -0.03
    assert ab_test(base, install_pre_ranking(matched)).revenue_lift < -0.5


def test_a_ratio_of_sums_errs_as_its_resamples_do():
    rng = np.random.default_rng(1)
    whole = rng.uniform(1, 3, 4000)
    part = 0.1 * whole + rng.normal(size=4000)
    ratio, error = ratio_of_sums(part, whole)
    weights = rng.multinomial(4000, np.full(4000, 1 / 4000), 500)
    drawn = (weights @ part) / (weights @ whole)
    assert ratio == part.sum() / whole.sum()
    assert error == pytest.approx(drawn.std(), rel=0.1)
