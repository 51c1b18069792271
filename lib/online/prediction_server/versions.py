"""Follows the export store: verifies a new version, warms it up beside the serving one, swaps.

    store: newest version  ->  arrays checked  ->  ad parts of the same version there?
                                                         |  not yet: looked for again soon
    serving version  <-  one reference set  <-  warmed up  <-  engine built

What fails on the way leaves the serving version where it is; it is said in the log and counted, and
tried again only after a while, twice as long each time (a store may have been unreachable, a torn
export may be written anew).
"""

import copy
import datetime
import logging
import threading
import time

from lib.online.embedding_producer.ad_parts import AdParts
from lib.online.embedding_producer.catalogue import Catalogue
from lib.online.embedding_producer.producer import parts_path
from lib.online.exports.store import ExportStore
from lib.online.prediction_server import loading
from lib.online.prediction_server.loaded_version import LoadedVersion
from lib.online.prediction_server.metrics import Metrics
from lib.online.prediction_server.options import Options
from lib.serving import engines

_WAIT_FOR_PARTS = 0.25  # seconds between two looks for the ad parts of a version loaded ahead
_LONGEST_PAUSE = 600.0  # seconds between two tries of a version that failed
log = logging.getLogger(__name__)


class Versions:
    """The serving version of a store's model.

    Args:
      options: `Options`.
      metrics: that count reloads.
      clock: seconds since 1970, against which staleness is told; a simulation has its own.

    Attributes: serving: the `LoadedVersion` that answers; None before the first. Read it once a
      request. at_first: called before the first version serves.
    """

    def __init__(self, options: Options, metrics: Metrics, clock=time.time):
        self.options, self.clock, self.at_first = options, clock, lambda: None
        self.store = ExportStore(options.store, options=options.store_options)
        self.serving: LoadedVersion | None = None
        self._reloads = metrics.reloads
        self._pinned: int | None = None
        self._bad = {}  # version -> (reason, when to try again, the pause after that)
        self._ahead = None  # the version that waits for its ad parts, loaded
        self._turn, self._stop = threading.RLock(), threading.Event()
        self._folder = loading.new_folder()
        self._thread = threading.Thread(target=self._follow, name="versions", daemon=True)

    @property
    def pinned(self) -> bool:
        """Whether a command holds the version."""
        return self._pinned is not None

    def start(self) -> None:
        """Follow the store in a thread of its own, until `close`."""
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._folder.cleanup()

    def step(self) -> bool:
        """Look at the store once; whether another version serves now.

        Raises: OSError where the store cannot be read.
        """
        with self._turn:
            self._refresh()
            return any(map(self._try, self._wanted()))

    def pin(self, version: int) -> None:
        """Serve a version, such as the one before, and keep to it until `unpin`.

        Raises: ValueError where it cannot be served; all stays as it was.
        """
        with self._turn:
            if self.serving is None or self.serving.version != version:
                if version not in self.store.versions():
                    raise ValueError(f"version {version} is not in the store {self.store.url}")
                if not self._parts_there(version):
                    raise ValueError(
                        f"version {version} has no ad parts any longer: "
                        f"{parts_path(self.options.parts, version)} is missing"
                    )
                self._take(version)
            self._pinned = version
            log.info("version pinned", extra={"version": version})

    def unpin(self) -> None:
        """Follow the newest version again; it serves at return if it can be served.

        Raises: OSError where the store cannot be read.
        """
        with self._turn:
            self._pinned, self._bad = None, {}
            self.step()

    def index(self) -> list[dict]:
        """The store's versions with their state, as the repository extension lists them."""
        serving, bad = self.serving, dict(self._bad)
        rows = []
        for version in self.store.versions():
            ready = serving is not None and serving.version == version
            reason = bad[version][0] if version in bad else "not loaded"
            state = {"state": "READY"} if ready else {"state": "UNAVAILABLE", "reason": reason}
            rows.append({"name": self.options.name, "version": str(version), **state})
        return rows

    def _follow(self):
        while not self._stop.is_set():
            try:
                self.step()
            except Exception as error:  # of a store that is away, say: the next look may do
                log.warning("the store could not be read", extra={"reason": _one_line(error)})
                self._reloads.labels("unreadable").inc()
            self._stop.wait(_WAIT_FOR_PARTS if self._ahead else self.options.poll_seconds)

    def _wanted(self):
        """Versions to serve instead of the serving one, the best first."""
        if self._pinned is not None:
            return []
        found = reversed(self.store.versions())
        now = time.monotonic()
        return [
            version
            for version in found
            if (self.serving is None or version > self.serving.version)
            and not (version in self._bad and now < self._bad[version][1])
        ]

    def _try(self, version):
        """Whether the version serves now; one without its ad parts is loaded ahead."""
        try:
            if self._parts_there(version):
                self._take(version)
                return True
            if self._ahead is None or version > self._ahead.version:
                self._ahead = self._load(version)
        except Exception as error:
            # Whatever it is, the last good version serves on.
            pause = self._bad[version][2] if version in self._bad else self.options.poll_seconds
            pause = min(2 * pause, _LONGEST_PAUSE)
            reason = _one_line(error)
            self._bad[version] = reason, time.monotonic() + pause, pause
            self._reloads.labels("bad").inc()
            log.error("version refused", extra={"version": version, "reason": reason})
        return False

    def _take(self, version):
        begin = time.perf_counter()
        options, path, ahead = self.options, None, self._ahead
        if options.parts:
            path = parts_path(options.parts, version)
        if ahead and ahead.version == version:
            found = ahead
            loading.check_parts(path, own_process=options.loading_process)
        else:
            found = self._load(version, path)
        engine = engines.build(
            options.engine, found.graph, threads=options.threads, precision=options.precision
        )
        # OpenVINO compiles for each number of candidates that it sees.
        sizes = {*options.warm_up, options.max_candidates} if options.engine == "openvino" else ()
        loaded = LoadedVersion(
            version,
            datetime.datetime.fromisoformat(found.time).timestamp(),
            found.model,
            engine,
            AdParts(path, check=False) if path else None,
            self._catalogue(found.model.features),
            tuple(sizes),
        )
        loaded.warm_up(tuple(sizes) or options.warm_up)
        if self.serving is None:
            self.at_first()
        self.serving = loaded
        if self._ahead and self._ahead.version <= version:
            self._ahead = None
        kept = {version, self._ahead.version if self._ahead else version}
        loading.remove(self._folder.name, but=kept)
        self._bad.pop(version, None)
        self._reloads.labels("good").inc()
        seconds = round(time.perf_counter() - begin, 3)
        log.info("version serves", extra={"version": version, "seconds": seconds})

    def _load(self, version, parts=None):
        own_process = self.options.loading_process
        return loading.load(self.store, version, self._folder.name, parts, own_process=own_process)

    def _parts_there(self, version):
        return not self.options.parts or parts_path(self.options.parts, version).exists()

    def _catalogue(self, features):
        """The catalogue under a declaration, read anew where that has changed."""
        if self.options.catalogue is None:
            return None
        held = self.serving and self.serving.catalogue
        if held and held.features == features:
            return held
        return Catalogue(self.options.catalogue, features)

    def _refresh(self):
        """Take over new ads and a new file of the serving version's parts."""
        serving = self.serving
        if serving is None:
            return
        parts, catalogue = serving.parts, serving.catalogue
        if parts is not None and parts.replaced() and self._parts_there(serving.version):
            try:
                parts = AdParts(parts.path)
            except (ValueError, OSError) as error:
                log.error("ad parts refused", extra={"reason": _one_line(error)})
        if catalogue is not None:
            # Requests read the one that serves; a copy learns what is new.
            fresh = copy.copy(catalogue)
            known = {*fresh.refused}
            if fresh.refresh():
                catalogue = fresh
            for file in {*fresh.refused} - known:
                log.warning("ads refused", extra={"reason": fresh.refused[file]})
        if (parts, catalogue) != (serving.parts, serving.catalogue):
            self.serving = serving.with_parts(parts, catalogue)


def _one_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())
