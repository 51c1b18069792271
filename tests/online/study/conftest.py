"""One reference log for the tests of this folder."""

import pytest

from lib.logs import reader
from lib.logs.features import Features
from lib.online.study.exposures import reference_log
from tests.online.study.small_study import PLAN

BATCH = 16


@pytest.fixture(scope="session")
def log(tmp_path_factory):
    """(Features, Impressions) of the reference system of the small study's first draw."""
    system = PLAN.systems()[0]
    path = tmp_path_factory.mktemp("study") / "log.parquet"
    reader.write_logs(path, reference_log(system))
    features = Features(features=system.drifting().world.features)
    return features, reader.read(path, features)
