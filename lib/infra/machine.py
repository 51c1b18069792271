"""What this machine is, and how fast its matrix products and its memory are."""

import functools
import platform
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
from threadpoolctl import threadpool_limits


def facts() -> dict:
    """Processor, cores this process may use, system: recorded beside every timing."""
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def cores() -> int:
    """Cores that this process may use.

    The smallest of the machine's cores, the process's affinity, the quota of its container
    (cgroup, rounded up to whole cores) and the environment's LOKY_MAX_CPU_COUNT.
    """
    return joblib.cpu_count()


def _cpu_name():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@functools.cache
def matrix_product_peak(threads: int | None = None, size: int = 1536, repeats: int = 5) -> float:
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


@functools.cache
def memory_bandwidth(threads: int | None = None, megabytes: int = 512, repeats: int = 5) -> float:
    """Bytes/s of the best of `repeats` readings of an array larger than the caches.

    Each of `threads` cores (all by default) reads its rows in a matrix-vector product, which
    reads several rows at a time and so faster than a sum; the most that a scan of cached ad
    vectors can reach. Measured once a process.
    """
    threads = threads or cores()
    values = np.ones((megabytes * 64, 4096), np.float32)
    ones, parts = np.ones(4096, np.float32), np.array_split(values, threads)
    best = np.inf
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for _ in range(1 + repeats):  # the first warms up
            start = time.perf_counter()
            list(pool.map(lambda part: part @ ones, parts))
            best = min(best, time.perf_counter() - start)
    return values.nbytes / best


def peak_memory_mb() -> float:
    """The most memory this process has held at a time, MB; NaN where the system does not say."""
    try:
        # Not getrusage: its peak goes over from a parent process to the one it starts.
        with open("/proc/self/status") as lines:
            kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
        return int(kilobytes) * 1024 / 1e6
    except (OSError, StopIteration):
        return float("nan")
