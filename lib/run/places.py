"""Where relative paths start, here and in parameters: at `root()`."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = "RETRIEVAL_SCALING_ROOT"  # environment variable that names another root


def root() -> Path:
    """The folder where relative paths start: the repository.

    The environment variable RETRIEVAL_SCALING_ROOT names another folder, so that
    a regression test can run everything without touching the committed outputs.
    """
    return Path(os.environ.get(ROOT, REPOSITORY)).resolve()


def at_root() -> None:
    """Make `root()` the working directory, wherever the notebook was started."""
    os.chdir(root())


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
