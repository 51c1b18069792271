"""Digests by content: no change stays unseen, and nothing is read twice."""

import os
import time

import pytest

from lib.infra.files import fingerprint
from lib.run import digests
from lib.run.digests import Digests


@pytest.fixture
def reads(monkeypatch):
    """Paths of the files that were read."""
    paths = []

    def counted(path):
        paths.append(path)
        return fingerprint(path)

    monkeypatch.setattr(digests, "fingerprint", counted)
    monkeypatch.setattr(digests, "_YOUNG_NS", 0)
    return paths


def test_a_file_that_has_not_changed_is_read_once(tmp_path, reads):
    file, kept = tmp_path / "a.csv", tmp_path / "cache/digests.json"
    file.write_text("1")
    time.sleep(0.05)
    for _ in range(3):  # three runs
        remembered = Digests(kept)
        assert remembered.of(file) == fingerprint(file)
        remembered.save()
    assert reads == ([file] if os.name == "posix" else [file] * 3)


def test_a_change_at_equal_size_and_time_is_seen(tmp_path, reads):
    file, remembered = tmp_path / "a.csv", Digests(tmp_path / "digests.json")
    file.write_text("1")
    before = file.stat()
    time.sleep(0.05)
    first = remembered.of(file)
    file.write_text("2")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert remembered.of(file) == fingerprint(file) != first


def test_a_change_within_a_tick_of_the_clock_is_seen(tmp_path):
    file, remembered = tmp_path / "a.csv", Digests(tmp_path / "digests.json")
    for text in ("1", "2", "3"):
        file.write_text(text)
        assert remembered.of(file) == fingerprint(file)
    remembered.save()
    assert not remembered.path.exists()  # all of them too young to be believed


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "[" * 100_000])
def test_a_damaged_file_of_digests_is_written_anew(tmp_path, reads, text):
    file, kept = tmp_path / "a.csv", tmp_path / "digests.json"
    file.write_text("1")
    kept.write_text(text)
    time.sleep(0.05)
    remembered = Digests(kept)
    assert remembered.of(file) == fingerprint(file)
    remembered.save()
    assert Digests(kept).of(file) == fingerprint(file)


def test_what_cannot_be_kept_is_no_error(tmp_path, reads):
    (tmp_path / "cache").touch()  # a file where the folder would be
    (tmp_path / "a.csv").write_text("1")
    time.sleep(0.05)
    remembered = Digests(tmp_path / "cache/digests.json")
    remembered.of(tmp_path / "a.csv")
    remembered.save()
    with pytest.raises(FileNotFoundError):
        remembered.of(tmp_path / "absent.csv")
