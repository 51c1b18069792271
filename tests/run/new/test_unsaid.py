"""Every parameter of a notebook that a new profile has is explained, in one place."""

import pytest

from lib.run import places
from lib.run.new.parameter_files import GIVEN, OF_LOGS
from lib.run.new.unsaid import UNSAID, explained
from lib.run.parameters import declared, explanations
from lib.run.plan import read_notebook


def notebook(stem):
    return read_notebook(places.REPOSITORY / "notebooks" / f"{stem}.ipynb")


@pytest.mark.parametrize("stem", [*OF_LOGS, *GIVEN])
def test_a_parameter_is_explained_once(stem):
    said = explanations(notebook(stem), source=stem)
    assert list(said) == list(declared(notebook(stem), source=stem))
    assert {name for name, (_, text) in said.items() if not text} == set(UNSAID.get(stem, {}))
    assert all(text for _, text in explained(notebook(stem), stem).values())


def test_only_notebooks_of_a_new_profile_are_explained():
    assert set(UNSAID) <= {*OF_LOGS, *GIVEN}
