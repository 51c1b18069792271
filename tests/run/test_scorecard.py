"""The scorecard: all claims of a profile, and nobody else's files."""

import json

import pytest

from lib.__main__ import main
from lib.run.scorecard import write_scorecard
from tests.run.helpers import add_notebook, add_results


def test_scorecard_gathers_the_claims(repository):
    folder = repository / "outputs/quick/02_law"
    folder.mkdir(parents=True)
    claim = {
        "name": "slope | c0",
        "value": 0.301234,
        "interval": [0.29, 0.31],
        "published": None,
        "source": "Eq 6",
        "covers": "another system like it",
        "verdict": "reproduces",
    }
    older = {name: value for name, value in claim.items() if name != "covers"}
    (folder / "summary.json").write_text(
        json.dumps({"notebook": "02_law", "answer": "Yes.", "values": {}, "claims": [older, claim]})
    )
    write_scorecard("quick")
    *_, old, new = (repository / "outputs/quick/scorecard.md").read_text().splitlines()
    beginning, end = r"| 02_law | slope \| c0 | 0.3012 | 0.29 to 0.31 |", "|  | Eq 6 | reproduces |"
    assert (old, new) == (f"{beginning}  {end}", f"{beginning} another system like it {end}")


@pytest.mark.parametrize(
    "name", ["a|b", "a\nb", "$x^2$ | $y$", "<b>", "`|`", "\u202eabc|", "|" * 9]
)
def test_no_name_breaks_the_table(repository, name):
    folder = repository / "outputs/quick/02_law"
    folder.mkdir(parents=True)
    claim = {"name": name, "value": None, "interval": None, "published": None}
    claim |= {"source": name, "covers": name, "verdict": "holds"}
    summary = {"notebook": "02_law", "answer": name, "values": {}, "claims": [claim]}
    (folder / "summary.json").write_text(json.dumps(summary))
    write_scorecard("quick")
    text = (repository / "outputs/quick/scorecard.md").read_text()
    row = text.splitlines()[-1]
    assert row.replace(r"\|", "").count("|") == 9  # around eight cells
    assert "<" not in row and "$" not in row.replace(r"\$", "")


@pytest.mark.slow
def test_scorecard_leaves_out_a_reader_s_own_summary(repository, capsys):
    add_notebook(repository, "00_logs", "output = ''")
    for name, text in {"a": "{}", "b": "[1]", "c": "no JSON", "d": '{"claims": [{}]}'}.items():
        (repository / "outputs/quick" / name).mkdir(parents=True)
        (repository / "outputs/quick" / name / "summary.json").write_text(text)
    add_results(repository / "outputs/quick/e", "02_law")
    assert main(["run"]) == 0
    printed = capsys.readouterr().out
    for name in "abcd":
        assert f"outputs/quick/{name}/summary.json is not a notebook's summary" in printed
    assert "quick/e/summary.json" not in printed
    assert (repository / "outputs/quick/scorecard.md").is_file()
