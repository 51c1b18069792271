"""Fixtures: the small log, and an empty repository for the runner."""

import pytest

from lib.logs import reader
from lib.run import places
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


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An empty repository, which the runner takes for its own."""
    for folder in ("notebooks", "params/quick", "lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lib/laws.py").write_text("SLOPE = 0.3\n")
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6\n")
    monkeypatch.setattr(places, "REPOSITORY", tmp_path)
    monkeypatch.delenv("RETRIEVAL_SCALING_ROOT", raising=False)
    return tmp_path
