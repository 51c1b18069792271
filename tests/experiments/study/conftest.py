import pytest

from lib.experiments import study
from tests.experiments.study.small_study import CHANGES, carry_out


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """The small study carried out: folder, worlds, a row a world, a row a training."""
    folder = tmp_path_factory.mktemp("study")
    worlds = study.expand_worlds([{"world": "small", "seeds": [0], "changes": CHANGES}])
    return folder, worlds, *carry_out(folder, worlds)
