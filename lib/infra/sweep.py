"""Many trainings or measurements: parallel over cores or machines, resumable.

A task is a dict of plain values. Its result is kept in a file named by a digest of
the task and of the code that carries it out (`lib.infra.code_digest`), written whole or not at
all: whatever interrupts a sweep, what is finished is never done again, and another seed,
another log or other code is another task. A result that is damaged, or whose files are, is named
and made again.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import os
import pickle
import platform
import shutil
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from lib.infra import shared_folders
from lib.infra.clusters import CLUSTERS, answers, asked_for
from lib.infra.code_digest import code_digest
from lib.infra.files import write_json
from lib.infra.leftovers import remove_leftovers, temporary_name
from lib.infra.machine import cores
from lib.infra.parent import end_with_parent
from lib.infra.settings import configure

HERE = ("loky", "sequential")  # of joblib: worker processes, or this process
# Seconds after which nobody writes at a file any more, on whatever machine, whose process is none
# of this one's.
_ABANDONED = 600


def run(
    function: Callable,
    tasks: list[dict],
    folder,
    *,
    n_jobs: int | None = None,
    backend: str = "loky",
    progress: bool = True,
) -> list[dict]:
    """Carry out the tasks that have no result yet; return all results in order.

    Args:
      function: `(task, path) -> dict` of plain values, importable by its name; it may
        leave files of its own that begin with `path`, see `result_path`, and a task is done
        again whose files are not there any more, or of another size.
      tasks: list of dicts of plain values (what JSON can hold).
      folder: where results are kept, one JSON file each (`lib.infra.shared_folders`).
      n_jobs: tasks at a time; default one a core, and of a cluster as many as it takes. More
        than 1: in workers of one thread each, so that the numbers do not depend on how many run
        side by side; a crash or the system's out-of-memory killer may end a worker, and all end
        when this process does. 1: in this
        process with its threads, and a task that crashes takes the process with it.
      backend: "loky" (this machine, unless RETRIEVAL_SCALING_BACKEND in the environment names a
        cluster and n_jobs is not 1), "sequential" (this process, for tests), or "dask" or "ray",
        see `lib.infra.clusters`: many machines, which share the folder and the working directory
        and hold this code. A task runs in one thread, and a worker's process carries out one at
        a time.

    Returns: list of dict.
    Raises: the error of the first task that failed, noted with the task, after all
      others have been carried out and kept. RuntimeError where a task's worker died, though
      the task had been given a second time, with no other beside it.
    """
    if getattr(_WITHIN, "task", False):  # of a cluster, which has its one thread
        n_jobs = 1
    elif n_jobs != 1:
        backend = asked_for(backend)
    if backend not in (*HERE, *CLUSTERS):
        raise ValueError(f"backend must be loky, {' or '.join(CLUSTERS)}; got {backend!r}")
    folder = shared_folders.local(folder).absolute()  # other processes may stand elsewhere
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, unchanged=_ABANDONED)
    names = [result_path(function, task, folder).name for task in tasks]
    waiting = {
        name: task for name, task in zip(names, tasks, strict=True) if not _is_kept(folder, name)
    }
    with tqdm(
        total=len(names),
        initial=len(names) - len(waiting),
        leave=False,
        desc=function.__name__,
        disable=not progress,
    ) as bar:
        errors = _Sweep(function, folder, n_jobs, backend, bar).carry_out(waiting)
    if errors:
        raise errors[0]
    if backend in CLUSTERS:
        shared_folders.wait_for(_result_file(folder, name) for name in names)
    return [json.loads(_result_file(folder, name).read_text())["result"] for name in names]


def _is_kept(folder, name):
    """Whether a task's result is there; one that is damaged is named and removed."""
    path = _result_file(folder, name)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        damage = "" if isinstance(kept, dict) and "result" in kept else "it holds no result"
        sizes = {} if damage else kept.get("files", {})
        found = {file: _size(folder / file) for file in sizes}
        changed = [file for file in sizes if found[file] != sizes[file]]
        if changed:
            now = "absent" if found[changed[0]] is None else f"of {found[changed[0]]} bytes"
            damage = f"its file {changed[0]} is {now}, not of {sizes[changed[0]]}"
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        damage = str(error)
    if damage:
        warnings.warn(f"{path} is damaged ({damage}); its task is done again", stacklevel=3)
        path.unlink()
    return not damage


def _size(path):
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size


def _sizes_of_files(folder, name):
    """{path in the folder: bytes} of the files that a task has left beside its result."""
    found = [path for path in folder.glob(f"{name}*") if path != _result_file(folder, name)]
    inside = [path for place in found if place.is_dir() for path in place.rglob("*")]
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted([*found, *inside])
        if path.is_file()
    }


def result_path(function: Callable, task: dict, folder) -> Path:
    """Path, without suffix, of a task's files in the folder of its sweep."""
    return shared_folders.local(folder) / task_digest(function, task)


def task_digest(function: Callable, task: dict) -> str:
    """Name of a task's result: a digest of the task, the function and the code it depends on.

    >>> first, second = ({"seed": seed} for seed in (1, 2))
    >>> task_digest(run, first) == task_digest(run, {"seed": 1}) != task_digest(run, second)
    True
    """
    text = json.dumps(
        [function.__module__, function.__qualname__, task, code_digest(function)], sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class _Sweep:
    """Tasks in workers, of which any may die."""

    def __init__(self, function, folder, n_jobs, backend, bar):
        self.function, self.folder, self.bar = function, folder, bar
        self.n_jobs, self.backend = n_jobs, backend

    def carry_out(self, waiting):
        """All tasks, name -> task; returns the errors.

        A worker's death on this machine ends all workers of its pool and does not say whose it
        was: what they were carrying out is given again, one task at a time, so that one that
        kills its worker again is known, and lost alone. A cluster says whose it was.
        """
        in_workers = self._in_cluster if self.backend in CLUSTERS else self._in_workers
        waiting, errors = dict(waiting), []
        while waiting:
            begun, death = in_workers(waiting, errors, self.n_jobs)
            if death and not begun:
                raise death  # before any task began: no other would fare better
            for name in begun:
                alone = {name: waiting.pop(name)}
                _, death = in_workers(alone, errors, n_jobs=2)  # 1: in this process
                for task in alone.values():
                    errors.append(_worker_died(task, death))
                    self.bar.update()
        return errors

    def _in_workers(self, waiting, errors, n_jobs):
        """Carry tasks out until all are done or a worker dies; takes the done out of `waiting`.

        Returns: (names of the others that workers had begun, what ended the workers or None).
        """
        with tempfile.TemporaryDirectory(
            prefix=temporary_name(".begun"), dir=self.folder, ignore_cleanup_errors=True
        ) as begun:
            jobs = [
                joblib.delayed(_carry_out)(*self._call(name, task), Path(begun), os.getpid())
                for name, task in waiting.items()
            ]
            death = None
            with (
                joblib.parallel_config("loky", n_jobs=n_jobs or cores(), inner_max_num_threads=1),
                warnings.catch_warnings(),
            ):
                # A worker whose memory has grown is replaced by a new one: no reader's concern.
                warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
                try:
                    for name, error in joblib.Parallel(return_as="generator_unordered")(jobs):
                        errors += [error] if error else []
                        self._finish(name, waiting)
                except BrokenProcessPool as error:
                    death = error
            self._finish_kept(waiting)
            return [file.name for file in Path(begun).iterdir() if file.name in waiting], death

    def _in_cluster(self, waiting, errors, n_jobs):
        """As `_in_workers`; a death is of one task, and the others go on."""
        place = os.getcwd()  # where relative paths in tasks start
        calls = {name: (*self._call(name, task), place) for name, task in waiting.items()}
        died, last = [], None
        with contextlib.closing(answers(self.backend, _alone_in_process, calls, n_jobs)) as arrived:
            for name, answer, death in arrived:
                if death is None:
                    errors += [answer[1]] if answer[1] else []
                    self._finish(name, waiting)
                else:
                    died, last = [*died, name], death
        self._finish_kept(waiting)
        return [name for name in died if name in waiting], last

    def _call(self, name, task):
        """Arguments of `_carry_out`."""
        function = self.function
        return function.__module__, function.__qualname__, task, self.folder, name

    def _finish_kept(self, waiting):
        """Take out the tasks whose results are there, though the answer did not arrive."""
        for name in [name for name in waiting if _result_file(self.folder, name).exists()]:
            self._finish(name, waiting)

    def _finish(self, name, waiting):
        del waiting[name]
        self.bar.update()


def _worker_died(task, death):
    error = RuntimeError(
        f"a worker process ended twice in the task {task}, the second time with no other task "
        "beside it: out of memory, or a crash in a library"
    )
    error.__cause__ = death
    return error


def _result_file(folder, name):
    return folder / f"{name}.json"


_ONE_AT_A_TIME = threading.Lock()
_WITHIN = threading.local()  # task: whether this thread carries one out for a cluster


def _alone_in_process(module, function, task, folder, name, place):
    """Carry out one task in a cluster's worker, which may have several threads.

    Models and seeds are the process's, and sums depend on the number of threads. A cluster gives
    a task again whose answer was lost with a worker; what it had kept stays.
    """
    with _ONE_AT_A_TIME, threadpool_limits(1):
        if _result_file(folder, name).exists():
            return name, None
        try:
            shared_folders.check_seen(folder, place)
        except RuntimeError as error:
            return name, error
        _WITHIN.task = True
        try:
            with contextlib.chdir(place):
                return _carry_out(module, function, task, folder, name, elsewhere=True)
        finally:
            _WITHIN.task = False


def _carry_out(module, function, task, folder, name, begun=None, parent=None, elsewhere=False):
    """Carry out one task in a worker; returns (name, error or None)."""
    # By name, so that a worker has its settings before the function's module starts TensorFlow.
    configure()
    if parent not in (None, os.getpid()):
        end_with_parent(parent, leaving=functools.partial(_leave, folder, begun))
    if begun:
        (begun / name).touch()
    # An error is handed back, not raised: joblib would end the tasks beside it.
    try:
        function = functools.reduce(getattr, function.split("."), importlib.import_module(module))
        if elsewhere and task_digest(function, task) != name:
            raise RuntimeError(
                f"the worker on {platform.node()} has other code or libraries than this process; "
                "expected one checkout and environment on all machines, and workers started since "
                "it last changed"
            )
        result = function(task, folder / name)
        kept = {"task": task, "result": result}
        if sizes := _sizes_of_files(folder, name):
            kept["files"] = sizes
        write_json(_result_file(folder, name), kept, allow_nan=True)
    except (Exception, SystemExit) as error:
        error = _portable(error)
        error.add_note(f"{traceback.format_exc()}\nin the task {task}")
        return name, error
    return name, None


def _leave(folder, begun):
    """Remove what would stay behind when this worker ends in the middle of a task."""
    for path in folder.glob(f".*.{os.getpid()}.part*"):
        path.unlink(missing_ok=True)
    shutil.rmtree(begun, ignore_errors=True)


def _portable(error):
    """The error, or one of its text where it is none to raise later or in another process."""
    try:
        if isinstance(error, Exception):
            pickle.loads(pickle.dumps(error))
            return error
    except Exception:  # whatever an exception's own pickling raises
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
