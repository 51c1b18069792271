"""The small log as fixtures: its features, its file, its first impressions."""

import pytest

from lib.logs import reader
from tests.small_log import FEATURES, make_log


@pytest.fixture(scope="session")
def features():
    return FEATURES


@pytest.fixture(scope="session")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    reader.write_logs(path, [make_log()])
    return path


@pytest.fixture(scope="session")
def batch(log, features):
    return reader.read(log, features, stop=32)
