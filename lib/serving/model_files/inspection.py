"""What a model file is, without running anything of it: for a check before long work."""

import math
from pathlib import Path

from onnx import TensorProto, helper

from lib.models.flop_count import counted_operators, graph_flops
from lib.serving.engines import build, input_types, interpreter, tensorrt_parser
from lib.serving.graphs.export import random_graph
from lib.serving.graphs.free_axes import check_candidates_axis, fix_axes, request_inputs
from lib.serving.load.random_inputs import check_candidates, check_types
from lib.serving.model_files.onnx_files import look_at_onnx, stored_bytes
from lib.serving.model_files.reading import check_stored, file_format, look_at

_CONTROL_FLOW = ("If", "Loop", "Scan")


def inspect_file(
    path, *, candidates, ids=None, axis_lengths=None, engine="onnxruntime", precision="fp32"
):
    """What a model file is, and that a load test of it can begin.

    An ONNX file shows all but how long it runs. A Keras file or SavedModel shows what it would
    take and whether it holds what is refused; that it can be expressed in ONNX shows when it is
    loaded.

    Args: as of `lib.serving.load.load_tests.measure_model`.

    Returns: dict of
      format: "ONNX", "Keras" or "SavedModel";
      inputs, outputs: lists of dict of name, shape (a number, a name or None an axis), type;
        None where they show only once the model is built;
      free_axes: list of "INPUT:AXIS" that hold the candidates;
      bytes: of all its files;
      flops: of a user-ad pair, NaN where they are not counted or not known yet;
      counted, not_counted: operator -> number, see `lib.models.flop_count.counted_operators`;
      notes: list of sentences on what a reader should know.
    Raises: what `lib.serving.load.load_tests.prepare_model` raises for the same reasons.

    >>> import onnx, tempfile
    >>> from lib.serving.graphs.export import naive, random_weights
    >>> path = Path(tempfile.mkdtemp()) / "model.onnx"
    >>> onnx.save(naive(random_weights([6, 4, 1], seed=0)), path)
    >>> found = inspect_file(path, candidates=10)
    >>> found["format"], found["free_axes"], found["flops"]
    ('ONNX', ['ads:0'], 56)
    """
    check_candidates(candidates)
    path = Path(path)
    kind = file_format(path)
    if kind == "ONNX":
        model = look_at_onnx(path)
        size = stored_bytes(model, path)
    else:
        size = check_stored(path)
        model = _sides(path)
    _check_engine(engine, precision)
    found = {"format": kind, "inputs": None, "outputs": None, "free_axes": [], "bytes": size}
    notes = []
    if model is None:
        notes.append("the shapes of its inputs show once the model is loaded")
    else:
        try:
            model = fix_axes(model, axis_lengths)
            check_candidates_axis(model)
            types = input_types(model)
            check_types(types, ids)
            if kind == "ONNX" and engine.endswith("_xla"):
                interpreter.check_operators(model)
            if kind == "ONNX" and engine == "tensorrt":
                tensorrt_parser.check_operators(model)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        found |= _described(model, kind)
        if ids and not any(dtype.kind in "iu" for dtype in types.values()):
            notes.append(f"ids = {ids} is not used: no input holds whole numbers")
    if kind != "ONNX":
        notes.append("FLOPs are counted once the model is expressed in ONNX")
        return found | {"flops": math.nan, "counted": {}, "not_counted": {}, "notes": notes}
    counted, not_counted = counted_operators(model)
    flops = graph_flops(model, 1)
    notes += _flop_notes(flops, not_counted)
    return found | {"flops": flops, "counted": counted, "not_counted": not_counted, "notes": notes}


def _described(model, kind):
    inputs = _values(request_inputs(model))
    return {
        "inputs": inputs,
        "outputs": None if kind == "Keras" else _values(model.graph.output),
        "free_axes": [
            f"{value['name']}:{place}"
            for value in inputs
            for place, length in enumerate(value["shape"])
            if not isinstance(length, int)
        ],
    }


def _sides(path):
    """The model's inputs and outputs as a graph without nodes; None where they do not show."""
    sides = look_at(path)
    if sides["inputs"] is None:
        return None
    try:
        inputs = [_value_info(**value) for value in sides["inputs"]]
        outputs = [_value_info(**value) for value in sides["outputs"] or ()]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    # Without a list of outputs there is one still: a Keras model has what its layers give.
    outputs = outputs or [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)]
    return helper.make_model(helper.make_graph([], "sides", inputs, outputs))


def _value_info(name, shape, type):
    found = getattr(TensorProto, _ONNX_NAMES.get(type, type.upper()), None)
    if found is None:
        raise ValueError(f"input {name!r} holds {type}, which a load test cannot draw")
    return helper.make_tensor_value_info(name, found, shape)


_ONNX_NAMES = {"float32": "FLOAT", "float64": "DOUBLE"}


def _check_engine(engine, precision):
    if (engine, precision) != ("onnxruntime", "fp32"):
        build(engine, random_graph("naive", [4, 2, 1], seed=0), precision=precision)


def _values(values):
    return [{"name": value.name, "shape": _axes(value), "type": _type(value)} for value in values]


def _axes(value):
    tensor = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
        return None
    return [
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None
        for axis in tensor.shape.dim
    ]


def _type(value):
    if value.type.WhichOneof("value") != "tensor_type":
        return (value.type.WhichOneof("value") or "none").removesuffix("_type")
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return "string" if dtype.kind == "O" else str(dtype)


def _flop_notes(flops, not_counted):
    loops = [name for name in not_counted if name in _CONTROL_FLOW]
    if loops:
        yield f"how long {', '.join(loops)} takes shows only when the model runs"
    if not_counted:
        yield f"FLOPs are not counted: {', '.join(sorted(not_counted))} could not be"
    elif math.isnan(flops):
        yield "FLOPs are not counted: the graph has no matrix product, or one of unknown shape"
