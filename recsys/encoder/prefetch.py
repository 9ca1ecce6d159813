"""Runs an iterator ahead of its reader, in a thread, by a bounded number of items.

Does not know: what the items are.
"""

import threading
from collections.abc import Iterator
from queue import Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """The last message: the source ended, or failed with ``error``."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class prefetch(Generic[T]):  # noqa: N801 - used like a function, as itertools' classes are
    """Iterate over ``source``, which runs up to ``depth`` items ahead in a thread of its own.

    An exception of the source is raised where its item would have come. :meth:`close` stops the thread.
    """

    def __init__(self, source: Iterator[T], *, depth: int) -> None:
        self._queue: Queue[T | _End] = Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source,), name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._stop.is_set():
            raise StopIteration
        item = self._queue.get()
        if isinstance(item, _End):
            self.close()
            if item.error is not None:
                raise item.error
            raise StopIteration
        return item

    def close(self) -> None:
        """Stop the thread and wait for it; items that were read ahead are dropped."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, source: Iterator[T]) -> None:
        error: BaseException | None = None
        try:
            for item in source:
                if not self._put(item):
                    return
        except BaseException as found:  # noqa: BLE001 - nothing is hidden: the reader raises it
            error = found
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except Full:
                continue
            return True
        return False
