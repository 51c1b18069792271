"""A source whose next batches are read while the last ones are trained on."""

import queue
import threading
from collections.abc import Iterator


class ReadAhead:
    """A `lib.training.source.BatchSource` read by a thread of its own.

    Args:
      source: what is read; all but `batches` is its own.
      ahead: batches that wait at most.
    """

    def __init__(self, source, ahead: int = 64):
        self.source, self.ahead = source, ahead

    def __getattr__(self, name):
        return getattr(self.source, name)

    def batches(self, offset=None) -> Iterator:
        """As the source's; its errors are raised here."""
        waiting, closed = queue.Queue(self.ahead), threading.Event()

        def put(item):
            while not closed.is_set():
                try:
                    return waiting.put(item, timeout=0.1)
                except queue.Full:
                    pass

        def read():
            try:
                for item in self.source.batches(offset):
                    put((item, None))
                    if closed.is_set():
                        return
                put((None, None))
            except BaseException as error:
                put((None, error))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            while True:
                item, error = waiting.get()
                if error:
                    raise error
                if item is None:
                    return
                yield item
        finally:
            closed.set()
            thread.join()
