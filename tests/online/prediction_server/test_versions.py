import gc
import json
import weakref

import numpy as np
import pytest

from lib.online.embedding_producer import add_ads
from lib.online.embedding_producer.producer import parts_path
from lib.online.prediction_server.inputs import read_inputs
from lib.online.prediction_server.metrics import Metrics
from lib.online.prediction_server.versions import Versions
from tests.online.ads import make_ads
from tests.online.prediction_server.running import ADS, USER, World, call, infer, running, until
from tests.small_log import FEATURES


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.publish(1)
    return world


@pytest.fixture
def versions(world):
    versions = Versions(world.options(poll_seconds=1e-3), Metrics())
    assert versions.step() and versions.serving.version == 1
    yield versions
    versions.close()


def counted(versions, outcome):
    return versions._reloads.labels(outcome)._value.get()


def break_file(path, how):
    if how == "missing":
        path.unlink()
    elif how == "torn":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        data = bytearray(path.read_bytes())
        data[4200] ^= 1  # of an id of the parts, of an array of the weights
        path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *(("weights.npz", how) for how in ("missing", "torn", "altered")),
        *(("parts", how) for how in ("torn", "altered")),  # missing ones are waited for
    ],
)
def test_a_bad_version_leaves_the_last_good_one_serving(world, versions, how, name, caplog):
    world.publish(2)
    path = parts_path(world.parts, 2)
    if name != "parts":
        (path,) = world.store_folder.glob("*2/weights.npz")
    break_file(path, how)
    assert not versions.step()
    assert versions.serving.version == 1 and counted(versions, "bad") == 1
    assert "version refused" in caplog.text
    # Not tried again at once, and a later good one is taken.
    versions._bad[2] = (*versions._bad[2][:1], np.inf, 1.0)
    versions.step()
    assert counted(versions, "bad") == 1
    states = {row["version"]: row for row in versions.index()}
    assert states["1"]["state"] == "READY"
    assert states["2"]["state"] == "UNAVAILABLE" and "ValueError" in states["2"]["reason"]
    world.publish(3)
    assert versions.step() and versions.serving.version == 3


def test_what_was_bad_is_tried_again_later_and_less_often(world, versions):
    world.publish(2)
    path = parts_path(world.parts, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    pauses = []
    for _ in range(3):
        versions._bad = {v: (reason, 0.0, pause) for v, (reason, _, pause) in versions._bad.items()}
        versions.step()
        pauses.append(versions._bad[2][2])
    assert pauses == [2e-3, 4e-3, 8e-3] and counted(versions, "bad") == 3
    path.write_bytes(whole)
    versions._bad[2] = "", 0.0, 1.0
    assert versions.step() and versions.serving.version == 2


def test_a_torn_manifest_is_no_version(world, versions):
    world.publish(2)
    (path,) = world.store_folder.glob("*2/manifest.json")
    path.write_text(path.read_text()[:100])
    assert not versions.step() and versions.serving.version == 1


def test_a_version_waits_for_its_own_ad_parts(world, versions):
    world.publish(2, parts=False)
    assert not versions.step() and versions.serving.version == 1
    assert versions._ahead.version == 2  # loaded meanwhile
    world.produce(2)
    assert versions.step() and versions.serving.version == 2
    assert versions._ahead is None and versions.serving.parts.version == 2


def test_a_newer_version_with_parts_is_not_kept_by_one_without(world, versions):
    world.publish(2)
    world.publish(3, parts=False)
    assert versions.step() and versions.serving.version == 2
    assert not versions.step()
    world.produce(3)
    assert versions.step() and versions.serving.version == 3


def test_roll_back_and_on(world, versions):
    world.publish(2)
    versions.step()
    versions.pin(1)
    assert versions.serving.version == 1 and versions.pinned
    world.publish(3)
    assert not versions.step() and versions.serving.version == 1
    versions.unpin()
    assert versions.serving.version == 3 and not versions.pinned


def test_what_cannot_be_pinned_changes_nothing(world, versions):
    with pytest.raises(ValueError, match="version 9 is not in the store"):
        versions.pin(9)
    world.publish(2)
    break_file(parts_path(world.parts, 2), "torn")
    with pytest.raises(ValueError, match=r"bytes; by its header"):
        versions.pin(2)
    world.publish(3, parts=False)
    with pytest.raises(ValueError, match="version 3 has no ad parts any longer"):
        versions.pin(3)
    assert versions.serving.version == 1 and not versions.pinned


def test_an_old_version_is_freed_with_its_last_request(world, versions):
    held = versions.serving
    gone = [weakref.ref(held), weakref.ref(held.model), weakref.ref(held.engine)]
    world.publish(2)
    versions.step()
    inputs = read_inputs({**USER, "ad_id": ADS}, FEATURES, 100)
    scores = held.scores(inputs).scores  # a request that began before
    np.testing.assert_allclose(scores, world.expected(1, ADS), rtol=0, atol=1e-5)
    del held
    gc.collect()
    assert [reference() for reference in gone] == [None, None, None]


def test_new_ads_are_taken_over(world, versions):
    before = versions.serving
    inputs = read_inputs({**USER, "ad_id": np.array([100, 500])}, FEATURES, 100)
    add_ads(world.ads, "second", make_ads([500]))
    versions.step()
    scored = versions.serving.scores(inputs)  # the parts do not have it yet
    assert scored.missing == 1 and versions.serving.engine is before.engine
    np.testing.assert_allclose(scored.scores, world.expected(1, [100, 500]), atol=1e-5)
    world.produce(1)  # another file in the place of the one that is mapped
    versions.step()
    assert versions.serving.scores(inputs).missing == 0


def test_without_parts_all_is_computed_on_the_spot(world):
    versions = Versions(world.options(parts=None), Metrics())
    world.publish(2, parts=False)
    assert versions.step() and versions.serving.version == 2
    scored = versions.serving.scores(read_inputs({**USER, "ad_id": ADS}, FEATURES, 100))
    assert scored.missing == len(ADS)
    np.testing.assert_allclose(scored.scores, world.expected(2, ADS), atol=1e-5)
    versions.close()


def test_commands_over_http(world):
    world.publish(2)
    path = "/v2/repository/models/pre_ranking/load"
    with running(world.options()) as server:
        until(lambda: server.versions.serving.version == 2)

        def load(**parameters):
            return call(server.address, "POST", path, json.dumps({"parameters": parameters}))

        assert load(version=1)[0] == 200
        status, _, answer = infer(server.address, ADS)
        assert (status, answer["model_version"]) == (200, "1")
        np.testing.assert_allclose(
            answer["outputs"][0]["data"], world.expected(1, ADS), rtol=0, atol=1e-5
        )
        assert "prediction_pinned 1.0" in call(server.address, "GET", "/metrics")[2].decode()
        status, _, answer = load(version=7)
        assert status == 400 and "version 7 is not in the store" in answer["error"]
        assert load(version="x")[0] == 400
        assert load()[0] == 200
        assert infer(server.address, ADS)[2]["model_version"] == "2"
