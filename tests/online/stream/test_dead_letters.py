"""Dead letters: each once, whatever ended the process before."""

import base64
import errno
import json
import os

import pytest

from lib.online.stream.dead_letters import DeadLetters
from lib.online.stream.streams import StreamError


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_place_once_also_after_a_restart(tmp_path):
    path = tmp_path / "new" / "dead.jsonl"
    for raw in (b"\x00\xff", b"other"):
        with DeadLetters(path) as letters:
            letters.put(1, 7, None, "damaged", "why", raw)
            letters.put(1, 7, 0, "malformed", "why", raw)
            letters.put(1, 7, 0, "malformed", "why", raw)
            assert letters.counts == {"damaged": 1, "malformed": 1}
    first, second = lines(path)
    assert (first["partition"], first["offset"], first["impression"]) == (1, 7, None)
    assert (second["impression"], second["reason"], second["detail"]) == (0, "malformed", "why")
    assert base64.b64decode(first["raw"]) == b"\x00\xff"


def test_a_torn_last_line_is_cut_off_and_written_again(tmp_path):
    path = tmp_path / "dead.jsonl"
    with DeadLetters(path) as letters:
        for offset in range(3):
            letters.put(0, offset, None, "damaged", "why", b"x" * 50)
    path.write_bytes(path.read_bytes()[:-20])
    with DeadLetters(path) as letters:
        assert letters.counts["damaged"] == 2
        for offset in range(4):
            letters.put(0, offset, None, "damaged", "why", b"x")
    assert [letter["offset"] for letter in lines(path)] == [0, 1, 2, 3]


def test_flushed_letters_are_in_the_file(tmp_path):
    path = tmp_path / "dead.jsonl"
    with DeadLetters(path) as letters:
        letters.put(0, 0, None, "damaged", "why", b"x")
        letters.flush()
        assert len(lines(path)) == 1


def test_one_writer_and_no_other_file(tmp_path):
    path = tmp_path / "dead.jsonl"
    with DeadLetters(path), pytest.raises(ValueError, match="another process writes"):
        DeadLetters(path)
    path.write_text('{"partition": 1}\n')
    with pytest.raises(ValueError, match=r"dead\.jsonl: line 1 is no dead letter"):
        DeadLetters(path)


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    path = tmp_path / "dead.jsonl"

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    letters = DeadLetters(path)
    letters.put(0, 0, None, "damaged", "why", b"x")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StreamError, match=r"dead\.jsonl: cannot write dead letters: No space left"):
        letters.flush()
    monkeypatch.undo()
    letters.close()
    assert len(lines(path)) == 1
