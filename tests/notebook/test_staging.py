"""Results count all at once, wherever a run is cut off."""

import os

import pytest

from lib.notebook import staging
from lib.notebook.staging import discard, go_on, put_in_place, unfinished_folder

FILES = {"a.csv": "new", "b.png": "new", "summary.json": "new", "n.ipynb": "new"}
PLACES = ("quick/n/a.csv", "quick/n/b.png", "quick/n/summary.json", "quick/n.ipynb")


@pytest.fixture
def output(tmp_path):
    """The results of an earlier run, and those of one that is done but not in place."""
    folder = tmp_path / "quick/n"
    unfinished_folder(folder, "n").mkdir(parents=True)
    for name in (*PLACES, "quick/n/old.csv", "quick/n/readers.txt"):
        (tmp_path / name).write_text("old")
    for name, text in FILES.items():
        (unfinished_folder(folder, "n") / name).write_text(text)
    return folder


def place(output):
    elsewhere = {"n.ipynb": output.parent / "n.ipynb"}
    put_in_place(output, "n", last="summary.json", obsolete=["old.csv"], elsewhere=elsewhere)


def found(output):
    return {
        path.relative_to(output.parent.parent).as_posix(): path.read_text()
        for path in output.parent.rglob("*")
        if path.is_file()
    }


OLD = dict.fromkeys([*PLACES, "quick/n/old.csv", "quick/n/readers.txt"], "old")
NEW = {**dict.fromkeys(PLACES, "new"), "quick/n/readers.txt": "old"}


def test_all_moves_and_what_is_obsolete_goes(output):
    place(output)
    assert found(output) == NEW
    assert not list(output.glob(".*"))
    go_on(output, "n")
    discard(output, "n")
    assert found(output) == NEW


class CutError(Exception):
    """As if the process were killed here."""


@pytest.mark.parametrize("call", ["rename", "replace", "unlink"])
def test_wherever_it_is_cut_off_the_results_are_of_one_run(output, monkeypatch, call):
    """Before the one step all are the old ones; after it the next start brings all the new ones."""
    cuts, real = 0, {name: getattr(os, name) for name in ("rename", "replace", "unlink")}
    while True:
        calls = iter(range(cuts))

        def cut(*arguments, calls=calls, **options):
            if next(calls, None) is None:
                raise CutError
            return real[call](*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, cut)
            try:
                place(output)
            except CutError:
                pass
            else:
                break
        if unfinished_folder(output, "n").exists():
            hidden = f"quick/n/{unfinished_folder(output, 'n').name}/"
            left = {k: v for k, v in found(output).items() if not k.startswith(hidden)}
            assert left == OLD
        else:
            go_on(output, "n")
            assert found(output) == NEW
            return
        cuts += 1
    assert found(output) == NEW


def test_each_move_may_be_the_last(output, monkeypatch):
    """A start that is cut off itself, again and again."""
    moved, real = [], staging._move

    def one(file, target):
        if moved:
            raise CutError
        moved.append(file.name)
        real(file, target)

    monkeypatch.setattr(staging, "_move", one)
    with pytest.raises(CutError):
        place(output)
    order = [moved[0]]
    for _ in range(2):
        moved.clear()
        with pytest.raises(CutError):
            go_on(output, "n")
        order += moved
    moved.clear()
    go_on(output, "n")
    assert [*order, *moved] == ["a.csv", "b.png", "n.ipynb", "summary.json"]
    assert found(output) == NEW


def test_a_folder_in_the_way_is_named_and_nothing_moves(output):
    (output / "a.csv").unlink()
    (output / "a.csv").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.csv is a folder"):
        place(output)
    assert (output / "summary.json").read_text() == "old"


def test_another_file_system_takes_a_copy(output, monkeypatch):
    real = os.replace

    def replace(source, target):
        if os.path.basename(source) == "n.ipynb":
            raise OSError(18, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    place(output)
    assert found(output) == NEW


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"obsolete": [], "elsewhere": 1}'])
def test_moves_that_a_disk_lost_are_none(output, text):
    finished = output / ".n.finished"
    unfinished_folder(output, "n").rename(finished)
    (finished / "moves.json").write_text(text)
    go_on(output, "n")
    assert found(output) == OLD


def test_what_the_runner_looks_after(tmp_path, monkeypatch):
    assert not staging.left_to_the_runner(tmp_path)
    monkeypatch.setenv(staging.RUNNER, str(tmp_path / "a"))
    assert staging.left_to_the_runner(tmp_path / "b/../a")
    assert not staging.left_to_the_runner(tmp_path)
