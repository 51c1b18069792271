import pytest

from tests.experiments.dlrm_study.small_streams import simulated


@pytest.fixture(scope="session")
def streams(tmp_path_factory):
    """Two worlds' streams with auctions."""
    return simulated(tmp_path_factory.mktemp("streams"), seeds=(0, 7), requests=20)
