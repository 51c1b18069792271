import pytest

from lib.logs import reader
from tests.small_log import FEATURES, make_log
from tests.training.small_training import STOP, train


@pytest.fixture(scope="session")
def log(tmp_path_factory):
    """A log of 700 impressions; a training reads the first STOP."""
    path = tmp_path_factory.mktemp("training") / "log.parquet"
    reader.write_logs(path, [make_log(count=700)])
    return path


@pytest.fixture(scope="session")
def held_out(log):
    """The log's impressions behind those of a training."""
    return reader.read(log, FEATURES, start=STOP)


@pytest.fixture(scope="session")
def trained(log):
    return train(log)
