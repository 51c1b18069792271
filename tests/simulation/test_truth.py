"""The truth: waves, Ranking's error and bias, drift."""

import numpy as np
import pytest

from lib.simulation import World, world_parameters
from tests.simulation.helpers import small


def test_waves_equal_the_sum_of_cosines(world):
    waves = world.truth.ctr_waves
    users, ads = [3, 250], [0, 1, 799]
    cos, sin = waves.user_factors[users, ::2], -waves.user_factors[users, 1::2]
    strength, user_phase = np.hypot(cos, sin), np.arctan2(sin, cos)
    ad_phase = np.arctan2(waves.ad_factors[ads, 1::2], waves.ad_factors[ads, ::2])
    terms = strength[:, None] * np.cos(user_phase[:, None] + ad_phase)
    assert (np.diff(strength) < 0).all()
    for strongest in (None, 5):
        got = waves.all_ads(users, strongest)[:, ads]
        np.testing.assert_allclose(got, terms[..., :strongest].sum(axis=-1), rtol=1e-4, atol=1e-4)


def test_spread_of_the_logits_is_as_asked():
    world = World(world_parameters("small", latents=24, roughness=3.0))  # phases well mixed
    logits = world.truth.ctr_waves.all_ads(np.arange(300))
    assert logits.std() == pytest.approx(world.parameters.ctr_sd, rel=0.1)


def test_ranking_predicts_ecpm_with_its_error(world):
    truth, users, ads = world.truth, np.array([7, 7, 299]), np.array([[1, 2], [2, 1], [790, 0]])
    predicted = np.exp(truth.ranking_log_ecpm(users, ads))
    for row, user in enumerate(users):
        for column, ad in enumerate(ads[row]):
            bid = world.ad_features(ad)["bid"]
            ecpm = 1000 * truth.ctr([user], [ad])[0, 0] * truth.cvr([user], [ad])[0, 0] * bid
            error = truth.error_waves.all_ads([user])[0, ad]
            assert predicted[row, column] == pytest.approx(ecpm * np.exp(error), rel=1e-3)


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


def test_turning_by_hand(world):
    waves = world.truth.ctr_waves
    angle = np.zeros(128)
    angle[3] = np.pi  # one wave changes its sign
    np.testing.assert_allclose(waves.turned(0 * angle).user_factors, waves.user_factors, atol=1e-6)
    turned = waves.turned(angle).user_factors
    np.testing.assert_allclose(turned[:, 6:8], -waves.user_factors[:, 6:8], atol=1e-6)
    np.testing.assert_allclose(turned[:, 8:], waves.user_factors[:, 8:], atol=1e-6)


@pytest.mark.parametrize("drift", [0.2, 1.0])
def test_drift_decorrelates_the_logits_as_it_says(world, drift):
    before, after = (
        w.truth.ctr_waves.all_ads(np.arange(300)) for w in (world, small(drift=drift).later())
    )
    correlation = np.corrcoef(before.ravel(), after.ravel())[0, 1]
    assert correlation == pytest.approx(np.exp(-(drift**2) / 2), abs=0.15)
    assert after.std() == pytest.approx(before.std(), rel=0.15)


def test_products_are_exact(world):
    """They equal whole numbers' arithmetic, which no order of terms and no BLAS can change."""
    waves = world.truth.ctr_waves
    whole = [np.rint(x * 2**16).astype(np.int64) for x in (waves.user_factors, waves.ad_factors)]
    np.testing.assert_array_equal(waves.user_factors * 2**16, whole[0])
    product = whole[0][:20] @ whole[1].T
    np.testing.assert_array_equal(waves.all_ads(np.arange(20)) * 2.0**32, product)
