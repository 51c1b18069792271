"""The step of click models on JAX: that of the loops, as TensorFlow's is."""

import importlib.util

import pytest

from tests.fresh_process import printed


@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is an extra, and not installed here"
)
def test_a_step_is_that_of_the_loops():
    code = "from tests.training import small_clicks; print(small_clicks.deviation_from_loops())"
    assert float(printed(code, KERAS_BACKEND="jax")) < 1e-5
