import threading

import numpy as np
import pytest

from lib.infra.machine import peak_memory_mb
from lib.online.embedding_producer import producer as module
from lib.online.embedding_producer.ad_parts import AdParts
from lib.online.embedding_producer.catalogue import Catalogue, add_ads
from lib.online.embedding_producer.producer import (
    EmbeddingProducer,
    parts_path,
    produce,
    run_producer,
)
from lib.online.exports.store import WEIGHTS, ExportStore
from tests.online.ads import encoded, make_ads
from tests.online.served import make_model, trained_on
from tests.small_log import FEATURES

AT = {"offset": 0, "time": "2024-01-01T00:00:00Z", "metrics": {}}


@pytest.fixture
def place(tmp_path):
    """(store, catalogue's folder, parts' folder) with a version and four ads."""
    store = ExportStore(tmp_path / "exports")
    store.publish(1, make_model(1), **AT)
    add_ads(tmp_path / "ads", "first", make_ads([40, 10, 30, 20]))
    return store, tmp_path / "ads", tmp_path / "parts"


def assert_parts(file, model, ids):
    parts, missing = file.lookup(np.array(ids))
    assert not missing.any()
    table = make_ads(ids)
    expected = model.ad_parts(model.embed("ad", encoded(table)))
    np.testing.assert_allclose(parts, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_parts_are_the_model_s_whatever_the_block(place, dtype, monkeypatch):
    _, ads, folder = place
    add_ads(ads, "more", make_ads(range(100, 150)))
    model, catalogue = make_model(1), Catalogue(ads, FEATURES)
    monkeypatch.setattr(
        type(model), "blocks", lambda self, n: [slice(i, min(i + 7, n)) for i in range(0, n, 7)]
    )
    file = produce(model, 1, catalogue, folder, dtype=dtype)
    assert file.version == 1 and len(file) == 54
    assert_parts(file, model, [*range(100, 150), 20, 40])


def test_no_ads_yet(tmp_path):
    (tmp_path / "ads").mkdir()
    file = produce(make_model(), 1, Catalogue(tmp_path / "ads", FEATURES), tmp_path)
    assert len(file) == 0 and file.lookup(np.array([1]))[1].all()


def test_a_version_then_new_ads_then_a_version(place):
    store, ads, folder = place
    follower = EmbeddingProducer(store, ads, folder)
    assert follower.step() and not follower.step()
    first = AdParts(parts_path(folder, 1))
    assert_parts(first, make_model(1), [10, 20, 30, 40])
    add_ads(ads, "new", make_ads([15]))
    assert follower.step() and not follower.step()
    assert_parts(first, make_model(1), [15, 10])
    later = trained_on(make_model(1), {4: [3]}, 2)
    store.publish(2, later, changed={4: [3]}, **AT)
    assert follower.step()
    assert_parts(AdParts(parts_path(folder, 2)), later, [10, 15, 40])
    assert_parts(first, make_model(1), [10, 15])  # the version before stays as it was
    assert (follower.produced, follower.added, follower.version) == (2, 1, 2)


def test_only_the_newest_of_several_versions(place):
    store, ads, folder = place
    store.publish(2, make_model(2), **AT)
    store.publish(3, make_model(3), **AT)
    follower = EmbeddingProducer(store, ads, folder)
    follower.step()
    assert [file.name for file in folder.iterdir()] == ["00000003.parts"]


def test_old_parts_go(place):
    store, ads, folder = place
    follower = EmbeddingProducer(store, ads, folder)
    for version in range(2, 8):
        store.publish(version, make_model(version), **AT)
        follower.step()
    assert sorted(file.name for file in folder.iterdir()) == [
        f"0000000{v}.parts" for v in (5, 6, 7)
    ]


def test_a_damaged_version_is_passed_over(place, caplog):
    store, ads, folder = place
    follower = EmbeddingProducer(store, ads, folder)
    follower.step()
    store.publish(2, make_model(2), **AT)
    store.files.pipe_file(store._path(2, WEIGHTS), b"torn")
    assert not follower.step() and not follower.step() and follower.version == 1
    assert [record.version for record in caplog.records if record.message == "export refused"] == [
        2
    ]
    store.publish(3, make_model(3), **AT)
    assert follower.step() and follower.version == 3


def test_more_new_ads_than_room(place, monkeypatch):
    store, ads, folder = place
    follower = EmbeddingProducer(store, ads, folder)
    follower.step()
    file = AdParts(parts_path(folder, 1))
    add_ads(ads, "many", make_ads(range(1000, 1000 + file.capacity)))
    follower.step()
    assert file.replaced()
    again = AdParts(parts_path(folder, 1))
    assert_parts(again, make_model(1), [10, 1000, 1000 + file.capacity - 1])


def test_after_a_restart_nothing_is_computed_again(place, monkeypatch):
    store, ads, folder = place
    EmbeddingProducer(store, ads, folder).step()
    follower = EmbeddingProducer(store, ads, folder)
    monkeypatch.setattr(module, "produce", lambda *_, **__: pytest.fail("computed again"))
    assert follower.step() and follower.version == 1
    # A torn file is none.
    with open(parts_path(folder, 1), "r+b") as file:
        file.truncate(5000)
    monkeypatch.undo()
    follower = EmbeddingProducer(store, ads, folder)
    assert follower.step()
    assert_parts(AdParts(parts_path(folder, 1)), make_model(1), [10])


def test_a_full_disk_is_waited_out(place, monkeypatch):
    store, ads, folder = place
    follower, stop, calls = EmbeddingProducer(store, ads, folder), threading.Event(), []
    whole = module.produce

    def full(*arguments, **options):
        calls.append(1)
        if len(calls) < 3:
            raise OSError(28, "No space left on device")
        stop.set()
        return whole(*arguments, **options)

    monkeypatch.setattr(module, "produce", full)
    told = []
    run_producer(follower, stop, poll_seconds=0.01, tell=told.append)
    assert follower.version == 1 and len(calls) == 3
    assert [each["version"] for each in told] == [None, None, 1] and told[-1]["ads"] == 4


def test_memory_is_bounded(place):
    """50,000 ads of 8 units: 30 MB of vectors, of which a block is held at a time."""
    _, ads, folder = place
    add_ads(ads, "many", make_ads(range(1000, 51_000)))
    model, catalogue = make_model(1), Catalogue(ads, FEATURES)
    before = peak_memory_mb()
    produce(model, 1, catalogue, folder)
    assert not peak_memory_mb() > before + 200
