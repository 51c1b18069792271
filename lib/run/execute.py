"""Run notebooks and keep what is reproducible of them."""

import contextlib
import copy
import os
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets import default

from lib.infra.files import replacing
from lib.infra.settings import configure
from lib.notebook.report import ANSWER
from lib.run import places
from lib.run.plan import Job
from lib.run.resume import forget, is_finished, remember, stamp
from lib.run.scorecard import write_scorecard

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


class NotebookError(RuntimeError):
    """A notebook stopped before its end; the message says where and why."""


class ThisPython(AsyncKernelManager):
    """Kernels of the running Python, whatever kernels the machine offers as python3."""

    @default("kernel_spec_manager")
    def _no_search(self):
        return KernelSpecManager(kernel_dirs=[], parent=self)

    @default("transport_encryption")
    def _encrypted(self):
        return "auto"  # else the kernel warns that other users may listen


def run_all(jobs: Iterable[Job], *, force: bool = False) -> None:
    """Run the jobs of a `plan` in order, those that are up to date only with `force`.

    Raises NotebookError when a notebook fails. The scorecard is written all the same.
    """
    configure()  # kernels inherit it
    seconds = {}
    try:
        for job in jobs:
            if not force and is_finished(job):
                print(f"{job.stem}: up to date, skipped", flush=True)
                continue
            print(f"{job.stem}: running", flush=True)
            start = time.monotonic()
            execute(job)
            seconds[job.stem] = time.monotonic() - start
            print(f"{job.stem}: done in {seconds[job.stem]:.1f} s", flush=True)
        if len(seconds) > 1:
            times = ", ".join(f"{stem} {one:.0f}" for stem, one in seconds.items())
            print(f"all: done in {sum(seconds.values()):.0f} s ({times})", flush=True)
    finally:
        for profile in {job.profile for job in jobs}:
            write_scorecard(profile)


def execute(job: Job) -> None:
    """Run one notebook; once it is done, move it into place and remember that.

    Until then it is NOTEBOOK.unfinished.ipynb, which an error or an interrupt
    leaves for the reader. Raises NotebookError.
    """
    forget(job)
    started_from = stamp(job)
    job.folder.mkdir(parents=True, exist_ok=True)
    unfinished = job.folder / f"{job.stem}.unfinished.ipynb"
    executed = tidied(_papermill(job, unfinished), job.notebook)
    with replacing(job.executed) as temporary:
        nbformat.write(executed, temporary)
    unfinished.unlink()
    remember(job, started_from)


def _papermill(job, unfinished):
    # A relative path, since papermill fills in every {...} that it finds in a path.
    target = str(unfinished.relative_to(places.root()))
    with contextlib.chdir(places.root()):
        try:
            return papermill.execute_notebook(
                copy.deepcopy(job.notebook),
                target,
                parameters=job.given,
                kernel_name="python3",
                language="python",
                kernel_manager_class=ThisPython,
                record_timing=False,
                coalesce_streams=True,
                progress_bar={"desc": job.stem, "leave": False},
            )
        except PapermillExecutionError as error:
            first = error.source.strip().split("\n")[0]
            reason = (
                f"In [{error.exec_count}], which begins {first!r}, failed: "
                f"{error.ename}: {error.evalue}"
            )
        except DeadKernelError:
            reason = "its kernel died (out of memory?)"
    raise NotebookError(f"{job.stem}: {reason}\nThe notebook up to there: {target}")


def tidied(executed: nbformat.NotebookNode, source: nbformat.NotebookNode):
    """The source notebook with the results of a run, and nothing of its time and place.

    Cells keep their ids and metadata. Two cells are added: papermill's parameters, and the
    notebook's answer under its title.
    """
    originals = {cell.id: cell for cell in source.cells}
    for cell in executed.cells:
        if cell.id in originals:
            cell.metadata = originals[cell.id].metadata
        else:
            cell.id, cell.metadata = "injected-parameters", {"tags": ["injected-parameters"]}
        for output in cell.get("outputs", []):
            _without_places(output)
    executed.metadata = {**source.metadata, "kernelspec": KERNELSPEC}
    return answer_on_top(executed)


def answer_on_top(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Put the answer that `Report.say` has shown into a cell under the notebook's title.

    What follows the title in its cell goes into a cell of its own, below the answer. A
    notebook without an answer, or with one on top already, keeps its cells; the answer on
    top is then the newest.
    """
    answers = [
        output.data["text/markdown"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("data", {}).get("text/markdown", "").startswith(ANSWER)
    ]
    title = notebook.cells[0] if notebook.cells else None
    if not answers or title.cell_type != "markdown" or not title.source.startswith("# "):
        return notebook
    on_top = [cell for cell in notebook.cells if cell.id == "answer"]
    if on_top:
        on_top[0].source = answers[-1]
        return notebook
    title.source, _, introduction = title.source.partition("\n")
    cells = [nbformat.v4.new_markdown_cell(answers[-1], id="answer")]
    if introduction.strip():
        cells.append(nbformat.v4.new_markdown_cell(introduction.strip("\n"), id="introduction"))
    notebook.cells[1:1] = cells
    return notebook


def _without_places(output):
    """Shorten this machine's paths in an output's texts (a warning's, as a rule)."""

    def shorten(text):
        for place in (places.root(), places.REPOSITORY, Path(sys.prefix)):
            text = text.replace(f"{place}{os.sep}", "")
        return re.sub(r"\S*ipykernel_\d+\S(\d+)\.py", r"cell_\1.py", text)

    if "text" in output:
        output.text = shorten(output.text)
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/"):
            output.data[kind] = shorten(content)
