import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from lib.online.exports import ExportStore
from lib.online.prediction_server import loading
from tests.online.prediction_server.running import TIME, World
from tests.online.served import make_model, trained_on


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.publish(1)
    return world


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "loaded"


@pytest.mark.parametrize("own_process", [False, True])
def test_a_version_is_the_one_of_the_store(world, folder, own_process):
    found = loading.load(world.store, 1, folder, own_process=own_process)
    assert (found.version, found.time) == (1, TIME)
    assert found.model.digest == world.models[1].digest
    assert found.model.features == world.models[1].features
    onnx.checker.check_model(onnx.load_from_string(found.graph))
    with pytest.raises(ValueError, match="there is no such version"):
        loading.load(world.store, 2, folder, own_process=own_process)


def test_changed_rows_are_put_into_a_copy_of_the_version_before(tmp_path, folder):
    store = ExportStore(tmp_path / "store")
    before = make_model()
    changed = {4: np.array([0, 3]), 2: np.array([1])}
    after = trained_on(before, changed, seed=1)
    store.publish(1, before, offset=0, time=TIME, metrics={})
    store.publish(2, after, offset=0, time=TIME, metrics={}, changed=changed)
    first = loading.load(store, 1, folder, own_process=False)
    (tmp_path / "store/00000001/weights.npz").unlink()  # is not read again
    second = loading.load(store, 2, folder, own_process=False)
    assert second.model.digest == after.digest and first.model.digest == before.digest


def test_what_is_served_may_be_removed(world, folder):
    found = loading.load(world.store, 1, folder, own_process=False)
    world.publish(2)
    loading.load(world.store, 2, folder, own_process=False)
    loading.remove(folder, {2})
    assert [path.name for path in folder.iterdir()] == ["2"]
    assert found.model.digest == world.models[1].digest  # mapped still


def test_what_a_killed_server_left_is_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    left, mine = (tmp_path / f"prediction-server-{pid}-x" for pid in (done.pid, os.getpid()))
    left.mkdir(), mine.mkdir()
    with loading.new_folder() as folder:
        assert not left.exists() and mine.exists() and Path(folder).exists()


@pytest.mark.parametrize("own_process", [False, True])
def test_torn_parts_are_refused(world, folder, own_process):
    path = world.parts / "00000001.parts"
    loading.check_parts(path, own_process=own_process)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="bytes; by its header"):
        loading.check_parts(path, own_process=own_process)
    with pytest.raises(ValueError, match="bytes; by its header"):
        loading.load(world.store, 1, folder, path, own_process=own_process)
