"""A new profile: whole or absent, and what it holds is accepted by all that read it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from lib.__main__ import main
from lib.logs import reader, tables
from lib.logs.features import load_features
from lib.run import places
from lib.run.decide.question import ask
from lib.run.new import layout
from lib.run.new.layout import lay_out
from lib.run.new.parameter_files import GIVEN
from lib.run.parameters import read_parameters
from lib.run.plan import plan
from tests import ROOT


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("parent") / "mine", logs=True)


def test_the_runner_takes_the_profile(laid_out):
    with places.of_profile(laid_out):
        jobs = plan(profile=str(laid_out))
        assert [job.stem for job in jobs] == ["00_logs", *GIVEN]
        assert {job.folder for job in jobs} == {laid_out / "outputs"}
        assert {job.output for job in jobs} == {laid_out / "outputs" / job.stem for job in jobs}
        for job in jobs:
            assert all((laid_out / text).is_file() for text in names_of_tables(job.given))


def names_of_tables(given):
    return [
        value
        for value in given.values()
        if isinstance(value, str) and value.endswith((".csv", ".parquet", "features.yaml"))
    ]


def test_the_check_finds_nothing(laid_out):
    check = pytest.importorskip("lib.run.check", reason="lib.run.check is not there yet").check
    with places.of_profile(laid_out):
        for job in plan(profile=str(laid_out)):
            assert check(job.stem, job.values) == []


def test_the_question_can_be_answered(laid_out):
    question = ask(laid_out / "question.yaml")
    assert (question.trained, question.tested, question.load_tested) == (5, 5, 5)
    assert question.left_out == []


def test_tables_hold_the_fewest_rows_that_can_be_answered(laid_out, tmp_path):
    shutil.copytree(laid_out, tmp_path / "less")
    table = pd.read_csv(tmp_path / "less/tables/measurements.csv")
    table.iloc[1:].to_csv(tmp_path / "less/tables/measurements.csv", index=False)
    with pytest.raises(ValueError, match="found 4 different sizes, expected 5 or more"):
        ask(tmp_path / "less/question.yaml")


def test_costs_are_consistent(laid_out):
    costs = tables.load_costs(laid_out / "tables/costs.csv")
    base = costs[costs.size_parameters.map(list).isin([[3328, 1024, 256, 256, 256, 1]])].iloc[0]
    assert costs.machines.to_numpy() == pytest.approx(100 * base.qps / costs.qps, rel=1e-4)
    assert costs.cost_per_hour.to_numpy() == pytest.approx(2.5 * costs.machines, rel=1e-4)


def test_flops_are_those_of_the_sizes(laid_out):
    costs = tables.load_costs(laid_out / "tables/costs.csv")
    measured = tables.load_measurements(laid_out / "tables/measurements.csv", need=["flops"])
    assert measured.flops.tolist() == costs.flops.tolist()[:5]


def test_the_log_can_be_read(laid_out):
    declared = load_features(laid_out / "logs/features.yaml")
    summary = reader.check(laid_out / "logs/log.parquet", declared)
    assert (summary.impressions, summary.shortest, summary.longest) == (4, 2, 3)


def test_without_logs(tmp_path):
    folder = lay_out(tmp_path / "mine")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["README.md", "question.yaml", "tables", *(f"{stem}.yaml" for stem in GIVEN)]
    )
    assert os.listdir(tmp_path) == ["mine"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "mine").mkdir()
    assert (lay_out(tmp_path / "mine") / "question.yaml").is_file()


def test_what_is_there_is_kept(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for folder, message in (
        (tmp_path / "mine", "is not empty; expected a new folder, or an empty one"),
        (tmp_path / "file", "is a file; expected a new folder, or an empty one"),
        (tmp_path / "file/mine", "cannot be written: "),
        (".", ".: is the working directory; expected the path of a new folder"),
        ("", "FOLDER: found '', expected the path of a folder to make"),
        (places.REPOSITORY / "params/mine", "lies in params/ of the repository; expected a folder"),
    ):
        assert main(["new", str(folder)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("new: ") and message in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        *("empty", "file", "mine", "notes.txt")
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_half_a_profile_is_none(tmp_path, capsys, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(layout, "question_file", fail)
    assert main(["new", str(tmp_path / "mine")]) == (130 if error is KeyboardInterrupt else 2)
    said = capsys.readouterr().err
    assert said.startswith("new: ") and ("interrupted" in said or "No space left" in said)
    assert os.listdir(tmp_path) == []


def test_what_comes_next_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "quick"]) == 0  # the name of one in params/, too
    said = capsys.readouterr().out
    assert "python -m lib decide ./quick/question.yaml --folder ./quick/decision" in said
    assert places.profile("./quick") == str(tmp_path / "quick")
    assert main(["new", "our sizes"]) == 0
    assert "python -m lib check --profile 'our sizes'\n" in capsys.readouterr().out


# ---- docs/worked_example.md -----------------------------------------------

PAGE = (ROOT / "docs/worked_example.md").read_text()
FILES = dict(re.findall(r"^`mine/(\S+)`\n```\w+\n(.*?)^```", PAGE, flags=re.M | re.S))
COMMANDS = re.search(r"^```console\n(.*?)^```", PAGE, flags=re.M | re.S)[1].splitlines()


def test_the_page_shows_what_is_laid_out(laid_out):
    assert len(FILES) == 4 and len(COMMANDS) == 3
    for name, text in FILES.items():
        if name == "question.yaml":  # whose explanations the page leaves out
            assert yaml.safe_load(text) == read_parameters(laid_out / name)
            assert len(text.splitlines()) == 10
        else:
            assert (laid_out / name).read_text() == text


def test_the_page_shows_what_is_said_of_a_mistake(laid_out, tmp_path, capsys, monkeypatch):
    shutil.copytree(laid_out, tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine/tables")
    tests = Path("ab_tests.csv")
    tests.write_text(tests.read_text().replace("-0.0231,0.0008", "0.85%,0.0008"))
    assert main(["decide", "../question.yaml", "-p", "ab_tests", "ab_tests.csv"]) == 2
    (shown,) = re.findall(r"^decide: (.*)$", PAGE, flags=re.M)
    assert shown in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_s_commands_lead_to_its_answer(tmp_path):
    """Each in a process of its own, as a reader types them."""
    for command in COMMANDS:
        program, *arguments = command.split()
        assert program == ".venv/bin/python"
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    report = tmp_path / "mine/decision/report.html"
    assert report.is_file()
    results = tmp_path / "mine/decision/outputs/decision/04_roi_design/summary.json"
    answer = json.loads(results.read_text())["answer"]
    quoted = re.search(r"^> (.*(?:\n> .*)*)", PAGE, flags=re.M)[1].replace("\n> ", " ")
    assert quoted in answer


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["00", "01", "02", "03", "05"])
def test_the_example_runs(laid_out, tmp_path, stem):
    """Notebook 04 runs where the worked example is decided."""
    shutil.copytree(laid_out, tmp_path / "mine")
    assert main(["run", stem, "--profile", str(tmp_path / "mine")]) == 0
    (executed,) = (tmp_path / "mine/outputs").glob(f"{stem}*.ipynb")
    cells = nbformat.read(executed, as_version=4).cells
    (given,) = [cell for cell in cells if cell.id == "injected-parameters"]
    assert str(tmp_path) not in given.source
    assert (executed.with_suffix("") / "summary.json").is_file()
    assert main(["run", stem, "--profile", str(tmp_path / "mine")]) == 0  # up to date
