"""The small world, its candidates and its oracle; no test changes them."""

import pytest

from lib.simulation import match, oracle_system
from tests.simulation.helpers import small


@pytest.fixture(scope="session")
def world():
    return small()


@pytest.fixture(scope="session")
def matched(world):
    return match(world)


@pytest.fixture(scope="session")
def oracle(matched):
    return oracle_system(matched)
