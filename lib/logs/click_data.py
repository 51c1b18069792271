"""Click data: one row a shown ad, with ids, numbers and whether it was clicked, on disk as arrays.

A data set is a folder of plain NumPy files, rows in stream (time) order, larger than memory if
need be:

labels.npy       uint8 [rows], 1 for a click
ids.npy          int32 [rows, slots], the fields' slots side by side; -1 is an empty slot
dense.npy        float32 [rows, dense]
probability.npy  float32 [rows], the true probability of a click; simulated data only
data.json        name, rows, clicks, skipped, fields, dense, origin
"""

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.infra.files import write_json
from lib.logs.errors import InputError
from lib.models.click_size import Field

MOST_VALUES = 2**31 - 1  # of a field: its ids are int32


class Clicks(NamedTuple):
    """Rows of click data.

    labels       uint8 [rows], 0 or 1
    ids          int32 [rows, slots]
    dense        float32 [rows, dense]
    probability  float32 [rows], or None where the truth is not known
    """

    labels: np.ndarray
    ids: np.ndarray
    dense: np.ndarray
    probability: np.ndarray | None = None


class ClickData:
    """A click data set on disk, read by rows; use `ClickData.open`.

    Attributes: folder; name; fields, tuple of `Field`; dense, tuple of names; clicks, their
    number; skipped, the source's rows that were left out; origin, a dict of plain values that
    decided the content.
    """

    def __init__(self, folder, described, arrays):
        self.folder, self._arrays = folder, arrays
        self.name, self.origin = described["name"], described["origin"]
        self.fields = tuple(Field(**field) for field in described["fields"])
        self.dense, self.clicks = tuple(described["dense"]), described["clicks"]
        self.skipped = described["skipped"]

    @classmethod
    def open(cls, folder) -> "ClickData":
        """The data set of a folder; nothing is read until it is asked for.

        Raises: InputError where there is none, or its files do not fit together.
        """
        folder = Path(folder)
        described = _described(folder)
        if described is None:
            raise InputError(f"{folder}: no click data; expected a folder with data.json")
        rows = described["rows"]
        shapes = {
            "labels": (rows,),
            "ids": (rows, sum(field["slots"] for field in described["fields"])),
            "dense": (rows, len(described["dense"])),
        }
        if described["probability"]:
            shapes["probability"] = (rows,)
        return cls(
            folder, described, {name: _opened(folder, name, shapes[name]) for name in shapes}
        )

    def __len__(self):
        return len(self._arrays["labels"])

    def __repr__(self):
        return (
            f"ClickData({self.name}: {len(self):,} rows, {self.clicks:,} clicks, "
            f"{len(self.fields)} fields, {len(self.dense)} dense)"
        )

    def rows(self, start: int, stop: int) -> Clicks:
        """Rows start .. stop - 1, read into memory.

        Raises: ValueError unless 0 <= start <= stop <= rows.
        """
        if not 0 <= start <= stop <= len(self):
            raise ValueError(
                f"rows: expected 0 <= start <= stop <= {len(self)}; got {start} .. {stop}"
            )
        return Clicks(**{name: np.array(array[start:stop]) for name, array in self._arrays.items()})

    def description(self) -> dict:
        """What a checkpoint must agree in with the run that continues it."""
        return {"name": self.name, "rows": len(self), "origin": self.origin}

    def parts(self, *shares: float) -> list[range]:
        """The rows cut by position into parts of these shares, which sum to 1.

        Raises: ValueError for other shares.
        """
        if not shares or min(shares) <= 0 or not np.isclose(sum(shares), 1):
            raise ValueError(f"parts: expected shares > 0 that sum to 1; got {shares}")
        ends = np.rint(np.cumsum([0, *shares]) * len(self)).astype(int).tolist()
        return [range(start, stop) for start, stop in itertools.pairwise(ends)]


def prepared(folder, name: str, origin: dict) -> ClickData | None:
    """The data set of a folder if it is the one of this name and origin, else None."""
    described = _described(Path(folder))
    if described is None or (described["name"], described["origin"]) != (name, _plain(origin)):
        return None
    return ClickData.open(folder)


class ClickWriter:
    """Writes a data set block by block, in the memory of a block; a context manager.

    The folder appears whole when the block of `with` ends well, in place of an older data set;
    an error leaves what stood there.

    Args:
      folder: of the data set, as `open` takes it.
      name: of the data set.
      fields: sequence of `Field`, in the order of their slots in `Clicks.ids`.
      dense: names of the columns of `Clicks.dense`.
      origin: plain values that decide the content: a seed, parameters, a source file.

    Attributes: skipped, to be raised by who leaves out rows of a source.

    Raises: ValueError for fields of one name or without values; InputError where the folder
      holds something else.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp(), "clicks")
    >>> with ClickWriter(folder, "two ads", [Field("ad", 10)], ["bid"]) as writer:
    ...     writer.write(Clicks(labels=[0, 1], ids=[[3], [7]], dense=[[0.5], [2.0]]))
    >>> data = ClickData.open(folder)
    >>> data, data.rows(1, 2).ids.tolist()
    (ClickData(two ads: 2 rows, 1 clicks, 1 fields, 1 dense), [[7]])
    """

    def __init__(self, folder, name, fields, dense=(), *, origin=None):
        self.folder = Path(folder)
        self.name, self.origin = name, _plain(origin or {})
        self.fields, self.dense = tuple(Field(*field) for field in fields), tuple(dense)
        _check_declared(self.fields, self.dense)
        _check_free(self.folder)
        self.rows = self.clicks = self.skipped = 0
        self._temporary = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.part")
        self._files = {}

    def __enter__(self):
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        return self

    def write(self, clicks: Clicks):
        """Append rows.

        Raises: ValueError, naming row and value, for what `Clicks` and the fields do not allow.
        """
        clicks = self._checked(clicks)
        rows = len(clicks.labels)
        if not self._files and rows:
            self._files = {
                name: _Appended(self._temporary / f"{name}.npy", array)
                for name, array in clicks._asdict().items()
                if array is not None
            }
        for name, file in self._files.items():
            file.append(getattr(clicks, name))
        self.rows += rows
        self.clicks += int(clicks.labels.sum())

    def __exit__(self, kind, error, trace):
        for file in self._files.values():
            file.close()
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _finish(self):
        if not self.rows:
            raise ValueError(f"{self.folder}: a click data set needs a row; none was written")
        described = {
            "name": self.name,
            "rows": self.rows,
            "clicks": self.clicks,
            "skipped": self.skipped,
            "fields": [field._asdict() for field in self.fields],
            "dense": list(self.dense),
            "probability": "probability" in self._files,
            "origin": self.origin,
        }
        write_json(self._temporary / "data.json", described)
        _check_free(self.folder)  # it may have come while the rows were written
        if self.folder.exists():
            old = self._temporary.with_suffix(".old")
            os.replace(self.folder, old)
            os.replace(self._temporary, self.folder)
            shutil.rmtree(old)
        else:
            os.replace(self._temporary, self.folder)

    def _checked(self, clicks):
        """The rows in their types; ValueError for the first that is none of this data set."""
        labels = np.asarray(clicks.labels)
        rows, slots = len(labels), sum(field.slots for field in self.fields)
        shapes = {"labels": (rows,), "ids": (rows, slots), "dense": (rows, len(self.dense))}
        if clicks.probability is not None:
            shapes["probability"] = (rows,)
        for name, shape in shapes.items():
            found = np.shape(getattr(clicks, name))
            if found != shape:
                raise ValueError(f"clicks: {name} must be of shape {shape}; got {found}")
        if self._files and ("probability" in self._files) != ("probability" in shapes):
            raise ValueError("clicks: probability must be given in all blocks or in none")
        self._refuse((labels != 0) & (labels != 1), labels, "labels", "0 or 1")
        ids, start = np.asarray(clicks.ids), 0
        if ids.dtype.kind not in "iu":
            raise ValueError(f"clicks: ids must be whole numbers; got {ids.dtype}")
        for field in self.fields:
            own, lowest = ids[:, start : start + field.slots], -1 if field.slots > 1 else 0
            if rows and (own.min() < lowest or own.max() >= field.values):
                empty = ", or -1 for an empty slot" if lowest else ""
                bad = (own < lowest) | (own >= field.values)
                expected = f"0 .. {field.values - 1}{empty}"
                self._refuse(bad, own, f"the ids of {field.name!r}", expected)
            start += field.slots
        dense = np.asarray(clicks.dense, np.float32)
        self._refuse(~np.isfinite(dense), dense, "dense", "finite numbers")
        probability = clicks.probability
        if probability is not None:
            probability = np.asarray(probability, np.float32)
            bad = ~((probability >= 0) & (probability <= 1))
            self._refuse(bad, probability, "probability", "0 .. 1")
        return Clicks(labels.astype(np.uint8), ids.astype(np.int32), dense, probability)

    def _refuse(self, bad, values, name, expected):
        if bad.any():
            place = tuple(np.argwhere(bad)[0].tolist())
            row = self.rows + place[0]
            raise ValueError(
                f"clicks: row {row}: {name} must be {expected}; got {values[place].item()!r}"
            )


class _Appended:
    """An .npy file that grows by rows; its length is put into the header at the end."""

    def __init__(self, path, array):
        self.file, self.array, self.rows = open(path, "wb"), array, 0
        self._header()
        self.begin = self.file.tell()

    def _header(self):
        # NumPy leaves room in the header for a first axis that grows.
        np.lib.format.write_array_header_1_0(
            self.file,
            {
                "descr": np.lib.format.dtype_to_descr(self.array.dtype),
                "fortran_order": False,
                "shape": (self.rows, *self.array.shape[1:]),
            },
        )

    def append(self, array):
        self.file.write(memoryview(np.ascontiguousarray(array)).cast("B") if array.size else b"")
        self.rows += len(array)

    def close(self):
        with self.file:
            self.file.seek(0)
            self._header()
            if self.file.tell() != self.begin:
                raise RuntimeError(f"{self.file.name}: the header grew")


def _check_declared(fields, dense):
    names = [field.name for field in fields]
    for kind, given in (("fields", names), ("dense", list(dense))):
        repeated = sorted({name for name in given if given.count(name) > 1})
        if repeated:
            raise ValueError(f"click data: {kind} must have names of their own; got {repeated}")
    if not fields and not dense:
        raise ValueError("click data: expected a field or a dense column; got neither")
    for field in fields:
        if not 1 <= field.values <= MOST_VALUES or field.slots < 1:
            raise ValueError(
                f"click data: field {field.name!r} must have 1 .. {MOST_VALUES} values and a slot "
                f"or more; got values = {field.values}, slots = {field.slots}"
            )


def _check_free(folder):
    """InputError where the folder is a file, or holds what is no click data: it would be lost."""
    if folder.exists() and _described(folder) is None and any(_listed(folder)):
        raise InputError(
            f"{folder}: holds something other than click data; expected a new or empty folder"
        )


def _listed(folder):
    return folder.iterdir() if folder.is_dir() else [folder]


def _described(folder):
    """What data.json says; None where there is no such file."""
    try:
        described = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise InputError(f"{folder / 'data.json'}: not readable as JSON: {error}") from None
    expected = {"name", "rows", "clicks", "skipped", "fields", "dense", "probability", "origin"}
    if not isinstance(described, dict) or not expected <= described.keys():
        raise InputError(
            f"{folder / 'data.json'}: not of click data; expected {', '.join(sorted(expected))}"
        )
    return described


def _opened(folder, name, shape):
    path = folder / f"{name}.npy"
    dtype = {"labels": np.uint8, "ids": np.int32}.get(name, np.float32)
    if 0 in shape:  # no file of no bytes can be mapped
        return np.zeros(shape, dtype)
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable: {' '.join(str(error).split())}") from None
    if array.shape != shape or array.dtype != dtype:
        raise InputError(
            f"{path}: found {array.dtype} {array.shape}, "
            f"expected {np.dtype(dtype)} {shape} by data.json"
        )
    return array


def _plain(origin):
    """The values as they come back from JSON, so that they compare equal."""
    return json.loads(json.dumps(origin))
