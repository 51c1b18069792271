"""What each process of a pipeline does: python -m lib.online.pipeline.roles ROLE FILE [INDEX].

exposures           writes what is exposed to the stream, and asks the servers
trainer             stream -> checkpoint, exports
embedding_producer  exports, ads -> ad parts
server              exports, ad parts -> answers
"""

import logging
import signal
import sys
import threading
import time

from lib.infra.json_logs import log_as_json
from lib.infra.parent import end_with_parent
from lib.infra.settings import configure
from lib.online.pipeline.parameters import PipelineParameters
from lib.online.pipeline.status import Status

_PATIENCE = 8  # seconds that a process may take to end well
_POLL_SECONDS = 1.0  # of exports; simulated time runs faster than this machine's
log = logging.getLogger(__name__)


def exposures(parameters: PipelineParameters, stop: threading.Event, index: int) -> None:
    from lib.online.pipeline.exposures import run_replay, run_simulated
    from lib.online.pipeline.streams import open_stream

    run = run_replay if parameters.logs else run_simulated
    with open_stream(parameters, writes=True) as stream:
        run(parameters, stream, stop)


def trainer(parameters: PipelineParameters, stop: threading.Event, index: int) -> None:
    from lib.losses import ARFLoss
    from lib.models.scorer import Scorer
    from lib.online.exports.store import ExportStore
    from lib.online.pipeline.streams import open_stream, source_of
    from lib.online.trainer import ExportPlan, train_online
    from lib.training.checkpoint import Checkpoint
    from lib.training.learner import Learner

    stream, status = open_stream(parameters), Status(parameters.status, "trainer")
    features = stream.schema.features
    scorer = Scorer(features, parameters.hidden, "mlp", parameters.seed)
    source = source_of(parameters, stream, parameters.dead_letters)
    begun, before = time.monotonic(), []

    def tell(values):
        before.append((time.monotonic(), values["impressions"]))
        del before[:-200]
        (first, low), (last, high) = before[0], before[-1]
        counts = dict(source.counts)
        known = {"impressions", "records"}
        status.tell(
            {
                **values,
                "impressions_per_second": (high - low) / (last - first) if last > first else 0.0,
                "records_behind": source.lag().records,
                "dead_letters": sum(v for name, v in counts.items() if name not in known),
                "counts": counts,
                "seconds": time.monotonic() - begun,
            }
        )

    train_online(
        Learner(scorer, ARFLoss(2, 2), parameters.learning_rate),
        source,
        checkpoint=Checkpoint(parameters.checkpoint, 200),
        exports=ExportStore(parameters.exports),
        plan=ExportPlan(parameters.export_every_minutes),
        stop=stop.is_set,
        tell=tell,
        steps_a_call=4,
    )
    stop.wait()  # the stream ended, and its readers may still want what is exported


def embedding_producer(parameters: PipelineParameters, stop: threading.Event, index: int) -> None:
    from lib.online.embedding_producer.producer import EmbeddingProducer, run_producer
    from lib.online.exports.store import ExportStore

    producer = EmbeddingProducer(
        ExportStore(parameters.exports), parameters.catalogue, parameters.parts
    )
    tell = Status(parameters.status, "embedding_producer").tell
    run_producer(producer, stop, poll_seconds=_POLL_SECONDS / 2, tell=tell)


def server(parameters: PipelineParameters, stop: threading.Event, index: int) -> None:
    from lib.online.pipeline.exposures import Clock
    from lib.online.prediction_server.options import Options
    from lib.online.prediction_server.server import serve

    options = Options(
        store=str(parameters.exports),
        parts=parameters.parts,
        catalogue=parameters.catalogue,
        port=0,
        address_file=parameters.address_files()[index],
        poll_seconds=_POLL_SECONDS,
        workers=parameters.threads,
        warm_up=(1, 100),
    )
    serve(options, Clock(parameters.clock, parameters.time_factor))


ROLES = {role.__name__: role for role in (exposures, trainer, embedding_producer, server)}


def main(arguments: list[str]) -> None:
    """Play a role until SIGTERM."""
    role, file, *index = arguments
    configure()
    log_as_json()
    end_with_parent(grace=10)
    stop = threading.Event()

    def end(*_):
        stop.set()
        # Everything on disk is whole at any moment: who waits for a stream just ends.
        signal.alarm(_PATIENCE)

    if role != "server":  # which has a way of its own
        signal.signal(signal.SIGTERM, end)
    log.info("starts", extra={"role": role, "arguments": index})
    ROLES[role](PipelineParameters.load(file), stop, int(index[0]) if index else 0)
    log.info("ends", extra={"role": role})


if __name__ == "__main__":
    main(sys.argv[1:])
