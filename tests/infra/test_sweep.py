"""Sweeps: nothing is done twice, nothing finished is lost."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lib.infra import sweep
from tests import ROOT

MADE = []  # tasks carried out in this process


def draw(task, path):
    """A task that counts its calls and leaves a file of its own."""
    MADE.append(task["seed"])
    if task["seed"] == task.get("stop_at"):
        raise KeyboardInterrupt
    if task["seed"] in task.get("bad", []):
        raise ValueError(f"seed {task['seed']} is bad")
    path.with_suffix(".txt").write_text(str(task["seed"]))
    return {"seed": task["seed"], "sum": float(np.random.default_rng(task["seed"]).random(9).sum())}


def tasks(*seeds, **values):
    return [{"seed": seed, **values} for seed in seeds]


@pytest.fixture(autouse=True)
def _forget():
    MADE.clear()


def run(given, folder, **options):
    return sweep.run(draw, given, folder, **{"n_jobs": 1, "progress": False, **options})


def test_finished_tasks_are_not_done_again(tmp_path):
    first = run(tasks(3, 1), tmp_path)
    assert [row["seed"] for row in first] == [3, 1]
    again = run(tasks(1, 2, 3, 1), tmp_path)
    assert [row["seed"] for row in again] == [1, 2, 3, 1]
    assert MADE == [3, 1, 2]
    assert again[2] == first[0]
    result_path = sweep.result_path(draw, {"seed": 3}, tmp_path)
    assert result_path.with_suffix(".txt").read_text() == "3"
    assert json.loads(result_path.with_suffix(".json").read_text()) == {
        "task": {"seed": 3},
        "result": first[0],
        "files": {result_path.with_suffix(".txt").name: 1},
    }


@pytest.mark.parametrize(
    "text",
    ["", '{"task": {"seed": 3}, "resu', "{}", "[1]", "null", "[" * 100_000, b"\xff", b"\x00"],
)
def test_a_damaged_result_is_named_and_made_again(tmp_path, text):
    [first, _] = run(tasks(3, 1), tmp_path)
    file = sweep.result_path(draw, {"seed": 3}, tmp_path).with_suffix(".json")
    whole = file.read_text()
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.warns(UserWarning, match=rf"{file.name} is damaged \(.+\); its task is done again"):
        assert run(tasks(3, 1), tmp_path)[0] == first
    assert MADE == [3, 1, 3]
    assert file.read_text() == whole


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("")])
def test_a_result_whose_file_is_damaged_is_made_again(tmp_path, damage):
    run(tasks(3), tmp_path)
    file = sweep.result_path(draw, {"seed": 3}, tmp_path).with_suffix(".txt")
    damage(file)
    with pytest.warns(UserWarning, match=rf"its file {file.name} is (absent|of 0 bytes), not"):
        run(tasks(3), tmp_path)
    assert file.read_text() == "3"
    assert MADE == [3, 3]
    run(tasks(3), tmp_path)
    assert MADE == [3, 3]


def write_folder(task, path):
    path.mkdir(exist_ok=True)
    (path / "data.bin").write_bytes(b"12345")
    return {}


def test_files_of_a_result_may_lie_in_a_folder(tmp_path):
    def again():
        sweep.run(write_folder, [{}], tmp_path, n_jobs=1, progress=False)

    again()
    data = sweep.result_path(write_folder, {}, tmp_path) / "data.bin"
    data.write_bytes(b"1")
    with pytest.warns(UserWarning, match=f"its file {data.parent.name}/data.bin is of 1 bytes"):
        again()
    assert data.read_bytes() == b"12345"


def test_a_result_of_before_its_files_were_noted_stays(tmp_path):
    run(tasks(3), tmp_path)
    file = sweep.result_path(draw, {"seed": 3}, tmp_path).with_suffix(".json")
    file.write_text(json.dumps({"task": {"seed": 3}, "result": {"seed": 3}}))
    assert run(tasks(3), tmp_path) == [{"seed": 3}]
    assert MADE == [3]


def test_an_interrupted_sweep_goes_on(tmp_path):
    given = tasks(0, 1, 2, stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        run(given, tmp_path)
    assert MADE == [0, 1, 2]
    with pytest.raises(KeyboardInterrupt):
        run(given, tmp_path)
    assert MADE == [0, 1, 2, 2]


def test_one_or_two_at_a_time_give_the_same(tmp_path):
    given = tasks(*range(6))
    assert run(given, tmp_path / "one") == run(given, tmp_path / "two", n_jobs=2)
    names = [{file.name for file in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert names[0] == names[1]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failed_task_does_not_take_others_with_it(tmp_path, n_jobs):
    given = tasks(0, 1, 2, 3, bad=[1, 2])
    with pytest.raises(ValueError, match=r"seed [12] is bad") as error:
        run(given, tmp_path, n_jobs=n_jobs)
    assert "in the task {'seed':" in error.value.__notes__[0]
    assert "line" in error.value.__notes__[0]  # where it was raised
    kept = [json.loads(file.read_text())["result"]["seed"] for file in tmp_path.glob("*.json")]
    assert sorted(kept) == [0, 3]


def hand_back(task, path):
    return {"undefined": float("nan")} if task["plain"] else {"path": path}


def test_a_result_that_is_not_plain_is_refused_and_not_kept(tmp_path):
    (row,) = sweep.run(hand_back, [{"plain": True}], tmp_path / "plain", n_jobs=1, progress=False)
    assert np.isnan(row["undefined"])
    with pytest.raises(TypeError, match="PosixPath is not JSON serializable"):
        sweep.run(hand_back, [{"plain": False}], tmp_path / "not", n_jobs=1, progress=False)
    assert list((tmp_path / "not").iterdir()) == []


def test_other_values_and_functions_are_other_tasks():
    keys = [
        sweep.task_digest(draw, {"seed": 1}),
        sweep.task_digest(draw, {"seed": 2}),
        sweep.task_digest(hand_back, {"seed": 1}),
    ]
    assert len(set(keys)) == 3
    assert sweep.task_digest(draw, {"a": 1, "b": 2}) == sweep.task_digest(draw, {"b": 2, "a": 1})


# ---- workers that die -----------------------------------------------------


def die_by_signal():
    """As by the system's out-of-memory killer."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_a_library():
    ctypes.string_at(0)  # reads where nothing is


def leave():
    os._exit(3)


class TwoArguments(Exception):
    """Its pickle cannot be read."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def raise_what_no_process_can_hand_over():
    raise TwoArguments("one", "two")


ENDS = {
    "signal": die_by_signal,
    "crash": die_in_a_library,
    "_exit": leave,
    "exit": sys.exit,
    "pickle": raise_what_no_process_can_hand_over,
}


def end(task, path):
    """A task whose process may end."""
    if task["how"] == "once":
        begun = path.with_suffix(".begun")
        if not begun.exists():
            begun.touch()
            die_by_signal()
    elif task["how"]:
        ENDS[task["how"]]()
    return {"number": task["number"]}


def endings(**how):
    return [{"number": number, "how": how.get(f"task_{number}", "")} for number in range(8)]


def numbers(folder):
    return sorted(
        json.loads(file.read_text())["result"]["number"] for file in folder.glob("*.json")
    )


@pytest.mark.parametrize("how", ENDS)
def test_a_task_whose_worker_dies_is_named_and_all_others_are_kept(tmp_path, how):
    with pytest.raises(RuntimeError) as raised:
        sweep.run(end, endings(task_1=how), tmp_path, n_jobs=2, progress=False)
    text = str(raised.value) + "".join(getattr(raised.value, "__notes__", []))
    assert f"{{'number': 1, 'how': '{how}'}}" in text
    assert numbers(tmp_path) == [0, 2, 3, 4, 5, 6, 7]
    assert not list(tmp_path.glob(".begun*"))


def test_several_deaths_and_an_error_leave_all_others(tmp_path):
    how = {"task_0": "signal", "task_3": "_exit", "task_4": "pickle", "task_7": "signal"}
    with pytest.raises(RuntimeError):
        sweep.run(end, endings(**how), tmp_path, n_jobs=2, progress=False)
    assert numbers(tmp_path) == [1, 2, 5, 6]


def test_a_task_that_fits_alone_is_carried_out(tmp_path):
    """Such as one that had no memory beside others."""
    rows = sweep.run(end, endings(task_2="once"), tmp_path, n_jobs=2, progress=False)
    assert [row["number"] for row in rows] == list(range(8))


def wait(task, path):
    path.with_suffix(".begun").touch()
    time.sleep(60)
    return {}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal")
def test_ctrl_c_ends_a_sweep_at_once(tmp_path):
    code = (
        # A shell that starts the tests in the background lets them ignore the keys.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from lib.infra import sweep; from tests.infra.test_sweep import wait\n"
        f"sweep.run(wait, [{{'i': i}} for i in range(4)], {str(tmp_path)!r}, n_jobs=2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 50
    while len(list(tmp_path.glob("*.begun"))) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    interrupted = time.monotonic()
    while process.poll() is None and time.monotonic() - interrupted < 20:
        # A reader who sees nothing happen presses the keys again.
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
    assert process.poll() is not None
    _, said = process.communicate()
    assert process.returncode != 0 and b"KeyboardInterrupt" in said
    assert not list(tmp_path.glob("*.json"))
