"""The notebooks' regression test runs beside the committed outputs, not over them.

It finds the tables of outputs/quick, so that a notebook that reads no more can be tested alone.
"""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from lib.infra.arithmetic import as_committed
from lib.infra.settings import configure

configure()  # before a test imports TensorFlow

# Its doctests would import JAX, which is no part of the environment.
ON_JAX = ["lib/training/jax_step.py", "lib/training/distributed/synchronous.py"]
collect_ignore = [] if importlib.util.find_spec("jax") else ON_JAX

REPOSITORY = Path(__file__).parent
# What notebook 03 measured when outputs/quick was made: 03 to 05 are computed from that again.
RECORD = REPOSITORY / "outputs/quick/03_cost_simulation/timings.csv"
NOT_COMPARED = (
    "The notebooks ran, but their outputs were not compared: this processor's TensorFlow rounds "
    "otherwise than that of the committed ones (lib.infra.arithmetic)."
)


def pytest_configure(config):
    if not _runs_notebooks(config):
        return
    folder = tempfile.TemporaryDirectory(prefix="retrieval-scaling-")
    config.add_cleanup(folder.cleanup)
    # Kernels inherit it: every relative path of a notebook then starts there.
    os.environ["RETRIEVAL_SCALING_ROOT"] = folder.name
    for table in REPOSITORY.glob("outputs/quick/*/*.csv"):
        copy = Path(folder.name, table.relative_to(REPOSITORY))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(table, copy)
    if RECORD.exists():
        os.environ["RETRIEVAL_SCALING_RECORD"] = str(RECORD)
    config.option.nbval_lax |= not as_committed()


def pytest_terminal_summary(terminalreporter, config):
    if _runs_notebooks(config) and not as_committed():
        terminalreporter.write_line(NOT_COMPARED)


def _runs_notebooks(config):
    return any(config.getoption(name, default=False) for name in ("nbval", "nbval_lax"))
