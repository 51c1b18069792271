"""Execution: the source with its results, the answer on top, and what a failure leaves."""

import copy
import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import papermill
import pytest

from lib.__main__ import main
from lib.run.execute import NotebookError, answer_on_top, execute, run_all
from lib.run.plan import plan
from lib.run.resume import is_finished
from tests.run.helpers import add_notebook

SAY = "from lib.notebook.report import Report\nreport = Report('00_logs', output)"


@pytest.mark.slow
def test_executed_notebook_is_the_source_with_results(repository, monkeypatch):
    wrong = repository / "jupyter/kernels/python3/kernel.json"  # not this Python
    wrong.parent.mkdir(parents=True)
    wrong.write_text('{"argv": ["false"], "display_name": "Wrong", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(repository / "jupyter"))
    cells = (
        "import sys, warnings\nwarnings.warn('careful')\nprint(sys.prefix + '/bin')",
        "import os\nprint(os.getcwd(), os.environ['TF_CPP_MIN_LOG_LEVEL'])\nseed, rate, size",
    )
    add_notebook(
        repository,
        "00_logs",
        "output = ''\nseed = 0\nrate = 0.5\nsize = [1]",
        *cells,
        values={"rate": 1, "size": [2, 3]},
    )
    [job] = plan()
    execute(job)
    text = job.executed.read_text()
    executed = nbformat.reads(text, as_version=4)
    _, injected, shortened, values = executed.cells
    for cell, source in zip(
        executed.cells[:1] + executed.cells[2:], job.notebook.cells, strict=True
    ):
        assert (cell.id, cell.source, cell.metadata) == (source.id, source.source, source.metadata)
    assert injected.source == (
        '# Parameters\noutput = "outputs/quick/00_logs"\nrate = 1.0\nsize = [2, 3]\n'
    )
    assert values.outputs[1].data["text/plain"] == "(0, 1.0, [2, 3])"
    # The kernel is this Python, started at the root; paths below these are shortened.
    assert values.outputs[0].text == f"{repository} 3\n"
    assert {output.name: output.text for output in shortened.outputs}["stdout"] == "bin\n"
    assert "UserWarning: careful" in text
    assert "ipykernel_" not in text
    assert "papermill" not in text
    assert executed.metadata == job.notebook.metadata


@pytest.mark.slow
def test_the_answer_stands_under_the_title(repository):
    add_notebook(repository, "00_logs", "output = ''", SAY, "report.say('**Yes**: 3 of 4.', n=3)")
    path = repository / "notebooks/00_logs.ipynb"
    notebook = nbformat.read(path, as_version=4)
    title = nbformat.v4.new_markdown_cell("# Is it so?\n\nOf the question.\n\nAnd the paper.")
    notebook.cells.insert(0, title)
    nbformat.write(notebook, path)
    [job] = plan()
    for _ in range(2):  # once, however often it runs
        execute(job)
        executed = nbformat.read(job.executed, as_version=4)
        assert [(cell.cell_type, cell.source) for cell in executed.cells[:3]] == [
            ("markdown", "# Is it so?"),
            ("markdown", "**Answer.** **Yes**: 3 of 4."),
            ("markdown", "Of the question.\n\nAnd the paper."),
        ]
        assert job.executed.read_text().count("# Is it so?") == 1
        assert sum("Answer." in cell.source for cell in executed.cells) == 1
    nbformat.validate(executed)
    # Where the answer was computed, it still stands.
    assert "**Answer.** " in executed.cells[-1].outputs[0].data["text/markdown"]
    before = [cell.source for cell in executed.cells]
    assert [cell.source for cell in answer_on_top(executed).cells] == before
    executed.cells[-1].outputs[0].data["text/markdown"] = "**Answer.** No."
    assert answer_on_top(executed).cells[1].source == "**Answer.** No."
    assert len(executed.cells) == len(before)


@pytest.mark.parametrize(
    ("first", "shown"),
    [
        ("# Title\n\nText.", "**Question.** So?"),
        ("Text.", "**Answer.** So."),
        ("## Section", "**Answer.** So."),
        (None, "**Answer.** So."),
    ],
)
def test_without_a_title_or_an_answer_all_stays(first, shown):
    output = nbformat.v4.new_output("display_data", {"text/markdown": shown})
    cells = [nbformat.v4.new_code_cell("report.say()", outputs=[output])]
    if first:
        cells.insert(0, nbformat.v4.new_markdown_cell(first))
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert answer_on_top(copy.deepcopy(notebook)) == notebook
    assert answer_on_top(nbformat.v4.new_notebook()).cells == []


@pytest.mark.slow
def test_failure_keeps_the_earlier_result(repository, capsys):
    add_notebook(
        repository,
        "00_logs",
        "output = ''\nn = 1",
        "print('before')\nshare = 1 / n",
        values={"n": 0},
    )
    earlier = repository / "outputs/quick/00_logs.ipynb"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("an earlier result")
    assert main(["run"]) == 1
    message = capsys.readouterr().err
    assert "00_logs: In [3], which begins \"print('before')\", failed: ZeroDivisionError" in message
    assert "outputs/quick/00_logs.unfinished.ipynb" in message
    assert earlier.read_text() == "an earlier result"
    assert "before" in (repository / "outputs/quick/00_logs.unfinished.ipynb").read_text()
    assert not is_finished(plan()[0])


@pytest.mark.slow
def test_failure_keeps_the_earlier_tables(repository):
    stop = "report.table('rows', [{'a': n}])\n1 / n\nreport.write()"
    add_notebook(repository, "00_logs", "output = ''\nn = 1", SAY, stop)
    assert main(["run"]) == 0
    rows = repository / "outputs/quick/00_logs/rows.csv"
    assert rows.read_text() == "a\n1\n"
    assert main(["run", "-p", "n", "0"]) == 1
    assert rows.read_text() == "a\n1\n"
    assert json.loads((rows.parent / "summary.json").read_text())["files"] == ["rows.csv"]


@pytest.mark.slow
def test_dead_kernel_is_told(repository):
    add_notebook(repository, "00_logs", "output = ''", "import os\nos._exit(1)")
    with pytest.raises(NotebookError, match=r"00_logs: its kernel died"):
        run_all(plan())


@pytest.mark.slow
def test_interrupt_leaves_no_result_and_no_kernel(repository):
    add_notebook(
        repository,
        "00_logs",
        "output = ''",
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n"
        "time.sleep(60)",
    )
    command = (
        "import pathlib, sys; from lib.run import places; places.REPOSITORY = pathlib.Path.cwd()\n"
        "from lib.__main__ import main; sys.exit(main(['run']))"
    )
    # Started in the background of a shell, the tests would hand on an ignored SIGINT.
    process = subprocess.Popen(
        [sys.executable, "-c", command],
        cwd=repository,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    pid = repository / "pid"
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run: interrupted" in message
    assert [path.name for path in (repository / "outputs/quick").glob("*.ipynb")] == [
        "00_logs.unfinished.ipynb"
    ]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.slow
def test_plain_papermill_takes_the_same_files(repository):
    add_notebook(
        repository, "00_logs", "output = ''\nrate = 0.5", "print(rate)", values={"rate": 1.0e-5}
    )
    parameters = papermill.iorw.read_yaml_file(str(repository / "params/quick/00_logs.yaml"))
    executed = papermill.execute_notebook(repository / "notebooks/00_logs.ipynb", None, parameters)
    assert executed.cells[2].outputs[0].text == "1e-05\n"
