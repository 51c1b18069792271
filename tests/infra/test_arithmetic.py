"""The fingerprint of TensorFlow's arithmetic: what moves it and what does not."""

import pytest

from lib.infra import arithmetic
from tests.fresh_process import printed

CODE = (
    "from lib.infra.settings import configure; configure()\n"
    "from lib.infra.arithmetic import fingerprint; print(fingerprint())"
)


def fingerprint_with(**environment):
    return printed(CODE, **environment)


def test_same_again_and_as_committed_or_not():
    here = arithmetic.fingerprint()
    assert here == arithmetic.fingerprint()
    assert arithmetic.as_committed() == (here == arithmetic.COMMITTED)


def test_inputs_are_fixed_numbers():
    # (0 + 1) x 2654435761 mod 2^32, / 2^30, - 2
    inputs = arithmetic._inputs()
    assert inputs["rows"][0, 0] == pytest.approx(2654435761 / 2**30 - 2, abs=1e-6)
    assert all(abs(x).max() <= 2 for name, x in inputs.items() if name != "ids")


@pytest.mark.slow
def test_the_instruction_set_does_not_move_it_and_one_dnn_s_kernel_does():
    here = fingerprint_with()
    assert fingerprint_with(ONEDNN_MAX_CPU_ISA="SSE41") == here
    assert fingerprint_with(NPY_DISABLE_CPU_FEATURES="X86_V3") == here
    assert fingerprint_with(TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL="true") != here
