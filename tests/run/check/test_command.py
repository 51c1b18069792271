"""`python -m lib check`: what it prints."""

import shutil

from lib.__main__ import main
from lib.run import places
from tests.run.helpers import add_notebook


def test_what_would_be_used_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(places.ROOT, str(tmp_path))
    assert main(["check", "paper", "-p", "held_out", "2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("02_bnsl_fitting -> outputs/paper/02_bnsl_fitting\n")
    assert "  held_out = 2\n" in said and "metric =" not in said
    assert "  table measurements: params/paper/figure7.csv: 10 rows of 5 columns, model," in said
    assert said.endswith("1 notebook can run; nothing is suspicious\n")
    assert list(tmp_path.iterdir()) == []


def test_a_profile_may_be_named_in_two_ways(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(places.ROOT, str(tmp_path))
    outputs = []
    for arguments in (["paper"], ["--profile", "paper"], ["paper", "02"]):
        assert main(["check", *arguments]) == 0
        outputs.append(capsys.readouterr().out)
    assert len(set(outputs)) == 1


def test_what_is_not_there_yet_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(places.ROOT, str(tmp_path))
    assert main(["check"]) == 0
    said = capsys.readouterr().out
    assert "  trainings: outputs/quick/01_metric_validation/study.csv: not there yet, an" in said


def test_suspicions_are_said_and_nothing_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(places.ROOT, str(tmp_path))
    shutil.copy(places.REPOSITORY / "params/paper/figure7.csv", tmp_path / "mine.csv")
    text = (tmp_path / "mine.csv").read_text().replace("r_over_r_star", "r_over_r_star,ndcg")
    lines = [line + (",87" if place else "") for place, line in enumerate(text.splitlines())]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    assert main(["check", "paper", "-p", "measurements", "mine.csv"]) == 0
    said = capsys.readouterr().out
    assert "  suspicious: mine.csv: column 'ndcg'" in said and "suspicious, see above" in said


def test_an_unknown_parameter(repository, capsys):
    add_notebook(repository, "00_logs", "output = ''\nseed = 0")
    assert main(["check", "-p", "sed", "1"]) == 2
    assert capsys.readouterr().err.startswith("check: -p sed: no notebook of this run declares it")
    assert main(["check", "-p", "seed", "-1"]) == 2
    assert "check: 00_logs: seed must be a whole number >= 0; got -1" in capsys.readouterr().err
