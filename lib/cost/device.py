"""What a processor can do at most: the figures that the analytic model starts from."""

import dataclasses
import time
from pathlib import Path

import numpy as np

from lib.infra.machine import matrix_product_peak, memory_bandwidth


@dataclasses.dataclass(frozen=True)
class Device:
    """What a processor can do at most; times are computed in its number format.

    Bandwidths are bytes per second. A working set that fits into `cache_bytes` moves at
    `cache_bandwidth`. `transfer_bandwidth`: from the host; inf where the processor computes
    on the host's memory. `launch_ms`, `request_ms`: overhead of an operator, of a request.
    `fused`: an activation is applied while its product is written, and moves nothing itself.
    """

    name: str
    flops: float  # of matrix products, FLOP/s
    memory_bandwidth: float
    cache_bandwidth: float
    cache_bytes: float
    transfer_bandwidth: float
    launch_ms: float
    request_ms: float
    bytes_per_value: int
    fused: bool


# NVIDIA's data sheet: 65 TFLOP/s of FP16 tensor cores, 130 TOP/s of INT8, 320 GB/s, PCIe 3
# x16, 4 MB of L2, 2,560 cores of 1.59 GHz. Not of the data sheet: 12 GB/s of a PCIe transfer,
# 1.3 TB/s of L2, 3 and 50 microseconds of a launch and of a request (typical; fitted where
# measured).
T4 = Device(
    "T4, FP16",
    flops=65e12,
    memory_bandwidth=320e9,
    cache_bandwidth=1.3e12,
    cache_bytes=4 * 2**20,
    transfer_bandwidth=12e9,
    launch_ms=0.003,
    request_ms=0.05,
    bytes_per_value=2,
    fused=True,
)
T4_INT8 = dataclasses.replace(T4, name="T4, INT8", flops=130e12, bytes_per_value=1)
# One core of a server's processor, single precision: the form of a fit to rows of an unknown
# machine, whose factors then say what the machine is.
CPU_CORE = Device(
    "one CPU core, FP32",
    flops=75e9,
    memory_bandwidth=12e9,
    cache_bandwidth=25e9,
    cache_bytes=32 * 2**20,
    transfer_bandwidth=np.inf,
    launch_ms=0.005,
    request_ms=0.02,
    bytes_per_value=4,
    fused=False,
)


def this_machine(threads=1):
    """This machine's processor as measured now, `threads` of its cores, single precision.

    Takes about a second. The overheads are `CPU_CORE`'s, and so is the cache where the
    system does not tell its size.
    """
    return dataclasses.replace(
        CPU_CORE,
        name=f"this machine, {threads} threads, FP32",
        flops=matrix_product_peak(threads),
        memory_bandwidth=memory_bandwidth(threads),
        cache_bandwidth=threads * read_bandwidth(2**20),
        cache_bytes=_last_cache_bytes() or CPU_CORE.cache_bytes,
    )


def this_machine_task(task, path):
    """The fields of `this_machine(task["threads"])`, as a task of `lib.infra.sweep`."""
    return dataclasses.asdict(this_machine(task["threads"]))


def _last_cache_bytes():
    """Size of the last level of cache, by Linux; 0 where it does not say."""
    files = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    return 2**10 * int(files[-1].read_text().strip().removesuffix("K")) if files else 0


def read_bandwidth(size_bytes, repeats=5):
    """Bytes per second at which one thread reads an array repeatedly, the best of `repeats`."""
    values = np.ones(size_bytes // 4, np.float32)
    reads = max(1, 2**26 // size_bytes)
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(reads):
            values.max()
        best = min(best, time.perf_counter() - start)
    return reads * values.nbytes / best
