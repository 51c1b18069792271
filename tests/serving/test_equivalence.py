"""Equal scores where forms and engines are equal; a difference where one of them errs."""

import pytest

from lib.serving import engines
from lib.serving.equivalence import score_differences


def test_forms_engines_and_half_precision():
    table = score_differences([24, 16, 8, 1], ["onnxruntime", "openvino"], ads=50)
    assert table[["engine", "form", "precision"]].values.tolist() == [
        ["onnxruntime", "naive", "fp32"],
        ["onnxruntime", "first_layer_optimised", "fp32"],
        ["openvino", "naive", "fp32"],
        ["openvino", "first_layer_optimised", "fp32"],
        ["onnxruntime", "first_layer_optimised", "fp16"],
    ]
    assert table.difference[0] == 0
    assert table.difference[:4].max() < 1e-5
    assert 1e-5 < table.difference[4] < 5e-3


def test_an_engine_that_errs_is_seen(monkeypatch):
    def doubled(engine, inputs):
        return 2 * run(engine, inputs)

    run = engines.OpenVino.run
    monkeypatch.setattr(engines.OpenVino, "run", doubled)
    table = score_differences([24, 16, 8, 1], ["onnxruntime", "openvino"], ads=50)
    wrong = table[table.engine == "openvino"].difference
    assert wrong.tolist() == pytest.approx([1.0, 1.0], abs=1e-4)
