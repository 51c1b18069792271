"""The reference system and its log."""

import json

import numpy as np
import pytest

from lib.infra.files import fingerprint
from lib.logs import reader
from lib.logs.features import load_features
from lib.online.study.exposures import (
    SystemParameters,
    as_impressions,
    load_log,
    log_task,
    reference_log,
)
from lib.online.study.table import STILL
from lib.simulation import match, sample_logs
from lib.simulation.drifting import minutes_of
from tests.online.study.small_study import PLAN

SYSTEM = PLAN.systems()[0]


def test_the_log_is_of_the_whole_story_and_the_same_twice(log, tmp_path):
    _, impressions = log
    drift = SYSTEM.drifting().drift
    assert len(impressions) == drift.impressions_before(drift.minutes)
    times = minutes_of(impressions.timestamp)
    assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] < drift.minutes
    task = SYSTEM.model_dump(mode="json")
    written = log_task(json.loads(json.dumps(task)), tmp_path / "one")
    assert written["sha256"] == fingerprint(written["log"])
    again = load_log(written["log"], written["sha256"])
    np.testing.assert_array_equal(again.ecpm, impressions.ecpm)
    np.testing.assert_array_equal(again.ad["ad_id"], impressions.ad["ad_id"])
    declared = load_features(tmp_path / "one.yaml")
    assert [f.name for f in declared.features] == [
        f["name"] for f in SYSTEM.drifting().world.features
    ]


def test_the_reference_errs_by_as_much_as_said_and_always_alike():
    drifting = SYSTEM.drifting()
    first, later = (match(drifting.at(minute)) for minute in (0, 60))
    error = SYSTEM.reference(first).scores - first.log_ecpm
    assert np.std(error) == pytest.approx(SYSTEM.reference_error, rel=0.05)
    assert abs(np.mean(error)) < 0.02
    by_pair = {}
    for matched in (first, later):
        found = SYSTEM.reference(matched).scores - matched.log_ecpm
        for user, ads, errors in zip(matched.users, matched.ads, found, strict=True):
            for ad, value in zip(ads, errors, strict=True):
                assert by_pair.setdefault((user, ad), value) == pytest.approx(value, abs=1e-5)


def test_a_still_world_s_log_is_that_of_one_system():
    still = PLAN.systems(**STILL)[0]
    drifting = still.drifting()
    system = still.reference(match(drifting.at(0)))
    expected = next(sample_logs(system, 100, seed=still.seed))
    found = next(reference_log(still))
    ids = expected["impression_id"].to_numpy() < 20
    head = found["impression_id"].to_numpy() < 20
    for name in ("v", "ecpm", "ad_id", "user_id"):
        np.testing.assert_array_equal(found[name].to_numpy()[head], expected[name].to_numpy()[ids])


def test_tables_in_operation_are_read_as_a_log_is(log, tmp_path):
    features, impressions = log
    system = SYSTEM.reference(match(SYSTEM.drifting().at(0)))
    tables = list(SYSTEM.drifting().exposures(system, 0, 60, seed=SYSTEM.seed))
    read = as_impressions(tables, features, tmp_path / "task", ads=impressions.mask.shape[1])
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(read.v, impressions.v[: len(read)])
    reader.write_logs(tmp_path / "x.parquet", tables)
    assert reader.count(tmp_path / "x.parquet", features) == len(read)


def test_no_world_no_study():
    with pytest.raises(ValueError, match="preset must be in"):
        SystemParameters(world="Z")
