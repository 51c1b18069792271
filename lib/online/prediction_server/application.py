"""The routes of a prediction server: the Open Inference Protocol and /metrics, on Starlette.

    GET  v2, v2/health/live, v2/health/ready
    GET  v2/models/NAME[/versions/V][/ready]
    POST v2/models/NAME[/versions/V]/infer
    POST v2/repository/index                    the store's versions and their states
    POST v2/repository/models/NAME/load         {"parameters": {"version": V}} pins V, as to roll
                                                back, as long as the process lives; without a
                                                version: follows the newest again
    GET  metrics

Every error is {"error": one sentence}.
"""

import asyncio
import hmac
import time

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from lib.online.prediction_server.admission import Admission, late
from lib.online.prediction_server.inputs import describe_inputs, read_inputs
from lib.online.prediction_server.metrics import Metrics
from lib.online.prediction_server.options import Options
from lib.online.prediction_server.protocol import (
    HEADER_LENGTH,
    OUTPUT,
    RequestError,
    read_request,
    write_answer,
)
from lib.online.prediction_server.versions import Versions

_RETRY = {"retry-after": "1"}  # seconds: a full queue has long been worked off then
_OPEN = {"/v2/health/live", "/v2/health/ready"}  # to whom asks, also without a token
_VERSION = "1"  # of this server, for its metadata


class Application:
    """The server as an ASGI application.

    Args: options; versions, admission, metrics: what answers.

    Attributes: stopping: set it, and the server says that it is not ready and asks clients to
      connect elsewhere, while it still answers.
    """

    def __init__(
        self, options: Options, versions: Versions, admission: Admission, metrics: Metrics
    ):
        self.options, self.versions = options, versions
        self.admission, self.metrics = admission, metrics
        self.stopping = False
        self._token = options.token()
        model = "/v2/models/{name}"
        of_version = model + "/versions/{version}"
        routes = [
            Route("/v2", self._server),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
            Route("/v2/repository/index", self._index, methods=["POST"]),
            Route("/v2/repository/models/{name}/load", self._load, methods=["POST"]),
            Route("/metrics", self._metrics),
        ]
        for path in (of_version, model):
            routes += [
                Route(path + "/infer", self._infer, methods=["POST"]),
                Route(path + "/ready", self._model_ready),
                Route(path, self._model),
            ]
        handlers = {RequestError: self._refused, HTTPException: self._no_route, Exception: _failed}
        self._routes = Starlette(routes=routes, exception_handlers=handlers)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            send = self._closing(send) if self.stopping else send
            try:
                self._check_client(scope)
            except RequestError as error:
                await self._error(error)(scope, receive, send)
                return
        await self._routes(scope, receive, send)

    # ---- inference ----

    async def _infer(self, request: Request):
        arrived = time.perf_counter()
        try:
            self._check_name(request)
            self.admission.check()
            seconds = self.options.deadline_seconds
            body = await self._body(request, seconds)
            header_length = request.headers.get(HEADER_LENGTH)
            asked = request.path_params.get("version")

            def work():
                return self._answer(arrived, body, header_length, asked)

            seconds -= time.perf_counter() - arrived
            answer, headers, stages, ads, missing = await self.admission.run(work, seconds)
        except RequestError as error:
            self.metrics.errors.labels(error.kind).inc()
            raise
        except ClientDisconnect:
            self.metrics.errors.labels("disconnected").inc()
            return Response(status_code=499)
        except Exception:  # counted, not silenced: Starlette logs it and answers 500
            self.metrics.errors.labels("internal").inc()
            raise
        self.metrics.answered(time.perf_counter() - arrived, stages, ads, missing)
        return Response(answer, headers=headers)

    def _answer(self, arrived, body, header_length, asked):
        """One request from its bytes to the bytes of its answer, in a thread of the admission."""
        begin = time.perf_counter()
        serving = self._serving(asked)  # once: user, ads and engine are of one version
        request = read_request(body, header_length)
        inputs = read_inputs(request.tensors, serving.model.features, self.options.max_candidates)
        read = time.perf_counter()
        if request.timeout is not None and read - arrived > request.timeout:
            raise late(request.timeout)
        scored = serving.scores(inputs)
        computed = time.perf_counter()
        name = self.options.name
        answer, headers = write_answer(name, serving.version, request, scored.scores)
        stages = (
            *(begin - arrived, read - begin),
            *(scored.parts_seconds, scored.engine_seconds, time.perf_counter() - computed),
        )
        return answer, headers, stages, len(inputs.ad_ids), scored.missing

    async def _body(self, request, seconds):
        """The body, refused before it is read where it is too long."""
        most = self.options.max_bytes
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            raise _too_long(length, most)
        if request.headers.get("content-encoding", "identity") != "identity":
            raise RequestError("compressed requests are not taken", 415, "bad_request")
        parts, size = [], 0
        try:
            async with asyncio.timeout(seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise _too_long(f"more than {most}", most)
                    parts.append(part)
        except TimeoutError:
            raise RequestError(
                f"the request's body did not arrive in {seconds:g} s", 408, "slow_client"
            ) from None
        return b"".join(parts)

    def _serving(self, asked=None):
        """The serving version, which must be the one that was asked for where one was."""
        serving = self.versions.serving
        if serving is None:
            raise RequestError("no version of the model is loaded yet", 503, "not_ready")
        if asked is not None and asked != str(serving.version):
            raise RequestError(
                f"version {asked[:40]!r} is not loaded; version {serving.version} serves",
                404,
                "unknown_version",
            )
        return serving

    def _check_name(self, request):
        name = request.path_params["name"]
        if name != self.options.name:
            raise RequestError(
                f"there is no model {name[:80]!r}; this server has {self.options.name!r}",
                404,
                "unknown_model",
            )

    # ---- health, metadata, commands ----

    async def _server(self, request):
        return _json(
            {
                "name": "retrieval-scaling",
                "version": _VERSION,
                "extensions": ["binary_tensor_data", "model_repository"],
            }
        )

    async def _live(self, request):
        return _json({"live": True})

    async def _ready(self, request):
        ready = self.versions.serving is not None and not self.stopping
        return _json({"ready": ready}, 200 if ready else 503)

    async def _model_ready(self, request):
        self._check_name(request)
        self._serving(request.path_params.get("version"))
        return _json({"name": self.options.name, "ready": True})

    async def _model(self, request):
        self._check_name(request)
        serving = self._serving(request.path_params.get("version"))
        return _json(
            {
                "name": self.options.name,
                "versions": [str(serving.version)],
                "platform": "onnx_onnxv1",
                "inputs": describe_inputs(serving.model.features),
                "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1]}],
                "parameters": {
                    "max_candidates": self.options.max_candidates,
                    "size_parameters": list(serving.model.size_parameters),
                },
            }
        )

    async def _index(self, request):
        return _json(await asyncio.to_thread(self.versions.index))

    async def _load(self, request):
        self._check_name(request)
        body = await self._body(request, self.options.deadline_seconds)
        try:
            parameters = (orjson.loads(body) if body else {}).get("parameters") or {}
            version = parameters.get("version")
            version = None if version is None else int(version)
        except (AttributeError, TypeError, ValueError):
            raise RequestError(
                'expected {"parameters": {"version": a number}}, or no version to follow the newest'
            ) from None
        try:
            if version is None:
                await asyncio.to_thread(self.versions.unpin)
            else:
                await asyncio.to_thread(self.versions.pin, version)
        except ValueError as error:
            raise RequestError(f"version {version} is not loaded: {error}") from None
        return Response(status_code=200)

    async def _metrics(self, request):
        text = self.metrics.text()
        return Response(text, media_type="text/plain; version=0.0.4")

    # ---- who may ask; errors ----

    def _check_client(self, scope):
        headers = dict(scope["headers"])
        if self._token is not None and scope["path"] not in _OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                raise RequestError("a bearer token is needed: Authorization: Bearer TOKEN", 401)
        # A page in a browser of this machine could send commands to the loopback; programs that
        # are meant to be clients do not send this header.
        if b"origin" in headers and scope["method"] == "POST":
            raise RequestError("requests of web pages are not taken", 403)

    def _closing(self, send):
        async def closing(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        return closing

    async def _refused(self, request, error):
        return self._error(error)

    def _error(self, error):
        headers = {503: _RETRY, 401: {"www-authenticate": "Bearer"}}.get(error.status)
        return _json({"error": str(error)}, error.status, headers)

    async def _no_route(self, request, error):
        reason = f"{request.method} {request.url.path[:200]}: {error.detail}"
        return _json({"error": reason}, error.status_code, error.headers)


async def _failed(request, error):
    # Starlette raises it again, and the server's log has it with its traceback.
    return _json({"error": f"the server failed: {type(error).__name__}"}, 500)


def _too_long(length, most):
    return RequestError(f"the body has {length} bytes; at most {most} are taken", 413, "too_large")


def _json(value, status=200, headers=None):
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
