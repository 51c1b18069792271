"""What OpenVINO alone must keep to."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from lib.serving.engines import OpenVino, openvino
from tests.serving.engines.cases import CASES, compare_metrics


def test_concatenated_inputs_of_any_number_and_order():
    """OpenVino's rewrite of [a, b, c] W; beside it a Concat that no product follows."""
    rng = np.random.default_rng(0)
    widths = {"a": 2, "b": 3, "c": 1}
    kernel = rng.normal(size=(6, 4)).astype("f")
    nodes = [
        helper.make_node("Concat", ["b", "a", "c"], ["x"], axis=-1),
        helper.make_node("MatMul", ["x", "kernel"], ["y"]),
        helper.make_node("Concat", ["y", "a"], ["scores"], axis=1),
    ]
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", width])
        for name, width in widths.items()
    ]
    scores = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n", 6])
    graph = helper.make_graph(
        nodes, "g", values, [scores], [numpy_helper.from_array(kernel, "kernel")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    inputs = {name: rng.normal(size=(5, width)).astype("f") for name, width in widths.items()}
    joined = np.concatenate([inputs[name] for name in "bac"], axis=1)
    compare_metrics(
        OpenVino(model).run(inputs), np.concatenate([joined @ kernel, inputs["a"]], axis=1)
    )


def test_openvino_computes_in_the_precision_asked_for_or_refuses():
    """Which precisions a processor has, OpenVINO lists; others it replaces by its own."""
    graph, inputs, expected = CASES[0]
    has = openvino._core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision in ("fp16", "bf16"):
        if precision.upper() in has:
            engine = OpenVino(graph, precision=precision)
            assert engine.precision == precision
            np.testing.assert_allclose(
                engine.run(inputs), expected, atol=5e-2 * np.abs(expected).max()
            )
        else:
            with pytest.raises(ValueError, match=f"does not compute in {precision}; OpenVINO"):
                OpenVino(graph, precision=precision)


def test_openvino_sends_no_telemetry(tmp_path):
    """A process that may send (no CI variable) and whose home is empty."""
    code = """
import socket, sys
import numpy as np
socket.socket.connect = lambda *_: sys.exit("a connection was opened")
from lib.serving.engines import build
from lib.serving.graphs.export import naive, random_weights
build("openvino", naive(random_weights([6, 4, 1], seed=0))).run(
    {"user": np.ones((1, 3), "f"), "ads": np.ones((5, 3), "f")})
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__.endswith("telemetry_stub"), telemetry_utils.tm
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert not (tmp_path / "intel").exists()  # its client id would lie here
