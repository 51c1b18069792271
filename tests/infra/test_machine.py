import numpy as np
import pytest

from lib.infra import machine


def test_facts_name_this_machine():
    facts = machine.facts()
    assert facts["cpu"]
    assert 1 <= facts["cores"] == machine.cores()


def test_peaks_are_positive_and_measured_once():
    for peak in (machine.matrix_product_peak, machine.memory_bandwidth):
        peak.cache_clear()
    assert machine.matrix_product_peak(1, size=64, repeats=1) > 0
    first = machine.memory_bandwidth(1, megabytes=4, repeats=1)
    assert first > 0
    assert machine.memory_bandwidth(1, megabytes=4, repeats=1) == first


def test_peak_memory_holds_what_was_held():
    before = machine.peak_memory_mb()
    if np.isnan(before):
        pytest.skip("this system does not say how much memory a process has held")
    held = np.ones(400_000_000 // 8)
    after = machine.peak_memory_mb()
    del held
    # The kernel counts pages in batches, a few of them late.
    assert after >= 380
    assert machine.peak_memory_mb() >= 0.95 * after  # a peak does not fall
