"""Folders that several machines see, and what is refused in their place."""

import threading

import pytest

from lib.infra import sweep
from lib.infra.shared_folders import check_seen, local, wait_for
from tests.infra.test_sweep import draw, tasks


@pytest.mark.parametrize(
    "url", ["s3://bucket/study", "memory://study", "gs://bucket", "file://host/study", "hdfs://a/b"]
)
def test_stores_are_refused_before_anything_is_made(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"folder: found '{url}', expected a path or a file"):
        sweep.run(draw, tasks(1), url, n_jobs=1, progress=False)
    with pytest.raises(ValueError, match="folder: found"):
        sweep.result_path(draw, {"seed": 1}, url)
    assert list(tmp_path.iterdir()) == []


def test_a_url_of_a_file_system_is_its_path(tmp_path):
    folder = tmp_path / "my study"
    url = folder.as_uri()
    assert "%20" in url and local(url) == folder
    rows = sweep.run(draw, tasks(1, 2), url, n_jobs=1, progress=False)
    assert rows == sweep.run(draw, tasks(1, 2), folder, n_jobs=1, progress=False)
    path = sweep.result_path(draw, {"seed": 1}, url)
    assert path.parent == folder and path.with_suffix(".txt").read_text() == "1"


def test_a_folder_that_a_worker_does_not_see_is_named(tmp_path):
    check_seen(tmp_path, str(tmp_path))
    with pytest.raises(RuntimeError, match=f"worker on .* does not see {tmp_path}/no; expected"):
        check_seen(tmp_path, f"{tmp_path}/no")


def test_files_of_other_machines_may_be_seen_late(tmp_path):
    late = tmp_path / "late.json"
    timer = threading.Timer(0.3, late.touch)
    timer.start()
    wait_for([late], seconds=20)
    timer.join()
    with pytest.raises(RuntimeError, match=r"never.json: a worker has written it, but it is not"):
        wait_for([late, tmp_path / "never.json"], seconds=0.2)
