"""XLA through TensorFlow, in a process of its own, and through JAX."""

import contextlib
import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from joblib.externals.loky import ProcessPoolExecutor

from lib.serving.engines import EngineUnavailable, build, xla
from tests.serving.engines.cases import CASES, compare_metrics


def in_its_own_process(engine, inputs):
    return engine.run(inputs), engine.library


@pytest.mark.slow
def test_tensorflow_xla_equals_numpy_in_its_own_process():
    """Its own, for TensorFlow's threads are a process's and other tests have started them."""
    pool = ProcessPoolExecutor(max_workers=1)
    try:
        runs = [
            pool.submit(in_its_own_process, build("tensorflow_xla", graph), inputs)
            for graph, inputs, _ in CASES
        ]
        for run, (*_, expected) in zip(runs, CASES, strict=True):
            scores, library = run.result()
            compare_metrics(scores, expected)
            assert library.startswith("tensorflow 2.")
        other = pool.submit(
            in_its_own_process, build("tensorflow_xla", CASES[0][0], threads=2), CASES[0][1]
        )
        with pytest.raises(EngineUnavailable, match="threads = 2, but TensorFlow has started with"):
            other.result()
    finally:
        pool.shutdown(kill_workers=True)


def fake_jax(platform):
    device = SimpleNamespace(platform=platform, device_kind="NVIDIA H100")
    return SimpleNamespace(
        devices=lambda: [device],
        numpy=np,
        jit=lambda function: function,
        __version__="9",
        default_matmul_precision=contextlib.nullcontext,
        device_put=lambda arrays, place: arrays,
    )


@pytest.fixture
def jax(monkeypatch):
    """JAX with NumPy in its place, and whatever device a test names."""
    monkeypatch.setattr(xla, "_check_installed", lambda package: None)

    def install(platform):
        monkeypatch.setitem(sys.modules, "jax", fake_jax(platform))

    return install


def test_jax_xla_with_numpy_in_its_place(jax):
    """What surrounds JAX: the device is named, fp16 is the graph of half precision."""
    graph, inputs, expected = CASES[0]
    jax("gpu")
    single, rough = build("jax_xla", graph), build("jax_xla", graph, precision="fp16")
    compare_metrics(single.run(inputs), expected)
    np.testing.assert_allclose(rough.run(inputs), expected, atol=4e-3 * np.abs(expected).max())
    assert (single.device, single.library) == ("NVIDIA H100", "jax 9")


def test_jax_xla_needs_a_gpu(jax):
    jax("cpu")
    with pytest.raises(EngineUnavailable, match="JAX sees no GPU here"):
        build("jax_xla", CASES[0][0])


@pytest.mark.skipif(importlib.util.find_spec("jax") is not None, reason="JAX is installed here")
def test_jax_xla_says_that_jax_is_missing():
    with pytest.raises(EngineUnavailable, match="the engine needs jax, which is not installed"):
        build("jax_xla", CASES[0][0])


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_jax_xla_on_whatever_device_jax_has(monkeypatch, precision):
    monkeypatch.setattr(xla, "_accelerator", lambda jax: jax.devices()[0])
    tolerance = {"fp32": 1e-5, "fp16": 4e-3}[precision]
    for graph, inputs, expected in CASES:
        engine = build("jax_xla", graph, precision=precision)
        for request in (inputs, engine.to_device(inputs)):
            np.testing.assert_allclose(
                engine.run(request), expected, atol=tolerance * np.abs(expected).max()
            )
