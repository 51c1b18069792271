"""A measurement in a process of its own.

What runs there starts with fresh memory and fresh libraries, and a crash or the system's
out-of-memory killer ends it and not the notebook.
"""

import os

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool


def in_child(what, function, *arguments, niceness=0):
    """`function(*arguments)`, carried out in a child process.

    Args:
      what: names the work in the error message.
      niceness: of the child over this process, from before it imports what the function needs;
        without effect on systems that know none.

    Raises: RuntimeError where the process ended; whatever the function raises.

    >>> in_child("a power", pow, 2, 10)
    1024
    """
    lower = {}
    if niceness and hasattr(os, "nice"):
        lower = {"initializer": os.nice, "initargs": (niceness,)}
    pool = ProcessPoolExecutor(max_workers=1, **lower)
    try:
        return pool.submit(function, *arguments).result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"the process of {what} ended; out of memory, or a crash in a library"
        ) from error
    finally:
        pool.shutdown(kill_workers=True)


def reason(error):
    """An error in one line, for a row's column `failure`.

    >>> reason(MemoryError("no room\\nfor more"))
    'MemoryError: no room'
    """
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
