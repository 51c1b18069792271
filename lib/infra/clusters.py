"""Calls on a cluster of Dask or Ray: answers as they come, and which calls lost their worker.

joblib reaches both, but not for tasks that may die: it waits for ever for one whose worker was
killed under Dask.
"""

import importlib
import itertools
from collections.abc import Callable, Iterator

CLUSTERS = ("dask", "ray")
# Calls given out at a time where the caller names no number: more than workers, so that a cluster
# that grows by demand sees it.
MOST_WAITING = 1000


def answers(
    backend: str, function: Callable, calls: dict[str, tuple], at_once: int | None = None
) -> Iterator[tuple]:
    """Yield (name, answer, None), or (name, None, error) of a call whose worker died.

    Args:
      backend: "dask", on the current `distributed.Client`, or "ray", where `ray.init` has been
        called. The workers must be able to import what the function's module imports.
      function: importable by its name; runs in one thread of a worker.
      calls: name -> arguments.
      at_once: calls given out at a time; by default as many as the cluster takes.

    Raises: RuntimeError where there is no cluster; what the function raises.
    """
    if backend not in CLUSTERS:
        raise ValueError(f"backend must be one of {', '.join(CLUSTERS)}; got {backend!r}")
    return {"dask": _dask, "ray": _ray}[backend](function, calls, at_once or MOST_WAITING)


def _library(name, package):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeError(f"backend={package!r} needs the package {name}: {error}") from error


def _dask(function, calls, at_once):
    distributed = _library("distributed", "dask")
    try:
        client = distributed.get_client()
    except ValueError:
        raise RuntimeError(
            "backend='dask' needs a cluster: make a distributed.Client first, of a scheduler's "
            "address or, on this machine, Client(threads_per_worker=1)"
        ) from None
    waiting, names = iter(calls.items()), {}
    completed = distributed.as_completed()

    def give(count):
        for name, arguments in itertools.islice(waiting, count):
            # A call is no value: the same arguments given again are carried out again.
            future = client.submit(function, *arguments, pure=False)
            names[future] = name
            completed.add(future)

    try:
        give(at_once)
        for future in completed:
            # Dask itself gives a call again whose worker died, and gives up after some deaths.
            name, error = names.pop(future), future.exception()
            if error is not None and not isinstance(error, distributed.KilledWorker):
                raise error
            yield name, None if error else future.result(), error
            give(1)
    finally:
        client.cancel(list(names))


def _ray(function, calls, at_once):
    ray = _library("ray", "ray")
    if not ray.is_initialized():
        raise RuntimeError(
            "backend='ray' needs a cluster: call ray.init first, with its address or, on this "
            "machine, as ray.init()"
        )
    remote = ray.remote(function).options(num_cpus=1, max_retries=0)
    waiting, names = iter(calls.items()), {}
    try:
        while True:
            for name, arguments in itertools.islice(waiting, at_once - len(names)):
                names[remote.remote(*arguments)] = name
            if not names:
                return
            done = ray.wait(list(names))[0][0]
            name, answer, death = names.pop(done), None, None
            try:
                answer = ray.get(done)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                death = error
            yield name, answer, death
    finally:
        for reference in names:
            ray.cancel(reference, force=True)
