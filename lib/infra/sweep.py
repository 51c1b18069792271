"""Many trainings or measurements: parallel over cores or machines, resumable.

A task is a dict of plain values. Its result is kept in a file named by a digest of
the task and of the code that carries it out (`lib.infra.code_digest`), written whole or not at
all: whatever interrupts a sweep, what is finished is never done again, and another seed,
another log or other code is another task.
"""

import functools
import hashlib
import importlib
import json
import traceback
from pathlib import Path

import joblib
from tqdm import tqdm

from lib.infra.code_digest import code_digest
from lib.infra.files import write_json
from lib.infra.settings import configure


def run(function, tasks, folder, *, n_jobs=None, backend="loky", progress=True):
    """Carry out the tasks that have no result yet; return all results in order.

    Args:
      function: `(task, path) -> dict` of plain values, importable by its name; it may
        leave files of its own that begin with `path`, see `result_path`.
      tasks: list of dicts of plain values (what JSON can hold).
      folder: where results are kept, one JSON file each.
      n_jobs: tasks at a time; default one a core. Each gets one thread, so that the
        numbers do not depend on how many run side by side.
      backend: of joblib: "loky" (this machine), "dask" or "ray" (many machines; the
        folder must be shared by them).

    Returns: list of dict.
    Raises: the error of the first task that failed, noted with the task, after all
      others have been carried out and kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keys = [result_path(function, task, folder).name for task in tasks]
    waiting = {
        k: task for k, task in zip(keys, tasks, strict=True) if not (folder / f"{k}.json").exists()
    }
    if waiting:
        jobs = (
            joblib.delayed(_carry_out)(function.__module__, function.__qualname__, task, folder, k)
            for k, task in waiting.items()
        )
        threads = {"inner_max_num_threads": 1} if backend == "loky" else {}
        with joblib.parallel_config(backend, n_jobs=n_jobs or joblib.cpu_count(), **threads):
            done = joblib.Parallel(return_as="generator_unordered")(jobs)
            failed = [
                error
                for error in tqdm(
                    done,
                    total=len(keys),
                    initial=len(keys) - len(waiting),
                    leave=False,
                    desc=function.__name__,
                    disable=not progress,
                )
                if error
            ]
        if failed:
            raise failed[0]
    return [json.loads((folder / f"{k}.json").read_text())["result"] for k in keys]


def result_path(function, task, folder):
    """Path, without suffix, of a task's files in the folder of its sweep."""
    return Path(folder) / task_digest(function, task)


def task_digest(function, task):
    """Name of a task's result: a digest of the task, the function and the code it depends on.

    >>> first, second = ({"seed": seed} for seed in (1, 2))
    >>> task_digest(run, first) == task_digest(run, {"seed": 1}) != task_digest(run, second)
    True
    """
    text = json.dumps(
        [function.__module__, function.__qualname__, task, code_digest(function)], sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _carry_out(module, function, task, folder, name):
    # By name, so that a worker has its settings before the function's module starts TensorFlow.
    configure()
    # An error is handed back, not raised: joblib would end the tasks beside it.
    try:
        function = functools.reduce(getattr, function.split("."), importlib.import_module(module))
        result = function(task, folder / name)
        write_json(folder / f"{name}.json", {"task": task, "result": result}, allow_nan=True)
    except Exception as error:
        error.add_note(f"{traceback.format_exc()}\nin the task {task}")
        return error
    return None
