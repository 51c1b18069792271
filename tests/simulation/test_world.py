"""The world: features, advertisers, who comes and goes."""

import subprocess
import sys

import numpy as np
from scipy import stats

from lib.logs.features import Features
from lib.simulation import World, install_pre_ranking, match, run_arm, world_parameters
from tests.simulation.helpers import small


def test_features_are_what_they_declare(world):
    p = world.parameters
    values = {**world.user_features(np.arange(p.users)), **world.ad_features(np.arange(p.ads))}
    assert list(values) == [feature["name"] for feature in world.features]
    for feature in world.features:
        value = values[feature["name"]]
        assert value.shape[0] == (p.users if feature["side"] == "user" else p.ads)
        if feature["kind"] in ("sparse", "multi_valued"):
            assert value.dtype == np.int32 and 0 <= value.min() and value.max() < feature["buckets"]
        else:
            assert value.dtype == np.float32 and np.isfinite(value).all()
        shape = {"multi_valued": (feature.get("length"),), "dense": (feature["width"],)}
        assert value.shape[1:] == shape.get(feature["kind"], ())
        if feature["kind"] == "statistical":
            assert (value >= 0).all() and stats.skew(value) > 2  # heavy-tailed
    assert Features(features=world.features).width("ad") == 3 * 8 + 12 + 4


def test_recent_clicks_follow_the_truth(world):
    """Categories a user clicked hold ads that they click more often than others."""
    clicked = world.user_features(np.arange(300))["clicked_categories"]
    ctr = world.truth.ctr(np.arange(300))
    mean = np.stack([ctr[:, world.category == c].mean(axis=1) for c in range(12)], axis=1)
    assert np.take_along_axis(mean, clicked, axis=1).mean() > 1.2 * mean.mean()


def test_few_advertisers_hold_most_ads_and_bids_are_heavy_tailed(world):
    ads_of = np.sort(np.bincount(world.advertiser, minlength=60))[::-1]
    assert ads_of[:6].sum() > 0.5 * ads_of.sum()
    bid = np.sort(world.ad_features(np.arange(800))["bid"])[::-1]
    assert bid[:80].sum() > 0.3 * bid.sum()


def test_a_seed_is_a_world():
    first, again, other = (World(world_parameters("small", users=50, seed=s)) for s in (0, 0, 1))
    for name, values in first.user_features(np.arange(50)).items():
        np.testing.assert_array_equal(values, again.user_features(np.arange(50))[name])
    assert first.organic == again.organic != other.organic


def test_nothing_changes_between_log_and_test_by_default(world):
    assert world.later() is world
    assert len(world.present_users) == 300 and len(world.present_ads) == 800


def test_ads_and_users_come_and_go():
    world = small(ad_turnover=0.1, user_turnover=0.2)
    before, after = match(world), match(world.later())
    assert before.users.tolist() == list(range(240)) and after.users[0] == 60
    for matched, low, high in ((before, 0, 720), (after, 80, 800)):
        for ads in (matched.ads, matched.lost_ads):
            assert ads.min() >= low and ads.max() < high
    assert run_arm(install_pre_ranking(after), visits=1, seed=0).revenue.sum() > 0


def test_the_simulation_needs_no_deep_learning_library():
    code = "import sys, lib.simulation; print({'keras', 'tensorflow'} & {*sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
