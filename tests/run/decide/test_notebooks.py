"""Which notebooks answer, with which parameters, and where."""

import os
import signal
import subprocess
import sys

import nbformat
import pytest

from lib.run import places
from lib.run.decide.notebooks import jobs, run
from lib.run.decide.question import ask
from lib.run.execute import KERNELSPEC, NotebookError
from lib.run.places import rooted
from lib.run.plan import Job
from tests import ROOT
from tests.run.decide.tables import scenarios, written
from tests.run.helpers import is_gone, text_of, until


def test_law_and_design(tmp_path):
    question = ask(written(tmp_path, prices={"roi_min": 2.0, "held_out": 2, "currency": "EUR"}))
    law, design = jobs(question)
    assert (law.stem, design.stem) == ("02_bnsl_fitting", "04_roi_design")
    assert law.given["held_out"] == 2 and law.given["other_breaks"] == []
    assert law.values["measurements"] == str(tmp_path / "measurements.csv")
    assert design.given["roi_min"] == 2.0 and design.values["trainings"] == ""
    assert design.values["models"] == str(tmp_path / "measurements.csv")
    assert "currency" not in design.given
    assert law.values["logs"] and not law.values["lifts"] and not law.values["trainings"]


def test_several_scenarios(tmp_path):
    prices = {"budget": 100.0, "roi_min": 2.0, "interval": 0.8}
    *_, allocation = jobs(ask(written(tmp_path, prices=prices, scenarios=scenarios())))
    assert allocation.stem == "05_allocation"
    assert allocation.given == prices | {
        "scenarios": str(tmp_path / "scenarios.csv"),
        "output": "outputs/decision/05_allocation",
    }


def test_everything_lies_in_the_reader_s_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(places.ROOT, "before")
    with rooted(tmp_path / "mine") as folder:
        assert places.root() == folder == tmp_path / "mine"
        made = jobs(ask(written(tmp_path)))
        assert all(job.executed.is_relative_to(folder) for job in made)
        assert all(job.output.is_relative_to(folder) for job in made)
    assert os.environ[places.ROOT] == "before"
    monkeypatch.delenv(places.ROOT)
    with pytest.raises(KeyError), rooted(tmp_path / "mine"):
        raise KeyError
    assert places.ROOT not in os.environ


INTERRUPTED = """
import sys
import nbformat
from lib.run.decide.notebooks import run
from lib.run.execute import KERNELSPEC
from lib.run.places import rooted
from lib.run.plan import Job

def job(stem):
    cells = [
        nbformat.v4.new_code_cell("output = ''", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            f"import os, time; open('{stem}', 'w').write(str(os.getpid())); time.sleep(60)"
        ),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    )
    values = {"output": f"outputs/decision/{stem}"}
    return Job(stem, "decision", notebook, values, values, ())

with rooted(sys.argv[1]):
    try:
        run([job("first"), job("second")])
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_notebooks_of_all_threads(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    kernels = [int(until(lambda n=n: text_of(tmp_path / n))) for n in ("first", "second")]
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert all(map(is_gone, kernels))


@pytest.mark.slow
def test_a_notebook_that_fails_says_where_it_lies(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("output = ''", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("raise ValueError('no such size')"),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    )
    with rooted(tmp_path) as folder:
        values = {"output": "outputs/decision/bad"}
        with pytest.raises(NotebookError, match=f"bad: .*no such size[\\s\\S]* in {folder}"):
            run([Job("bad", "decision", notebook, values, values, ())])
    assert (tmp_path / "outputs/decision/bad.unfinished.ipynb").is_file()
