"""The folder of a new profile, whole or not at all."""

import contextlib
import json
import os
import shlex
import shutil
from pathlib import Path

import pandas as pd

from lib.logs.reader import write_logs
from lib.run import places
from lib.run.new.parameter_files import GIVEN, OF_LOGS, notebook_file, question_file

TEMPLATE = Path(__file__).with_name("template")


def lay_out(folder: str | os.PathLike, *, logs: bool = False) -> Path:
    """Make a profile of one's own: parameter files, example tables and a README.

    Args:
      folder: that is made; an empty one may be there.
      logs: whether notebook 00 and an example log belong to it.

    Returns: the folder's full path.
    Raises: ValueError for a folder that cannot become one. Whatever stops it, the folder is then
      as it was.
    """
    target = Path(folder).expanduser().resolve()
    _check_target(folder, target)
    # Beside its place, so that one move puts all of it there.
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(unfinished, logs)
        os.replace(unfinished, target)
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _check_target(folder, target):
    if not os.fspath(folder):
        raise ValueError("FOLDER: found '', expected the path of a folder to make")
    if target.is_dir() and any(target.iterdir()):
        raise ValueError(f"{folder}: is not empty; expected a new folder, or an empty one")
    if target.exists() and not target.is_dir():
        raise ValueError(f"{folder}: is a file; expected a new folder, or an empty one")
    if target == Path.cwd():
        raise ValueError(f"{folder}: is the working directory; expected the path of a new folder")
    for own in ("params", "outputs", "lib", "notebooks"):
        if target.is_relative_to(places.REPOSITORY / own):
            raise ValueError(
                f"{folder}: lies in {own}/ of the repository; expected a folder of your own, as "
                "./mine"
            )


def _write(folder, logs):
    shutil.copytree(TEMPLATE / "tables", folder / "tables")
    shutil.copyfile(TEMPLATE / "README.md", folder / "README.md")
    texts = {stem: notebook_file(stem, given) for stem, given in GIVEN.items()}
    if logs:
        texts |= {stem: notebook_file(stem, given) for stem, given in OF_LOGS.items()}
        _write_log(folder / "logs")
    for name, text in (texts | {"question": question_file()}).items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def _write_log(folder):
    folder.mkdir()
    shutil.copyfile(TEMPLATE / "logs/features.yaml", folder / "features.yaml")
    log = pd.read_csv(TEMPLATE / "logs/log.csv", parse_dates=["timestamp"])
    lists = log["clicked_categories"].map(json.loads)
    write_logs(folder / "log.parquet", [log.assign(clicked_categories=lists)])


def next_commands(folder: str | os.PathLike) -> str:
    """What to do with a new profile, as lines for the terminal."""
    text = os.fspath(folder).rstrip("/")
    with contextlib.suppress(ValueError):
        if not places.is_own(places.profile(text)):
            text = f"./{text}"  # a name of params/ as well
    text = shlex.quote(text)
    return "\n".join(
        [
            f"new: wrote {text}, an invented example that runs; put your tables in its place",
            f"  python -m lib check --profile {text}",
            f"  python -m lib decide {text}/question.yaml --folder {text}/decision",
            f"  python -m lib run 04 --profile {text}",
        ]
    )
