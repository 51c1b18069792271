"""Versions of a model in a store: versioned, checksummed, whole or absent.

    URL/00000042/weights.npz     all arrays of a ServedModel, or those that changed
    URL/00000042/manifest.json   written last: a version without it does not exist yet
    URL/refused/00000043.json    what a guard kept from being published, and why

A store is any folder that fsspec opens: a path here, hdfs://, s3://, gs:// with the package that
speaks to it (pyarrow, s3fs, gcsfs). Object stores cannot rename, so nothing is renamed: a reader
looks for the manifest and checks the digest of every file against it.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import fsspec
import numpy as np
import pydantic

from lib.logs.features import Features
from lib.serving.served_model import ServedModel

WEIGHTS, MANIFEST, REFUSED = "weights.npz", "manifest.json", "refused"
_COPIED = 1 << 20  # bytes at a time


class File(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Length and SHA-256 of a version's file."""

    bytes: int
    sha256: str


class Manifest(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What a version is.

    Attributes:
      version: counts up; of the simulated or real time that the export was due at.
      kind: "full": all arrays; "changed": the layers, and of the tables the rows that changed since
        `base`, the version before.
      files: name -> File.
      features: of the model, as `Features.features` takes them.
      size_parameters: of the model.
      model_digest: `ServedModel.digest` of the whole model.
      offset: of the stream, behind the last impression trained on.
      time: ISO 8601, UTC: of the last impression trained on.
      metrics: of the impressions since the export before, scored before they were trained on.
    """

    version: int = pydantic.Field(ge=0)
    kind: Literal["full", "changed"]
    base: int | None
    files: dict[str, File]
    features: list[dict[str, Any]]
    size_parameters: list[int]
    model_digest: str
    offset: Any
    time: str
    metrics: dict[str, float | int]


class ExportStore:
    """The versions of one model.

    Args:
      url: a folder, as fsspec takes it.
      keep: the newest so many versions stay, with those that they are made from.
      options: of the file system, such as `endpoint_url` for S3.

    Raises: ValueError unless keep >= 2: servers roll back to the version before.
    """

    def __init__(self, url, *, keep: int = 24, options: dict | None = None):
        if keep < 2:
            raise ValueError(f"ExportStore: keep must be >= 2; got {keep}")
        self.url, self.keep, self.options = str(url), keep, options or {}
        self.files, self.root = fsspec.core.url_to_fs(self.url, **self.options)

    def versions(self) -> list[int]:
        """Published versions, oldest first; of those, some may turn out to be damaged."""
        self.files.invalidate_cache()
        found = self.files.glob(f"{self.root}/*/{MANIFEST}")
        names = [path.rsplit("/", 2)[1] for path in found]
        return sorted(int(name) for name in names if name.isdigit())

    def manifest(self, version: int) -> Manifest:
        """The manifest of a version.

        Raises: ValueError where it is missing, torn or altered.
        """
        path = self._path(version, MANIFEST)
        try:
            held = json.loads(self.files.cat_file(path))
            digest = held.pop("sha256")
            manifest = Manifest.model_validate(held)
        except FileNotFoundError:
            raise ValueError(f"{path}: there is no such version") from None
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{path}: not a whole manifest: {_one_line(error)}") from None
        if _digest_of(held) != digest:
            raise ValueError(f"{path}: the manifest's SHA-256 is not {digest}; it was altered")
        if manifest.version != version:
            raise ValueError(f"{path}: the manifest is of version {manifest.version}")
        return manifest

    def load(self, version: int, have: tuple[int, ServedModel] | None = None) -> ServedModel:
        """The model of a version, all digests checked.

        Args:
          have: a version with its model, loaded before: where the wanted one is made from it, only
            what changed since is read. It stays as it is.

        Raises: ValueError for a version that is missing, torn or altered, and for one that is made
          from such a version.
        """
        chain = [self.manifest(version)]
        while chain[-1].kind == "changed" and not (have and chain[-1].base == have[0]):
            chain.append(self.manifest(chain[-1].base))
        arrays = {}
        if chain[-1].kind == "changed":
            arrays = {
                name: np.array(array) if name.startswith("table_") else array
                for name, array in have[1].arrays().items()
            }
        for manifest in reversed(chain):
            self._apply(manifest, arrays)
        model = ServedModel.from_arrays(Features(features=chain[0].features), arrays)
        if model.digest != chain[0].model_digest:
            raise ValueError(
                f"{self._path(version)}: the model's SHA-256 is {model.digest}, by the manifest "
                f"{chain[0].model_digest}"
            )
        return model

    def publish(
        self,
        version: int,
        model: ServedModel,
        *,
        offset: Any,
        time: str,
        metrics: dict,
        changed: dict[int, np.ndarray] | None = None,
    ) -> Manifest:
        """Write a version; the same one may be written again, as after a crash.

        Args:
          changed: width -> rows of that table that differ from the version before; None for a full
            one. Where the version before is damaged, a full one is written all the same.
          offset, time, metrics: see `Manifest`.

        Returns: the manifest as it stands in the store.
        Raises: ValueError where the version exists with another model, where it is not newer than
          all others, where `changed` has no version to start from, and for a model with numbers
          that are not finite.
        """
        _check_finite(model)
        before = self.versions()
        if version in before:
            held = self._held(version, model)
            if held:
                return held
        elif before and before[-1] > version:
            raise ValueError(
                f"{self.root}: version {version} is not newer than {before[-1]}, the newest"
            )
        before = [earlier for earlier in before if earlier < version]
        if changed is not None and not before:
            raise ValueError(f"{self.root}: the first version must be a full one")
        if changed is not None and not self._is_whole(before[-1]):
            changed = None
        arrays = model.arrays() if changed is None else model.dense_arrays()
        for width, rows in (changed or {}).items():
            rows = np.unique(np.asarray(rows, np.int64))
            arrays[f"rows_{width}"] = rows
            arrays[f"table_{width}"] = model.tables[width][rows]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, WEIGHTS)
            np.savez(path, **arrays)
            file = File(bytes=path.stat().st_size, sha256=_sha256(path))
            self.files.makedirs(self._path(version), exist_ok=True)
            self.files.put_file(str(path), self._path(version, WEIGHTS))
        manifest = Manifest(
            version=version,
            kind="full" if changed is None else "changed",
            base=None if changed is None else before[-1],
            files={WEIGHTS: file},
            features=[f.model_dump(mode="json") for f in model.features.features],
            size_parameters=list(model.size_parameters),
            model_digest=model.digest,
            offset=offset,
            time=time,
            metrics=metrics,
        )
        held = manifest.model_dump(mode="json")
        self._write_json(self._path(version, MANIFEST), held | {"sha256": _digest_of(held)})
        self._retire()
        return manifest

    def refuse(self, version: int, reason: str, metrics: dict) -> None:
        """Note that a version was not published, and why."""
        self.files.makedirs(f"{self.root}/{REFUSED}", exist_ok=True)
        path = f"{self.root}/{REFUSED}/{version:08d}.json"
        self._write_json(path, {"version": version, "reason": reason, "metrics": metrics})

    def refused(self) -> list[dict]:
        """What was refused, oldest first."""
        self.files.invalidate_cache()
        paths = sorted(self.files.glob(f"{self.root}/{REFUSED}/*.json"))
        return [json.loads(self.files.cat_file(path)) for path in paths]

    def _path(self, version, name=""):
        return f"{self.root}/{version:08d}" + (f"/{name}" if name else "")

    def _held(self, version, model):
        """The manifest of a version that was published before; None where it is damaged."""
        try:
            held = self.manifest(version)
            self.load(version)
        except ValueError:
            return None  # torn when this process was last killed: written anew
        if held.model_digest != model.digest:
            raise ValueError(f"{self._path(version)}: another model has been published as this")
        return held

    def _is_whole(self, version):
        try:
            self._apply(self.manifest(version), None)
        except ValueError:
            return False
        return True

    def _apply(self, manifest, arrays):
        """Put a version's arrays into `arrays`; None: only check its files."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, WEIGHTS)
            self._fetch(manifest, WEIGHTS, path)
            if arrays is None:
                return
            with np.load(path, allow_pickle=False) as file:
                read = {name: file[name] for name in file.files}
        for name, array in read.items():
            rows = read.get(name.replace("table_", "rows_")) if "table_" in name else None
            if rows is not None:
                arrays[name][rows] = array
            elif not name.startswith("rows_"):
                arrays[name] = array

    def _fetch(self, manifest, name, path):
        """A version's file, copied to `path` and checked."""
        source, expected = self._path(manifest.version, name), manifest.files[name]
        try:
            with self.files.open(source, "rb") as read, open(path, "wb") as write:
                shutil.copyfileobj(read, write, _COPIED)
        except FileNotFoundError:
            raise ValueError(f"{source}: the file is missing") from None
        if path.stat().st_size != expected.bytes:
            raise ValueError(
                f"{source}: {path.stat().st_size} bytes, by the manifest {expected.bytes}"
            )
        if _sha256(path) != expected.sha256:
            raise ValueError(f"{source}: its SHA-256 is not the manifest's; it is damaged")

    def _write_json(self, path, value):
        # Local files are moved into place; an object store shows an object when it is whole.
        text = json.dumps(value, indent=1, allow_nan=False)
        if "file" in self.files.protocol:
            self.files.pipe_file(f"{path}.part", text.encode())
            self.files.mv(f"{path}.part", path)
        else:
            self.files.pipe_file(path, text.encode())

    def _retire(self):
        """Remove versions beyond `keep`, but none that a kept one is made from."""
        versions = self.versions()
        needed = set()
        for version in versions[-self.keep :]:
            while version is not None and version not in needed:
                needed.add(version)
                try:
                    version = self.manifest(version).base
                except ValueError:
                    version = None  # damaged: a reader finds out, and is told
        for version in set(versions) - needed:
            # The manifest first: a reader sees the version whole or not at all.
            self.files.rm_file(self._path(version, MANIFEST))
            self.files.rm(self._path(version), recursive=True)


def _check_finite(model):
    for name, array in model.arrays().items():
        if not np.isfinite(array).all():
            raise ValueError(f"ExportStore: the array {name} has numbers that are not finite")


def _digest_of(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _one_line(error):
    return " ".join(str(error).split())
