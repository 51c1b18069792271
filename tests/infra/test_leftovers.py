"""What killed processes leave is removed, and nothing else."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lib.infra import leftovers
from lib.infra.files import replacing
from lib.infra.leftovers import remove_leftovers, remove_own_scratch, scratch, temporary_name


@pytest.fixture
def over():
    """The number of a process that runs no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_nobody_writes_any_more_is_removed(tmp_path, over):
    begun = temporary_name(".begun").replace(str(os.getpid()), str(over))
    for name in (f".a.{over}.part.csv", f"deep/.b.c.{over}.part", f"{begun}x1_y/task"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    kept = [
        *(f"a.{over}.part.csv", f".a.{os.getpid()}.part.csv", ".a.part", ".part", "deep"),
        *(".begun-elsewhere-1-x", f"{temporary_name('.begun')}z", f"begun-{over}-x"),
    ]
    for name in kept[:-3]:
        (tmp_path / name).touch() if name != "deep" else None
    for name in kept[-3:]:
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted(kept)
    remove_leftovers(tmp_path / "absent")


def test_a_file_that_another_machine_may_write_at_stays(tmp_path, over):
    part = tmp_path / f".a.{over}.part"
    part.touch()
    remove_leftovers(tmp_path, unchanged=600)
    assert part.exists()
    os.utime(part, (0, 0))
    remove_leftovers(tmp_path, unchanged=600)
    assert not part.exists()


def test_names_of_half_written_files_are_those_that_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "_is_over", lambda process: int(process) == os.getpid())
    for name in ("a.csv", "b", "c.tar.gz"):
        with replacing(tmp_path / name) as temporary:
            temporary.touch()
            remove_leftovers(tmp_path)
            assert not temporary.exists()
            temporary.touch()


def test_temporary_files_of_a_killed_process_are_removed(tmp_path, monkeypatch, over):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch() as folder:
        (folder / "__autograph_generated_file.py").touch()
        killed = Path(str(folder).replace(str(os.getpid()), str(over)))
        killed.mkdir()
        (tmp_path / "another's").mkdir()
        with scratch() as second:
            assert second.parent == tmp_path
            assert not killed.exists() and folder.exists()
        remove_own_scratch()
        assert folder.exists()
        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(folder))  # as of a process that the run starts
            remove_own_scratch()
        assert not folder.exists()
    assert names(tmp_path) == ["another's"]
