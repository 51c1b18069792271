"""What the machine has, and what this process may use of it."""

import builtins
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from lib.infra import machine
from tests import ROOT


def test_facts_name_this_machine():
    facts = machine.facts()
    assert facts["cpu"]
    assert 1 <= facts["cores"] == machine.cores()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_cores_are_those_of_the_process_s_affinity():
    code = (
        "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
        "from lib.infra.machine import cores; print(cores())"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == "1\n"


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 64)],
)
def test_cores_are_those_of_the_container_s_quota(monkeypatch, quota, cores):
    """2 of 64 cores: what cgroup v2 says in a container."""
    file, real_open, real_exists = "/sys/fs/cgroup/cpu.max", builtins.open, os.path.exists
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    monkeypatch.setattr(os.path, "exists", lambda path: path == file or real_exists(path))
    monkeypatch.setattr(
        builtins,
        "open",
        lambda path, *rest, **options: (
            io.StringIO(quota) if path == file else real_open(path, *rest, **options)
        ),
    )
    assert machine.cores() == machine.facts()["cores"] == cores


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
