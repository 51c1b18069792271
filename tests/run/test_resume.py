"""Resuming: a notebook runs again only if something it depends on changed."""

import pytest

from lib.run.execute import run_all
from lib.run.plan import plan
from lib.run.resume import is_finished, remember, stamp
from tests.run.helpers import add_notebook

WRITE = (
    "from pathlib import Path\nPath(output).mkdir(parents=True)\n(Path(output) / name)."
    "write_text(text)"
)


@pytest.mark.slow
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
