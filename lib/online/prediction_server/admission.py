"""A bounded queue before a few threads: what cannot be answered in time is refused at once.

At saturation a queue without bound only makes every answer late. Here a request that finds the
queue full is told so in microseconds, and one whose deadline passes while it waits is not computed.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lib.online.prediction_server.protocol import RequestError


class Admission:
    """Runs work in `workers` threads, at most `queue` pieces of it waiting.

    >>> async def twice():
    ...     return await Admission(workers=1, queue=1).run(lambda: 2 * 21, seconds=1.0)
    >>> asyncio.run(twice())
    42
    """

    def __init__(self, workers: int, queue: int):
        self.workers, self.queue = workers, queue
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="prediction")
        self._admitted, self._lock = 0, threading.Lock()

    @property
    def waiting(self) -> int:
        """Admitted work that no thread has begun."""
        return max(0, self._admitted - self.workers)

    @property
    def full(self) -> bool:
        return self._admitted >= self.workers + self.queue

    def check(self) -> None:
        """Raises: RequestError (503) where nothing more is admitted."""
        if self.full:
            raise RequestError(
                f"the server is saturated: {self.waiting} requests wait; try again later, or "
                f"another server",
                status=503,
                kind="shed",
            )

    async def run(self, work: Callable, seconds: float):
        """What `work` returns, called in one of the threads.

        Args: seconds: after which nobody waits for it any longer; before its turn, it is then not
          called at all.

        Raises: RequestError, 503 where the queue is full, 504 where the seconds have passed; what
          `work` raises.
        """
        self.check()
        with self._lock:
            self._admitted += 1
        future = self._threads.submit(work)
        future.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise late(seconds) from None

    def close(self) -> None:
        """Wait for what runs; nothing may be admitted after it."""
        self._threads.shutdown()

    def _leave(self, _):
        # By the thread that did it, or by the one that cancelled it.
        with self._lock:
            self._admitted -= 1


def late(seconds: float) -> RequestError:
    """The answer to a request whose deadline has passed."""
    return RequestError(
        f"the deadline of {1e3 * seconds:g} ms has passed", status=504, kind="deadline"
    )
