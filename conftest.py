"""The notebooks' regression test runs beside the committed outputs, not over them."""

import os
import tempfile

from lib.infra.settings import configure

configure()  # before a test imports TensorFlow


def pytest_configure(config):
    if config.getoption("nbval", default=False):
        folder = tempfile.TemporaryDirectory(prefix="retrieval-scaling-")
        config.add_cleanup(folder.cleanup)
        # Kernels inherit it: every relative path of a notebook then starts there.
        os.environ["RETRIEVAL_SCALING_ROOT"] = folder.name
