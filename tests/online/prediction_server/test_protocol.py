import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.online.prediction_server.protocol import (
    DATATYPES,
    HEADER_LENGTH,
    InferRequest,
    RequestError,
    datatype,
    read_request,
    write_answer,
)


def body(*inputs, **more):
    return json.dumps({"inputs": list(inputs), **more}).encode()


def tensor(name="x", datatype="INT64", shape=(2,), **more):
    return {"name": name, "datatype": datatype, "shape": list(shape), **more}


def with_data(*inputs, data=b"", **more):
    """A binary request: (body, header length)."""
    head = body(*inputs, **more)
    return head + data, str(len(head))


def test_a_binary_request_by_hand():
    request, length = with_data(
        tensor("ids", "INT64", [1, 2], parameters={"binary_data_size": 16}),
        tensor("words", "BYTES", [2], parameters={"binary_data_size": 4 + 2 + 4 + 0}),
        tensor("plain", "FP32", [2], data=[1, 2.5]),
        data=bytes([7, *7 * [0], 255, *7 * [255]]) + b"\2\0\0\0ab" + b"\0\0\0\0",
        id="mine",
        parameters={"timeout": 1500, "binary_data_output": True},
    )
    found = read_request(request, length)
    assert found.tensors["ids"].tolist() == [[7, -1]]
    assert found.tensors["words"].tolist() == ["ab", ""]
    assert found.tensors["plain"].dtype == np.float32
    assert found.tensors["plain"].tolist() == [1, 2.5]
    assert (found.id, found.timeout, found.binary) == ("mine", 1.5e-3, True)


@pytest.mark.parametrize("kind", sorted({*DATATYPES} - {"BYTES"}))
def test_all_types_come_through_both_ways(kind):
    array = np.array([0, 1, 1], DATATYPES[kind])
    plain = read_request(body(tensor("x", kind, [3], data=array.tolist()))).tensors["x"]
    given = tensor("x", kind, [3], parameters={"binary_data_size": array.nbytes})
    binary = read_request(*with_data(given, data=array.tobytes())).tensors["x"]
    for found in (plain, binary):
        assert found.dtype == DATATYPES[kind] and datatype(found) == kind
        np.testing.assert_array_equal(found, array)


def test_nested_data_are_as_good_as_flat():
    nested = tensor("x", "INT64", [2, 2], data=[[1, 2], [3, 4]])
    assert read_request(body(nested)).tensors["x"].tolist() == [[1, 2], [3, 4]]
    words = tensor("x", "BYTES", [2, 1], data=[["a"], ["b"]])
    assert read_request(body(words)).tensors["x"].tolist() == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (b"{", "the request is not JSON"),
        (b"[]", r"the request is \[\]; expected a JSON object"),
        (b"{}", "inputs is None; expected a list of tensors"),
        (body(7), "a tensor of inputs is 7"),
        (body(tensor(name=3)), "a tensor's name is 3"),
        (body(tensor(datatype="INT63")), "'x': datatype is 'INT63'; expected one of BOOL"),
        (body(tensor(datatype=["INT64"])), "'x': datatype is"),
        (body(tensor(shape=[-1])), r"'x': shape is \[-1\]; expected a list of lengths"),
        (body(tensor(shape=[True])), "'x': shape is"),
        (body(tensor()), "'x': data is None; expected a list"),
        (body(tensor(data=[1])), r"'x': 1 values in data; shape \[2\] has 2"),
        (body(tensor(data=[1, "a"])), "'x': data are not all INT64"),
        (body(tensor(data=[1, 2.5])), "'x': data are not all INT64"),
        (body(tensor(data=[[1], [2, 3]])), "'x': data are not all INT64"),
        (body(tensor(data=[1, 2**70])), "not JSON|data are not all INT64"),
        (body(tensor(datatype="INT8", data=[1, 128])), "'x': data are not all INT8"),
        (body(tensor(datatype="BYTES", data=["a", 1])), "'x': data are not all BYTES"),
        (body(tensor(datatype="BOOL", data=[1, 0])), "'x': data are not all BOOL"),
        (body(tensor(data=[1, 2]), tensor(data=[1, 2])), "'x' is given twice"),
        (body(tensor(parameters={"shared_memory_region": "r"})), "shared memory is not offered"),
        (body(tensor(data=[1, 2]), parameters={"timeout": 0}), "timeout is 0; expected micro"),
        (body(tensor(data=[1, 2]), parameters=[1]), "parameters of the request is"),
        (body(tensor(data=[1, 2]), id=3), "id is 3; expected a string"),
        (body(tensor(data=[1, 2]), outputs=[{"name": "y"}]), "an output is 'y'; expected 'scores'"),
        (
            body(
                tensor(data=[1, 2]),
                outputs=[{"name": "scores", "parameters": {"classification": 1}}],
            ),
            "only binary_data may be asked for",
        ),
    ],
)
def test_bad_json(request_body, message):
    with pytest.raises(RequestError) as error:
        read_request(request_body)
    assert re.search(message, str(error.value)), error.value
    assert error.value.status == 400


def binary(size, kind="INT64", shape=(2,), data=b"", name="x"):
    return with_data(tensor(name, kind, shape, parameters={"binary_data_size": size}), data=data)


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (binary(8, data=b"0" * 8), r"binary_data_size is 8; INT64 of shape \[2\] takes 16"),
        (binary(16, data=b"0" * 8), "binary_data_size is 16; 8 bytes of the body are left"),
        (binary(16, data=b"0" * 17), "17 bytes of binary data; by binary_data_size .* have 16"),
        (binary(-1), "binary_data_size is -1; expected a number of bytes"),
        (binary(16, shape=[2**40, 2**40], data=b"0" * 16), "takes "),
        (binary(4, "BYTES", [2**40], data=b"0" * 4), "cannot hold 1099511627776 strings"),
        (binary(5, "BYTES", [1], data=b"\2\0\0\0a"), "string 0 is longer than"),
        (binary(6, "BYTES", [1], data=b"\1\0\0\0ab"), "1 bytes behind its 1 strings"),
        (binary(5, "BYTES", [1], data=b"\1\0\0\0\xff"), "string 0 is not UTF-8"),
    ],
)
def test_bad_binary(request_body, message):
    with pytest.raises(RequestError, match=message):
        read_request(*request_body)


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999999999999999", "²"])
def test_bad_header_lengths(length):
    with pytest.raises(RequestError, match="Inference-Header-Content-Length is"):
        read_request(body(tensor(data=[1, 2])), length)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_read_or_refused(data, length):
    try:
        read_request(data, str(length))
    except RequestError as error:
        assert error.status == 400


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_value_in_any_field_is_read_or_refused(value):
    whole = {"name": "x", "datatype": "INT64", "shape": [1], "data": [1], "parameters": {}}
    for field in whole:
        for request in (
            {"inputs": [whole | {field: value}]},
            {"inputs": [whole], "outputs": value, "parameters": value},
        ):
            try:
                read_request(json.dumps(request).encode())
            except RequestError:
                pass


@pytest.mark.parametrize("binary", [False, True])
def test_an_answer_by_hand(binary):
    request = InferRequest({}, "mine", None, binary)
    scores = np.array([1.5, -2], np.float32)
    data, headers = write_answer("model", 7, request, scores)
    length = int(headers.get(HEADER_LENGTH, len(data)))
    answer = json.loads(data[:length])
    output = answer.pop("outputs")
    assert answer == {"model_name": "model", "model_version": "7", "id": "mine"}
    given = {"name": "scores", "datatype": "FP32", "shape": [2]}
    if binary:
        assert output == [given | {"parameters": {"binary_data_size": 8}}]
        assert data[length:] == scores.tobytes()
    else:
        assert output == [given | {"data": [1.5, -2]}]
