"""What this project sets in a process before TensorFlow and others start there.

`import lib` sets nothing. Notebooks, the runner, workers of a sweep and our trainings call
`configure`; so may a caller who wants the same numbers.
"""

import os
import sys
from pathlib import Path

# What the numbers of a training hang on.
ARITHMETIC = {
    # Sums of floats depend on the number of threads: one thread gives the same numbers on every
    # machine. Models of these sizes lose 10 to 25 % by it, and sweeps use all cores with
    # processes. Set both to your number of cores to train one large model.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    # Where a processor has what oneDNN likes, TensorFlow says so at every start, whatever the log
    # level, and rounds in another way than elsewhere.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    # TensorFlow's matrix products would still take oneDNN's kernel, made at run time for the
    # processor; Eigen's own was compiled once, for all of them.
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "false",
}
SETTINGS = {
    **ARITHMETIC,
    "KERAS_BACKEND": "tensorflow",
    # Start-up lines would stand between the results of every notebook.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # ONNX Runtime would keep a log of its use in the home folder, to be sent.
    "ORT_DISABLE_TELEMETRY": "1",
}
_WARNED = "RETRIEVAL_SCALING_WARNED"  # in the environment, so that child processes stay silent
_CPU_INFO = Path("/proc/cpuinfo")


def configure():
    """Set `SETTINGS` in this process's environment, less what the environment has already.

    To be called before TensorFlow is imported; child processes inherit it. One line on stderr
    says where the numbers of trainings will be others than those of the settings.

    >>> configure()
    >>> os.environ["ORT_DISABLE_TELEMETRY"]
    '1'
    """
    reasons = _reasons_for_other_numbers()
    if reasons and _WARNED not in os.environ:
        print(
            f"lib: trained models may differ in late digits: {'; '.join(reasons)}", file=sys.stderr
        )
        os.environ[_WARNED] = "1"
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def _reasons_for_other_numbers():
    """Why this process may round in another way than the settings do, a list of str."""
    found = {name: os.environ.get(name, value) for name, value in ARITHMETIC.items()}
    reasons = [
        f"{name} is {found[name]!r} here, {value!r} by the settings"
        for name, value in ARITHMETIC.items()
        if found[name] != value
    ]
    unset = [name for name in ARITHMETIC if name not in os.environ]
    if "tensorflow" in sys.modules and unset:
        reasons.append(f"TensorFlow was imported before {', '.join(unset)} had been set")
    if _CPU_INFO.exists() and "flags" in (text := _CPU_INFO.read_text()):
        # The C library, NumPy and OpenBLAS take other functions on such a processor.
        if not {"avx2", "fma"} <= set(text.split()):
            reasons.append("the processor has no AVX2 and FMA")
    return reasons
