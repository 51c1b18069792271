"""Half precision against single precision."""

import numpy as np
import onnx
import pytest

from lib.serving.engines import OnnxRuntime
from lib.serving.graphs.export import naive, random_weights
from lib.serving.graphs.half_precision import half
from tests.serving.engines.cases import BASE, CASES, FORMS, case


@pytest.mark.parametrize("form", FORMS)
def test_half_of_the_base_size_against_single_precision(form):
    graph, inputs, expected = case(form, BASE, user_width=1664, candidates=50)
    scale = np.abs(expected).max()
    scores = OnnxRuntime(half(graph)).run(inputs)
    assert scores.dtype == np.float32
    assert np.abs(scores - expected).max() < 2e-3 * scale
    engine = OnnxRuntime(half(graph, half_inputs=True))
    assert set(engine.input_types.values()) == {np.dtype(np.float16)}
    scores = engine.run({name: x.astype(np.float16) for name, x in inputs.items()})
    assert scores.dtype == np.float16
    assert np.abs(scores - expected).max() < 2e-3 * scale


def test_half_holds_all_weights_and_products_in_fp16():
    graph = CASES[1][0]
    before = graph.SerializeToString()
    converted = half(graph)
    assert graph.SerializeToString() == before
    types = {weight.data_type for weight in converted.graph.initializer}
    assert types == {onnx.TensorProto.FLOAT16}
    assert [node.op_type for node in converted.graph.node].count("Cast") == 3  # two in, one out


@pytest.mark.parametrize("weight", [7e4, -np.inf, np.nan])
def test_half_refuses_what_fp16_does_not_hold(weight):
    layers = random_weights([6, 4, 1], seed=0)
    layers[1].bias[0] = weight
    with pytest.raises(ValueError, match=rf"must lie within FP16's ±65504; got {weight:g}"):
        half(naive(layers))
    layers[1].bias[0] = 65504
    half(naive(layers))
