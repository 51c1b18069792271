"""Timed results: measured once, replayed from a record, and failures tried again."""

import json
import math

import pytest

from lib.infra.timings import RECORD, Timings

SETTINGS = {"backend": "sequential", "progress": False}
calls = []


def timed(task, path):
    calls.append(task)
    if task.get("fails"):
        return {"ms": math.nan, "failure": "busy"}
    return {"ms": 0.1 + 0.2 * len(calls), "size": task["size"], "failure": ""}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    calls.clear()
    monkeypatch.delenv(RECORD, raising=False)


def test_a_record_gives_the_same_results_on_another_machine(tmp_path, monkeypatch):
    first = Timings(tmp_path / "first")
    tasks = [{"size": size, "on": {"cpu": "a"}} for size in (3, 1)]
    found = first.run(timed, tasks, **SETTINGS)
    assert [row["size"] for row in found] == [3, 1] and len(calls) == 2
    first.table().to_csv(tmp_path / "record.csv", index=False)

    monkeypatch.setenv(RECORD, str(tmp_path / "record.csv"))
    again = Timings(tmp_path / "second")
    tasks = [{"on": {"cpu": "b"}, "size": size} for size in (1, 3)]
    assert again.run(timed, tasks, **SETTINGS) == found[::-1]  # to the last bit
    assert len(calls) == 2
    assert set(again.table().result) == set(first.table().result)


def test_what_the_record_does_not_hold_is_measured(tmp_path):
    first = Timings(tmp_path / "first")
    first.run(timed, [{"size": 3}], **SETTINGS)
    first.table().to_csv(tmp_path / "record.csv", index=False)
    again = Timings(tmp_path / "second", tmp_path / "record.csv")
    found = again.run(timed, [{"size": 5}, {"size": 3}], **SETTINGS)
    assert [row["size"] for row in found] == [5, 3]
    assert [call["size"] for call in calls] == [3, 5]
    assert [json.loads(task)["size"] for task in again.table().task] == [5, 3]


def test_a_failure_is_tried_again_and_a_result_is_not(tmp_path):
    tasks = [{"size": 3}, {"size": 4, "fails": True}]
    for _ in range(2):  # another run, the same folder
        found = Timings(tmp_path).run(timed, tasks, **SETTINGS)
        assert [row["failure"] for row in found] == ["", "busy"]
    assert [call["size"] for call in calls] == [3, 4, 4]


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "function,task,result\nf,{},{cut\n", "function,task,result\nf,{},\n"]
)
def test_a_damaged_record_is_refused_by_name(tmp_path, text):
    (tmp_path / "record.csv").write_text(text)
    with pytest.raises(ValueError, match=r"^\S*record\.csv: expected a record of timings, .*$"):
        Timings(tmp_path, tmp_path / "record.csv")


def test_a_record_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
        Timings(tmp_path, tmp_path / "absent.csv")
