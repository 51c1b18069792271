"""The analytic T4 against published results."""

import pytest

from lib.cost.published import MODELS, calibrated_t4, model_operators, published_t4


def test_published_models_have_the_published_flops():
    """4.92 MFLOPs a pair of DLRM; 5 layers of 1024 behind 989 inputs of Wide & Deep."""
    flops = {
        name: float(model_operators(model, 10, 2).flops.sum()) / 10
        for name, model in MODELS.items()
    }
    assert flops["DLRM"] == pytest.approx(4.92e6, rel=1e-3)
    assert flops["Wide & Deep"] == 2 * (989 * 1024 + 4 * 1024**2 + 1024)
    assert flops["DCNv2"] > 6 * flops["DLRM"]


def test_published_times_are_throughputs():
    """Times on the GPU are shorter than what the published inferences a second leave."""
    table = published_t4().set_index(["model", "precision", "batch"])["published_ms"]
    for (model, precision, batch), rate in {
        ("DLRM", "fp16", 65536): 9.34e5,
        ("DLRM", "fp16", 256): 2.36e5,
        ("Wide & Deep", "fp16", 131072): 2.272e6,
        ("DCNv2", "fp32", 65536): 1.12e5,
    }.items():
        ms = 1e3 * batch / rate
        assert 0.6 * ms < table[model, precision, batch] < ms


def test_t4_by_published_results():
    """Tolerances from the spread seen: rows that the fit never saw."""
    table = published_t4()
    assert table["calibrates"].sum() == 5
    assert set(table[table["calibrates"]]["precision"]) == {"fp16"}
    new = table[~table["calibrates"]]
    assert new[new["precision"] == "fp16"]["error"].abs().median() < 0.1
    assert new["error"].abs().max() < 0.35
    factors = calibrated_t4().factors
    assert 1 < factors["compute"] < 3  # a third to all of the tensor peak
    assert factors["transfer"] == 1
