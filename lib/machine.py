"""What this machine is, and how fast its matrix products are."""
import functools
import os
import platform
import time

import numpy as np
from threadpoolctl import threadpool_limits


def facts():
    """Processor, cores this process may use, system: recorded beside every timing."""
    return {"cpu": _cpu_name(), "cores": cores(), "system": f"{platform.system()} "
            f"{platform.machine()}", "python": platform.python_version()}


def cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cpu_name():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines
                        if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@functools.cache
def matrix_product_peak(threads=None, size=1536, repeats=5):
    """FLOP/s of the best of `repeats` square float32 matrix products on `threads` cores.

    What a model's forward and backward pass can at most reach on this machine;
    measured once a process.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.random((size, size), dtype=np.float32) for _ in range(2))
    best = np.inf
    with threadpool_limits(threads or cores()):
        a @ b  # warm up
        for _ in range(repeats):
            start = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
