"""The axes of a graph's inputs that have no length: the one that a request's candidates lie on.

A load test gives the candidates' axis its length and must know which one it is. A graph of ours has
one, named "candidates" (and "requests" where it takes several). A model of another project may
be exported for one batch size, and then scores that many ads whatever a request holds; or have
further free axes, such as the length of a history, which only its owner knows.
"""

import numbers

import onnx

_REQUESTS = "requests"  # one place a request; see `lib.serving.graphs.batching`
_UNNAMED = "without a name"


def fix_axes(model: onnx.ModelProto, lengths: dict[str, int] | None) -> onnx.ModelProto:
    """A copy of the model whose inputs' axes of these names have these lengths.

    Args:
      lengths: name of an axis -> length, >= 1; the model itself comes back where there is none.

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
    names = {axis.dim_param for _, axis in _free_axes(copy) if axis.dim_param}
    for name, length in lengths.items():
        if name not in names:
            raise ValueError(
                f"axis_lengths: no input has a free axis named {name!r}; the model has "
                f"{', '.join(map(repr, sorted(names))) or 'none with a name'}"
            )
        if not isinstance(length, numbers.Integral) or length < 1:
            raise ValueError(
                f"axis_lengths: the length of {name!r} must be a whole number >= 1; got {length!r}"
            )
    for _, axis in list(_free_axes(copy)):
        if axis.dim_param in lengths:
            axis.dim_value = lengths[axis.dim_param]
    return copy


def check_candidates_axis(model: onnx.ModelProto) -> None:
    """ValueError unless exactly one axis, of one input or of several, can hold the candidates.

    Axes of several inputs are one where they have the same name, or none (converters from
    TensorFlow name each axis apart, "unk__7").

    >>> from lib.serving.graphs.export import random_graph
    >>> check_candidates_axis(random_graph("naive", [6, 4, 1], seed=0))
    """
    inputs = _inputs(model)
    if not inputs:
        raise ValueError("the model has no input: there is nothing to send with a request")
    free = [(value, _axis_name(axis)) for value, axis in _free_axes(model)]
    if not free:
        shape = tuple(axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim)
        raise ValueError(
            f"the model is exported for a fixed batch: input {inputs[0].name!r} has the shape "
            f"{shape}, and no input has a free axis for a request's candidates; export it with "
            f"its first axis free (dynamic)"
        )
    names = dict.fromkeys(name for _, name in free if name != _REQUESTS)
    unnamed = [value.name for value, name in free if name == _UNNAMED]
    twice = [value for value in unnamed if unnamed.count(value) > 1]
    if twice:
        raise ValueError(
            f"input {twice[0]!r} has several free axes without names; export it with a name for "
            f"each, and give the lengths of all but the candidates' as axis_lengths"
        )
    if len(names) > 1:
        places = "; ".join(f"{name!r} of input {value.name!r}" for value, name in free)
        raise ValueError(
            f"the model has several free axes ({places}), and a request has only its candidates: "
            f"give the lengths of all but the candidates' axis, such as "
            f"axis_lengths = {{{list(names)[-1]!r}: 20}}"
        )


def _inputs(model):
    """What a request sends: the graph's inputs that are not weights."""
    weights = {weight.name for weight in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _free_axes(model):
    """(input, axis) of each axis without a length."""
    for value in _inputs(model):
        for axis in value.type.tensor_type.shape.dim:
            if not axis.HasField("dim_value"):
                yield value, axis


def _axis_name(axis):
    return _UNNAMED if axis.dim_param.startswith("unk__") else axis.dim_param or _UNNAMED
