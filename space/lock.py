"""One model for many requests: a lock in their order, which long ones release after each batch."""

import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from queue import SimpleQueue
from typing import Any

after_batch: ContextVar[Callable[[int], None] | None] = ContextVar("after_batch", default=None)
"""Called after each batch of windows with their number; set while a recording is classified."""


class FairLock:
    """A lock that is granted in the order of the requests.

    With `threading.Lock`, a thread that releases the lock often gets it back at once. A long
    recording, which releases it after every batch, would then block all other requests.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next_ticket, self._serving = 0, 0

    def __enter__(self) -> None:
        with self._changed:
            ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
            self._changed.wait_for(lambda: self._serving == ticket)

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._serving += 1
            self._changed.notify_all()

    def yield_to_others(self) -> None:
        """Let every request that already waits run first."""
        self.__exit__()
        self.__enter__()


class _Cancelled(Exception):
    """Raised inside a function to stop it."""


def in_steps(
    function: Callable[[], dict[str, Any]], lock: FairLock
) -> Iterator[int | dict[str, Any]]:
    """Run a function that classifies a recording; others run between its batches.

    Closing the iterator stops the function.

    Args:
        function: calls `after_batch`.
        lock: held by the function, except between batches.

    Yields:
        The number of windows classified so far, after each batch; at last the result.

    Raises:
        Exception: of the function.
    """
    steps: SimpleQueue[int | dict[str, Any] | Exception] = SimpleQueue()
    cancelled, done = threading.Event(), 0

    def report(windows: int) -> None:
        nonlocal done
        done += windows
        steps.put(done)
        lock.yield_to_others()
        if cancelled.is_set():
            raise _Cancelled

    def work() -> None:
        after_batch.set(report)
        try:
            with lock:
                steps.put(function())
        except Exception as error:
            steps.put(error)

    # ZeroGPU finds the visitor's request in the context.
    thread = threading.Thread(
        target=copy_context().run, args=(work,), name="recording", daemon=True
    )
    thread.start()
    try:
        while isinstance(step := steps.get(), int):
            yield step
    finally:
        cancelled.set()
        thread.join()
    if isinstance(step, Exception):
        raise step
    yield step
