"""One model that answers many callers at once: a queue, and one thread that asks the model."""

import math
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hub_model.calls import AHEAD_SECONDS
from hub_model.results import Options
from hub_model.scoring import return_freed_memory


class Busy(Exception):
    """The queue is full, or the service stops; ``seconds`` is when to ask again."""

    def __init__(self, line: str, seconds: int) -> None:
        super().__init__(line)
        self.seconds = seconds


class _Gone(Exception):
    """Ends the work on a recording that nobody waits for."""


@dataclass(eq=False)
class Job:
    """A request; its ``future`` gives the pipeline's result, or raises.

    Attributes:
        source: a recording, as the pipeline takes it.
        asked: the options of the call.
        text: the transcript, when it is known.
    """

    source: Any
    asked: Options
    text: str | None = None
    future: "Future[Any]" = field(default_factory=Future)
    gone: bool = False
    clip: Any = None

    def cancel(self) -> None:
        """Nobody waits for the result: it is not computed, or no further."""
        self.gone = True
        self.future.cancel()

    def finish(self, result: Any) -> None:
        """Give the result or the exception to whoever waits for it."""
        with suppress(InvalidStateError):  # cancelled meanwhile
            if isinstance(result, dict) and "error" in result:
                result = ValueError(result["error"])
            if isinstance(result, BaseException):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)


class Service:
    """A pipeline behind a bounded queue; any thread may submit.

    Threads decode and clean clips; one thread asks the model, with the clips that wait in one
    batch, whatever their options. A recording of any length (``return_segments``) is computed by
    that thread too, and between its batches the clips that wait have their turn, so that they do
    not wait for its end.

    Args:
        classifier: the pipeline. Its ``forward`` is wrapped; other callers notice nothing.
        max_waiting: requests that may wait or run at once.
        batch_size: most clips in a batch.
    """

    def __init__(self, classifier: Any, *, max_waiting: int = 64, batch_size: int = 8) -> None:
        self.classifier, self.max_waiting, self.batch_size = classifier, max_waiting, batch_size
        self.waiting = 0
        self.closed = self._ended = False
        self._clips: deque[Job] = deque()
        self._recordings: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._preparing = ThreadPoolExecutor(os.cpu_count(), "prepare")
        self._under_way: Job | None = None
        self._seconds = 0.2
        self._forward, classifier.forward = classifier.forward, self._between

    def submit(self, job: Job) -> Job:
        """Take a request.

        Raises:
            Busy: too many wait, or the service is closed.
        """
        self.refuse_full()
        with self._changed:
            self.waiting += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="model", daemon=True)
                self._thread.start()
        job.future.add_done_callback(self._left)
        if job.asked.return_segments:
            self._add(self._recordings, job)
        else:
            self._preparing.submit(self._prepare, job)
        return job

    def refuse_full(self) -> None:
        """Raise :class:`Busy` when :meth:`submit` would."""
        if self.closed:
            raise Busy("the server is being stopped", 5)
        if self.waiting >= self.max_waiting:
            seconds = max(1, math.ceil(self.waiting * self._seconds))
            raise Busy(f"{self.waiting} requests are waiting; ask again later", seconds)

    def gone(self) -> bool:
        """Whether nobody waits for the recording that is being computed."""
        job = self._under_way
        return job is not None and job.gone

    def close(self) -> None:
        """Finish what was submitted, and end the threads."""
        self.closed = True
        self._preparing.shutdown()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.classifier.forward = self._forward

    def _left(self, _: Any) -> None:
        with self._changed:
            self.waiting -= 1

    def _add(self, queue: deque[Job], job: Job) -> None:
        with self._changed:
            queue.append(job)
            self._changed.notify_all()

    def _prepare(self, job: Job) -> None:
        """Decode and clean a clip, when those that are prepared are not too long together."""
        with self._changed:
            self._changed.wait_for(lambda: sum(j.clip.seconds for j in self._clips) < AHEAD_SECONDS)
        if job.gone:
            return
        asked = job.asked
        try:
            job.clip = self.classifier.preprocess(
                job.source, text=job.text, clean=asked.clean, check_speech=asked.check_speech
            )
        except Exception as error:
            job.finish(error)
            return
        job.source = None
        self._add(self._clips, job)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._clips or self._recordings or self._ended)
                recording = self._recordings.popleft() if self._recordings else None
                if not recording and not self._clips:
                    return
            started, jobs = time.monotonic(), [recording] if recording else self._next_clips()
            if recording:
                self._run_recording(recording)
            else:
                self._run_clips(jobs)
            return_freed_memory()
            if jobs:
                took = (time.monotonic() - started) / len(jobs)
                self._seconds += 0.1 * (took - self._seconds)

    def _next_clips(self) -> list[Job]:
        with self._changed:
            number = min(self.batch_size, len(self._clips))
            jobs = [self._clips.popleft() for _ in range(number)]
            self._changed.notify_all()
        return jobs

    def _run_clips(self, jobs: Sequence[Job]) -> None:
        jobs = [job for job in jobs if job.future.set_running_or_notify_cancel()]
        # Clips of which audio and text are scored separately go apart: that takes more time.
        for separate in {job.asked.separate for job in jobs}:
            group = [job for job in jobs if job.asked.separate == separate]
            clips = [job.clip for job in group]
            try:
                self._forward(clips, batch_size=len(clips), separate=separate)
                for job in group:
                    job.finish(self.classifier.postprocess(job.clip, **job.asked.given))
            except Exception as error:
                for job in group:
                    job.finish(error)

    def _run_recording(self, job: Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        self._under_way = job
        text = {} if job.text is None else {"text": [job.text]}
        try:
            (row,) = self.classifier([job.source], **job.asked.given, **text)
            job.finish(row)
        except Exception as error:  # _Gone as well: nobody sees it
            job.finish(error)
        finally:
            self._under_way = None

    def _between(self, *args: Any, **options: Any) -> Any:
        """The pipeline's ``forward``; clips that wait go before the next batch of a recording."""
        if self._under_way is not None and threading.current_thread() is self._thread:
            self._run_clips(self._next_clips())
            if self.gone():
                raise _Gone
        return self._forward(*args, **options)
