"""Where relative paths start."""

import nbformat
import pytest

from lib.run.execute import run_all
from lib.run.plan import plan
from tests.run.helpers import add_notebook


@pytest.mark.slow
def test_root_can_be_redirected(repository, tmp_path, monkeypatch):
    elsewhere = tmp_path / "else{where}"  # papermill fills in braces in paths
    elsewhere.mkdir()
    monkeypatch.setenv("RETRIEVAL_SCALING_ROOT", str(elsewhere))
    add_notebook(
        repository,
        "00_logs",
        "output = ''",
        "from lib.run.places import at_root\nimport os\nos.chdir('/')\nat_root()\n"
        "print(os.path.basename(os.getcwd()))",
    )
    run_all(plan())
    executed = nbformat.read(elsewhere / "outputs/quick/00_logs.ipynb", as_version=4)
    assert executed.cells[2].outputs[0].text == "else{where}\n"
    assert not (repository / "outputs").exists()
