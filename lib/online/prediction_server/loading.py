"""A version read and checked beside the serving one, in a process of its own.

Digests, checks and the making of a graph take about a second of a processor and, in the server's
process, Python's lock: measured, requests then waited for 30 ms and more. Here they are another
process's work, of a lower priority. What it leaves is a folder that the server only has to map.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from lib.infra.child_process import in_child
from lib.logs.features import Features
from lib.online.embedding_producer.ad_parts import AdParts
from lib.online.exports.store import ExportStore
from lib.serving.served_model import ServedModel

_LAYERS, _GRAPH, _MANIFEST = "layers.npz", "graph.onnx", "manifest.json"
_FOLDER = "prediction-server-"
_NICER = 10  # than the server; by more, a busy machine would keep a new version from being served


class Loaded(NamedTuple):
    """A version as read and checked.

    Attributes:
      time: of its manifest, ISO 8601.
      model: its tables mapped, not read.
      graph: of a request, ONNX, serialised.
    """

    version: int
    time: str
    model: ServedModel
    graph: bytes


def new_folder() -> tempfile.TemporaryDirectory:
    """A folder for the versions that this process loads; what killed processes left is removed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        process = path.name.removeprefix(_FOLDER).partition("-")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(path, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{os.getpid()}-")


def load(
    store: ExportStore, version: int, folder, parts=None, *, own_process: bool = True
) -> Loaded:
    """A version of a store, all digests checked.

    Args:
      folder: for the versions as loaded, each in a folder of its own; one that is there already is
        what the new one may be made from.
      parts: path of its ad parts, to be checked too.
      own_process: whether to do it in one.

    Raises: ValueError as of `ExportStore.load` and `AdParts`; RuntimeError where the process ended.
    """
    _run(own_process, _prepare, store.url, store.options, version, str(folder), parts)
    return _read(version, Path(folder, str(version)))


def check_parts(path, *, own_process: bool = True) -> None:
    """Check a file of ad parts, all of it.

    Raises: ValueError, FileNotFoundError as of `AdParts`; RuntimeError where the process ended.
    """
    _run(own_process, _check_parts, path)


def remove(folder, but: set[int]) -> None:
    """Remove all loaded versions but these; what a request still maps stays until it is done."""
    for path in Path(folder).iterdir():
        if path.name not in {str(version) for version in but}:
            shutil.rmtree(path, ignore_errors=True)


def _run(own_process, function, *arguments):
    if own_process:
        in_child("loading a version", function, *arguments, niceness=_NICER)
    else:
        function(*arguments)


def _prepare(url, options, version, folder, parts):
    if parts is not None:
        _check_parts(parts)
    store, have = ExportStore(url, options=options), None
    manifest = store.manifest(version)
    if manifest.base is not None and Path(folder, str(manifest.base)).exists():
        have = manifest.base, _read(manifest.base, Path(folder, str(manifest.base))).model
    model = store.load(version, have)
    partial = Path(folder, f"{version}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for width, table in model.tables.items():
        np.save(partial / f"table_{width}.npy", table)
    np.savez(partial / _LAYERS, **model.dense_arrays())
    (partial / _GRAPH).write_bytes(model.graph().SerializeToString())
    features = model.features.model_dump(mode="json")
    held = {"time": manifest.time, "features": features, "widths": [*model.tables]}
    (partial / _MANIFEST).write_text(json.dumps(held))
    shutil.rmtree(Path(folder, str(version)), ignore_errors=True)
    partial.rename(Path(folder, str(version)))


def _read(version, path):
    held = json.loads((path / _MANIFEST).read_text())
    with np.load(path / _LAYERS) as file:
        arrays = dict(file)
    for width in held["widths"]:
        name = f"table_{width}"
        arrays[name] = np.asarray(np.load(path / f"{name}.npy", mmap_mode="r"))
    model = ServedModel.from_arrays(Features.model_validate(held["features"]), arrays)
    return Loaded(version, held["time"], model, (path / _GRAPH).read_bytes())


def _check_parts(path):
    AdParts(path)
