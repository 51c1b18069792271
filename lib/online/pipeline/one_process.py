"""The pipeline's parts in one process, one after the other: what a notebook shows of them."""

import threading
from pathlib import Path

import numpy as np

from lib.logs.encoding import encode
from lib.logs.features import Features
from lib.losses import ARFLoss
from lib.models.scorer import Scorer
from lib.online.embedding_producer.catalogue import add_ads
from lib.online.embedding_producer.producer import EmbeddingProducer
from lib.online.exports.store import ExportStore
from lib.online.pipeline.client import PredictionClient
from lib.online.pipeline.exposures import SimulatedExposures
from lib.online.pipeline.parameters import PipelineParameters
from lib.online.pipeline.streams import source_of
from lib.online.prediction_server.options import Options
from lib.online.prediction_server.server import PredictionServer
from lib.online.stream.producers import expose, log_schema
from lib.online.stream.segments import SegmentStream
from lib.online.trainer import ExportPlan, train_online
from lib.simulation.cascade import System
from lib.training.checkpoint import Checkpoint
from lib.training.learner import Learner

ASKED = 20  # users


def run_parts(folder, *, hours: float = 2.0, impressions_per_minute: int = 60) -> dict:
    """Exposures -> stream -> trainer -> exports -> Embedding Producer -> server -> answers.

    The first half of the time is trained on, exported and served; then the server runs on while the
    second half comes, and reloads.

    Args:
      folder: empty, of everything that is written.
      hours: simulated; impressions_per_minute: simulated traffic.

    Returns: what happened, name -> plain value; the same in every run.
    Raises: RuntimeError where the server does not come to serve the newest version.
    """
    folder = Path(folder)
    parameters = PipelineParameters(folder=folder)
    exposures = SimulatedExposures(parameters, lambda *_: None)
    system = System(exposures.matched, exposures.scores)
    features = Features(features=exposures.world.features)
    store, half = ExportStore(folder / "exports"), round(30 * hours) * impressions_per_minute
    add_ads(folder / "ads", "first", exposures.ads(0, exposures.world.parameters.ads))
    producer = EmbeddingProducer(store, folder / "ads", folder / "parts")
    learner = Learner(Scorer(features, parameters.hidden, "mlp", 0), ARFLoss(2, 2), 0.03)

    def impressions(until, finish):
        with SegmentStream(folder / "stream", log_schema(features, system), 2) as stream:
            expose(
                stream,
                system,
                seed=0,
                stop=until,
                impressions_per_record=impressions_per_minute,
                impressions_per_second=impressions_per_minute / 60,
                speed=None,
                finish=finish,
            )

    def trained(stop):
        with SegmentStream(folder / "stream") as stream:
            source = source_of(parameters, stream, folder / "dead_letters.jsonl", stop)
            report = train_online(
                learner,
                source,
                checkpoint=Checkpoint(folder / "checkpoint.npz"),
                exports=store,
                plan=ExportPlan(20.0, score_every=2),
            )
            return report.impressions, dict(source.counts)

    def following():
        while producer.step():
            pass

    impressions(half, finish=False)
    # Before the last records: a window is complete when every partition is behind it.
    halfway, _ = trained(np.datetime64("2024-01-01") + np.timedelta64(round(30 * hours) - 3, "m"))
    following()
    first = store.versions()[-1]
    server = PredictionServer(
        Options(
            store=store.url,
            parts=folder / "parts",
            catalogue=folder / "ads",
            port=0,
            poll_seconds=0.2,
            warm_up=(1, 200),
            drain_seconds=0,
            deadline_seconds=10,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    client = PredictionClient([server.address], timeout=20)
    try:
        before = _asked(server, client, exposures, store, first)
        impressions(2 * half, finish=True)
        everything, counts = trained(None)
        following()
        last = store.versions()[-1]
        after = _asked(server, client, exposures, store, last)
    finally:
        client.close()
        server.stop()
        thread.join(30)
    metrics = [store.manifest(version).metrics for version in (1, last)]
    return {
        "impressions in the stream": 2 * half,
        "trained on, halfway and in the end": [halfway, everything],
        "late, repeated or dead": sum(
            value for name, value in counts.items() if name not in ("impressions", "records")
        ),
        "versions exported": len(store.versions()),
        "R/R* of the first and the last interval, scored before trained on": [
            round(each["r_over_r_star"], 4) for each in metrics
        ],
        "ads with parts": len(producer.catalogue),
        "version that answered before and after": [first, last],
        "answers": client.answered,
        "answers that failed": client.failed,
        "largest difference of a score from the exported model's": max(before, after),
    }


def _asked(server, client, exposures, store, version):
    """Ask for scores under a version; the largest difference from the exported model's own."""
    end = threading.Event()
    for _ in range(600):
        if server.versions.serving and server.versions.serving.version == version:
            break
        end.wait(0.05)
    else:
        raise RuntimeError(f"the server does not serve version {version}")
    model, world = store.load(version), exposures.world
    largest = 0.0
    for row in range(ASKED):
        user = world.user_features(exposures.matched.users[row : row + 1])
        ads = exposures.matched.ads[row].astype(np.int64)
        scores, answered = client.scores(user, ads)
        if int(answered) != version:
            raise RuntimeError(f"version {answered} answered in the place of {version}")
        vectors = {
            side: model.embed(
                side, {f.name: encode(f, values[f.name]) for f in model.features.side(side)}
            )
            for side, values in (("user", user), ("ad", world.ad_features(ads)))
        }
        own = model.scores(vectors["user"][0], model.ad_parts(vectors["ad"]))
        largest = max(largest, float(np.abs(scores - own).max()))
    return largest
