"""The world in time: who is there, how tastes wander, what is logged when."""

import numpy as np
import pytest

from lib.logs import reader
from lib.logs.features import Features
from lib.simulation import DriftingWorld, DriftParameters, World, match, oracle_system, sample_logs
from lib.simulation import world_parameters as parameters
from lib.simulation.drifting import DAY, minutes_of

DRIFT = DriftParameters(days=1.0, taste_radians=0.8, ad_days=2.0, impressions_per_minute=1.0)


@pytest.fixture(scope="module")
def drifting():
    return DriftingWorld(World(parameters("small", users=120, ads=500)), DRIFT)


def logits(world):
    return world.truth.ctr_waves.all_ads(np.arange(100))


def test_the_world_stands_still_within_a_step(drifting):
    first, later = drifting.at(60), drifting.at(119)
    np.testing.assert_array_equal(logits(first), logits(later))
    np.testing.assert_array_equal(first.present_ads, later.present_ads)
    assert not np.array_equal(logits(first), logits(drifting.at(120)))


def test_at_minute_0_the_world_is_the_one_given(drifting):
    np.testing.assert_array_equal(logits(drifting.at(0)), logits(drifting.world))


@pytest.mark.parametrize("minutes", [120, 720])
def test_tastes_wander_by_the_distance_in_time_alone(drifting, minutes):
    """Of many waves, logits so far apart correlate as the parameter says, from any start."""
    expected = np.exp(-(DRIFT.taste_radians**2) * minutes / DAY / 2)
    found = [
        np.corrcoef(logits(drifting.at(t)).ravel(), logits(drifting.at(t + minutes)).ravel())[0, 1]
        for t in range(0, DAY - minutes, 60)
    ]
    assert np.mean(found) == pytest.approx(expected, abs=0.06)


def test_a_world_without_drift_stands_still():
    still = DriftParameters(days=1.0, taste_radians=0.0, ad_days=1e6, user_days=1e6)
    world = DriftingWorld(World(parameters("small")), still)
    np.testing.assert_array_equal(logits(world.at(0)), logits(world.at(1439)))
    assert np.array_equal(world.at(0).present_ads, world.at(1439).present_ads)


def test_ads_come_once_and_stay_as_long_as_said(drifting):
    present = [set(drifting.at(t).present_ads) for t in range(0, DAY, 60)]
    for ad in range(500):
        there = [ad in ads for ads in present]
        changes = np.count_nonzero(np.diff([False, *there, False]))
        assert changes in (0, 2)  # never, or one stay
    comes, goes = DriftingWorld(
        World(parameters("small", users=20, ads=4000)), DRIFT.model_copy(update={"ad_days": 0.5})
    ).ad_times
    stays = goes - np.maximum(comes, 0)
    assert np.mean(stays) == pytest.approx(0.5 * DAY, rel=0.05)
    there = [np.sum((comes <= t) & (t < goes)) for t in range(0, DAY, 60)]
    assert np.allclose(there, 4000 / 3, rtol=0.1)  # neither more nor fewer as time goes on


def test_traffic_has_its_day():
    drift = DriftParameters(impressions_per_minute=10, daily_swing=0.5)
    hours = np.diff([drift.impressions_before(t) for t in range(0, 2881, 60)])
    assert hours.sum() == 2 * 14_400
    assert np.argmax(hours[:24]) in (19, 20) and np.argmin(hours[:24]) in (7, 8)
    assert hours.max() / hours.mean() == pytest.approx(1.5, abs=0.01)


def test_exposures_are_those_of_a_log_at_their_minutes(drifting, tmp_path):
    features = Features(features=drifting.world.features)
    path = tmp_path / "log.parquet"
    tables = []
    for start, stop in [(120, 180), (180, 240)]:
        system = oracle_system(match(drifting.at(start)))
        tables += drifting.exposures(system, start, stop, seed=3)
    reader.write_logs(path, tables)
    log = reader.read(path, features)
    first, last = (DRIFT.impressions_before(minute) for minute in (120, 240))
    np.testing.assert_array_equal(log.impression_id, np.arange(first, last))
    times = minutes_of(log.timestamp)
    assert np.all(np.diff(times) >= 0) and times[0] >= 120 and times[-1] < 240
    count = DRIFT.impressions_before(180) - first
    assert times[count - 1] < 180 <= times[count]
    expected = next(
        sample_logs(oracle_system(match(drifting.at(120))), count, seed=3, first_impression=first)
    )
    given = tables[0].drop(["timestamp"])
    assert given.equals(expected.drop(["timestamp"]))
    present = drifting.at(180).present_ads
    assert np.isin(log.ad["ad_id"][count:][log.mask[count:]], present).all()


def test_no_traffic_no_exposures(drifting):
    assert list(drifting.exposures(oracle_system(match(drifting.at(0))), 0, 0, seed=0)) == []


def test_steps_end_where_the_world_moves_and_where_asked(drifting):
    assert list(drifting.steps(90, 240)) == [(90, 120), (120, 180), (180, 240)]
    assert list(drifting.steps(100, 240, every=100)) == [
        (100, 120),
        (120, 180),
        (180, 200),
        (200, 240),
    ]


@pytest.mark.parametrize(
    ("changes", "drift", "message"),
    [
        ({"drift": 0.5}, {}, "no drift or turnover of its own; got drift = 0.5"),
        ({"ads": 220}, {"ad_days": 1.0, "days": 2.0}, "Matching needs 200 ads"),
    ],
)
def test_worlds_that_cannot_drift(changes, drift, message):
    with pytest.raises(ValueError, match=message):
        DriftingWorld(World(parameters("small", **changes)), DriftParameters(**drift))


def test_steps_must_divide_the_story():
    with pytest.raises(ValueError, match=r"step_minutes must divide the days' 1440 .* got 7"):
        DriftParameters(days=1.0, step_minutes=7)
