"""Ads' parts of the first layer under one model version: a file that all servers of a machine map.

    bytes 0..4095   header: magic, version, capacity, units, bytes a number, ads when it was
                    closed, the CRC-32 of these fields and ads, ads now
    then            ad ids, int64 [capacity]; the first, when it was closed, in order
    then            parts, float32 or float16 [capacity, units]

It is moved into place when it holds all ads of the catalogue. Ads that come later are added behind
them: "ads now" is written last, so that a reader sees an ad whole or not at all. Every server maps
the same pages: the memory is the machine's, not a process's. Nothing waits for the disk: a process
may be killed at any moment, and what a machine that lost its power left torn, the CRC-32 finds, and
the Embedding Producer computes again.
"""

import os
import struct
import zlib
from pathlib import Path

import numpy as np

from lib.infra.files import replacing

_MAGIC, _PAGE = b"ADPARTS1", 4096
_HEADER = struct.Struct("<8sQQQQQQ")
_NOW = 64  # where "ads now" stands
_CHECKED = 1 << 24  # bytes at a time


class AdParts:
    """The parts of one version, mapped for reading.

    Args:
      path: of the file.
      check: whether to read all of it once and compare its CRC-32; without, opening takes no time.

    Attributes:
      version: of the model.
      units: a_1; dtype: of the parts, float32 or float16.

    Raises: ValueError for a file that is torn, altered or of another kind; FileNotFoundError.
    """

    def __init__(self, path, check: bool = True):
        self.path = Path(path)
        header, length, self._inode = _read_header(self.path)
        magic, self.version, self.capacity, self.units, size, self._sorted, crc = header
        if magic != _MAGIC or size not in (2, 4):
            raise ValueError(f"{path}: not a file of ad parts")
        self.dtype = np.dtype(f"<f{size}")
        expected = _PAGE + self.capacity * (8 + self.units * size)
        if length != expected:
            raise ValueError(f"{path}: {length} bytes; by its header it has {expected}")
        self._now, self._ids, self._parts = _maps(self, "r")
        if self._sorted > self.capacity or (
            check and _crc(header[1:-1], self._ids, self._parts, self._sorted) != crc
        ):
            raise ValueError(f"{path}: its CRC-32 is not the header's; it is damaged")
        self._added = {}

    def __len__(self):
        return int(self._now[0])

    def replaced(self) -> bool:
        """Whether another file, with more room, has taken this one's place."""
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return False

    def lookup(self, ad_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parts of some ads.

        Args: ad_ids: integers [n].

        Returns: (parts [n, units], 0 where an ad is missing; missing, bool [n]).
        """
        known = self._ids[: self._sorted]
        rows = np.searchsorted(known, ad_ids)
        missing = np.ones(len(ad_ids), bool)
        inside = rows < len(known)
        missing[inside] = known[rows[inside]] != ad_ids[inside]
        if missing.any():
            added = self._later()
            for i in np.flatnonzero(missing) if added else ():
                row = added.get(int(ad_ids[i]))
                if row is not None:
                    rows[i], missing[i] = row, False
        parts = self._parts[np.where(missing, 0, rows)]
        parts[missing] = 0
        return parts, missing

    def _later(self):
        """Ad id -> row, of those added since the file was closed."""
        for row in range(self._sorted + len(self._added), len(self)):
            self._added[int(self._ids[row])] = row
        return self._added


class AdPartsWriter:
    """Writes the parts of one version; `parts[rows]` are views to write to.

    Args:
      path: of the file.
      version: of the model; units: a_1.
      ads: of the catalogue now; room: for how many more there is place.
      dtype: float32, or float16 for half the memory.
    """

    def __init__(self, path, version: int, ads: int, units: int, *, room=None, dtype="float32"):
        self.path, self.version, self.units = Path(path), version, units
        self.ads, self.dtype = ads, np.dtype(dtype).newbyteorder("<")
        if self.dtype not in (np.dtype("<f2"), np.dtype("<f4")):
            raise ValueError(f"AdPartsWriter: dtype must be float32 or float16; got {dtype}")
        # A tenth more than there are: then a file serves a version's life of new ads.
        self.capacity = ads + (max(1024, ads // 10) if room is None else room)

    def write(self, ad_ids: np.ndarray, fill) -> AdParts:
        """The file of all ads.

        Args:
          ad_ids: int64 [ads], increasing.
          fill: callable (parts), which writes parts [ads, units] in the order of the ids.

        Returns: the file, opened.
        Raises: ValueError unless the ids increase; OSError where the disk is full: nothing is left.
        """
        ad_ids = np.asarray(ad_ids, np.int64)
        if len(ad_ids) != self.ads or (np.diff(ad_ids) <= 0).any():
            raise ValueError(f"AdPartsWriter: {self.ads} increasing ad ids are expected")
        with replacing(self.path) as temporary:
            with open(temporary, "wb") as file:
                length = _PAGE + self.capacity * (8 + self.units * self.dtype.itemsize)
                # Claimed at once: a mapped file on a full disk ends its process.
                os.posix_fallocate(file.fileno(), 0, length)
            now, ids, parts = _maps(self, "r+", temporary)
            ids[: self.ads] = ad_ids
            fill(parts[: self.ads])
            fields = (self.version, self.capacity, self.units, self.dtype.itemsize, self.ads)
            crc = _crc(fields, ids, parts, self.ads)
            now[0] = self.ads
            with open(temporary, "r+b") as file:
                file.write(_HEADER.pack(_MAGIC, *fields, crc))
        return AdParts(self.path, check=False)


def add(path, ad_ids: np.ndarray, parts: np.ndarray) -> int:
    """Put new ads behind those of a file; ads that it has are left as they are.

    Args: ad_ids: int64 [n]; parts: [n, units].

    Returns: how many were added.
    Raises: ValueError where the file has no room for them: write it anew.
    """
    file = AdParts(path, check=False)
    _, missing = file.lookup(np.asarray(ad_ids, np.int64))
    low, count = len(file), int(missing.sum())
    if low + count > file.capacity:
        raise ValueError(
            f"{path}: room for {file.capacity - low} ads more, not for {count}; write it anew"
        )
    now, ids, all_parts = _maps(file, "r+", file.path)
    ids[low : low + count] = np.asarray(ad_ids)[missing]
    all_parts[low : low + count] = np.asarray(parts)[missing]
    now[0] = low + count
    return count


def _read_header(path):
    with open(path, "rb") as file:
        data = file.read(_HEADER.size)
        found = os.fstat(file.fileno())
    if len(data) < _HEADER.size:
        raise ValueError(f"{path}: {found.st_size} bytes; not a file of ad parts")
    return _HEADER.unpack(data), found.st_size, found.st_ino


def _maps(of, mode, path=None):
    """(ads now [1], ids [capacity], parts [capacity, units]) of a file."""
    path = path or of.path
    start = _PAGE + 8 * of.capacity
    return (
        np.memmap(path, "<u8", mode, _NOW, (1,)),
        np.memmap(path, "<i8", mode, _PAGE, (of.capacity,)),
        np.memmap(path, of.dtype, mode, start, (of.capacity, of.units)),
    )


def _crc(fields, ids, parts, ads):
    crc = zlib.crc32(np.ascontiguousarray(ids[:ads]).data, zlib.crc32(repr(fields).encode()))
    step = max(1, _CHECKED // max(parts.shape[1] * parts.itemsize, 1))
    for low in range(0, ads, step):
        crc = zlib.crc32(np.ascontiguousarray(parts[low : min(low + step, ads)]).data, crc)
    return crc
