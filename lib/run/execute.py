"""Run notebooks and keep what is reproducible of them."""

import contextlib
import copy
import os
import re
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets import default

from lib.infra.files import replacing
from lib.infra.leftovers import remove_leftovers, scratch
from lib.infra.locks import InUseError, holding
from lib.infra.settings import configure
from lib.notebook import staging
from lib.notebook.report import ANSWER, SUMMARY, put_in_place
from lib.run import places
from lib.run.plan import Job
from lib.run.resume import forget, is_finished, remember, stamp
from lib.run.scorecard import write_scorecard

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


class NotebookError(RuntimeError):
    """A notebook stopped before its end; the message says where and why."""


class _ThisPythonOnly(KernelSpecManager):
    """The running Python, with more in its environment."""

    def __init__(self, environment, **traits):
        super().__init__(kernel_dirs=[], **traits)
        # Jupyter would fill in what looks like a variable.
        self.environment = {name: text.replace("$", "$$") for name, text in environment.items()}

    def get_kernel_spec(self, kernel_name):
        spec = super().get_kernel_spec(kernel_name)
        spec.env = {**spec.env, **self.environment}
        return spec


class ThisPython(AsyncKernelManager):
    """Kernels of the running Python, whatever kernels the machine offers as python3.

    An execution takes a class, of which it makes the manager itself: `with_environment` is one.
    """

    environment: ClassVar = {}
    made: ClassVar = weakref.WeakSet()

    def __init__(self, **traits):
        super().__init__(**traits)
        self.made.add(self)

    @classmethod
    def with_environment(cls, **variables: str) -> type:
        """The class of managers whose kernels have these variables in their environment."""
        return type(cls.__name__, (cls,), {"environment": variables})

    @default("kernel_spec_manager")
    def _no_search(self):
        return _ThisPythonOnly(self.environment, parent=self)

    def end(self) -> None:
        """Kill the kernel, if it runs, and the workers that it has started."""
        process = getattr(self.provisioner, "process", None)
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                if os.name == "posix":
                    os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own
                else:
                    process.kill()

    @default("transport_encryption")
    def _encrypted(self):
        return "auto"  # else the kernel warns that other users may listen


def run_all(jobs: Iterable[Job], *, force: bool = False) -> None:
    """Run the jobs of a `plan` in order, those that are up to date only with `force`.

    Raises NotebookError when a notebook fails. The scorecard is written all the same. A SIGTERM
    is taken like Ctrl-C.
    """
    configure()  # kernels inherit it
    jobs = list(jobs)
    with interruptible():
        try:
            _run_in_order(jobs, force)
        except BaseException:
            with contextlib.suppress(NotebookError):  # the first error is the one to be told
                _write_scorecards(jobs)
            raise
        _write_scorecards(jobs)


def _run_in_order(jobs, force):
    seconds = {}
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


def _write_scorecards(jobs):
    for profile in {job.profile for job in jobs}:
        try:
            write_scorecard(profile)
        except OSError as error:
            raise NotebookError(f"scorecard: {_reason(error, f'outputs/{profile}')}") from None


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the kernels of all threads at once, and a SIGTERM be taken like it.

    By itself, a SIGTERM ends Python where it stands, a thread that runs a notebook goes on to its
    end, and a kernel that is interrupted shows where it was.
    """

    def end(*_):
        for kernels in list(ThisPython.made):
            kernels.end()
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    numbers = [signal.SIGTERM] if is_main else []
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def execute(job: Job) -> None:
    """Run one notebook; once it is done, put all its results in place and remember that.

    Until then the notebook is NOTEBOOK.unfinished.ipynb, which an error or an interrupt leaves
    for the reader, and its tables and figures stand apart: the last run's results stay whole,
    all of one run. Raises NotebookError, also where another process runs the same notebook, or
    results cannot be written.
    """
    lock = job.folder / "cache" / f"{job.stem}.lock"
    try:
        for folder in (job.output, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with (
            holding(lock, f"{job.stem}: {places.shown(job.folder)}"),
            holding(job.output / staging.LOCK, f"{job.stem}: {places.shown(job.output)}"),
        ):
            _execute(job)
    except InUseError as error:
        raise NotebookError(error) from None
    except OSError as error:
        raise NotebookError(f"{job.stem}: {_reason(error, job.folder)}") from None


def _execute(job):
    staging.go_on(job.output, job.stem)
    remove_leftovers(job.folder / "cache")
    remove_leftovers(job.output)
    started_from = stamp(job)
    unfinished = job.folder / f"{job.stem}.unfinished.ipynb"
    try:
        executed = tidied(_papermill(job, unfinished), job.notebook)
        forget(job)
        _put_in_place(job, executed)
    finally:
        staging.discard(job.output, job.stem)
        remove_leftovers(job.output)  # of a kernel that was killed
    unfinished.unlink()
    remember(job, started_from)


def _put_in_place(job, executed):
    """Let the executed notebook count, and with it what it reported."""
    apart = staging.unfinished_folder(job.output, job.stem)
    if (apart / SUMMARY).exists():
        nbformat.write(executed, apart / job.executed.name)
        put_in_place(job.output, job.stem, elsewhere={job.executed.name: job.executed})
    else:
        with replacing(job.executed) as temporary:
            nbformat.write(executed, temporary)


def _papermill(job, unfinished):
    # A relative path, since papermill fills in every {...} that it finds in a path.
    target = str(unfinished.relative_to(places.root()))
    with contextlib.chdir(places.root()), scratch() as temporary:
        kernels = ThisPython.with_environment(
            TMPDIR=str(temporary), **{staging.RUNNER: str(job.output)}
        )
        try:
            return papermill.execute_notebook(
                copy.deepcopy(job.notebook),
                target,
                parameters=job.given,
                kernel_name="python3",
                language="python",
                kernel_manager_class=kernels,
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
        except RuntimeError as error:  # such as a library of the kernel that is not there
            reason = f"its kernel did not start: {error}"
    raise NotebookError(f"{job.stem}: {reason}\nThe notebook up to there: {target}")


def _reason(error, folder):
    """An OSError in one line; `folder` is its place where it names none.

    >>> _reason(OSError(28, "No space left on device", "a.csv"), "outputs/quick")
    'a.csv: No space left on device'
    >>> _reason(OSError(28, "No space left on device"), "outputs/quick")
    'outputs/quick: No space left on device'
    >>> _reason(OSError("no more files"), "outputs/quick")
    'outputs/quick: no more files'
    """
    names = [name for name in (error.filename, error.filename2) if name] or [folder]
    shown = " and ".join(places.shown(os.fsdecode(name)) for name in names)
    return f"{shown}: {error.strerror or error}"


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
