"""The notebook runner, strict and resumable, over papermill.

A profile is a folder params/PROFILE of YAML files, one per notebook and named
like it. Before the first kernel starts, every parameter of the run is checked
against the notebook's cell tagged `parameters`. The executed notebook goes to
outputs/PROFILE/NOTEBOOK.ipynb; its tables and figures go to the folder that its
parameter `output` names, outputs/PROFILE/NOTEBOOK unless set otherwise. A
notebook that finished is run again only if something it depends on changed.

    parameters   what a notebook declares, what a run gives
    plan         which notebooks run, with which parameters
    resume       what a finished notebook depended on
    execute      run notebooks, keep what is reproducible of them
    scorecard    the claims of all notebooks in one table

Relative paths, here and in parameters, start at `root()`.
"""
import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def root():
    """The folder where relative paths start: the repository.

    The environment variable RETRIEVAL_SCALING_ROOT names another folder, so that
    a regression test can run everything without touching the committed outputs.
    """
    return Path(os.environ.get("RETRIEVAL_SCALING_ROOT", REPOSITORY)).resolve()


def at_root():
    """Make `root()` the working directory, wherever the notebook was started."""
    os.chdir(root())


def shipped(path):
    """A file of `root()`, or where it has none of that name, the repository's own.

    >>> shipped("params/paper/figure7.csv").is_file()
    True
    """
    here = root() / path
    return here if here.exists() else REPOSITORY / path


def shown(path):
    """A path as messages show it: relative to the repository where it lies in it."""
    path = Path(path)
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)
