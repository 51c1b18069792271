"""The Open Inference Protocol (KServe V2, REST) as bytes: requests to arrays, scores to answers.

A request's body is JSON, or, with the binary tensor extension, JSON of so many bytes as the header
Inference-Header-Content-Length says and behind it the tensors that give a `binary_data_size`, one
after the other, little-endian. Nothing of the web framework is here.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import math
from typing import Any, NamedTuple

import numpy as np
import orjson

HEADER_LENGTH = "inference-header-content-length"
OUTPUT = "scores"
DATATYPES = {
    "BOOL": np.dtype("?"),
    **{f"INT{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"UINT{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"FP{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
    "BYTES": np.dtype(object),
}
_MOST_INPUTS = 4096


class RequestError(ValueError):
    """A request that cannot be answered.

    Attributes: status: of HTTP; kind: a word for the metrics.
    """

    def __init__(self, message: str, status: int = 400, kind: str = "bad_request"):
        super().__init__(message)
        self.status, self.kind = status, kind


class InferRequest(NamedTuple):
    """A request as read.

    Attributes:
      tensors: name -> array in its shape; strings as an array of objects.
      id: to be given back, or None.
      timeout: seconds from its arrival in which the client waits, or None.
      binary: whether the scores are to come as binary data.
    """

    tensors: dict[str, np.ndarray]
    id: str | None
    timeout: float | None
    binary: bool


def read_request(body: bytes, header_length: str | None = None) -> InferRequest:
    """The request of a body.

    Args: header_length: the header's value, None where there is none and all is JSON.

    Raises: RequestError that names the tensor or field, what was found and what was expected.

    >>> body = b'{"inputs": [{"name": "ad_id", "datatype": "INT64", "shape": [2], "data": [7, 9]}]}'
    >>> read_request(body).tensors["ad_id"].tolist()
    [7, 9]
    """
    length = _header_length(header_length, len(body))
    try:
        held = orjson.loads(memoryview(body)[:length])
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the request is not JSON: {error}") from None
    _expect(isinstance(held, dict), "the request", held, "a JSON object")
    inputs, parameters = held.get("inputs"), _parameters(held, "the request")
    _expect(isinstance(inputs, list) and inputs, "inputs", inputs, "a list of tensors")
    _expect(len(inputs) <= _MOST_INPUTS, "inputs", len(inputs), f"at most {_MOST_INPUTS} tensors")
    tensors, place = {}, length
    for tensor in inputs:
        name, array, place = _tensor(tensor, body, place)
        if name in tensors:
            raise RequestError(f"tensor {name!r} is given twice")
        tensors[name] = array
    if place != len(body):
        raise RequestError(
            f"{len(body) - length} bytes of binary data; by binary_data_size the tensors have "
            f"{place - length}"
        )
    identifier = held.get("id")
    _expect(identifier is None or isinstance(identifier, str), "id", identifier, "a string")
    return InferRequest(tensors, identifier, _timeout(parameters), _binary(held, parameters))


def write_answer(
    name: str, version: int, request: InferRequest, scores: np.ndarray
) -> tuple[bytes, dict[str, str]]:
    """(body, headers) of the answer to a request; scores: float32 [candidates]."""
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "FP32", "shape": [len(scores)]}
    answer = {"model_name": name, "model_version": str(version), "outputs": [output]}
    if request.id is not None:
        answer["id"] = request.id
    if not request.binary:
        output["data"] = scores
        body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        return body, {"content-type": "application/json"}
    data = scores.astype("<f4", copy=False).tobytes()
    output["parameters"] = {"binary_data_size": len(data)}
    head = orjson.dumps(answer)
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return head + data, headers


def datatype(array: np.ndarray) -> str:
    """The protocol's name of an array's type.

    >>> datatype(np.zeros(2, np.float32)), datatype(np.array(["a"], object))
    ('FP32', 'BYTES')
    """
    return next(name for name, dtype in DATATYPES.items() if dtype == array.dtype)


def _header_length(text, size):
    if text is None:
        return size
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > size:
        raise RequestError(
            f"Inference-Header-Content-Length is {text[:40]!r}; expected a number of bytes up to "
            f"the body's {size}"
        )
    return int(text)


def _tensor(tensor, body, place):
    """(name, array, where the next tensor's binary data begin)."""
    _expect(isinstance(tensor, dict), "a tensor of inputs", tensor, "a JSON object")
    name, kind, shape = (tensor.get(field) for field in ("name", "datatype", "shape"))
    _expect(isinstance(name, str) and name, "a tensor's name", name, "a string")
    if kind not in DATATYPES if isinstance(kind, str) else True:
        raise RequestError(
            f"tensor {name!r}: datatype is {_short(kind)}; expected one of {', '.join(DATATYPES)}"
        )
    whole = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    _expect(whole and len(shape) <= 8, f"tensor {name!r}: shape", shape, "a list of lengths >= 0")
    parameters = _parameters(tensor, f"tensor {name!r}")
    if "shared_memory_region" in parameters:
        raise RequestError(f"tensor {name!r}: shared memory is not offered; send the data")
    size, count, dtype = parameters.get("binary_data_size"), math.prod(shape), DATATYPES[kind]
    if size is None:
        return name, _from_json(name, kind, shape, count, tensor.get("data")), place
    what = f"tensor {name!r}: binary_data_size"
    _expect(type(size) is int and size >= 0, what, size, "a number of bytes")
    if size > len(body) - place:
        raise RequestError(f"{what} is {size}; {len(body) - place} bytes of the body are left")
    if kind == "BYTES":
        array = _strings(name, body, place, size, count)
    elif size != count * dtype.itemsize:
        raise RequestError(
            f"{what} is {size}; {kind} of shape {shape} takes {count * dtype.itemsize}"
        )
    else:
        array = np.frombuffer(body, dtype, count, place)
    return name, array.reshape(shape), place + size


def _strings(name, body, place, size, count):
    """Strings, each behind its length in 4 bytes."""
    if 4 * count > size:
        raise RequestError(f"tensor {name!r}: {size} bytes cannot hold {count} strings")
    found, end = np.empty(count, object), place + size
    for i in range(count):
        length = int.from_bytes(body[place : place + 4], "little")
        if place + 4 + length > end:
            raise RequestError(f"tensor {name!r}: string {i} is longer than binary_data_size lets")
        try:
            found[i] = body[place + 4 : place + 4 + length].decode()
        except UnicodeDecodeError:
            raise RequestError(f"tensor {name!r}: string {i} is not UTF-8") from None
        place += 4 + length
    if place != end:
        raise RequestError(f"tensor {name!r}: {end - place} bytes behind its {count} strings")
    return found


def _from_json(name, kind, shape, count, data):
    _expect(isinstance(data, list), f"tensor {name!r}: data", data, "a list, flat or nested")
    if kind == "BYTES":
        array = np.array(data, object).ravel()
        fits = all(isinstance(value, str) for value in array)
    else:
        dtype = DATATYPES[kind]
        try:
            array = np.array(data).ravel()
        except (ValueError, OverflowError):
            array = np.array([None])
        if not array.size:
            array = array.astype(dtype)
        fits = array.dtype.kind in {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}[dtype.kind]
        if fits and dtype.kind in "iu" and array.size:
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            fits = low <= int(array.min()) and int(array.max()) <= high
    if not fits:
        raise RequestError(f"tensor {name!r}: data are not all {kind}")
    if array.size != count:
        raise RequestError(
            f"tensor {name!r}: {array.size} values in data; shape {shape} has {count}"
        )
    with np.errstate(over="ignore"):  # infinite then, which no model reads
        return array.astype(DATATYPES[kind], copy=False).reshape(shape)


def _timeout(parameters):
    timeout = parameters.get("timeout")
    if timeout is None:
        return None
    _expect(type(timeout) is int and timeout > 0, "timeout", timeout, "microseconds > 0")
    return timeout / 1e6


def _binary(held, parameters):
    binary = parameters.get("binary_data_output", False)
    outputs = held.get("outputs") or []
    _expect(isinstance(outputs, list), "outputs", outputs, "a list")
    for output in outputs:
        name = output.get("name") if isinstance(output, dict) else output
        _expect(name == OUTPUT, "an output", name, f"{OUTPUT!r}, the only one")
        asked = _parameters(output, f"output {OUTPUT!r}")
        if {"classification", "shared_memory_region"} & set(asked):
            raise RequestError(f"output {OUTPUT!r}: only binary_data may be asked for")
        binary = asked.get("binary_data", binary)
    _expect(isinstance(binary, bool), "binary_data", binary, "true or false")
    return binary


def _parameters(held, what):
    parameters = held.get("parameters") or {}
    _expect(isinstance(parameters, dict), f"parameters of {what}", parameters, "a JSON object")
    return parameters


def _expect(holds, what, found, expected):
    if not holds:
        raise RequestError(f"{what} is {_short(found)}; expected {expected}")


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
