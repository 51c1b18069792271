"""ONNX files: looked at whole before an engine sees them.

    weights beside the file   only in its folder, no link that leaves it, no special file
    operators                 of ONNX's own domains, or functions that the file defines of those
    size                      one message of protobuf, 2 GiB, with all weights

Written by torch.onnx.export (either exporter), skl2onnx, onnxmltools, tf2onnx and others.
"""

import graphlib
import math
import stat
from collections import Counter
from pathlib import Path, PurePosixPath

import onnx
import onnx.inliner
from onnx import TensorProto, external_data_helper, helper

from lib.models.flop_count import without_weights
from lib.serving.graphs.free_axes import check_input_shapes

MOST_BYTES = 2**31 - 1  # of one message; engines are given a model as one
_MOST_NODES = 1_000_000  # once all functions stand where they are called
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_BITS = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT4E2M1: 4}


def read_onnx(path: Path) -> onnx.ModelProto:
    """The model with its weights; functions of the file stand where they are called.

    Raises: ValueError, in one line naming the file.
    """
    model = look_at_onnx(path)
    try:
        for tensor in _tensors(model):
            if external_data_helper.uses_external_data(tensor):
                external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
    except Exception as error:
        raise ValueError(f"{path}: the weights beside it are not read: {_line(error)}") from error
    return model


def look_at_onnx(path: Path) -> onnx.ModelProto:
    """The same without the weights that lie in files beside it; nothing of those is read.

    Raises: as `read_onnx`.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(f"{path}: a model file must be a regular file")
    _check_size(path, state.st_size)
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise ValueError(f"{path}: not an ONNX model that can be served: {_line(error)}") from error
    beside = 0
    for tensor in _tensors(model):
        if external_data_helper.uses_external_data(tensor):
            beside += _bytes_beside(tensor, path)
    _check_size(path, state.st_size + beside)
    del model.training_info[:]  # no part of what is served
    try:
        return check_onnx(model)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def check_onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its functions written out, where it is one that engines can run.

    Raises: ValueError, in one line.
    """
    check_input_shapes(model)
    _check_operators(model)
    if model.functions:
        _check_functions(model)
        model = onnx.inliner.inline_local_functions(model)
    try:
        for tensor in _tensors(model):
            _check_tensor(tensor)
        light = without_weights(model)
        # The checker asks for the shape of every output, which engines do not need.
        known = [value for value in model.graph.output if _has_shape(value)]
        del light.graph.output[:]
        light.graph.output.extend(known)
        onnx.checker.check_model(light, full_check=True)
    except Exception as error:
        raise ValueError(f"not an ONNX model that can be served: {_line(error)}") from error
    return model


def _has_shape(value):
    tensor = value.type.WhichOneof("value") == "tensor_type"
    return not tensor or value.type.tensor_type.HasField("shape")


def stored_bytes(model: onnx.ModelProto, path: Path) -> int:
    """Bytes of a file that was looked at, with those of the weights beside it."""
    beside = sum(
        _bytes_beside(tensor, path)
        for tensor in _tensors(model)
        if external_data_helper.uses_external_data(tensor)
    )
    return path.stat().st_size + beside


def _check_size(path, size):
    if size > MOST_BYTES:
        raise ValueError(
            f"{path}: the model has {size / 2**30:.2f} GiB with its weights; up to 2 GiB can be "
            f"measured, because engines are given a model as one message"
        )


def _check_operators(model):
    own = {(function.domain, function.name) for function in model.functions}
    foreign, unknown = Counter(), Counter()
    for graph in _graphs(model):
        for node in graph.node:
            domain = "" if node.domain == "ai.onnx" else node.domain
            if (node.domain, node.op_type) in own:
                continue
            if node.domain not in _DOMAINS:
                foreign[f"{node.domain}::{node.op_type}"] += 1
            elif not onnx.defs.has(node.op_type, domain):
                unknown[node.op_type] += 1
    if foreign:
        raise ValueError(
            f"operators of other domains than ai.onnx and ai.onnx.ml are code that is not in the "
            f"file: {_named(foreign)}; export the model without them"
        )
    if unknown:
        raise ValueError(
            f"ONNX has no operators of these names: {_named(unknown)}; what wrote the model could "
            f"not express them in ONNX"
        )


def _check_functions(model):
    """Refuses functions that call themselves, and those that grow when they are written out."""
    functions = {(function.domain, function.name): function for function in model.functions}
    calls = {
        key: [(node.domain, node.op_type) for graph in _graphs(function) for node in graph.node]
        for key, function in functions.items()
    }
    try:
        order = graphlib.TopologicalSorter(
            {key: [call for call in called if call in functions] for key, called in calls.items()}
        ).static_order()
        nodes = {}
        for key in order:
            nodes[key] = sum(nodes.get(call, 1) for call in calls[key])
    except graphlib.CycleError as error:
        names = ", ".join(f"{domain}::{name}" for domain, name in error.args[1])
        raise ValueError(f"functions of the model call themselves: {names}") from None
    total = sum(
        nodes.get((node.domain, node.op_type), 1)
        for graph in _graphs(model, functions=False)
        for node in graph.node
    )
    if total > _MOST_NODES:
        raise ValueError(
            f"the model's functions stand for {total:.3g} operators; up to {_MOST_NODES:,} can be "
            f"measured"
        )


def _check_tensor(tensor):
    if tensor.HasField("raw_data"):  # the usual form, whose length says all
        expected = _tensor_bytes(tensor)
        if len(tensor.raw_data) != expected:
            raise ValueError(
                f"tensor {tensor.name!r} of the shape {list(tensor.dims)} must have {expected} "
                f"bytes; it has {len(tensor.raw_data)}"
            )
    elif not external_data_helper.uses_external_data(tensor):
        onnx.checker.check_tensor(tensor)


def _bytes_beside(tensor, path):
    """Bytes that a tensor has in a file beside the model; refused where that is no such file."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")

    def refused(why):
        return ValueError(f"{path}: the weights of tensor {tensor.name!r} {why}")

    inner = PurePosixPath(location.replace("\\", "/"))
    folder = path.parent.resolve()
    file = path.parent / location
    if not location or inner.is_absolute() or ".." in inner.parts or ":" in location:
        raise refused(f"must lie in the model's folder; its place is {location!r}")
    if not file.exists():
        raise refused(f"are missing: there is no file {location!r} beside it")
    if file.is_symlink() or not file.resolve().is_relative_to(folder):
        raise refused(f"must lie in the model's folder; {location!r} is a link that leaves it")
    state = file.stat()
    if not stat.S_ISREG(state.st_mode):
        raise refused(f"must lie in a regular file; {location!r} is none")
    try:
        expected = _tensor_bytes(tensor)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", expected))
    except ValueError:
        raise refused("have an offset or a length that is no whole number") from None
    if offset < 0 or length != expected or offset + length > state.st_size:
        raise refused(
            f"are bytes {offset} to {offset + length} of {location!r}; the tensor has {expected} "
            f"bytes and the file {state.st_size}"
        )
    return length


def _tensor_bytes(tensor):
    if any(length < 0 for length in tensor.dims):
        raise ValueError(f"tensor {tensor.name!r} has the shape {list(tensor.dims)}")
    numbers = math.prod(tensor.dims)
    if tensor.data_type in _BITS:
        return -(-numbers * _BITS[tensor.data_type] // 8)
    try:
        return numbers * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:
        raise ValueError(f"tensor {tensor.name!r} is of no type that ONNX has") from None


def _graphs(model, functions=True):
    """The graph of a model or function, and those of its control flow; a model's functions too."""
    waiting = [model]
    if isinstance(model, onnx.ModelProto):
        waiting = [model.graph, *(model.functions if functions else ())]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)


def _tensors(model):
    """All tensors that a model holds: weights, and those of its operators' attributes."""
    for graph in _graphs(model):
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                for sparse in [attribute.sparse_tensor, *attribute.sparse_tensors]:
                    if sparse.dims:
                        yield from (sparse.values, sparse.indices)


def _named(counts, most=5):
    names = sorted(counts)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _line(error):
    """An error of a library in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
