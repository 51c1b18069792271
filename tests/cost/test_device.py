"""This machine's own figures."""

import numpy as np

from lib.cost.device import read_bandwidth, this_machine


def test_this_machine_has_finite_figures():
    assert read_bandwidth(2**20, repeats=1) > 0
    machine = this_machine()
    assert all(
        0 < x < np.inf
        for x in (
            machine.flops,
            machine.memory_bandwidth,
            machine.cache_bandwidth,
            machine.cache_bytes,
        )
    )
