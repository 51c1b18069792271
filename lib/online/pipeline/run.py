"""A pipeline from its parameters: what is made before it starts, its processes, its page."""

import threading
import time
from pathlib import Path

import uvicorn

from lib.infra.files import write_json
from lib.logs.features import Features, load_features
from lib.logs.log_files import LogFiles
from lib.logs.reader import longest_list
from lib.online.embedding_producer.catalogue import add_ads
from lib.online.pipeline.client import addresses_in
from lib.online.pipeline.exposures import SimulatedExposures, ad_id_column, ads_of_log, check_ad_ids
from lib.online.pipeline.page import Collector, application
from lib.online.pipeline.parameters import LOCAL_BROKER, PipelineParameters
from lib.online.pipeline.status import read_all
from lib.online.pipeline.streams import broker_command, prepare_stream
from lib.online.pipeline.supervisor import Supervisor, role_command
from lib.online.stream.producers import log_schema
from lib.online.stream.records import RecordSchema
from lib.simulation.cascade import System


def prepare(parameters: PipelineParameters) -> PipelineParameters:
    """Make what the processes expect: stream, catalogue, folders; the parameters as they run.

    A folder in which a pipeline ran goes on with what it has.

    Raises: ValueError for a folder of a pipeline with other parameters; LogError for a bad log.
    """
    folder = parameters.folder.absolute()
    parameters = parameters.model_copy(update={"folder": folder})
    for path in (folder, parameters.status, parameters.parts, parameters.exports):
        path.mkdir(parents=True, exist_ok=True)
    about, now = folder / "parameters.json", parameters.model_dump(mode="json")
    if about.exists():
        before = PipelineParameters.load(about).model_dump(mode="json")
        free = {"folder", "port", "servers", "threads", "ads_a_list"}
        changed = sorted(n for n in now if n not in free and now[n] != before[n])
        if changed:
            raise ValueError(
                f"{folder}: a pipeline with another {', '.join(changed)} ran here; take another "
                "folder, or remove this one"
            )
    for file in parameters.address_files():
        file.unlink(missing_ok=True)
    if parameters.logs:
        features = load_features(parameters.features)
        files = LogFiles(parameters.logs, features, ad_id_column(features))
        check_ad_ids(files)
        schema = RecordSchema.of(files.schema, features)
        parameters = parameters.model_copy(
            update={"ads_a_list": longest_list(parameters.logs, features)}
        )
        if not parameters.ads and not list(parameters.catalogue.glob("*.parquet")):
            add_ads(parameters.catalogue, "ads", ads_of_log(parameters.logs, features))
    else:
        exposures = SimulatedExposures(parameters, lambda *_: None)
        features = Features(features=exposures.world.features)
        schema = log_schema(features, System(exposures.matched, exposures.scores))
        if not list(parameters.catalogue.glob("*.parquet")):
            add_ads(parameters.catalogue, "first", exposures.ads(0, exposures.new_from))
    prepare_stream(parameters, schema)
    parameters.save(about)
    return parameters


def commands(parameters: PipelineParameters) -> dict[str, list[str]]:
    """Name -> arguments of each process."""
    file = parameters.folder / "parameters.json"
    broker = {"broker": broker_command(parameters)} if parameters.kafka == LOCAL_BROKER else {}
    names = broker | {name: role_command(name, file) for name in ("embedding_producer", "trainer")}
    for i in range(parameters.servers):
        names[f"server_{i}"] = role_command("server", file, i)
    return names | {"exposures": role_command("exposures", file)}


class Page:
    """The live page in a thread of this process; `address` once `start` returned."""

    def __init__(self, parameters: PipelineParameters, supervisor: Supervisor):
        files = parameters.address_files()
        self.collector = Collector(
            supervisor.status,
            lambda: read_all(parameters.status),
            lambda: addresses_in(files),
            lambda: supervisor.faults,
        )
        self.latest = {}
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(lambda: self.latest),
                host="127.0.0.1",
                port=parameters.port,
                lifespan="off",
                log_config=None,
                access_log=False,
            )
        )
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._server.run, self._collect)
        ]

    def start(self) -> str:
        """Its address.

        Raises: OSError where the port is taken.
        """
        for thread in self._threads:
            thread.start()
        while not self._server.started:
            if not self._threads[0].is_alive():
                raise OSError(f"the live page cannot listen at port {self._server.config.port}")
            time.sleep(0.05)
        (listening,) = self._server.servers[0].sockets
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    def _collect(self):
        # Once a second whoever looks: a page more asks the servers no more often.
        while not self._end.is_set():
            self.latest = self.collector.collect()
            self._end.wait(1.0)

    def stop(self) -> None:
        self._end.set()
        self._server.should_exit = True
        for thread in self._threads:
            thread.join(5)


def run_pipeline(parameters: PipelineParameters, minutes: float | None = None, say=print) -> None:
    """Run a pipeline for so many minutes, or until Ctrl-C; it stops in order.

    Raises: as `prepare`; OSError where the page's port is taken.
    """
    parameters = prepare(parameters)
    supervisor = Supervisor(commands(parameters), Path(parameters.folder, "logs"))
    page = Page(parameters, supervisor)
    address = page.start()
    write_json(parameters.folder / "page.json", {"address": address})
    say(f"pipeline: {address} shows it; Ctrl-C stops it; all it writes is in {parameters.folder}")
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    try:
        supervisor.run(lambda: deadline is not None and time.monotonic() > deadline)
    except KeyboardInterrupt:
        say("pipeline: stopped; the same command goes on from here")
    finally:
        page.stop()
