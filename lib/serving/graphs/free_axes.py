"""The axes of a graph's inputs that have no length: the one that a request's candidates lie on.

A load test gives the candidates' axis its length and must know which one it is. A graph of ours has
one, named "candidates" (and "requests" where it takes several). A model of another project may
be exported for one batch size, and then scores that many ads whatever a request holds; or have
further free axes, such as the length of a history, which only its owner knows. An axis goes by its
name, or by "INPUT:AXIS" (such as "history:1"), since converters often leave axes without names.
"""

import numbers

import onnx

_REQUESTS = "requests"  # one place a request; see `lib.serving.graphs.batching`
_UNNAMED = "without a name"


def fix_axes(model: onnx.ModelProto, lengths: dict[str, int] | None) -> onnx.ModelProto:
    """A copy of the model whose inputs' axes of these names have these lengths.

    Args:
      lengths: name of an axis, or "INPUT:AXIS", -> length, >= 1; the model itself comes back where
        there is none.

    Raises: ValueError for a name that no input has, or a length that is not a whole number >= 1.

    >>> from lib.serving.graphs.export import random_graph
    >>> fixed = fix_axes(random_graph("naive", [6, 4, 1], seed=0), {"candidates": 10})
    >>> fixed.graph.input[1].type.tensor_type.shape.dim[0].dim_value
    10
    """
    if not lengths:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = {}
    for value, place, axis in _free_axes(copy):
        for name in {axis.dim_param, f"{value.name}:{place}"} - {""}:
            names.setdefault(name, []).append(axis)
    for name, length in lengths.items():
        if name not in names:
            raise ValueError(
                f"axis_lengths: no input has a free axis named {name!r}; the model has "
                f"{', '.join(map(repr, sorted(names))) or 'none'}"
            )
        whole = isinstance(length, numbers.Integral) and not isinstance(length, bool)
        if not whole or length < 1:
            raise ValueError(
                f"axis_lengths: the length of {name!r} must be a whole number >= 1; got {length!r}"
            )
        for axis in names[name]:
            axis.dim_value = length
    return copy


def check_candidates_axis(model: onnx.ModelProto) -> None:
    """ValueError unless exactly one axis, of one input or of several, can hold the candidates.

    Every input must be a tensor whose number of axes is known.

    Axes of several inputs are one where they have the same name, or none (converters from
    TensorFlow name each axis apart, "unk__7").

    >>> from lib.serving.graphs.export import random_graph
    >>> check_candidates_axis(random_graph("naive", [6, 4, 1], seed=0))
    """
    inputs = request_inputs(model)
    if not inputs:
        raise ValueError("the model has no input: there is nothing to send with a request")
    if not model.graph.output:
        raise ValueError("the model has no output: there are no scores")
    check_input_shapes(model)
    free = [(value, place, _axis_name(axis)) for value, place, axis in _free_axes(model)]
    if not free:
        shape = tuple(axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim)
        fixed = f"axis 0 is fixed at {shape[0]}" if shape else "it is one number"
        raise ValueError(
            f"the model is exported for a fixed batch: input {inputs[0].name!r} has the shape "
            f"{shape} ({fixed}), and no input has a free axis for a request's candidates; export "
            f"it with its first axis free (dynamic)"
        )
    places = "; ".join(
        f"{value.name}:{place}" if name == _UNNAMED else f"{name!r} of input {value.name!r}"
        for value, place, name in free
    )
    unnamed = [value.name for value, _, name in free if name == _UNNAMED]
    twice = [name for name in unnamed if unnamed.count(name) > 1]
    if twice:
        place = max(place for value, place, _ in free if value.name == twice[0])
        raise ValueError(
            f"input {twice[0]!r} has several free axes without names ({places}), and a request has "
            f"only its candidates: give the lengths of all but the candidates' axis, such as "
            f"axis_lengths = {{{f'{twice[0]}:{place}'!r}: 20}}"
        )
    names = dict.fromkeys(name for _, _, name in free if name != _REQUESTS)
    if not names:
        raise ValueError(
            f"the only free axis is {places}, which here stands for requests that are run at once, "
            f"and none holds a request's candidates: export the model with another name for it"
        )
    if len(names) > 1:
        last = list(names)[-1]
        if last == _UNNAMED:
            last = next(f"{value.name}:{place}" for value, place, name in free if name == last)
        raise ValueError(
            f"the model has several free axes ({places}), and a request has only its candidates: "
            f"give the lengths of all but the candidates' axis, such as "
            f"axis_lengths = {{{last!r}: 20}}"
        )


def check_input_shapes(model: onnx.ModelProto) -> None:
    """ValueError, naming the input, unless all are tensors whose number of axes is known.

    >>> from lib.serving.graphs.export import random_graph
    >>> check_input_shapes(random_graph("naive", [6, 4, 1], seed=0))
    """
    for value in request_inputs(model):
        _check_shape(value)


def _check_shape(value):
    if value.type.WhichOneof("value") != "tensor_type":
        kind = (value.type.WhichOneof("value") or "no type").removesuffix("_type")
        raise ValueError(
            f"input {value.name!r} must be a tensor, which is what a request sends; it is of the "
            f"type {kind.replace('_', ' ')}"
        )
    if not value.type.tensor_type.HasField("shape"):
        raise ValueError(
            f"input {value.name!r} has no shape: export the model with the number of its axes known"
        )
    for place, axis in enumerate(value.type.tensor_type.shape.dim):
        if axis.HasField("dim_value") and axis.dim_value < 1:
            raise ValueError(
                f"input {value.name!r}: axis {place} must have 1 place or more, or be free; it has "
                f"{axis.dim_value}"
            )


def request_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """What a request sends: the graph's inputs that are not weights."""
    weights = {weight.name for weight in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _free_axes(model):
    """(input, place, axis) of each axis without a length."""
    for value in request_inputs(model):
        for place, axis in enumerate(value.type.tensor_type.shape.dim):
            if not axis.HasField("dim_value"):
                yield value, place, axis


def _axis_name(axis):
    return _UNNAMED if axis.dim_param.startswith("unk__") else axis.dim_param or _UNNAMED
