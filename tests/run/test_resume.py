"""Resuming: a notebook runs again only if something it depends on changed."""

import os
import shutil

import pytest

from lib.infra.timings import RECORD
from lib.run.execute import run_all
from lib.run.plan import plan
from lib.run.resume import is_finished, remember, stamp
from tests.run.helpers import add_notebook

WRITE = (
    "from pathlib import Path\nPath(output).mkdir(parents=True, exist_ok=True)\n"
    "(Path(output) / name).write_text(text)"
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


def finished(repository, **parameters):
    """A job that counts as finished, with a table."""
    lines = [f"{name} = {value!r}" for name, value in {"output": "", **parameters}.items()]
    add_notebook(repository, "00_logs", "\n".join(lines))
    [job] = plan()
    job.output.mkdir(parents=True)
    job.executed.touch()
    (job.output / "table.csv").write_text("a")
    remember(job, stamp(job))
    assert is_finished(job)
    return job


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"stamp": "a", "run": 1}', '{"results": 3}', "[" * 100_000),
        '{"stamp": "a", "run": 1, "results": {"b": []}}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_record_is_named_and_means_run_again(repository, capsys, text):
    job = finished(repository)
    record = repository / "outputs/quick/cache/00_logs.json"
    record.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert not is_finished(job)
    assert "00_logs: outputs/quick/cache/00_logs.json is damaged" in capsys.readouterr().out
    remember(job, stamp(job))
    assert is_finished(job)


def overwrite(path, text):
    """Other content of the same length, at the same time by the file's own clock."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_result_that_changed_at_equal_size_and_time_is_not_up_to_date(repository):
    job = finished(repository)
    overwrite(job.output / "table.csv", "b")
    assert not is_finished(job)
    (job.output / "table.csv").write_text("a")
    (job.output / "the reader's.txt").write_text("a")  # more than the run has left
    assert is_finished(job)


@pytest.mark.parametrize("place", ["mine.csv", "mine/part-0.parquet", "mine/day=1/part-0.parquet"])
def test_an_input_that_changed_at_equal_size_and_time_is_followed(repository, place):
    (repository / place).parent.mkdir(parents=True, exist_ok=True)
    (repository / place).write_text("1")
    job = finished(repository, logs=place.split("/")[0], others=["a" * 5000, "\0", "."])
    overwrite(repository / place, "2")
    assert not is_finished(job)


def test_a_record_of_timings_that_changed_is_followed(repository, monkeypatch):
    (repository / "timings.csv").write_text("1")
    monkeypatch.setenv(RECORD, str(repository / "timings.csv"))
    job = finished(repository)
    overwrite(repository / "timings.csv", "2")
    assert not is_finished(job)


def test_what_a_run_at_work_keeps_is_no_result(repository):
    job = finished(repository)
    for name in (".lock", ".a.12.part.csv"):
        (job.output / name).touch()
    for name in (".00_logs.unfinished", ".begun-x-1-y"):
        (job.output / name).mkdir()
        (job.output / name / "a.csv").touch()
    remember(job, stamp(job))
    for path in job.output.glob(".*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert is_finished(job)
