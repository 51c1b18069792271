"""Notebooks and results to run the runner on."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import yaml

from lib.run.execute import KERNELSPEC
from tests import ROOT


def add_notebook(repository, stem, parameters, *cells, values=None):
    """A notebook of code cells, and its file in the profile quick."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    rest = [nbformat.v4.new_code_cell(source) for source in cells]
    notebook = nbformat.v4.new_notebook(
        cells=[first, *rest],
        metadata={"kernelspec": KERNELSPEC, "language_info": {"name": "python"}},
    )
    nbformat.write(notebook, repository / f"notebooks/{stem}.ipynb")
    (repository / f"params/quick/{stem}.yaml").write_text(yaml.safe_dump(values or {}))


def start(repository, *arguments):
    """`python -m lib run` on a repository of a test, in a process of its own."""
    code = (
        "import pathlib, sys; from lib.run import places; places.REPOSITORY = pathlib.Path.cwd()\n"
        "from lib.__main__ import main; sys.exit(main(['run', *sys.argv[1:]]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Started in the background of a shell, the tests would hand on an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def until(condition, seconds=60):
    """What the condition gives, once that is something; AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (given := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return given


def text_of(path):
    """A file's text, "" if it is not there."""
    return path.read_text() if path.exists() else ""


def is_gone(process):
    """Whether a process runs no more, be it that nobody has asked for its end yet."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def add_results(folder, notebook="00_logs", **values):
    """The summary.json of a notebook that ran into `folder`."""
    folder.mkdir(parents=True)
    summary = {"notebook": notebook, "answer": "", "values": {}, "claims": [], **values}
    (folder / "summary.json").write_text(json.dumps(summary))
