"""The embedded stream: offsets, ends of processes and disks, damage, retention."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.online.stream.segments import HEADER, SegmentStream
from lib.online.stream.streams import StreamError
from tests import ROOT
from tests.online.stream.small_stream import SCHEMA


def make_stream(folder, partitions=2, **options):
    return SegmentStream(folder / "s", SCHEMA, partitions, **options)


def payload(i):
    return bytes([i % 251]) * (5 + i % 7)


def read_all(stream, partition=0, offset=0, **options):
    found = []
    while got := stream.read(partition, offset, **options):
        found += got
        offset = got[-1][0] + 1
    return found


def segments(stream, partition=0):
    return sorted((stream.folder / f"partition-{partition}").glob("*.segment"))


@pytest.mark.parametrize("most_bytes", [1, 30, 1 << 20])
@pytest.mark.parametrize("segment_bytes", [1, 250, 1 << 20])
def test_records_come_back_in_order_from_any_offset(tmp_path, most_bytes, segment_bytes):
    with make_stream(tmp_path, segment_bytes=segment_bytes) as stream:
        want = list(enumerate(map(payload, range(40))))
        for i in range(0, 40, 4):
            stream.append(0, [payload(j) for j in range(i, i + 4)])
            stream.append(1, [b"other"])
        for offset in (0, 1, 17, 39, 40):
            assert read_all(stream, 0, offset, most_bytes=most_bytes) == want[offset:]
        assert (stream.first(0), stream.end(0), stream.end(1)) == (0, 40, 10)
        assert len(segments(stream)) == {1: 10, 250: 5, 1 << 20: 1}[segment_bytes]
        with pytest.raises(StreamError, match="offset 41 is not written yet"):
            stream.read(0, 41)
        other = stream.reopen()
        assert other.description() == stream.description()
        assert read_all(other) == want
        other.close()


def test_a_read_waits_for_the_first_record(tmp_path):
    with make_stream(tmp_path) as stream:
        begun = time.monotonic()
        assert stream.read(0, 0, timeout=0.2) == []
        assert 0.15 < time.monotonic() - begun < 2
        timer = threading.Timer(0.2, stream.append, (0, [b"late"]))
        timer.start()
        reader = stream.reopen()
        assert reader.read(0, 0, timeout=10.0) == [(0, b"late")]
        timer.join()
        reader.close()


def test_one_writer_a_partition(tmp_path):
    with make_stream(tmp_path) as stream, stream.reopen() as other:
        stream.append(0, [b"x"])
        other.append(1, [b"y"])  # another partition
        with pytest.raises(StreamError, match="partition-0: another writer has this partition"):
            other.append(0, [b"z"])
        stream.close()
        other.append(0, [b"z"])
        assert read_all(other) == [(0, b"x"), (1, b"z")]


def test_a_stream_is_not_made_over_another(tmp_path):
    with pytest.raises(ValueError, match=r"no stream is there; .* got schema = None"):
        SegmentStream(tmp_path / "s")
    make_stream(tmp_path).close()
    with pytest.raises(ValueError, match="the stream has 2 partitions; got partitions = 3"):
        make_stream(tmp_path, 3)
    (tmp_path / "s/stream.json").write_text("{}")
    with pytest.raises(ValueError, match=r"stream\.json: not a stream"):
        make_stream(tmp_path)
    with pytest.raises(ValueError, match=r"partition must lie in 0\.\.1; got partition = 2"):
        make_stream(tmp_path / "other").read(2, 0)


# ---- the end of a writer ----------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(1, 200), zeros=st.integers(0, 50))
def test_a_torn_tail_is_cut_off_and_nothing_else(tmp_path_factory, cut, zeros):
    """After the end of a process the last bytes are missing, after the machine's they may be 0."""
    folder = tmp_path_factory.mktemp("torn")
    with make_stream(folder, 1) as stream:
        stream.append(0, [payload(i) for i in range(8)])
        (file,) = segments(stream)
    content = file.read_bytes()
    file.write_bytes(content[:-cut] + bytes(zeros))
    whole = sum(_ends(content) <= len(content) - cut)
    with make_stream(folder, 1) as reader, make_stream(folder, 1) as writer:
        assert read_all(reader) == [(i, payload(i)) for i in range(whole)]
        assert reader.end(0) == whole
        writer.append(0, [b"new"])
        assert read_all(reader, 0, whole) == [(whole, b"new")]
        assert len(read_all(writer)) == whole + 1


def _ends(content):
    sizes = [HEADER.size + len(payload(i)) for i in range(8)]
    assert sum(sizes) == len(content)
    return np.cumsum(sizes)


KILLED = """
import sys
from lib.online.stream.segments import SegmentStream
stream = SegmentStream(sys.argv[1])
number = stream.end(0)
print("ready", flush=True)
while True:
    stream.append(0, [number.to_bytes(8, "big") * 4000])
    number += 1
"""


def test_a_killed_writer_leaves_whole_records_and_its_place_to_the_next(tmp_path):
    stream = make_stream(tmp_path, 1, segment_bytes=1 << 20)
    ends = [0]
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(stream.folder)], cwd=ROOT, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout.readline() == b"ready\n"
            deadline = time.monotonic() + 20
            while stream.end(0) < ends[-1] + 30:
                assert time.monotonic() < deadline
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            process.stdout.close()
        ends.append(stream.end(0))
    assert ends[0] < ends[1] < ends[2] < ends[3]
    for offset, content in read_all(stream):
        assert content == offset.to_bytes(8, "big") * 4000
    stream.close()


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
from lib.online.stream.segments import SegmentStream
stream = SegmentStream(sys.argv[1])
try:
    for i in range(100):
        stream.append(0, [bytes([i]) * 50])
except OSError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
stream.append(0, [b"room again"])
"""


def test_a_file_that_cannot_grow_is_one_clear_error_and_loses_nothing(tmp_path):
    """The kernel writes a part of the last record before it refuses the rest."""
    with make_stream(tmp_path, 1) as stream:
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(stream.folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        count = 1000 // (HEADER.size + 50)
        assert "partition-0: cannot append: File too large" in done.stdout
        assert f"all records before offset {count} are kept" in done.stdout
        assert read_all(stream) == [
            *((i, bytes([i]) * 50) for i in range(count)),
            (count, b"room again"),
        ]


def test_a_full_disk(tmp_path, monkeypatch):
    with make_stream(tmp_path, 1) as stream:
        stream.append(0, [b"kept"])

        def full(descriptor, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(StreamError, match="No space left") as error:
                stream.append(0, [b"lost"])
        assert error.value.errno == errno.ENOSPC
        stream.append(0, [b"again"])
        assert read_all(stream) == [(0, b"kept"), (1, b"again")]


# ---- damage in the middle ---------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    place=st.integers(0, 10**9), width=st.integers(1, 60), most_bytes=st.sampled_from([1, 10**6])
)
def test_readers_go_on_behind_damaged_bytes_at_the_right_offset(
    tmp_path_factory, place, width, most_bytes
):
    folder = tmp_path_factory.mktemp("damaged")
    with make_stream(folder, 1, segment_bytes=300) as stream:
        for i in range(20):
            stream.append(0, [payload(i)])
        file = segments(stream)[0]
        content = bytearray(file.read_bytes())
        place %= len(content)
        for i in range(place, min(place + width, len(content))):
            content[i] ^= 0xA5
        file.write_bytes(bytes(content))
        found = read_all(stream, most_bytes=most_bytes)
        assert [offset for offset, _ in found] == list(range(20))  # an offset for an offset
        bad = [offset for offset, got in found if got != payload(offset)]
        assert 1 <= len(bad) <= 4 and bad == list(range(bad[0], bad[-1] + 1))
        for offset in range(20):  # and from any offset on
            again = read_all(stream, 0, offset, most_bytes=most_bytes)
            assert [place for place, _ in again] == list(range(offset, 20))
            if offset > bad[-1]:
                assert again == found[offset:]


# ---- retention --------------------------------------------------------------


def test_retention_by_bytes(tmp_path):
    with make_stream(tmp_path, 1, segment_bytes=200, retention_bytes=600) as stream:
        slow = stream.reopen()
        assert slow.read(0, 0) == []
        for i in range(100):
            stream.append(0, [payload(i)])
            if i == 0:
                assert slow.read(0, 0)
        first = stream.first(0)
        assert 60 < first < 100
        assert sum(file.stat().st_size for file in segments(stream)) <= 600 + 200
        assert read_all(stream, 0, first) == [(i, payload(i)) for i in range(first, 100)]
        with pytest.raises(StreamError, match=f"offset 3 is not kept .* that is, is {first}"):
            stream.read(0, 3)
        slow.close()


def test_retention_by_age(tmp_path):
    with make_stream(tmp_path, 1, segment_bytes=1, retention_seconds=60) as stream:
        for i in range(3):
            stream.append(0, [payload(i)])
        old = time.time() - 100
        for file in segments(stream):
            os.utime(file, (old, old))
        stream.retain()
        assert stream.first(0) == 2  # the newest segment stays


@pytest.mark.parametrize(
    ("fsync_seconds", "least", "most"), [(0, 20, 20), (None, 0, 0), (60, 0, 1)]
)
def test_the_disk_is_waited_for_as_told(tmp_path, monkeypatch, fsync_seconds, least, most):
    calls = []
    with make_stream(tmp_path, 1, fsync_seconds=fsync_seconds) as stream:
        monkeypatch.setattr(os, "fdatasync", calls.append)
        for i in range(20):
            stream.append(0, [payload(i)])
        assert least <= len(calls) <= most
        stream.flush()
        assert len(calls) == {0: 20, None: 0, 60: 1}[fsync_seconds]
