"""The notebook runner: refused before a kernel starts, resumed, reproducible."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import papermill
import pytest
import yaml

from lib import __main__ as command
from lib.__main__ import main
from lib.run import places
from lib.run.execute import KERNELSPEC, NotebookError, answer_on_top, execute, run_all
from lib.run.parameters import check_parameters, declared, read_overrides, read_parameters
from lib.run.plan import plan
from lib.run.resume import is_finished, remember, stamp
from lib.run.scorecard import write_scorecard

NOTEBOOKS = sorted((places.REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An empty repository, which the runner takes for its own."""
    for folder in ("notebooks", "params/quick", "lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lib/laws.py").write_text("SLOPE = 0.3\n")
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6\n")
    monkeypatch.setattr(places, "REPOSITORY", tmp_path)
    monkeypatch.delenv("RETRIEVAL_SCALING_ROOT", raising=False)
    return tmp_path


def add_notebook(repository, stem, parameters, *cells, values=None):
    """A notebook of code cells, and its file in the profile quick."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    rest = [nbformat.v4.new_code_cell(source) for source in cells]
    notebook = nbformat.v4.new_notebook(
        cells=[first, *rest],
        metadata={"kernelspec": KERNELSPEC, "language_info": {"name": "python"}},
    )
    nbformat.write(notebook, repository / f"notebooks/{stem}.ipynb")
    (repository / f"params/quick/{stem}.yaml").write_text(yaml.safe_dump(values or {}))


def notebook_of(parameters):
    cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(cells=[cell])


def parse(arguments):
    return command.parser().parse_args(command.with_negative_values(arguments))


# Parameters


def test_declared_reads_literals_without_running():
    text = 'logs = None  # all\nn = -3\nsizes = [\n    64,  # small\n    128]\nd = {"a": 1.5}'
    assert declared(notebook_of(text), source="n") == {
        "logs": None,
        "n": -3,
        "sizes": [64, 128],
        "d": {"a": 1.5},
    }


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("n = 10 ** 6", "holds 'n = 10 \\*\\* 6'; expected NAME = a number"),
        ("a = b = 1", "holds 'a = b = 1'"),
        ("import os", "holds 'import os'"),
        ("a = (1, 2)", "holds 'a = \\(1, 2\\)'"),
        ("a = 1\na = 2", "'a' is declared twice"),
        ("%matplotlib inline", "not Python"),
    ],
)
def test_declared_refuses(parameters, message):
    with pytest.raises(ValueError, match=message):
        declared(notebook_of(parameters), source="02.ipynb")


def test_declared_wants_one_tagged_cell():
    with pytest.raises(ValueError, match=r"02.ipynb: expected one cell tagged 'param.*; found 0"):
        declared(nbformat.v4.new_notebook(), source="02.ipynb")


@pytest.mark.parametrize(
    ("default", "value", "result"),
    [
        (1.0, 2, 2.0),
        (1, 2, 2),
        ("a", "b", "b"),
        (False, True, True),
        (None, "a.parquet", "a.parquet"),
        (None, None, None),
        (None, 3, 3),
        ([1.0], [1, 2], [1.0, 2.0]),
        ([1, 0.5], [2], [2.0]),
        ([], ["a"], ["a"]),
        ([1, "a"], ["b", 2], ["b", 2]),
        ([[1, 2], [3]], [[4]], [[4]]),
        ({"a": 1.0}, {"b": 2}, {"b": 2.0}),
    ],
)
def test_values_of_the_declared_type(default, value, result):
    checked = check_parameters({"x": value}, {"x": default}, source="a.yaml")["x"]
    assert repr(checked) == repr(result)


@pytest.mark.parametrize(
    ("default", "value", "message"),
    [
        (1.0, "1e-3", "a.yaml: x must be float; got '1e-3' (in YAML write 1.0e-3, not 1e-3)"),
        (None, "1e-3", "a.yaml: x is the text '1e-3'; expected a number (in YAML write 1.0e-3,"),
        (1, "1e3", "x must be int; got '1e3' (in YAML write 1000,"),
        (1, True, "x must be int; got True"),
        (1.0, True, "x must be float; got True"),
        (1, 2.0, "x must be int; got 2.0"),
        (True, 1, "x must be bool; got 1"),
        ("no", False, "x must be str; got False (put text in quotes)"),
        (1.0, None, "x must be float; got None"),
        ([1.0], 2.0, "x must be list[float]; got 2.0"),
        ([1.0], [1, "2e5"], "x must be list[float]; got '2e5' at x[1] (in YAML"),
        ([[1]], [[1], [2, 0.5]], "x must be list[list[int]]; got 0.5 at x[1][1]"),
        ({"a": 1}, {"a": "b"}, "x must be dict[str, int]; got 'b' at x['a']"),
    ],
)
def test_other_types_are_refused(default, value, message):
    with pytest.raises(TypeError) as error:
        check_parameters({"x": value}, {"x": default}, source="a.yaml")
    assert message in str(error.value)


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"a.yaml: unknown parameter 'sed'; .* takes seed, delta"):
        check_parameters({"sed": 1}, {"seed": 0, "delta": 0.1}, source="a.yaml")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("seed: 1\nseed: 2", ValueError, "'seed' is given twice"),
        ("a: {b: 1, b: 2}", ValueError, "'b' is given twice"),
        ("a: !!python/object/apply:os.getcwd []", ValueError, "python/object"),
        ("- 1", TypeError, r"expected lines 'name: value'; got \[1\]"),
        ("text", TypeError, r"expected lines 'name: value'; got 'text'"),
        ("false", TypeError, r"expected lines 'name: value'; got False"),
        ("[1, 2]: 3", ValueError, r"expected a name before ':'; found a list"),
        ("? {a: 1}\n: 3", ValueError, r"expected a name before ':'; found a list"),
        ("1: 3", TypeError, r"expected a text as a name; got 1"),
        ("a: {null: 3}", TypeError, r"expected a text as a name; got None"),
        ("a: !!set {b}", TypeError, r"expected a number, a text, .*; got {'b'}"),
        ("a: !!timestamp 2018-11-01", TypeError, r"expected a number.*2018, 11, 1"),
        ("a: !!int b", ValueError, r"not YAML of plain values: .*'b'"),
        ("a: &b [*b]", TypeError, r"expected plain values; a list .* holds itself"),
        ("a: " + 1500 * "[", ValueError, r"nested too deeply"),
        ("a: \x07", ValueError, r"unacceptable character|special characters"),
        ("Grö\udcdfe: 1", ValueError, r"expected text in UTF-8; found the byte 0xdf at position 4"),
    ],
)
def test_yaml_files_are_read_strictly(tmp_path, text, error, message):
    file = tmp_path / "a.yaml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(error, match=rf"a\.yaml: [\s\S]*({message})"):
        read_parameters(file)


@pytest.mark.parametrize(
    ("encoding", "byte"), [("utf-16", "0xff at position 0"), ("latin-1", "0xf6 at position 8")]
)
def test_other_encodings_are_refused(tmp_path, encoding, byte):
    file = tmp_path / "a.yaml"
    file.write_bytes("data: Größe\n".encode(encoding))
    with pytest.raises(
        ValueError, match=rf"a\.yaml: expected text in UTF-8; found the byte {byte}"
    ):
        read_parameters(file)
    file.write_bytes("data: Größe\n".encode("utf-8-sig"))  # as editors on Windows save it
    assert read_parameters(file) == {"data": "Größe"}


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.yaml: cannot be read: No such file"):
        read_parameters(tmp_path / "absent.yaml")
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(ValueError, match=r"a\.yaml: cannot be read: Is a directory"):
        read_parameters(tmp_path / "a.yaml")


def test_yaml_is_read_as_papermill_reads_it(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("day: 2018-11-01\ndelta: 1.0e-3\nsizes: [1, 2]\n")
    assert read_parameters(file) == {"day": "2018-11-01", "delta": 0.001, "sizes": [1, 2]}
    file.write_text("# defaults\n")
    assert read_parameters(file) == {}


# The plan of a run


def test_plan_is_in_order_and_complete(repository):
    for stem in ("02_law", "00_logs", "01_metric"):
        add_notebook(repository, stem, "output = ''\nseed = 0", values={"seed": 3})
    (repository / "params/quick/01_metric.yaml").unlink()  # not in this profile
    jobs = plan()
    assert [job.stem for job in jobs] == ["00_logs", "02_law"]
    assert jobs[1].values == {"output": "outputs/quick/02_law", "seed": 3}
    assert jobs[1].after == ("00_logs",)


@pytest.mark.parametrize("name", ["02", "02_law", "notebooks/02_law.ipynb"])
def test_plan_takes_names_and_overrides(repository, name):
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''\nrate = 0.5\nn = 1")
    [job] = plan([name], overrides={"rate": 1, "output": "elsewhere"})
    assert job.stem == "02_law"
    assert job.given == {"output": "elsewhere", "rate": 1.0}
    assert job.values == {**job.given, "n": 1}


def test_overrides_go_where_they_are_declared(repository):
    add_notebook(repository, "00_logs", "output = ''\nseed = 0")
    add_notebook(repository, "02_law", "output = ''")
    first, second = plan(overrides={"seed": 5})
    assert first.given["seed"] == 5
    assert "seed" not in second.given


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "--profile fast: not found; params/ has empty, quick"),
        (["--profile", "empty"], "params/empty: expected NOTEBOOK.yaml files; found none"),
        (["2"], "2: expected one notebook of 00_logs, 02_law; found none"),
        (
            ["-p", "sed", "3"],
            "-p sed: no notebook of this run declares it; they are 00_logs, 02_law",
        ),
        (["-p", "seed", "1e3"], "-p: seed must be int; got '1e3'"),
        (["-p", "seed", "["], "-p seed: while parsing"),
        (["-p", "seed", "-1e3"], "-p: seed must be int; got '-1e3' (in YAML write 1000,"),
        (["-p", "seed", "-a"], "-p: seed must be int; got '-a'"),
        (["-p", "seed", "- 1"], "-p: seed must be int; got [1]"),
        (["-p", "seed", "[1]: 2"], "-p seed: expected a name before ':'; found a list"),
        (["-p", "output", "a"], "00_logs and 02_law have the same output 'a'"),
    ],
)
def test_wrong_arguments_end_in_one_line(repository, capsys, arguments, message):
    (repository / "params/empty").mkdir()
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''\nseed = 0")
    assert main(["run", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (repository / "outputs").exists()


def test_negative_values_are_values(repository):
    add_notebook(repository, "00_logs", "output = ''\nbound = 0.5\nseed = 0\nnames = []")
    options = ["-p", "bound", "-1.0e-3", "-p", "seed", "-5", "-p", "names", "- a"]
    parsed = parse(["run", *options, "--force"])
    assert read_overrides(parsed.parameters) == {"bound": -0.001, "seed": -5, "names": ["a"]}
    assert parsed.force
    with pytest.raises(SystemExit):
        parse(["run", "-p", "bound", "--force"])


def test_an_installed_copy_says_what_it_is_for(repository, capsys):
    shutil.rmtree(repository / "params")
    assert main(["run"]) == 2
    message = capsys.readouterr().err
    assert f"no notebooks and parameters in {repository}" in message
    assert "from a checkout of the repository" in message


def add_results(folder, notebook="00_logs", **values):
    """The summary.json of a notebook that ran into `folder`."""
    folder.mkdir(parents=True)
    summary = {"notebook": notebook, "answer": "", "values": {}, "claims": [], **values}
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("outputs/quick/02_law", "belongs to 02_law in the profile quick"),
        ("outputs/quick/../quick/02_law/", "belongs to 02_law in the profile quick"),
        ("outputs/quick/02_law/cache", "belongs to 02_law in the profile quick"),
        ("outputs/full/00_logs", "belongs to 00_logs in the profile full"),
        ("outputs/law", "holds results of 02_law"),
        ("outputs/readers", "holds a summary.json of no notebook"),
        ("notebooks/00_logs.ipynb", "is a file; expected a folder"),
    ],
)
def test_no_run_replaces_the_results_of_another(repository, capsys, output, message):
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''\nseed = 0")
    (repository / "params/full").mkdir()
    (repository / "params/full/00_logs.yaml").write_text("")
    add_results(repository / "outputs/law", "02_law")
    (repository / "outputs/readers").mkdir()
    (repository / "outputs/readers/summary.json").write_text('{"mine": 1}')
    assert main(["run", "00", "-p", "output", output]) == 2
    error = capsys.readouterr().err
    assert f"run: 00_logs: output {output!r} {message}" in error and "expected a folder" in error
    assert not (repository / "outputs/quick").exists()


@pytest.mark.parametrize("output", ["outputs/quick/00_logs", "outputs/mine/02_law", "elsewhere"])
def test_a_run_takes_a_folder_of_its_own(repository, output):
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''")
    add_results(repository / output)
    [job] = plan(["00"], overrides={"output": output})
    assert job.output == repository / output


def test_a_run_does_not_replace_its_own_input(repository):
    add_notebook(repository, "00_logs", "output = ''\nrows = ''", values={"rows": "a" * 5000})
    folder = repository / "outputs/quick/00_logs"
    add_results(folder, files=["rows.csv"])
    for name in ("rows.csv", "readers.csv"):
        (folder / name).write_text("a\n1\n")
    rows = "outputs/quick/00_logs/rows.csv"
    for text in (rows, str(repository / rows)):
        with pytest.raises(ValueError, match=r"00_logs: rows .*rows\.csv' is a result of the note"):
            plan(overrides={"rows": text})
        assert plan(overrides={"rows": text, "output": "outputs/mine/00_logs"})
    assert plan(overrides={"rows": "outputs/quick/00_logs/readers.csv"})


def test_plan_refuses_files_of_no_notebook(repository):
    add_notebook(repository, "00_logs", "output = ''")
    (repository / "params/quick/00_log.yaml").write_text("")
    with pytest.raises(ValueError, match=r"00_log.yaml: belongs to no notebook; .*00_logs"):
        plan()


def test_plan_refuses_a_notebook_left_out_of_the_profile(repository):
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''")
    (repository / "params/quick/02_law.yaml").unlink()
    with pytest.raises(ValueError, match=r"the profile quick has no params/quick/02_law.yaml"):
        plan(["02"])


def test_plan_wants_an_output(repository):
    add_notebook(repository, "00_logs", "seed = 0")
    with pytest.raises(ValueError, match=r"00_logs.ipynb: expected a parameter 'output'"):
        plan()


def test_plan_refuses_what_is_no_notebook(repository):
    add_notebook(repository, "00_logs", "output = ''")
    (repository / "notebooks/00_logs.ipynb").write_text("{")
    with pytest.raises(ValueError, match=r"notebooks/00_logs.ipynb: not a notebook"):
        plan()


# Running


WRITE = (
    "from pathlib import Path\nPath(output).mkdir(parents=True)\n(Path(output) / name)."
    "write_text(text)"
)


def test_run_resume_and_change(repository, capsys):
    table = repository / "outputs/quick/00_logs/table.csv"
    add_notebook(repository, "00_logs", "output = ''\nname = 'table.csv'\ntext = 'a'", WRITE)
    run_all(plan())
    assert table.read_text() == "a"
    run_all(plan())
    assert "00_logs: up to date, skipped" in capsys.readouterr().out
    assert sorted(path.name for path in (repository / "outputs/quick").glob("*.ipynb")) == [
        "00_logs.ipynb"
    ]

    def is_up_to_date(**overrides):
        [job] = plan(["00_logs"], overrides=overrides)
        return is_finished(job)

    assert is_up_to_date()
    assert not is_up_to_date(text="b")
    (repository / "lib/laws.py").write_text("SLOPE = 0.4\n")
    assert not is_up_to_date()
    (repository / "lib/laws.py").write_text("SLOPE = 0.3\n")
    assert is_up_to_date()
    table.unlink()  # a table that the next notebook reads
    assert not is_up_to_date()


def test_an_input_or_an_earlier_run_that_changes_is_followed(repository):
    (repository / "mine.csv").write_text("1")
    add_notebook(repository, "00_logs", "output = ''")
    add_notebook(repository, "02_law", "output = ''\nlogs = 'mine.csv'")
    first, second = plan()

    def finish(job):
        job.folder.mkdir(parents=True, exist_ok=True)
        job.executed.touch()
        remember(job, stamp(job))

    finish(first)
    finish(second)
    assert is_finished(first)
    assert is_finished(second)
    (repository / "mine.csv").write_text("12")
    assert is_finished(first)
    assert not is_finished(second)
    finish(second)
    assert is_finished(second)
    finish(first)  # its results may be others now
    assert not is_finished(second)


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
    _, injected, places, values = executed.cells
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
    assert {output.name: output.text for output in places.outputs}["stdout"] == "bin\n"
    assert "UserWarning: careful" in text
    assert "ipykernel_" not in text
    assert "papermill" not in text
    assert executed.metadata == job.notebook.metadata


SAY = "from lib.notebook.report import Report\nreport = Report('00_logs', output)"


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


def test_failure_keeps_the_earlier_tables(repository):
    stop = "report.table('rows', [{'a': n}])\n1 / n\nreport.write()"
    add_notebook(repository, "00_logs", "output = ''\nn = 1", SAY, stop)
    assert main(["run"]) == 0
    rows = repository / "outputs/quick/00_logs/rows.csv"
    assert rows.read_text() == "a\n1\n"
    assert main(["run", "-p", "n", "0"]) == 1
    assert rows.read_text() == "a\n1\n"
    assert json.loads((rows.parent / "summary.json").read_text())["files"] == ["rows.csv"]


def test_dead_kernel_is_told(repository):
    add_notebook(repository, "00_logs", "output = ''", "import os\nos._exit(1)")
    with pytest.raises(NotebookError, match=r"00_logs: its kernel died"):
        run_all(plan())


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


def test_plain_papermill_takes_the_same_files(repository):
    add_notebook(
        repository, "00_logs", "output = ''\nrate = 0.5", "print(rate)", values={"rate": 1.0e-5}
    )
    parameters = papermill.iorw.read_yaml_file(str(repository / "params/quick/00_logs.yaml"))
    executed = papermill.execute_notebook(repository / "notebooks/00_logs.ipynb", None, parameters)
    assert executed.cells[2].outputs[0].text == "1e-05\n"


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


# The scorecard


def test_scorecard_gathers_the_claims(repository):
    folder = repository / "outputs/quick/02_law"
    folder.mkdir(parents=True)
    claim = {
        "name": "slope | c0",
        "value": 0.301234,
        "interval": [0.29, 0.31],
        "published": None,
        "source": "Eq 6",
        "tolerance": 0.05,
        "verdict": "reproduces",
    }
    (folder / "summary.json").write_text(
        json.dumps({"notebook": "02_law", "answer": "Yes.", "values": {}, "claims": [claim]})
    )
    write_scorecard("quick")
    assert (repository / "outputs/quick/scorecard.md").read_text().splitlines()[-1] == (
        r"| 02_law | slope \| c0 | 0.3012 | 0.29 to 0.31 |  | Eq 6 | reproduces |"
    )


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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stamp": "a", "run": 1}', '{"sizes": 3}'])
def test_a_damaged_record_means_run_again(repository, text):
    add_notebook(repository, "00_logs", "output = ''")
    [job] = plan()
    job.folder.mkdir(parents=True)
    job.executed.touch()
    remember(job, stamp(job))
    assert is_finished(job)
    (repository / "outputs/quick/cache/00_logs.json").write_text(text)
    assert not is_finished(job)


# The notebooks of this repository


@pytest.mark.xfail(strict=False, reason="parameter files that name no output yet")
@pytest.mark.parametrize(
    "path",
    sorted((places.REPOSITORY / "params").glob("*/*.yaml")),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_each_parameter_file_names_its_output(path):
    """So that papermill alone, given one of them, does not write over another profile."""
    output = f"outputs/{path.parent.name}/{path.stem}"
    assert read_parameters(path).get("output") == output


@pytest.mark.parametrize(
    "profile",
    sorted(path.name for path in (places.REPOSITORY / "params").iterdir() if path.is_dir()),
)
def test_each_profile_can_be_planned(profile):
    for job in plan(profile=profile):
        assert job.values["output"] == f"outputs/{profile}/{job.stem}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_sources_hold_no_results(path):
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"] == KERNELSPEC
    for cell in notebook["cells"]:
        assert cell["id"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_in_the_quick_profile(path):
    [job] = plan([path.stem])
    assert job.values["output"] == f"outputs/quick/{path.stem}"
