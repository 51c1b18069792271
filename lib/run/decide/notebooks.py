"""Which notebooks answer a question, with which parameters, and how they are run."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from lib.infra.settings import configure
from lib.run import places
from lib.run.decide.question import ALLOCATION, DESIGN, LAW, OF_ALLOCATION, OF_THE_LAW, Question
from lib.run.execute import NotebookError, execute, interruptible
from lib.run.parameters import check_parameters, declared
from lib.run.plan import Job, read_notebook
from lib.run.resume import is_finished

PROFILE = "decision"  # the folder of outputs/ below the reader's own


def jobs(question: Question) -> list[Job]:
    """The notebooks of a question: 02 and 04, and 05 where it names several scenarios."""
    given = question.given
    law = {name: given[name] for name in ("measurements", *OF_THE_LAW) if name in given}
    # No basin-hopping: a rival of the law, which no decision rests on, and most of the time.
    made = [_job(LAW, {**law, "other_breaks": []})]
    made.append(_job(DESIGN, {**given, "trainings": ""}))
    if question.values["scenarios"]:
        among = (*OF_ALLOCATION, "roi_min", "interval", "seed")
        made.append(_job(ALLOCATION, given, among))
    return made


def _job(stem, given, among=None):
    path = places.REPOSITORY / "notebooks" / f"{stem}.ipynb"
    notebook = read_notebook(path)
    defaults = declared(notebook, source=places.shown(path))
    own = {name: given[name] for name in among or defaults if name in given and name in defaults}
    own["output"] = f"outputs/{PROFILE}/{stem}"
    values = check_parameters(own, defaults, source=places.shown(path))
    return Job(stem, PROFILE, notebook, own, values, after=())


def run(made: Sequence[Job]) -> None:
    """Run notebooks at the same time, those that are up to date not again.

    Raises: `lib.run.execute.NotebookError` of the first that fails.
    """
    configure()  # kernels inherit it
    waiting = [job for job in made if not is_finished(job)]
    with (
        contextlib.chdir(places.root()),
        ThreadPoolExecutor(max(len(waiting), 1)) as pool,
        interruptible(),
    ):
        for job, done in [(job, pool.submit(_execute, job)) for job in waiting]:
            try:
                done.result()
            except NotebookError as error:
                raise NotebookError(f"{error}, in {places.root()}") from None
            print(f"{job.stem}: done", flush=True)


def _execute(job):
    """Run a notebook in this thread, and close the loop that papermill leaves in it."""
    try:
        execute(job)
    finally:
        with contextlib.suppress(RuntimeError):  # it has none
            asyncio.get_event_loop().close()
