"""Calls on a cluster of Dask or Ray: answers as they come, and which calls lost their worker.

joblib reaches both, but not for tasks that may die: it waits for ever for one whose worker was
killed under Dask.

The cluster is the one that this process is connected to (a `distributed.Client`, `ray.init`), else
the one that the environment names, as Dask and Ray themselves read it: DASK_SCHEDULER_ADDRESS or
DASK_SCHEDULER_FILE, RAY_ADDRESS. Processes started here inherit these, a notebook's kernel too.
"""

import contextlib
import importlib
import itertools
import os
from collections.abc import Callable, Iterator

CLUSTERS = ("dask", "ray")
# Environment variable: the cluster that sweeps of this machine's workers are carried out on.
BACKEND = "RETRIEVAL_SCALING_BACKEND"
# Calls given out at a time where the caller names no number: more than workers, so that a cluster
# that grows by demand sees it.
MOST_WAITING = 1000
KEPT = "what was finished is kept; the same call goes on"


def asked_for(backend: str) -> str:
    """The backend of a sweep: where it is "loky", the one that the environment names, if any.

    Raises: ValueError where that is neither loky nor a cluster.

    >>> asked_for("sequential")
    'sequential'
    """
    named = os.environ.get(BACKEND)
    if backend != "loky" or not named:
        return backend
    if named not in ("loky", *CLUSTERS):
        raise ValueError(f"{BACKEND} must be loky, {' or '.join(CLUSTERS)}; got {named!r}")
    return named


def answers(
    backend: str, function: Callable, calls: dict[str, tuple], at_once: int | None = None
) -> Iterator[tuple]:
    """Yield (name, answer, None), or (name, None, error) of a call whose worker died.

    Args:
      backend: "dask" or "ray". The workers must be able to import what the function's module
        imports.
      function: importable by its name; runs in one thread of a worker.
      calls: name -> arguments.
      at_once: calls given out at a time; by default as many as the cluster takes.

    Raises: RuntimeError where there is no cluster, or the connection to it is lost; what the
      function raises.
    """
    if backend not in CLUSTERS:
        raise ValueError(f"backend must be one of {', '.join(CLUSTERS)}; got {backend!r}")
    return {"dask": _dask, "ray": _ray}[backend](function, calls, at_once or MOST_WAITING)


def _library(name, package):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeError(f"backend={package!r} needs the package {name}: {error}") from error


@contextlib.contextmanager
def _dask_client(distributed):
    """The current client, else one of the environment's cluster for as long as this lasts."""
    try:
        current = distributed.get_client()
    except ValueError:
        current = None
    if current:
        yield current
        return
    config = importlib.import_module("dask.config")
    address, file = (config.get(f"scheduler-{name}", None) for name in ("address", "file"))
    if not (address or file):
        raise RuntimeError(
            "backend='dask' needs a cluster: set DASK_SCHEDULER_ADDRESS or DASK_SCHEDULER_FILE, or "
            "make a distributed.Client first, on this machine Client(threads_per_worker=1)"
        )
    if not address and not os.path.isfile(file):
        raise RuntimeError(f"DASK_SCHEDULER_FILE: {file} is not there; is the scheduler running?")
    given = {"address": address} if address else {"scheduler_file": file}
    try:
        client = distributed.Client(**given)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"no scheduler of Dask at {address or file}: {error}") from None
    with client:
        yield client


def _dask(function, calls, at_once):
    distributed = _library("distributed", "dask")
    with _dask_client(distributed) as client:
        yield from _dask_answers(distributed, client, function, calls, at_once)


def _dask_answers(distributed, client, function, calls, at_once):
    waiting, names = iter(calls.items()), {}
    completed = distributed.as_completed(loop=client.loop)

    def give(count):
        for name, arguments in itertools.islice(waiting, count):
            # A call is no value: the same arguments given again are carried out again.
            future = client.submit(function, *arguments, pure=False)
            names[future] = name
            completed.add(future)

    try:
        give(at_once)
        for future in completed:
            if future.cancelled():  # by the client, when its scheduler is gone
                raise RuntimeError(f"the connection to Dask's scheduler was lost; {KEPT}")
            # Dask itself gives a call again whose worker died, and gives up after some deaths.
            name, error = names.pop(future), future.exception()
            if error is not None and not isinstance(error, distributed.KilledWorker):
                raise error
            yield name, None if error else future.result(), error
            give(1)
    finally:
        client.cancel(list(names))


@contextlib.contextmanager
def _ray_connection(ray):
    """As `_dask_client`."""
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        raise RuntimeError(
            "backend='ray' needs a cluster: set RAY_ADDRESS, or call ray.init first, on this "
            "machine as ray.init()"
        )
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise RuntimeError(f"no cluster of Ray at RAY_ADDRESS = {address}: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _ray(function, calls, at_once):
    ray = _library("ray", "ray")
    with _ray_connection(ray):
        yield from _ray_answers(ray, function, calls, at_once)


def _ray_answers(ray, function, calls, at_once):
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
