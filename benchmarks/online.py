"""The online pipeline: stream and trainer, Embedding Producer, servers, several machines, faults.

Parts of their own: `online_server` (the prediction server under load), `online_training` (several
processes), `online_faults` (kill -9). BENCH_ONLINE names some of the parts to run those alone;
their rows then take the place of the earlier ones. BENCH_SOAK_SECONDS: of the soak.
"""

import importlib
import itertools
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.report import row, show
from lib.infra import machine
from lib.run.places import root

# A part's rows begin with its title.
PARTS = {
    "stream": "stream",
    "embedding_producer": "producer",
    "online_server": "server",
    "online_training": "several processes",
    "online_faults": "faults",
}
TURNS = 5
IMPRESSIONS, BATCH, HIDDEN = 60_000, 256, [128, 64, 32, 1]  # of the trainer that is fed
ADS, UNITS, FIELDS, BUCKETS, WIDTH = 1_000_000, 1024, 26, 20_000, 64  # of the producer


# ---- the trainer fed by a stream, beside the same steps fed from memory ----


class _Memory:
    """Batches that lie ready; a `BatchSource`."""

    def __init__(self, batches, ads, full_batch):
        self.held, self.ads, self.full_batch, self.steps = batches, ads, full_batch, len(batches)

    def batches(self, offset=None):
        yield from itertools.islice(zip(self.held, itertools.count(1)), offset or 0, None)

    def description(self):
        return {"batches": self.steps}


def stream() -> list[dict]:
    """Rates of producer, source and trainer; the trainer's beside that from memory."""
    from lib.losses import ARFLoss
    from lib.models.scorer import Scorer
    from lib.online.stream.producers import expose, log_schema
    from lib.online.stream.segments import SegmentStream
    from lib.online.stream.source import StreamSource
    from lib.simulation.cascade import install_pre_ranking
    from lib.simulation.matching import match
    from lib.simulation.parameters import world_parameters
    from lib.simulation.world import World
    from lib.training.learner import Learner
    from lib.training.loop import train

    world = World(world_parameters("small"))
    system = install_pre_ranking(match(world))
    from lib.logs.features import Features

    features = Features(features=world.features)
    with tempfile.TemporaryDirectory() as folder:
        stream = SegmentStream(Path(folder, "stream"), log_schema(features, system), 2)
        produced = expose(
            stream, system, seed=0, stop=IMPRESSIONS // 256 * 256, speed=None, finish=True
        )
        stream.close()

        def source(name):
            return StreamSource(
                SegmentStream(Path(folder, "stream")),
                Path(folder, f"{name}.jsonl"),
                ads=12,
                batch_impressions=BATCH,
                ahead_seconds=1e9,
            )

        size = sum(f.stat().st_size for f in Path(folder, "stream").rglob("*.segment"))
        read, trained, fed = [], [], []
        learner = Learner(Scorer(features, HIDDEN, "mlp", 0), ARFLoss(2, 2), 0.01)
        for turn in range(TURNS + 1):  # the first compiles
            begin = time.perf_counter()
            batches = [batch for batch, _ in source(f"a{turn}").batches()]
            count = sum(map(len, batches))
            read.append(count / (time.perf_counter() - begin))
            whole = [batch for batch in batches if len(batch) == BATCH]
            for rates, given in ((fed, _Memory(whole, 12, BATCH)), (trained, source(f"b{turn}"))):
                begin = time.perf_counter()
                report = train(learner, given, progress=False)
                rates.append(report.impressions / (time.perf_counter() - begin))
                learner.reset()
    fed, trained, read = (np.array(x[1:]) for x in (fed, trained, read))
    return [
        row(
            "trainer fed by the stream over the same steps fed from memory, "
            f"{HIDDEN}, batch {BATCH}",
            "ratio",
            trained / fed,
            target=0.9,
            better="higher",
        ),
        row("impressions trained on, from the stream", "impressions/s", trained, better="higher"),
        row("impressions trained on, from memory", "impressions/s", fed, better="higher"),
        row("impressions read as batches, no training", "impressions/s", read, better="higher"),
        row(
            "impressions simulated and written",
            "impressions/s",
            produced.impressions / produced.seconds,
            better="higher",
        ),
        row("an impression in the stream", "bytes", size / produced.impressions),
    ]


# ---- the Embedding Producer ----


class _Ads:
    """A catalogue of random ids, as many as fit no test's file."""

    def __init__(self, ads):
        rng = np.random.default_rng(0)
        self.ids = np.arange(ads)
        self.values = {
            f"ad_{i}": rng.integers(0, BUCKETS, ads, dtype=np.int32) for i in range(FIELDS)
        }

    def encoded(self, rows):
        return {name: values[rows] for name, values in self.values.items()}


def embedding_producer() -> list[dict]:
    """A million ads by 1,024 units: share of the matrix products' peak, memory."""
    from benchmarks.trainer_on_gpu import features
    from lib.models.feature_tables import feature_tables
    from lib.online.embedding_producer.producer import produce
    from lib.serving.graphs.export import random_weights
    from lib.serving.served_model import ServedModel

    declared = features()
    rng = np.random.default_rng(0)
    tables = {
        width: rng.normal(size=(rows, width)).astype(np.float32)
        for width, rows in feature_tables(declared.features).rows.items()
    }
    inputs = declared.width("user") + declared.width("ad")
    model = ServedModel(declared, random_weights([inputs, UNITS, 256, 256, 256, 1], 0), tables)
    ads, found = _Ads(ADS), []
    rows, anonymous, end = [], [], threading.Event()

    def look():
        while not end.wait(0.1):
            with open("/proc/self/status") as status:
                line = next(line for line in status if line.startswith("RssAnon"))
            anonymous.append(int(line.split()[1]) * 1024 / 1e6)

    threading.Thread(target=look, daemon=True).start()
    with tempfile.TemporaryDirectory(dir=root() / "outputs") as folder:
        for dtype in ("float32", "float16"):
            shares, seconds = [], []
            for _ in range(2):
                machine.matrix_product_peak.cache_clear()
                peak = machine.matrix_product_peak()
                begin = time.perf_counter()
                file = produce(model, 1, ads, folder, dtype=dtype)
                seconds.append(time.perf_counter() - begin)
                flops = 2 * declared.width("ad") * UNITS * ADS / seconds[-1]
                shares.append(flops / peak)
                found.append(flops)
                bytes_an_ad = file.path.stat().st_size / file.capacity
            rows += [
                row(
                    f"Embedding Producer, {ADS:,} ads x {UNITS} units, {dtype}: share of the peak "
                    "of matrix products, embedding and writing included",
                    "share",
                    shares,
                    target=0.7,
                    better="higher",
                ),
                row(f"the same, {dtype}", "s", seconds),
                row(f"ad parts in memory, {dtype}", "bytes/ad", bytes_an_ad),
            ]
    rows.append(row("the same in FLOP/s", "FLOP/s", found, better="higher"))
    end.set()
    rows.append(
        row(
            "memory of the process while it computes, mapped file apart: highest over first",
            "MB",
            max(anonymous) - anonymous[0],
        )
    )
    return rows


def main() -> list[dict]:
    """All parts, or those that BENCH_ONLINE names; the rows of all that ever ran."""
    asked = os.environ.get("BENCH_ONLINE", ",".join(PARTS)).split(",")
    unknown = sorted(set(asked) - set(PARTS))
    if unknown:
        raise SystemExit(f"BENCH_ONLINE: no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    path = root() / "outputs/bench/online.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    for part, title in PARTS.items():
        if part in asked:
            run = globals().get(part) or importlib.import_module(f"benchmarks.{part}").main
            new = [one | {"figure": f"{title}: {one['figure']}"} for one in run()]
            rows = [one for one in rows if _title(one) != title] + new
    titles = list(PARTS.values())
    rows.sort(key=lambda one: titles.index(_title(one)))
    show(rows)
    return rows


def _title(one):
    return one["figure"].partition(": ")[0]
