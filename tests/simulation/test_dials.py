"""The world's dials: off by default, and each does what its name says."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from lib.simulation import (
    System,
    World,
    ab_test,
    install_pre_ranking,
    match,
    oracle_system,
    run_arm,
    sample_logs,
    world_parameters,
)
from lib.simulation.budgets import spend
from lib.simulation.cascade import visit
from lib.simulation.keyed_random import normal, visit_keys
from lib.simulation.logs import usual_counts


def small(**changes):
    return World(world_parameters("small", **changes))


@pytest.fixture(scope="module")
def world():
    return small()


@pytest.fixture(scope="module")
def matched(world):
    return match(world)


def test_worlds_are_what_they_were_before_there_were_dials(matched):
    """Figures of the commit before: ids exactly, money as far as processors agree."""
    assert matched.world.organic == pytest.approx(4.103625037705566, rel=1e-6)
    noise = normal(visit_keys(0, "noise", matched.users, 0), matched.ads)
    system = System(matched, (matched.log_ecpm + noise).astype(np.float32))
    base, variant = (run_arm(s, visits=3, seed=1) for s in (oracle_system(matched), system))
    assert base.revenue.sum() == pytest.approx(391.530832883358, rel=1e-4)
    assert ab_test(base, variant).revenue_lift == pytest.approx(-0.039846749, abs=1e-4)
    log = pa.concat_tables(sample_logs(system, 400, seed=2))
    assert log.num_rows == 4029
    # Since which ads a log holds no longer depends on the order of candidates.
    assert log["ecpm"].to_numpy().sum() == pytest.approx(112496.98, rel=1e-4)
    keyed = np.concatenate([log[name].to_numpy() for name in ("impression_id", "user_id")])
    assert hashlib.sha256(keyed.astype(np.int64).tobytes()).hexdigest()[:8] == "3faad150"


def test_nothing_changes_between_log_and_test_by_default(world):
    assert world.later() is world
    assert len(world.present_users) == 300 and len(world.present_ads) == 800


def test_the_slope_of_calibration_keeps_the_order_but_not_the_distances():
    flat, fair = (small(ranking_slope=slope, ranking_error_sd=1e-9) for slope in (0.5, 1.0))
    users, ads = np.arange(20), np.tile(np.arange(800), (20, 1))
    true = flat.truth.log_ecpm(users, ads)
    np.testing.assert_allclose(fair.truth.ranking_log_ecpm(users, ads), true, atol=1e-6)
    predicted = flat.truth.ranking_log_ecpm(users, ads)
    slope = np.polyfit(true.ravel(), predicted.ravel(), 1)[0]
    assert slope == pytest.approx(0.5, abs=1e-4)


def test_the_bias_of_ads_is_the_ads(world):
    biased = small(ranking_bias_sd=0.7)
    users, ads = np.arange(30), np.tile(np.arange(800), (30, 1))
    added = biased.truth.ranking_log_ecpm(users, ads) - world.truth.ranking_log_ecpm(users, ads)
    np.testing.assert_allclose(added, added[:1].repeat(30, axis=0), atol=1e-4)
    assert added[0].std() == pytest.approx(0.7, rel=0.1)


def test_true_revenue_by_a_loop(matched):
    p, rows = matched.world.parameters, np.arange(20)
    made = visit(oracle_system(matched), rows, np.zeros(20, int), seed=3)
    truth = matched.world.truth
    for b in range(20):
        total = 0.0
        for slot, discount in enumerate(p.position_discounts):
            if made.exposed[b, slot]:
                ad = matched.ads[b, made.columns[b, made.queue[b, slot]]]
                rate = truth.ctr([b], [ad])[0, 0] * truth.cvr([b], [ad])[0, 0]
                total += discount * rate * np.exp(truth.log_bid[ad])
        assert made.revenue_true[b] == pytest.approx(total, rel=1e-3)


def test_a_ranking_without_error_bills_what_users_do():
    exact = match(small(ranking_error_sd=1e-9, ranking_noise_sd=0.0))
    made = visit(oracle_system(exact), np.arange(300), np.zeros(300, int), seed=0)
    np.testing.assert_allclose(made.revenue, made.revenue_true, rtol=1e-5)


@pytest.mark.parametrize("drift", [0.2, 1.0])
def test_drift_decorrelates_the_logits_as_it_says(world, drift):
    before, after = (
        w.truth.ctr_waves.all_ads(np.arange(300)) for w in (world, small(drift=drift).later())
    )
    correlation = np.corrcoef(before.ravel(), after.ravel())[0, 1]
    assert correlation == pytest.approx(np.exp(-(drift**2) / 2), abs=0.15)
    assert after.std() == pytest.approx(before.std(), rel=0.15)


def test_turning_by_hand(world):
    waves = world.truth.ctr_waves
    angle = np.zeros(128)
    angle[3] = np.pi  # one wave changes its sign
    np.testing.assert_allclose(waves.turned(0 * angle).user_factors, waves.user_factors, atol=1e-6)
    turned = waves.turned(angle).user_factors
    np.testing.assert_allclose(turned[:, 6:8], -waves.user_factors[:, 6:8], atol=1e-6)
    np.testing.assert_allclose(turned[:, 8:], waves.user_factors[:, 8:], atol=1e-6)


def test_ads_and_users_come_and_go():
    world = small(ad_turnover=0.1, user_turnover=0.2)
    before, after = match(world), match(world.later())
    assert before.users.tolist() == list(range(240)) and after.users[0] == 60
    for matched, low, high in ((before, 0, 720), (after, 80, 800)):
        for ads in (matched.ads, matched.lost_ads):
            assert ads.min() >= low and ads.max() < high
    assert run_arm(install_pre_ranking(after), visits=1, seed=0).revenue.sum() > 0


def test_budgets_throttle_advertisers_that_want_more_than_they_have():
    world = small(budget_tightness=2.0)
    paced = match(world)
    free = match(small())
    assert free.pace is None and (paced.pace > 0).all() and (paced.pace <= 1).all()
    assert 0.02 < np.mean(paced.pace < 1) < 0.98
    np.testing.assert_array_equal(paced.ads, free.ads)
    want, got = spend(free), spend(paced)
    pace = np.ones(60)
    pace[world.advertiser] = paced.pace
    # Who is held back spends less than without budgets; what is set free goes to others.
    assert got[pace < 0.5].sum() < 0.7 * want[pace < 0.5].sum()
    assert got[pace == 1].sum() > want[pace == 1].sum()


def test_two_systems_under_budgets_share_the_pace():
    paced = match(small(budget_tightness=1.0))
    one, other = (
        visit(system, np.arange(300), np.zeros(300, int), seed=0)
        for system in (install_pre_ranking(paced), oracle_system(paced))
    )
    np.testing.assert_array_equal(one.absent, other.absent)
    assert one.absent.mean() > 0.22  # more than drop_rate


@pytest.mark.parametrize(
    ("losers", "counts"),
    [
        (0, {"pre_ranking": (0, 0), "ranking": (7, 9)}),
        (4, {"pre_ranking": (3, 5), "ranking": (3, 5)}),
        (8, {"pre_ranking": (7, 9), "ranking": (0, 0)}),
    ],
)
def test_logged_losers(losers, counts):
    world = small(logged_losers=losers)
    assert usual_counts(world.parameters) == {**counts, "mix_ranking": (2, 2)}
    log = pa.concat_tables(sample_logs(oracle_system(match(world)), 300, seed=0))
    assert log.num_rows / 300 == pytest.approx(10, abs=0.3)
    assert np.mean(log["ecpm"].to_numpy() == 0) == pytest.approx(losers / 10, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ad_turnover": 0.9},
            r"matching_ads must not exceed ads x \(1 - ad_turnover\) = 80; got 200",
        ),
        ({"user_turnover": 0.999}, "user_turnover must leave a user of 300; got 0.999"),
        ({"logged_losers": 9}, "logged_losers"),
    ],
)
def test_dials_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        world_parameters("small", **changes)
