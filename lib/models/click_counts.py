"""Parameters, FLOPs and memory traffic of a click model by part, without Keras."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from lib.models.click_size import ClickSize

if TYPE_CHECKING:
    from lib.models.click_model import ClickModel

PARTS = ("embeddings", "bottom", "interaction", "top")
_BYTES = 4  # of a float32 or an int32


class Counts(NamedTuple):
    """What a part of one model (one replica) has and does, the latter per example.

    Attributes:
      parameters: trained numbers.
      forward_flops: a multiply-add is 2, an addition 1; biases, rectifiers and means' divisions
        are left out. A DLRM's interaction counts each pair once, though a machine computes the
        whole matrix.
      training_flops: three times as many; the optimizer's are left out.
      serving_bytes, training_bytes: read and written, each array once a use: rows of tables and
        ids where they are looked up, weights once a batch, inputs and outputs of every layer.
        Training adds the slopes of all these and Adagrad: of weights one sum of squares each, of
        tables one a looked-up row (an id that occurs twice in a batch counts twice: an upper
        bound). Caches, which save much of a small model's, are left out.
    """

    parameters: int = 0
    forward_flops: int = 0
    training_flops: int = 0
    serving_bytes: float = 0.0
    training_bytes: float = 0.0


def click_counts(
    model: ClickModel | ClickSize | Mapping[str, Any], batch: int = 2048
) -> pd.DataFrame:
    """Counts of a click model by part: one replica, one example.

    Args:
      model: a `ClickModel`, its size, or its config.
      batch: examples that share one reading and, in training, one update of the weights.

    Returns: DataFrame of the `Counts`, one row each of embeddings (tables), bottom (the dense
      features' MLP), interaction (a DLRM's products, a factorisation machine's, a DCN v2's cross
      layers) and top (the MLP or the linear part that ends in the logit). Its `sum()` is the whole
      model's.

    Raises ValueError for a batch below 1 and for a config that describes no model.

    >>> from lib.models.click_size import Field
    >>> size = ClickSize("dlrm", [Field("user", 1000), Field("ad", 10)], ["age"], rows=100, width=4,
    ...                  bottom=(), top=())
    >>> click_counts(size).forward_flops.to_dict()
    {'embeddings': 0, 'bottom': 8, 'interaction': 24, 'top': 14}
    """
    if batch < 1:
        raise ValueError(f"click_counts: batch must be >= 1; got {batch}")
    size = _size(model)
    layers = dict.fromkeys(PARTS, ()) | _layers(size)
    rows = {part: _summed([_of_layer(layer, batch) for layer in layers[part]]) for part in PARTS}
    rows["embeddings"] = _of_tables(size)
    return pd.DataFrame.from_dict(rows, orient="index", columns=Counts._fields).rename_axis("part")


class _Layer(NamedTuple):
    """Numbers in and out per example, FLOPs of the forward pass, weights."""

    inputs: int
    outputs: int
    flops: int
    parameters: int = 0


def _size(model):
    if isinstance(model, Mapping):
        known = [field.name for field in dataclasses.fields(ClickSize)]
        return ClickSize(**{name: value for name, value in model.items() if name in known})
    return model if isinstance(model, ClickSize) else model.size


def _layers(size):
    """Part -> its layers; what is not named has none."""
    dense, vectors, width = len(size.dense), size.vectors, size.width
    if size.family in ("logistic_regression", "factorisation_machine"):
        linear = _Layer(vectors + dense, 1, vectors + 2 * dense, dense + 1)
        if size.family == "logistic_regression":
            return {"top": [linear]}
        # Sum and sum of squares of the vectors, of the dense features' as products; the difference
        # of the sums' squares.
        flops = 3 * vectors * width + 4 * dense * width + 2 * width
        return {
            "interaction": [_Layer(vectors * width + dense, 1, flops, dense * width)],
            "top": [linear],
        }
    parts = {"bottom": _stack(size.bottom_sizes), "top": _stack(size.top_sizes)}
    if size.family == "dlrm":
        pairs = vectors * (vectors - 1) // 2
        parts["interaction"] = [_Layer(vectors * width, pairs, 2 * pairs * width)]
    if size.family == "dcn_v2":
        n = size.concatenated
        # A layer reads its input and the first one's.
        cross = _Layer(2 * n, n, 2 * n * n + 2 * n, n * n + n)
        parts["interaction"] = [cross] * size.cross_layers
    return parts


def _stack(sizes):
    return [
        _Layer(inputs, units, 2 * inputs * units, (inputs + 1) * units)
        for inputs, units in itertools.pairwise(sizes)
    ]


def _of_layer(layer, batch):
    inputs, outputs, flops, parameters = layer
    # Weights: read forward and backward; their slopes written; Adagrad reads weights, slopes and
    # sums and writes weights and sums. Backward: inputs and the outputs' slopes are read, the
    # inputs' slopes written.
    weights = parameters / batch
    return Counts(
        parameters,
        flops,
        3 * flops,
        _BYTES * (weights + inputs + outputs),
        _BYTES * (8 * weights + 3 * inputs + 2 * outputs),
    )


def _of_tables(size):
    width = sum(size.widths)
    lookups = size.slots * size.tables_per_field
    pooled = size.tables_per_field * sum(f.slots for f in size.fields if f.slots > 1)
    # A looked-up row is read; in training its slope is written and read, the row and its sum of
    # squares are read and written.
    return Counts(
        sum(size.table_rows) * width,
        pooled * width,
        3 * pooled * width,
        _BYTES * (size.slots + lookups * width),
        _BYTES * (size.slots + lookups * (5 * width + 2 * len(size.widths))),
    )


def _summed(counts):
    return Counts(*map(sum, zip(*counts))) if counts else Counts()
