import json
import os
import shutil
import uuid

import numpy as np
import pytest

from lib.online.exports.store import MANIFEST, WEIGHTS, ExportStore
from lib.serving.served_model import ServedModel
from tests.online.served import make_model, trained_on

METRICS = {"loss": 1.0, "r_over_r_star": 0.8}
AT = {"offset": {"0": 5}, "time": "2024-01-01T00:20:00Z", "metrics": METRICS}


@pytest.fixture(scope="module")
def s3():
    """An S3 server on loopback, as moto makes one; its store's options."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "key": "any",
        "secret": "any",
        "client_kwargs": {"endpoint_url": f"http://{host}:{port}"},
    }
    server.stop()


@pytest.fixture(params=["file", "memory", "s3"])
def store(request, tmp_path):
    name = uuid.uuid4().hex
    if request.param == "file":
        return ExportStore(tmp_path / "exports", keep=3)
    if request.param == "memory":
        return ExportStore(f"memory://{name}", keep=3)
    store = ExportStore(f"s3://exports-{name}/model", keep=3, options=request.getfixturevalue("s3"))
    store.files.mkdir(f"exports-{name}")
    return store


def test_what_is_published_is_loaded(store):
    assert store.versions() == []
    first, rows = make_model(), {4: [0, 7], 2: [3]}
    second = trained_on(first, rows, seed=1)
    store.publish(5, first, **AT)
    manifest = store.publish(6, second, changed=rows, **AT)
    assert store.versions() == [5, 6]
    assert (manifest.kind, manifest.base) == ("changed", 5)
    assert manifest == store.manifest(6) and manifest.metrics == METRICS
    for have in (None, (5, first)):
        loaded = store.load(6, have)
        for name, array in second.arrays().items():
            np.testing.assert_array_equal(loaded.arrays()[name], array)
    assert first.digest == make_model().digest  # what servers run is not written to


def test_changed_rows_are_small(store):
    first = make_model()
    store.publish(0, first, **AT)
    full = store.manifest(0).files[WEIGHTS].bytes
    # Archives hold a header an array; the arrays of tables shrink to the rows that changed.
    store.publish(1, trained_on(first, {4: [1]}, 0), changed={4: [1], 2: []}, **AT)
    with store.files.open(store._path(1, WEIGHTS)) as file:
        held = np.load(file)
        assert held["table_4"].shape == (1, 4) and held["table_2"].shape == (0, 2)
    assert store.manifest(1).files[WEIGHTS].bytes != full


def test_a_version_is_published_once(store):
    model = make_model()
    first = store.publish(3, model, **AT)
    assert store.publish(3, model, **AT) == first
    with pytest.raises(ValueError, match="another model has been published"):
        store.publish(3, make_model(1), **AT)
    with pytest.raises(ValueError, match="version 2 is not newer than 3"):
        store.publish(2, model, **AT)


def test_the_newest_stay_with_what_they_are_made_from(store):
    model = make_model()
    store.publish(0, model, **AT)
    for version in range(1, 5):
        model = trained_on(model, {4: [version]}, version)
        store.publish(version, model, changed={4: [version]}, **AT)
    assert store.versions() == [0, 1, 2, 3, 4]  # 2 to 4, and the chain below 2
    store.publish(5, model, **AT)
    store.publish(6, model, changed={}, **AT)
    store.publish(7, model, changed={}, **AT)
    assert store.versions() == [5, 6, 7]
    assert store.load(7).digest == model.digest


def test_the_first_must_be_full_and_numbers_finite(store):
    with pytest.raises(ValueError, match="first version must be a full one"):
        store.publish(0, make_model(), changed={}, **AT)
    model = make_model()
    model.tables[4][3, 1] = np.nan
    with pytest.raises(ValueError, match="table_4 has numbers that are not finite"):
        store.publish(0, model, **AT)
    assert store.versions() == []


def test_what_was_refused_is_noted(store):
    store.refuse(4, "loss 9 is above 2 by more than 1", METRICS)
    assert [one["version"] for one in store.refused()] == [4]
    assert store.versions() == []


def test_keep():
    with pytest.raises(ValueError, match="keep must be >= 2"):
        ExportStore("memory://x", keep=1)


@pytest.fixture
def local(tmp_path):
    store = ExportStore(tmp_path / "exports")
    store.publish(0, make_model(), **AT)
    return store, tmp_path / "exports" / "00000000"


def damage(path, at=None):
    """Turn a bit; by default of the middle byte."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 4
    path.write_bytes(data)


def test_every_damaged_byte_is_found(local):
    store, folder = local
    length = (folder / WEIGHTS).stat().st_size
    for at in np.linspace(0, length - 1, 40).astype(int):
        damage(folder / WEIGHTS, at)
        with pytest.raises(ValueError, match="SHA-256"):
            store.load(0)
        damage(folder / WEIGHTS, at)
    store.load(0)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: os.truncate(folder / WEIGHTS, 99), "99 bytes, by the manifest"),
        (lambda folder: (folder / WEIGHTS).unlink(), "the file is missing"),
        (lambda folder: os.truncate(folder / MANIFEST, 99), "not a whole manifest"),
        (lambda folder: (folder / MANIFEST).unlink(), "there is no such version"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "not a whole manifest"),
        (shutil.rmtree, "there is no such version"),
    ],
)
def test_a_torn_or_missing_version(local, harm, message):
    store, folder = local
    harm(folder)
    with pytest.raises(ValueError, match=message):
        store.load(0)


def test_an_altered_manifest(local):
    store, folder = local
    held = json.loads((folder / MANIFEST).read_text())
    held["time"] = "2030-01-01T00:00:00Z"
    (folder / MANIFEST).write_text(json.dumps(held))
    with pytest.raises(ValueError, match="it was altered"):
        store.load(0)


def test_a_damaged_version_is_written_anew(local):
    store, folder = local
    store.publish(1, make_model(1), **AT)
    damage(folder / WEIGHTS)
    store.publish(0, make_model(), **AT)
    assert store.load(0).digest == make_model().digest and store.versions() == [0, 1]


def test_a_version_on_a_damaged_one_is_not_loaded(local):
    store, folder = local
    store.publish(1, trained_on(make_model(), {4: [2]}, 1), changed={4: [2]}, **AT)
    damage(folder / WEIGHTS)
    with pytest.raises(ValueError, match=r"00000000.*SHA-256"):
        store.load(1)
    assert isinstance(store.load(1, have=(0, make_model())), ServedModel)
    # Nor is the next one made from it.
    damage(folder.parent / "00000001" / WEIGHTS)
    assert store.publish(2, make_model(2), changed={}, **AT).kind == "full"
    assert store.load(2).digest == make_model(2).digest


def test_nothing_stands_where_writing_failed(local, monkeypatch):
    store, _ = local
    monkeypatch.setattr(
        store.files, "put_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(OSError, match="No space"):
        store.publish(1, make_model(1), **AT)
    assert store.versions() == [0]
