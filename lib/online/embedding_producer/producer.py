"""Writes the ads' parts of the first layer when a model or an ad is new.

Double-buffered by version: the parts of a version have a file of their own, and a server takes a
model only with the file of the same version, so that user part and ad part never come from
different versions. A vector's embedding and the matrix product of the block before run side by
side; memory is bounded by a few blocks.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lib.online.embedding_producer.ad_parts import AdParts, AdPartsWriter, add
from lib.online.embedding_producer.catalogue import Catalogue
from lib.online.exports.store import ExportStore
from lib.serving.served_model import ServedModel

KEPT = 3  # versions whose parts stay: the serving one, the one before, the one to come
log = logging.getLogger(__name__)


def parts_path(folder, version: int) -> Path:
    """Where the parts of a version lie."""
    return Path(folder, f"{version:08d}.parts")


def produce(
    model: ServedModel, version: int, catalogue: Catalogue, folder, *, dtype: str = "float32"
) -> AdParts:
    """Compute the parts of all ads of a catalogue under one model version.

    Args:
      folder: of the files, one a version.
      dtype: of the parts, float32 or float16.

    Returns: the file, opened.
    """
    order = np.argsort(catalogue.ids, kind="stable")
    units = model.size_parameters[1]
    writer = AdPartsWriter(parts_path(folder, version), version, len(order), units, dtype=dtype)
    return writer.write(catalogue.ids[order], lambda parts: fill(model, catalogue, order, parts))


def fill(model: ServedModel, catalogue: Catalogue, order: np.ndarray, parts: np.ndarray) -> None:
    """Write the parts of the catalogue's ads at the places `order` to parts [ads, units]."""
    blocks = model.blocks(len(order))

    def embedded(block):
        return model.embed("ad", catalogue.encoded(order[block]))

    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(embedded, blocks[0]) if blocks else None
        for block, after in zip(blocks, [*blocks[1:], None]):
            ads = coming.result()
            coming = ahead.submit(embedded, after) if after else None
            if parts.dtype == np.float32:
                model.ad_parts(ads, out=parts[block])
            else:
                parts[block] = model.ad_parts(ads)


class EmbeddingProducer:
    """Follows a store and a catalogue; `step` does what there is to do.

    Args:
      exports: the store to poll.
      ads: folder of the catalogue.
      folder: of the files of parts.
      dtype: of the parts.

    Attributes:
      version: the newest whose parts are there; None before the first.
      produced, added: files written and ads added so far; seconds: of computing.
    """

    def __init__(self, exports: ExportStore, ads, folder, *, dtype: str = "float32"):
        self.exports, self.ads, self.folder, self.dtype = exports, ads, Path(folder), dtype
        self.version, self.model, self.catalogue = None, None, None
        self.produced, self.added, self.seconds = 0, 0, 0.0
        self._bad = set()

    def step(self) -> bool:
        """Compute what a new version or new ads ask for; whether there was any."""
        begin = time.perf_counter()
        worked = self._newest_version() or self._new_ads()
        self.seconds += time.perf_counter() - begin if worked else 0.0
        return worked

    def _newest_version(self):
        waiting = [
            version
            for version in self.exports.versions()
            if version not in self._bad and (self.version is None or version > self.version)
        ]
        if not waiting:
            return False
        version = waiting[-1]
        try:
            have = None if self.version is None else (self.version, self.model)
            model = self.exports.load(version, have)
        except ValueError as error:
            # The next version will do; this one is not tried again.
            log.warning("export refused", extra={"version": version, "reason": str(error)})
            self._bad.add(version)
            return False
        if self.catalogue is None or self.catalogue.features != model.features:
            self.catalogue = Catalogue(self.ads, model.features)
            self._say_refused(())
        else:
            self._refresh()
        if not self._there(version):
            produce(model, version, self.catalogue, self.folder, dtype=self.dtype)
            self.produced += 1
        self.version, self.model = version, model
        log.info("parts written", extra={"version": version, "ads": len(self.catalogue)})
        self._retire()
        return True

    def _there(self, version):
        """Whether the file is there already and whole, as after a restart."""
        try:
            found = AdParts(parts_path(self.folder, version))
        except (OSError, ValueError):
            return False
        return not found.lookup(self.catalogue.ids)[1].any()

    def _new_ads(self):
        if self.catalogue is None:
            return False
        before = len(self.catalogue)
        if not self._refresh():
            return False
        rows = np.arange(before, len(self.catalogue))
        parts = np.empty((len(rows), self.model.size_parameters[1]), np.float32)
        fill(self.model, self.catalogue, rows, parts)
        try:
            self.added += add(
                parts_path(self.folder, self.version), self.catalogue.ids[rows], parts
            )
        except ValueError:  # no room: a file with more of it takes its place
            produce(self.model, self.version, self.catalogue, self.folder, dtype=self.dtype)
            self.produced += 1
        return True

    def _refresh(self):
        before = {*self.catalogue.refused}
        new = self.catalogue.refresh()
        self._say_refused(before)
        return new

    def _say_refused(self, before):
        for file in {*self.catalogue.refused} - {*before}:
            log.warning("ads refused", extra={"reason": self.catalogue.refused[file]})

    def _retire(self):
        files = sorted(self.folder.glob("[0-9]*.parts"))
        for file in files[:-KEPT]:
            file.unlink(missing_ok=True)


def run_producer(
    producer: EmbeddingProducer,
    stop: threading.Event,
    *,
    poll_seconds: float = 2.0,
    tell: Callable[[dict], None] | None = None,
) -> None:
    """Work until `stop` is set; a full disk or an unreachable store is waited out.

    Args: tell: called after each look at the store with what a page may show, plain values.
    """
    while not stop.is_set():
        try:
            worked = producer.step()
        except OSError as error:
            log.error("could not write", extra={"reason": str(error)})
            worked = False
        if tell:
            names = ("version", "produced", "added", "seconds")
            about = {name: getattr(producer, name) for name in names}
            tell(about | {"ads": len(producer.catalogue) if producer.catalogue else 0})
        if not worked:
            stop.wait(poll_seconds)
