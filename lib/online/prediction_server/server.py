"""A prediction server's process: its socket, TLS, logs, and how it stops.

The protocol's other form, gRPC, is not offered: it answered a fifth of the requests of this one on
the same cores, and would be a second port to secure.
"""

import gc
import logging
import os
import signal
import socket
import ssl
import sys
import time

import uvicorn

from lib.infra.files import replacing
from lib.infra.json_logs import log_as_json
from lib.infra.settings import configure
from lib.online.prediction_server.admission import Admission
from lib.online.prediction_server.application import Application
from lib.online.prediction_server.metrics import Metrics
from lib.online.prediction_server.options import Options, is_loopback
from lib.online.prediction_server.versions import Versions

_CONNECTIONS = 4096  # more are answered 503
_KEEP_ALIVE = 75  # seconds that an idle connection stays open
_LAST_ANSWERS = 30  # seconds in which requests in flight are answered at the end
log = logging.getLogger(__name__)


class PredictionServer:
    """A server with its socket bound, in this process.

    Args: options; clock: see `Versions`.

    Attributes: address: "http://HOST:PORT"; versions, admission, metrics: its parts.

    Raises: ValueError for a bad token file; OSError where the address cannot be taken.
    """

    def __init__(self, options: Options, clock=time.time):
        configure()
        options.token()  # raises before anything is open
        self._listening = _socket(options)
        self.address = _address(options, self._listening)
        self.metrics = Metrics()
        self.admission = Admission(options.workers, options.queue)
        self.versions = Versions(options, self.metrics, clock)
        self.metrics.watch(self.versions, self.admission)
        application = Application(options, self.versions, self.admission, self.metrics)
        self._server = _Server(_config(options, application), application, options.drain_seconds)

    def run(self) -> None:
        """Serve until `stop`; in the main thread also until SIGTERM or SIGINT."""
        try:
            self.versions.start()
            self._server.run([self._listening])
        finally:
            self.versions.close()
            self.admission.close()
            self._listening.close()

    def stop(self) -> None:
        """Say "not ready", answer what is in flight, end `run`."""
        self._server.handle_exit(signal.SIGTERM, None)


def serve(options: Options, clock=time.time) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered before it returns.

    Args: options; clock: see `Versions`.

    Raises: as `PredictionServer`.
    """
    log_as_json()
    server = PredictionServer(options, clock)
    if options.token_file and not options.certificate and not is_loopback(options.host):
        log.warning("the token travels unencrypted; give certificate and key for TLS")
    if options.address_file:
        with replacing(options.address_file) as path:
            path.write_text(server.address)
    log.info("listening", extra={"address": server.address, "pid": os.getpid()})
    server.versions.at_first = _leave_alone_what_stays
    # A request's thread comes back from the engine to wait for Python's lock: at most this long,
    # not 5 ms, for another thread that has it.
    sys.setswitchinterval(0.0005)
    server.run()
    log.info("stopped")


def _leave_alone_what_stays():
    """A full collection over all that is imported would hold up requests for 0.1 s and more."""
    gc.collect()
    gc.freeze()


class _Server(uvicorn.Server):
    """uvicorn's server, which says that it is not ready for a while before it closes."""

    def __init__(self, config, application, drain_seconds):
        super().__init__(config)
        self._application, self._drain_seconds, self._end = application, drain_seconds, None

    def handle_exit(self, sig, frame):
        # The signal was to stop and it does: not noted, or uvicorn would die of it at the end.
        if self._end is None:
            self._application.stopping = True
            self._end = time.monotonic() + self._drain_seconds
        else:
            self.should_exit = True

    async def on_tick(self, counter):
        if self._end is not None and time.monotonic() >= self._end:
            self.should_exit = True
        return await super().on_tick(counter)


def _config(options, application):
    tls = {}
    if options.certificate:
        tls = {"ssl_certfile": options.certificate, "ssl_keyfile": options.key}
    if options.client_ca:
        tls |= {"ssl_ca_certs": options.client_ca, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return uvicorn.Config(
        application,
        host=options.host,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_LAST_ANSWERS,
        **tls,
    )


def _socket(options):
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.create_server((options.host, options.port), family=family, backlog=1024)
    listening.setblocking(False)
    return listening


def _address(options, listening):
    host = f"[{options.host}]" if ":" in options.host else options.host
    scheme = "https" if options.certificate else "http"
    return f"{scheme}://{host}:{listening.getsockname()[1]}"
