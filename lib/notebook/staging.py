"""Results that count all at once, when the run that made them is done.

A run writes into OUTPUT/.NOTEBOOK.unfinished. `put_in_place` gives that folder the name
OUTPUT/.NOTEBOOK.finished, in one step, and then moves its files to their places. Whatever ends
a run before that step leaves the earlier results; whatever ends it later leaves moves to do,
which `go_on` does at the next start.

The runner puts a notebook's results in place together with the executed notebook. It says so to
the notebook's kernel by an environment variable; without it, a report does so itself.
"""

import contextlib
import errno
import functools
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from lib.infra.files import replacing, write_json
from lib.infra.leftovers import remove_own_scratch
from lib.infra.locks import InUseError, holding
from lib.infra.parent import end_with_parent

RUNNER = "RETRIEVAL_SCALING_RUNNER"  # environment: the output folder that the runner looks after
LOCK = ".lock"
_MOVES = "moves.json"


def unfinished_folder(output: Path, notebook: str) -> Path:
    """Where a run's files stand until it is done."""
    return output / f".{notebook}.unfinished"


def left_to_the_runner(output: Path) -> bool:
    """Whether the runner that started this process puts the results of `output` in place."""
    folder = os.environ.get(RUNNER)
    return bool(folder) and Path(folder).resolve() == output.resolve()


def follow_the_runner(output: Path, notebook: str) -> None:
    """Let this process end when the runner does, and leave nothing half-done behind."""
    end_with_parent(leaving=functools.partial(_clear_up, output.absolute(), notebook))


def _clear_up(output, notebook):
    discard(output, notebook)
    with contextlib.suppress(InUseError), holding(output / LOCK, notebook):
        pass  # removes the file of the runner's lock
    remove_own_scratch()


def put_in_place(
    output: Path,
    notebook: str,
    *,
    last: str,
    obsolete: Iterable[str] = (),
    elsewhere: Mapping[str, Path] | None = None,
) -> None:
    """Move what a run wrote into its unfinished folder to `output`.

    Args:
      last: name of the file that is moved after all others.
      obsolete: names of files in `output` that are removed.
      elsewhere: name -> path of a file that belongs somewhere else.

    Raises: OSError, with the earlier results as they were, where a folder is in the way.
    """
    unfinished, elsewhere = unfinished_folder(output, notebook), elsewhere or {}
    go_on(output, notebook)
    for file in unfinished.iterdir():
        place = elsewhere.get(file.name, output / file.name)
        if place.is_dir():
            raise IsADirectoryError(f"{place} is a folder; expected none where a result is to lie")
    moves = {
        "obsolete": sorted(obsolete),
        "elsewhere": {name: os.path.relpath(path, output) for name, path in elsewhere.items()},
        "last": last,
    }
    write_json(unfinished / _MOVES, moves)
    os.rename(unfinished, _finished_folder(output, notebook))
    go_on(output, notebook)


def go_on(output: Path, notebook: str) -> None:
    """Do the moves that `put_in_place` was kept from; without effect where there are none."""
    finished = _finished_folder(output, notebook)
    moves = _read_moves(finished)
    if moves:
        for name in moves["obsolete"]:
            (output / name).unlink(missing_ok=True)
        files = {file.name: file for file in finished.iterdir() if file.name != _MOVES}
        for name in sorted(files, key=lambda name: (name == moves["last"], name)):
            _move(files[name], output / moves["elsewhere"].get(name, name))
    shutil.rmtree(finished, ignore_errors=True)


def discard(output: Path, notebook: str) -> None:
    """Remove what a run that stopped has left."""
    shutil.rmtree(unfinished_folder(output, notebook), ignore_errors=True)


def _finished_folder(output, notebook):
    return output / f".{notebook}.finished"


def _move(file, place):
    try:
        os.replace(file, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(place) as temporary:  # the place is on another file system
            shutil.copyfile(file, temporary)
        file.unlink()


def _read_moves(finished):
    """The moves to do; None where there are none, or a file system lost what they were."""
    try:
        moves = json.loads((finished / _MOVES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    match moves:
        case {"obsolete": list(), "elsewhere": dict(), "last": str()}:
            return moves
    return None
