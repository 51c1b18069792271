"""The receipt: equal tables, the first difference of others, clocks, and other parameters."""

import shutil

import nbformat
import pytest

from lib.__main__ import main
from lib.run.execute import KERNELSPEC
from lib.run.plan import plan
from lib.run.receipt import CLOCK_TABLES, compare, described, write_receipt
from tests import ROOT
from tests.run.helpers import add_notebook, add_results

TABLE = "model,loss,share_of_peak\na,0.123456789,0.5\nb,0.25,0.6\n"


@pytest.fixture
def ran(repository):
    """A notebook of the profile quick that has run, with one table."""
    add_notebook(repository, "00_logs", "output = ''\nseed = 0", values={"seed": 3})
    [job] = plan()
    add_results(job.output, files=["rows.csv", "log.png"])
    set_table(job, TABLE)
    executed(job, "output = 'outputs/quick/00_logs'\nseed = 3")
    return job


def set_table(job, text):
    (job.output / "rows.csv").write_text(text)


def executed(job, parameters):
    cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["injected-parameters"]})
    nbformat.write(
        nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": KERNELSPEC}), job.executed
    )


def test_described_by_hand(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(TABLE)
    table = described("00_logs", path)
    assert table["rows"] == 2
    assert {name: column["values"] for name, column in table["columns"].items()} == {
        "model": ["a", "b"],
        "loss": ["0.12346", "0.25"],
    }  # share_of_peak hangs on a clock


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("0.5\n", "0.7\n"), None),  # a clock
        (("0.25", "0.275"), "row 1, loss: 0.275 instead of 0.25 (10 %)"),
        (("a,", "c,"), "row 0, model: c instead of a"),
        (("0.123456789", "0.123456788"), "column loss, in digits after the first 5"),
        (("b,0.25,0.6\n", ""), "1 rows instead of 2"),
        (("loss", "cost"), "columns model, cost instead of model, loss"),
    ],
)
def test_the_first_difference_is_told(ran, monkeypatch, change, said):
    monkeypatch.setattr("lib.run.receipt.as_committed", lambda: True)
    write_receipt([ran])
    assert compare([ran]) == (True, ["1 of 1 tables equal the committed ones"])
    set_table(ran, TABLE.replace(*change))
    equal, lines = compare([ran])
    assert equal == (said is None)
    assert lines[0] == f"{int(equal)} of 1 tables equal the committed ones"
    prefix = "00_logs/rows differs from the committed one: "
    assert lines[1:] == ([] if equal else [f"{prefix}{said}"])


def test_a_difference_that_the_processor_explains_is_explained(ran, monkeypatch):
    monkeypatch.setattr("lib.run.receipt.as_committed", lambda: False)
    write_receipt([ran])
    set_table(ran, TABLE.replace("0.25", "0.26"))
    assert "this processor's TensorFlow rounds otherwise" in compare([ran])[1][-1]


def test_rows_beyond_those_kept_are_held_by_the_digest(ran, monkeypatch):
    monkeypatch.setattr("lib.run.receipt.as_committed", lambda: True)
    rows = [f"{i},{i / 7}" for i in range(100)]
    set_table(ran, "\n".join(["a,b", *rows]))
    write_receipt([ran])
    set_table(ran, "\n".join(["a,b", *rows[:99], "99,1"]))
    assert compare([ran])[1][1].endswith(
        "column b, in digits after the first 5 or in rows after the first 30"
    )


def test_a_table_too_many_or_too_few(ran, monkeypatch):
    monkeypatch.setattr("lib.run.receipt.as_committed", lambda: True)
    write_receipt([ran])
    (ran.output / "summary.json").unlink()
    ran.output.rename(ran.output.with_name("old"))
    add_results(ran.output, files=["other.csv"])
    (ran.output / "other.csv").write_text(TABLE)
    assert compare([ran])[1] == [
        "0 of 2 tables equal the committed ones",
        "00_logs/other is not among the committed ones",
        "00_logs/rows was not written",
    ]


def test_results_elsewhere_are_held_against_the_repository_s(ran, monkeypatch, tmp_path):
    write_receipt([ran])
    monkeypatch.setenv("RETRIEVAL_SCALING_ROOT", str(tmp_path / "elsewhere"))
    add_results(ran.output, files=["rows.csv"])
    set_table(ran, TABLE.replace("0.25", "0.5"))
    assert "00_logs/rows differs" in compare([ran])[1][1]


def test_other_parameters_cannot_be_compared_nor_accepted(ran, capsys):
    write_receipt([ran])
    executed(ran, "output = 'outputs/quick/00_logs'\nseed = 4")
    assert main(["receipt"]) == 0
    assert (
        "00_logs ran with another seed than the profile quick: its tables cannot be compared"
        in capsys.readouterr().out
    )
    assert main(["receipt", "--accept"]) == 2
    assert "expected a run with the parameters of params/quick" in capsys.readouterr().err


def test_the_command_accepts_and_compares(ran, capsys, monkeypatch):
    monkeypatch.setattr("lib.run.receipt.as_committed", lambda: True)
    assert main(["receipt"]) == 0
    assert "outputs/quick/receipt.json is not there" in capsys.readouterr().out
    assert main(["receipt", "--accept"]) == 0
    assert capsys.readouterr().out == "receipt: wrote outputs/quick/receipt.json\n"
    assert main(["receipt"]) == 0
    set_table(ran, TABLE.replace("0.25", "0.26"))
    assert main(["receipt", "--profile", "quick"]) == 1


DAMAGE = ["", "{}", "[]", '{"tables": {"a": 1}}', '{"tables": {"a": {"rows": 1, "sha', b"\xff"]


@pytest.mark.parametrize("text", DAMAGE)
def test_a_damaged_receipt_is_named(ran, capsys, text):
    path = write_receipt([ran])
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["receipt"]) == 1
    assert "receipt: outputs/quick/receipt.json is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "a,b\n1\n", b"a\n\xff\n", 'a\n"' + "x" * 200_000])
def test_a_damaged_table_is_named(ran, capsys, text):
    write_receipt([ran])
    path = ran.output / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["receipt"]) == 1
    assert "outputs/quick/00_logs/rows.csv is no whole table (" in capsys.readouterr().out
    assert main(["receipt", "--accept"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("receipt: outputs/quick/00_logs/rows.csv is no whole table (")


@pytest.mark.parametrize("text", ["", "{}", '{"cells": [{"cell_ty', "[" * 100_000])
def test_a_damaged_notebook_is_named(ran, capsys, text):
    write_receipt([ran])
    ran.executed.write_text(text)
    assert main(["receipt"]) == 1
    assert "00_logs: outputs/quick/00_logs.ipynb is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("files", [None, 3, "rows.csv", [3]])
def test_a_summary_with_other_files_has_no_tables(ran, files):
    shutil.rmtree(ran.output)
    add_results(ran.output, files=files)
    assert compare([ran])[0]


@pytest.mark.slow
def test_a_run_ends_with_the_receipt(repository, capsys):
    cells = (
        "from lib.notebook.report import Report\nreport = Report('00_logs', output)",
        "report.table('rows', [{'a': n / 7}])\nreport.write();",
    )
    add_notebook(repository, "00_logs", "output = ''\nn = 1", *cells)
    assert main(["run"]) == 0
    assert main(["receipt", "--accept"]) == 0
    capsys.readouterr()
    assert main(["run", "--force"]) == 0
    assert "receipt: 1 of 1 tables equal the committed ones\n" in capsys.readouterr().out
    assert main(["run", "-p", "n", "2"]) == 0
    assert "receipt: 00_logs ran with another n than the profile" in capsys.readouterr().out


@pytest.mark.parametrize("stem", CLOCK_TABLES)
def test_clocks_are_tables_that_the_notebook_writes(stem):
    text = (ROOT / f"notebooks/{stem}.ipynb").read_text()
    assert [name for name in CLOCK_TABLES[stem] if f'\\"{name}\\"' not in text] == []
