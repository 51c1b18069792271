"""Where things lie: profiles, their results, and where relative paths start.

A profile is a folder of parameter files: one of params/, by its name, or any other, by its path.

| profile                            | `quick`         | `path/to/mine`    |
| ---------------------------------- | --------------- | ----------------- |
| parameter files                    | params/quick/   | mine/             |
| relative paths, there and in `-p`,
  start at                           | the repository  | mine/             |
| results and their receipt          | outputs/quick/  | mine/outputs/     |

A name that is both is the one of params/; `./quick` is the other. Files of the repository, as
params/paper/figure7.csv, are found from either (`shipped`).
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = "RETRIEVAL_SCALING_ROOT"  # environment variable that names another root


def root() -> Path:
    """The folder where relative paths start: the repository.

    The environment variable RETRIEVAL_SCALING_ROOT names another folder: that of a profile of
    one's own (`of_profile`), and in a regression test one that keeps the committed outputs whole.
    """
    return Path(os.environ.get(ROOT, REPOSITORY)).resolve()


def at_root() -> None:
    """Make `root()` the working directory, wherever the notebook was started."""
    os.chdir(root())


@contextlib.contextmanager
def rooted(folder: str | os.PathLike) -> Iterator[Path]:
    """Let all relative paths of a run start in a folder, here and in kernels started here.

    The folder is made if it is not there.
    """
    folder, before = Path(folder).resolve(), os.environ.get(ROOT)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[ROOT] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[ROOT]
        else:
            os.environ[ROOT] = before


def profile(text: str | os.PathLike) -> str:
    """A profile as the other functions take it: its name in params/, or its folder's full path.

    Args:
      text: as on the command line; a path starts at the working directory.

    Raises: ValueError where there is no such profile.

    >>> profile("quick"), profile(REPOSITORY / "params/quick")
    ('quick', 'quick')
    >>> profile(REPOSITORY / "lib") == str(REPOSITORY / "lib")
    True
    """
    text, known = os.fspath(text), REPOSITORY / "params"
    if text and (known / text).is_dir() and Path(text).name == text:
        return text
    folder = Path(text).expanduser().resolve()
    if not (text and folder.is_dir()):
        names = ", ".join(sorted(path.name for path in known.glob("*/")))
        raise ValueError(
            f"--profile {text}: not found; params/ has {names}, and a profile of your own is "
            "given by the path of its folder (python -m lib new FOLDER makes one)"
        )
    return folder.name if folder.parent == known else str(folder)


def is_profile(text: str | os.PathLike) -> bool:
    """Whether a text names a profile, as `profile` takes it."""
    with contextlib.suppress(ValueError):
        return bool(profile(text))
    return False


def of_profile(text: str | os.PathLike) -> contextlib.AbstractContextManager:
    """As `rooted` in the folder of a profile of one's own; for another nothing changes."""
    own = is_profile(text) and is_own(profile(text))  # what is none, `lib.run.plan.plan` says
    return rooted(profile(text)) if own else contextlib.nullcontext()


def is_own(profile: str) -> bool:
    """Whether a profile is a folder of one's own and none of params/."""
    return Path(profile).is_absolute()


def parameters_of(profile: str) -> Path:
    """Folder of a profile's parameter files."""
    return REPOSITORY / "params" / profile  # of an absolute path nothing else is left


def results_of(profile: str) -> Path:
    """Folder of a profile's results."""
    return Path(profile, "outputs") if is_own(profile) else root() / "outputs" / profile


def receipt_of(profile: str) -> Path:
    """Where a profile's receipt is kept (`lib.run.receipt`), whatever the root is."""
    home = Path(profile, "outputs") if is_own(profile) else REPOSITORY / "outputs" / profile
    return home / "receipt.json"


def shipped(path: str | os.PathLike) -> Path:
    """A file of `root()`, or where it has none of that name, the repository's own.

    >>> shipped("params/paper/figure7.csv").is_file()
    True
    """
    own = root() / path
    return own if own.exists() else REPOSITORY / path


def shown(path: str | os.PathLike) -> str:
    """A path as messages show it: relative to the repository where it lies in it."""
    path = Path(path)
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)
