"""Execution: the source with its results, the answer on top, and what a failure leaves."""

import copy
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest

from lib.__main__ import main
from lib.infra.locks import release
from lib.notebook.report import Report
from lib.run.execute import NotebookError, answer_on_top, execute, run_all
from lib.run.plan import plan
from lib.run.resume import is_finished
from tests.run.helpers import add_notebook, is_gone, start, text_of, until

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


SLEEP = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_no_result_and_no_kernel(repository, number):
    add_notebook(repository, "00_logs", "output = ''", SLEEP)
    process = start(repository)
    kernel = int(until(lambda: text_of(repository / "pid")))
    process.send_signal(number)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run: interrupted" in message and "Traceback" not in message
    assert [path.name for path in (repository / "outputs/quick").glob("*.ipynb")] == [
        "00_logs.unfinished.ipynb"
    ]
    assert is_gone(kernel)
    assert not list((repository / "outputs").rglob("*lock"))


REPORT = f"{SAY}\nreport.table('rows', [{{'a': n}}])\nreport.table(f'of_{{n}}', [{{'a': n}}])"


def results(repository):
    """{path: bytes} of all results, intermediate ones apart."""
    folder = repository / "outputs"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "cache" not in path.parts and "unfinished" not in path.name
    }


@pytest.mark.slow
def test_results_are_of_one_run_though_the_last_cell_fails(repository, capsys):
    """Tables, summary, executed notebook and its record."""
    add_notebook(repository, "00_logs", "output = ''\nn = 1", REPORT, "report.write()", "1 / n")
    assert main(["run"]) == 0
    before = results(repository)
    tables = {f"quick/00_logs/{name}" for name in ("rows.csv", "of_1.csv", "summary.json")}
    assert set(before) == {*tables, "quick/00_logs.ipynb", "quick/scorecard.md"}
    assert main(["run", "-p", "n", "0"]) == 1
    assert results(repository) == before
    assert main(["run"]) == 0
    assert "00_logs: up to date" in capsys.readouterr().out
    assert main(["run", "-p", "n", "2"]) == 0
    assert {name for name in results(repository) if name.endswith(".csv")} == {
        "quick/00_logs/rows.csv",
        "quick/00_logs/of_2.csv",
    }


@pytest.mark.slow
def test_plain_papermill_puts_results_in_place_itself(repository, monkeypatch):
    monkeypatch.chdir(repository)
    add_notebook(repository, "00_logs", "output = ''\nn = 1", REPORT, "report.write()", "1 / n")
    notebook, output = repository / "notebooks/00_logs.ipynb", str(repository / "mine")
    papermill.execute_notebook(notebook, None, {"output": output})
    assert (repository / "mine/rows.csv").read_text() == "a\n1\n"
    assert sorted(os.listdir(output)) == ["of_1.csv", "rows.csv", "summary.json"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_killed_run_leaves_the_earlier_results_and_nothing_else(repository, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # kernels find tests there
    sweep = (
        "from lib.infra import sweep; from tests.run.lingering import linger\n"
        "import tempfile; tempfile.mkstemp(prefix='__autograph_generated_file')\n"
        "if n == 2:\n"
        "    sweep.run(linger, [{'i': i} for i in range(4)], f'{output}/cache', n_jobs=2)"
    )
    add_notebook(repository, "00_logs", "output = ''\nn = 1", REPORT, sweep, "report.write()")
    assert main(["run"]) == 0
    before = results(repository)
    process = start(repository, "-p", "n", "2")
    cache = repository / "outputs/quick/00_logs/cache"
    until(lambda: len([file for file in cache.glob("*.pid") if file.read_text()]) == 2, seconds=120)
    workers = [int(file.read_text()) for file in cache.glob("*.pid")]
    kernel = psutil.Process(workers[0]).ppid()
    assert len(list(cache.glob(".*.part.npz"))) == 2
    process.kill()
    process.communicate()
    until(lambda: all(map(is_gone, [kernel, *workers])), seconds=10)
    assert results(repository) == before
    assert not list((repository / "outputs").rglob(".*"))
    scratch = f"retrieval-scaling-scratch-*-{process.pid}-*"
    assert not list(Path(tempfile.gettempdir()).glob(scratch))
    assert main(["run", "--force"]) == 0
    assert results(repository) == before
    assert not list((repository / "outputs").rglob(".*"))


@pytest.mark.slow
def test_a_run_that_was_killed_while_it_put_results_in_place_is_put_right(repository, monkeypatch):
    add_notebook(repository, "00_logs", "output = ''\nn = 1", REPORT, "report.write()")
    assert main(["run"]) == 0

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lib.notebook.staging._move", killed)
        assert main(["run", "-p", "n", "2"]) == 130
    folder = repository / "outputs/quick/00_logs"
    assert (folder / ".00_logs.finished").is_dir()
    Report("00_logs", folder)  # whoever comes next
    assert sorted(path.name for path in folder.glob("[!.]*.csv")) == ["of_2.csv", "rows.csv"]
    assert "n = 2" in (repository / "outputs/quick/00_logs.ipynb").read_text()
    release(folder / ".lock")


@pytest.mark.slow
def test_two_runs_of_a_notebook_exclude_each_other(repository, capsys):
    add_notebook(repository, "00_logs", "output = ''\nn = 0", SLEEP)
    first = start(repository)
    try:
        until(lambda: text_of(repository / "pid"))
        assert main(["run"]) == 1
        message = capsys.readouterr().err
        assert f"00_logs: outputs/quick: process {first.pid} on " in message
        assert "is at work there; wait for it or stop it" in message
        # Another profile's run of it into the same folder.
        shutil.copytree(repository / "params/quick", repository / "params/mine")
        assert main(["run", "--profile", "mine", "-p", "output", "outputs/quick/00_logs"]) in (1, 2)
    finally:
        first.terminate()
        first.communicate()


NO_SPACE = OSError(28, "No space left on device", "a.csv")


def raise_no_space(*_, **__):
    raise NO_SPACE


@pytest.mark.slow
@pytest.mark.parametrize("place", ["nbformat.write", "papermill.execute_notebook", "remember"])
def test_a_full_disk_is_one_line_and_no_loss(repository, monkeypatch, capsys, place):
    add_notebook(repository, "00_logs", "output = ''\nn = 1", REPORT, "report.write()")
    assert main(["run"]) == 0
    before = results(repository)
    capsys.readouterr()
    monkeypatch.setattr("lib.run.execute.write_scorecard", raise_no_space)
    monkeypatch.setattr(f"lib.run.execute.{place}", raise_no_space)
    assert main(["run", "--force"]) == 1
    said = capsys.readouterr().err
    last = said.rsplit("\r", 1)[-1]
    assert last == "run: 00_logs: a.csv: No space left on device\n"
    assert "Traceback" not in said
    assert results(repository) == before


def test_a_scorecard_that_cannot_be_written_is_one_line(repository, monkeypatch, capsys):
    monkeypatch.setattr("lib.run.execute.is_finished", lambda job: True)
    monkeypatch.setattr("lib.run.execute.write_scorecard", raise_no_space)
    add_notebook(repository, "00_logs", "output = ''")
    assert main(["run"]) == 1
    assert capsys.readouterr().err == "run: scorecard: a.csv: No space left on device\n"


def test_a_place_that_cannot_be_written_to_is_one_line(repository, capsys):
    add_notebook(repository, "00_logs", "output = ''")
    (repository / "outputs").touch()  # a file where the folder would be
    assert main(["run"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("run: 00_logs: outputs/quick/00_logs: ")


@pytest.mark.slow
def test_plain_papermill_takes_the_same_files(repository):
    add_notebook(
        repository, "00_logs", "output = ''\nrate = 0.5", "print(rate)", values={"rate": 1.0e-5}
    )
    parameters = papermill.iorw.read_yaml_file(str(repository / "params/quick/00_logs.yaml"))
    executed = papermill.execute_notebook(repository / "notebooks/00_logs.ipynb", None, parameters)
    assert executed.cells[2].outputs[0].text == "1e-05\n"
