"""One model for many requests: locks in their order, and requests that can be given up."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

STEP_SECONDS = 0.5
"""A request that runs says so at least so often. In between, Gradio cannot cancel it."""

after_batch: ContextVar[Callable[[int], None] | None] = ContextVar("after_batch", default=None)
"""Called after each batch of windows with their number; set while a recording is classified."""


class Cancelled(Exception):
    """Ends the work on a request that nobody waits for."""


class Request:
    """What is known of a request while a thread asks the model for it.

    Args:
        gone: whether nobody waits for it any more.

    Attributes:
        windows: windows of a recording that have been classified.
        waits: whether it waits for another request.
        waited: seconds for which it has waited.
        steps: the request after each batch, and at last its result or its error.
    """

    def __init__(self, gone: Callable[[], bool]) -> None:
        self._gone = gone
        self.windows, self.waits, self.waited = 0, False, 0.0
        self.steps: SimpleQueue[object] = SimpleQueue()

    def stop_if_cancelled(self) -> None:
        """Raise Cancelled if nobody waits for it any more."""
        if self._gone():
            raise Cancelled

    def report(self, windows: int) -> None:
        """Note that a batch of windows has been classified."""
        self.windows += windows
        self.steps.put(self)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Note that it waits for another request, and how long."""
        started, self.waits = time.perf_counter(), True
        try:
            yield
        finally:
            self.waits = False
            self.waited += time.perf_counter() - started


asked: ContextVar[Request | None] = ContextVar("asked", default=None)
"""The request for which this thread asks the model."""


@contextmanager
def asking(gone: Callable[[], bool] = lambda: False) -> Iterator[Request]:
    """Return the request of this thread; without one, a new one for the `with` block."""
    if request := asked.get():
        yield request
        return
    request = Request(gone)
    token = asked.set(request)
    try:
        yield request
    finally:
        asked.reset(token)


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
            if self._serving != ticket:
                with asking() as request, request.waiting():
                    self._changed.wait_for(lambda: self._serving == ticket)

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._serving += 1
            self._changed.notify_all()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let others have the lock, which this thread holds, for the `with` block."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def yield_to_others(self) -> None:
        """Let every request that already waits run first."""
        with self.released():
            pass


def in_steps(function: Callable[[], T]) -> Iterator[Request | T]:
    """Run a function that asks the model, in a thread of its own.

    When the iterator is closed, the request is cancelled: the function ends after its batch, and
    begins nothing for which it has to wait. This does not wait for its end, as Gradio closes
    iterators in the thread that serves all visitors.

    Args:
        function: asks the model.

    Yields:
        The request, after each batch and at least every half second; at last the result.

    Raises:
        Exception: of the function.
    """
    closed = threading.Event()
    request = Request(closed.is_set)

    def work() -> None:
        asked.set(request)
        try:
            request.steps.put(function())
        except Exception as error:
            request.steps.put(error)

    # ZeroGPU finds the visitor's request in the context.
    thread = threading.Thread(target=copy_context().run, args=(work,), name="asking", daemon=True)
    thread.start()
    try:
        while (step := _next(request)) is request:
            yield request
    finally:
        closed.set()
    if isinstance(step, Exception):
        raise step
    yield step


def each_in_steps(results: Iterator[T]) -> Iterator[Request | T]:
    """Yield the results of an iterator that asks the model for each, and requests as `in_steps`."""
    end = object()
    while True:
        for step in in_steps(partial(next, results, end)):
            if step is end:
                return
            yield step


def _next(request: Request) -> object:
    try:
        return request.steps.get(timeout=STEP_SECONDS)
    except Empty:
        return request
