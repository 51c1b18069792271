"""The training engine: stream -> learner -> checkpoint -> exports (section 3.4, appendix A).

One pass in the order of the stream, FP32, Adagrad, by `lib.training.loop.train`. Every so many
minutes the model is exported; whatever has come since the export before was scored before it was
trained on, and a guard looks at that first. Weights, optimiser, offsets and what is known of the
next export lie in one checkpoint, written whole: a trainer that is killed at any moment goes on
from it, reads the stream from its offsets, and ends in the weights of one that was not killed.
"""

import base64
import dataclasses
import logging
import math
import time
import zlib
from collections.abc import Callable

import numpy as np

from lib.logs.impressions import Impressions
from lib.metrics.ranking import r_over_r_star
from lib.online.exports.guard import Guard
from lib.online.exports.store import ExportStore
from lib.serving.served_model import ServedModel
from lib.training.checkpoint import Checkpoint, Progress
from lib.training.learner import Learner
from lib.training.loop import STEPS_A_CALL, TrainingReport, train
from lib.training.scoring import predict
from lib.training.source import BatchSource

KEPT_LOSSES = 1000
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ExportPlan:
    """When a model is exported, and how much of it.

    Attributes:
      every_minutes: between two exports; the paper's is 20.
      clock: "event": the time that the impressions carry, so that the same stream gives the same
        exports; "wall": this machine's.
      full_every: of so many published versions one is full; the others hold the rows that changed.
      score_every: of so many steps one is scored, by the weights that it then changes, and so is
        the first behind an export. The learner is given no more steps at a time.
      m: of R/R* (Eq 5).
      guard: what keeps a model from being published.
    """

    every_minutes: float = 20.0
    clock: str = "event"
    full_every: int = 12
    score_every: int = 16
    m: int = 2
    guard: Guard = dataclasses.field(default_factory=Guard)

    def __post_init__(self):
        if self.clock not in ("event", "wall"):
            raise ValueError(f"ExportPlan: clock must be event or wall; got {self.clock!r}")
        if not (self.every_minutes > 0 and min(self.full_every, self.score_every, self.m) >= 1):
            raise ValueError(
                "ExportPlan: every_minutes must be > 0, full_every, score_every and m >= 1; got "
                f"{self.every_minutes}, {self.full_every}, {self.score_every}, {self.m}"
            )


def train_online(
    learner: Learner,
    source: BatchSource,
    *,
    checkpoint: Checkpoint,
    exports: ExportStore,
    plan: ExportPlan | None = None,
    export_at_end: bool = False,
    stop: Callable[[], bool] | None = None,
    tell: Callable[[dict], None] | None = None,
    steps_a_call: int = STEPS_A_CALL,
    progress: bool = False,
) -> TrainingReport:
    """Train on a stream, and export as the plan says, until the source ends or `stop` says so.

    Args:
      learner: of an "mlp" `Scorer`.
      source: such as `lib.online.stream.StreamSource`; it may have no end.
      checkpoint: to go on from and to write; it is also written at every export.
      exports: where versions are published.
      export_at_end: whether what was trained on since the last export is exported at the end.
      stop: asked after every call of the learner.
      tell: called after every call with what a page or a log may show, plain values.
      steps_a_call, progress: as of `lib.training.loop.train`.

    Returns: TrainingReport, its losses those of the last steps.
    Raises: ValueError as `train` does. A store that cannot be written to is no error: the next
      export holds what this one would have.
    """
    exporter = Exporter(learner, exports, plan or ExportPlan(), stop, tell)
    report = train(
        learner,
        source,
        checkpoint=checkpoint,
        steps_a_call=steps_a_call,
        watch=exporter,
        keep_losses=KEPT_LOSSES,
        progress=progress,
    )
    if export_at_end and not exporter.stopped:
        exporter.export()
    return report


class Exporter:
    """Scores what comes, notes which rows change, and exports; a `lib.training.loop.Watch`."""

    def __init__(self, learner, exports, plan, stop=None, tell=None):
        self.learner, self.exports, self.plan = learner, exports, plan
        self.stop, self.tell, self.stopped = stop, tell, False
        self.restore(None)

    def restore(self, state):
        state = state or {}
        self.mark = self._read_mark = state.get("mark")
        self.version = state.get("version", 0)  # of the last export that was due
        self.since_full = state.get("since_full", 0)
        self.time = state.get("time")
        self.offset = state.get("offset")
        self.sums = state.get("sums") or dict.fromkeys(
            ("steps", "loss", "loss_squared", "impressions", "ratio", "ratio_squared"), 0.0
        )
        self.last = state.get("last", {})
        self.counts = state.get("counts") or dict.fromkeys(("published", "refused", "failed"), 0)
        self.changed = {}
        for width, table in self.learner.scorer.tables.items():
            rows = table.embeddings.shape[0]
            held = state.get("changed", {}).get(str(width))
            self.changed[width] = np.zeros(rows, bool) if held is None else _bits(held, rows)

    def state(self):
        names = ("mark", "version", "since_full", "time", "offset", "sums", "last", "counts")
        changed = {str(width): _text(bits) for width, bits in self.changed.items()}
        return {name: getattr(self, name) for name in names} | {"changed": changed}

    def starts_anew(self, batch, step):
        mark = self._mark_of(batch)
        before, self._read_mark = self._read_mark, mark
        return step % self.plan.score_every == 0 or (before is not None and mark > before)

    def before(self, batches, done: Progress):
        mark, exported = self._mark_of(batches[0]), False
        if self.mark is not None and mark > self.mark:
            self.export()
            exported = True
        begins = self.mark is None or mark > self.mark
        self.mark = mark if begins else self.mark
        if begins or done.steps % self.plan.score_every == 0:
            self._score(batches[0])
        for batch in batches:
            self._note_rows(batch)
        return exported

    def after(self, batches, losses, done: Progress):
        losses = np.asarray(losses, float)
        self.sums["steps"] += len(losses)
        self.sums["loss"] += float(losses.sum())
        self.sums["loss_squared"] += float((losses**2).sum())
        newest = max(str(np.datetime_as_string(batch.timestamp.max())) for batch in batches)
        self.time = max(self.time or newest, newest)
        self.offset = done.offset
        if self.tell:
            self.tell(
                {
                    "impressions": done.impressions,
                    "steps": done.steps,
                    "loss": float(losses[-1]),
                    "time": self.time,
                    "version": self.version,
                    **self.counts,
                    **self.last,
                }
            )
        self.stopped = bool(self.stop and self.stop())
        return self.stopped

    def export(self):
        """Publish the model as it stands, unless the guard refuses it."""
        if not self.sums["steps"]:
            return  # nothing was trained since
        self.version += 1
        metrics = self.last = self._metrics()
        self.sums = dict.fromkeys(self.sums, 0.0)
        try:
            published = [self.exports.manifest(v) for v in self.exports.versions()]
            history = [m.metrics for m in published if m.version < self.version]
            reason = self.plan.guard.refusal(metrics, history)
            if reason is None:
                self._publish(metrics, first=not history)
                self.counts["published"] += 1
                return
        except OSError as error:
            self.counts["failed"] += 1
            log.error("export failed", extra={"version": self.version, "reason": str(error)})
            return
        except ValueError as error:
            reason = str(error)
        self.counts["refused"] += 1
        log.warning("export refused", extra={"version": self.version, "reason": reason})
        try:
            self.exports.refuse(self.version, reason, _plain(metrics))
        except OSError as error:
            log.error("could not note it", extra={"reason": str(error)})

    def _publish(self, metrics, first):
        begin = time.perf_counter()
        full = first or self.since_full + 1 >= self.plan.full_every
        manifest = self.exports.publish(
            self.version,
            ServedModel.of(self.learner.scorer),
            offset=self.offset,
            time=f"{self.time}Z",
            metrics=metrics,
            changed=None if full else {w: np.flatnonzero(b) for w, b in self.changed.items()},
        )
        self.since_full = 0 if full else self.since_full + 1
        for bits in self.changed.values():
            bits[:] = False
        seconds = time.perf_counter() - begin
        size = sum(file.bytes for file in manifest.files.values())
        log.info(
            "export published",
            extra={"version": self.version, "kind": manifest.kind, "bytes": size, "s": seconds},
        )

    def _mark_of(self, batch: Impressions):
        """Number of the export interval that a batch lies in."""
        if self.plan.clock == "wall":
            now = time.time()
        else:
            now = batch.timestamp.max().astype("datetime64[us]").astype(np.int64) / 1e6
        return int(now // (60 * self.plan.every_minutes))

    def _score(self, batch):
        scores = predict(self.learner.scorer, batch)
        ratio = r_over_r_star(scores, batch.v, batch.ecpm, self.plan.m, batch.mask)
        ratio = ratio[np.isfinite(ratio)]
        self.sums["impressions"] += len(ratio)
        self.sums["ratio"] += float(ratio.sum())
        self.sums["ratio_squared"] += float((ratio**2).sum())

    def _note_rows(self, batch):
        scorer = self.learner.scorer
        for feature in scorer.features.features:
            if feature.buckets:
                values = (batch.user if feature.side == "user" else batch.ad)[feature.name]
                self.changed[feature.width][values.ravel() + scorer.first_row[feature.name]] = True

    def _metrics(self):
        sums = self.sums
        loss, loss_se = _mean(sums["loss"], sums["loss_squared"], sums["steps"])
        ratio, ratio_se = _mean(sums["ratio"], sums["ratio_squared"], sums["impressions"])
        return {
            "loss": loss,
            "loss_se": loss_se,
            "r_over_r_star": ratio,
            "r_over_r_star_se": ratio_se,
            "steps": int(sums["steps"]),
            "scored_impressions": int(sums["impressions"]),
        }


def _mean(total, squares, count):
    """A mean and its standard error; NaN and 0 of nothing."""
    if not count:
        return math.nan, 0.0
    mean = total / count
    variance = max(squares / count - mean**2, 0.0)
    return mean, math.sqrt(variance / max(count - 1, 1))


def _plain(metrics):
    """As JSON can hold it."""
    return {name: value if math.isfinite(value) else str(value) for name, value in metrics.items()}


def _text(bits):
    return base64.b64encode(zlib.compress(np.packbits(bits).tobytes())).decode()


def _bits(text, count):
    packed = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(packed, count=count).astype(bool)
