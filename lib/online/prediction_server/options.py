"""What a prediction server is told, checked before it starts."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from lib.infra.machine import cores
from lib.serving.engines import ENGINES

Count = Annotated[int, pydantic.Field(ge=1)]
Seconds = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
_MOST_COMPILED = 4  # numbers of candidates that `lib.serving.engines.OpenVino` keeps
_SHORTEST_TOKEN = 16  # characters


class Options(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Options of one server.

    store, store_options: of `lib.online.exports.ExportStore`.
    parts: folder of the ad parts, a file a version; without, all parts are computed on the spot.
    catalogue: folder of the ads' features, for ads that the parts lack.
    name: of the model in URLs.
    host, port: to listen at; port 0 lets the system choose. Another host than the loopback needs
      `token_file` or `client_ca`.
    address_file: where "http://HOST:PORT" is written once the socket listens.
    poll_seconds: between two looks at the store.
    loading_process: whether a new version is read and checked in a process of its own, so that
      requests do not wait for it.
    engine, precision, threads: of `lib.serving.engines.build`; threads share one request.
    workers: requests that are computed at a time.
    queue: requests that may wait; one more is answered 503.
    deadline_seconds: of a request from its arrival, unless its own `timeout` is shorter.
    max_candidates, max_bytes: of a request.
    warm_up: numbers of candidates that a new version answers before it serves.
    drain_seconds: between SIGTERM, when the server says that it is not ready, and the closing of
      its socket.
    token_file: file of a bearer token that all requests but health checks must carry.
    certificate, key: of the server, for TLS; client_ca: clients must show a certificate signed by
      it (mutual TLS).

    >>> Options(store="exports", port=0).queue
    64
    """

    store: str
    store_options: dict[str, Any] = {}
    parts: Path | None = None
    catalogue: Path | None = None
    name: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_.-]+$")] = "pre_ranking"
    host: str = "127.0.0.1"
    port: Annotated[int, pydantic.Field(ge=0, le=65535)] = 8000
    address_file: Path | None = None
    poll_seconds: Seconds = 5.0
    loading_process: bool = True
    engine: Literal["onnxruntime", "openvino"] = "onnxruntime"
    precision: str = "fp32"
    threads: Count = 1
    workers: Count = pydantic.Field(default_factory=cores)
    queue: Annotated[int, pydantic.Field(ge=0)] = 64
    deadline_seconds: Seconds = 1.0
    max_candidates: Count = 1500
    max_bytes: Count = 8 << 20
    warm_up: tuple[Count, ...] = (1, 100, 1500)
    drain_seconds: Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)] = 1.0
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    @pydantic.model_validator(mode="after")
    def _engine_can_do_it(self):
        precisions = ENGINES[self.engine].precisions
        if self.precision not in precisions:
            raise ValueError(
                f"precision of {self.engine} must be one of {', '.join(precisions)}; got "
                f"{self.precision!r}"
            )
        sizes = {*self.warm_up, self.max_candidates}
        if self.engine == "openvino" and len(sizes) > _MOST_COMPILED:
            raise ValueError(
                f"warm_up and max_candidates are at most {_MOST_COMPILED} numbers for openvino, "
                f"which is compiled for each; got {sorted(sizes)}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _clients_prove_themselves(self):
        if not is_loopback(self.host) and not (self.token_file or self.client_ca):
            raise ValueError(
                f"host {self.host!r} is not the loopback: clients must prove themselves there; "
                f"give token_file (a bearer token) or client_ca (mutual TLS), or take 127.0.0.1"
            )
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; one of them is missing")
        if self.client_ca and not self.certificate:
            raise ValueError("client_ca (mutual TLS) needs the server's own certificate and key")
        return self

    def token(self) -> bytes | None:
        """The bearer token of `token_file`; None without one.

        Raises: ValueError for a token that is too short to be a secret; OSError.
        """
        if self.token_file is None:
            return None
        token = self.token_file.read_text(encoding="utf-8").strip()
        if len(token) < _SHORTEST_TOKEN or not token.isascii() or len(token.split()) != 1:
            raise ValueError(
                f"{self.token_file}: a token is one word of at least {_SHORTEST_TOKEN} ASCII "
                f"characters; got {len(token)}"
            )
        return token.encode()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("here")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
