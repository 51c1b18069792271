"""A measurement in a process of its own.

What runs there starts with fresh memory and fresh libraries, and a crash or the system's
out-of-memory killer ends it and not the notebook.
"""

import os

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from lib.infra.parent import end_with_parent


def in_child(what, function, *arguments, niceness=0):
    """`function(*arguments)`, carried out in a child process, which ends with this one.

    Args:
      what: names the work in the error message.
      niceness: of the child over this process, from before it imports what the function needs;
        without effect on systems that know none.

    Raises: RuntimeError where the process ended; whatever the function raises.

    >>> in_child("a power", pow, 2, 10)
    1024
    """
    pool = ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(), niceness))
    try:
        return pool.submit(function, *arguments).result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"the process of {what} ended; out of memory, or a crash in a library"
        ) from error
    finally:
        pool.shutdown(kill_workers=True)


def _begin(parent, niceness):
    end_with_parent(parent)
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)


def reason(error):
    """An error in one line, for a row's column `failure`.

    >>> reason(MemoryError("no room\\nfor more"))
    'MemoryError: no room'
    """
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
