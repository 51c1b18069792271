"""Where relative paths start."""

import os
import shutil

import nbformat
import pytest

from lib.__main__ import main
from lib.run import places
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


def test_a_profile_is_a_name_or_a_folder(repository, tmp_path, monkeypatch):
    (tmp_path / "work/mine").mkdir(parents=True)
    (tmp_path / "work/quick").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert places.profile("quick") == places.profile(repository / "params/quick") == "quick"
    for text in ("mine", "mine/", "./mine", tmp_path / "work/mine"):
        assert places.profile(text) == str(tmp_path / "work/mine")
    assert places.profile("./quick") == str(tmp_path / "work/quick")
    for text in ("", "fast", "mine/04_roi_design.yaml"):
        with pytest.raises(ValueError, match="not found; params/ has quick, and a profile of your"):
            places.profile(text)


def test_where_a_profile_s_files_lie(repository, tmp_path, monkeypatch):
    mine = str(tmp_path / "mine")
    assert not places.is_own("quick") and places.is_own(mine)
    assert places.parameters_of("quick") == repository / "params/quick"
    assert places.parameters_of(mine) == tmp_path / "mine"
    assert places.results_of(mine) == tmp_path / "mine/outputs"
    assert places.receipt_of(mine) == tmp_path / "mine/outputs/receipt.json"
    monkeypatch.setenv(places.ROOT, str(tmp_path / "elsewhere"))
    assert places.results_of("quick") == tmp_path / "elsewhere/outputs/quick"
    assert places.receipt_of("quick") == repository / "outputs/quick/receipt.json"


def test_paths_start_at_one_s_own_profile(repository, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    with places.of_profile("quick"), places.of_profile("no such profile"):
        assert places.root() == repository
    with places.of_profile(tmp_path / "mine"):
        assert places.root() == tmp_path / "mine"
        assert places.shipped("lib/laws.py") == repository / "lib/laws.py"
    assert places.ROOT not in os.environ
    with pytest.raises(KeyError), places.rooted(tmp_path / "mine"):
        raise KeyError
    assert places.ROOT not in os.environ


@pytest.mark.slow
def test_a_profile_of_one_s_own_runs_where_it_lies(repository, tmp_path, monkeypatch, capsys):
    add_notebook(
        repository,
        "00_logs",
        "output = ''\ntable = ''",
        "from pathlib import Path\nfrom lib.run.places import at_root\nat_root()\n"
        "Path(output).mkdir(parents=True, exist_ok=True)\n"
        "Path(output, 'copy.csv').write_text(Path(table).read_text())\n"
        'Path(output, \'summary.json\').write_text(\'{"notebook": "00_logs", "claims": [], '
        '"files": ["copy.csv"], "answer": "", "values": {}}\');',
    )
    mine = tmp_path / "mi{ne}"
    mine.mkdir()
    (mine / "rows.csv").write_text("a\n1\n")
    (mine / "question.yaml").write_text("measurements: a.csv")
    shutil.move(repository / "params/quick/00_logs.yaml", mine)
    (mine / "00_logs.yaml").write_text("table: rows.csv")
    (repository / "elsewhere").mkdir()
    monkeypatch.chdir(repository / "elsewhere")
    command = ["run", "--profile", "../mi{ne}"]
    assert main(command) == 0
    assert (mine / "outputs/00_logs/copy.csv").read_text() == "a\n1\n"
    assert (mine / "outputs/00_logs.ipynb").is_file() and (mine / "outputs/scorecard.md").is_file()
    assert "`mi{ne}`" in (mine / "outputs/scorecard.md").read_text()
    assert main(["receipt", "--profile", str(mine), "--accept"]) == 0
    assert (mine / "outputs/receipt.json").is_file()
    assert main(["receipt", "--profile", str(mine)]) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert "up to date" in capsys.readouterr().out
    assert not (repository / "outputs").exists()
    assert list((repository / "elsewhere").iterdir()) == []
