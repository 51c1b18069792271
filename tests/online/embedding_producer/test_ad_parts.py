import os

import numpy as np
import pytest

from lib.online.embedding_producer.ad_parts import AdParts, AdPartsWriter, add

IDS = np.array([3, 10, 11, 500], np.int64)
PARTS = np.arange(12, dtype=np.float32).reshape(4, 3)


def write(path, dtype="float32", room=2, ids=IDS):
    def fill(parts):
        parts[...] = PARTS

    return AdPartsWriter(path, 7, len(IDS), 3, room=room, dtype=dtype).write(ids, fill)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_written_is_found(tmp_path, dtype):
    write(tmp_path / "a.parts", dtype)
    file = AdParts(tmp_path / "a.parts")
    assert (file.version, file.units, len(file), file.dtype) == (7, 3, 4, np.dtype(dtype))
    parts, missing = file.lookup(np.array([500, 4, 3, 10_000, 3]))
    assert missing.tolist() == [False, True, False, True, False]
    np.testing.assert_array_equal(parts, [PARTS[3], [0] * 3, PARTS[0], [0] * 3, PARTS[0]])


def test_memory_is_as_stated(tmp_path):
    """2 or 4 bytes a unit and 8 of its id an ad, and a page."""
    for dtype, size in (("float32", 4), ("float16", 2)):
        write(tmp_path / dtype, dtype, room=0)
        assert (tmp_path / dtype).stat().st_size == 4096 + 4 * (8 + 3 * size)


def test_new_ads_are_seen_by_those_who_have_it_open(tmp_path):
    file = write(tmp_path / "a.parts")
    new = np.array([[7.0, 8.0, 9.0]], np.float32)
    assert file.lookup(np.array([4]))[1].all()
    assert add(tmp_path / "a.parts", np.array([4]), new) == 1
    assert add(tmp_path / "a.parts", np.array([4, 10]), np.zeros((2, 3))) == 0
    for one in (file, AdParts(tmp_path / "a.parts")):
        parts, missing = one.lookup(np.array([4, 10]))
        assert not missing.any() and len(one) == 5
        np.testing.assert_array_equal(parts, [new[0], PARTS[1]])
    with pytest.raises(ValueError, match="room for 1 ads more, not for 2"):
        add(tmp_path / "a.parts", np.array([5, 6]), np.zeros((2, 3)))


def test_another_file_in_its_place_is_noticed(tmp_path):
    file = write(tmp_path / "a.parts")
    assert not file.replaced()
    write(tmp_path / "a.parts")
    assert file.replaced()
    assert not file.lookup(IDS)[1].any()  # what is mapped stays


def test_every_damaged_byte_is_found(tmp_path):
    path = tmp_path / "a.parts"
    write(path, room=0)
    whole = path.read_bytes()
    for at in (*range(64), *range(4096, len(whole), 3)):
        data = bytearray(whole)
        data[at] ^= 4
        path.write_bytes(data)
        if at < 56 or at >= 4096:
            with pytest.raises(ValueError):
                AdParts(path)


def test_a_torn_file(tmp_path):
    path = tmp_path / "a.parts"
    write(path)
    for length in (0, 30, 4096, 4100):
        os.truncate(path, length)
        with pytest.raises(ValueError, match="bytes"):
            AdParts(path)
        write(path)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="increasing ad ids"):
        write(tmp_path / "a", ids=IDS[::-1])
    with pytest.raises(ValueError, match="float32 or float16"):
        write(tmp_path / "a", dtype="int8")
    assert not list(tmp_path.iterdir())
