"""The operators in NumPy."""

import numpy as np
import onnx
import pytest

from lib.serving.engines import OnnxRuntime, OpenVino
from lib.serving.engines.interpreter import Program
from lib.serving.graphs.batching import batched
from lib.serving.graphs.export import random_weights
from lib.serving.load.random_inputs import random_inputs
from tests.serving.engines.cases import CASES, FORMS, compare_metrics


@pytest.mark.parametrize(("graph", "inputs", "expected"), CASES, ids=[*FORMS, "slopes above 1"])
def test_interpreter_equals_numpy(graph, inputs, expected):
    program = Program(graph)
    compare_metrics(program(np, program.weights, inputs), expected)


@pytest.mark.parametrize("form", FORMS)
def test_interpreter_and_openvino_run_batched_graphs(form):
    graph = batched(
        form, random_weights([24, 16, 8, 1][: 3 if form == "twin_tower" else 4], seed=1)
    )
    engine = OpenVino(graph)
    inputs = random_inputs(engine.input_shapes, 7, seed=0, requests=1)[0]
    expected, program = OnnxRuntime(graph).run(inputs), Program(graph)
    compare_metrics(engine.run(inputs), expected)
    compare_metrics(program(np, program.weights, inputs), expected)


def test_interpreter_names_what_it_does_not_have():
    graph = CASES[0][0]
    odd = onnx.ModelProto()
    odd.CopyFrom(graph)
    odd.graph.node[-1].op_type = "Softmax"
    with pytest.raises(ValueError, match="do not have the operators Softmax; they have Add, Cast"):
        Program(odd)
