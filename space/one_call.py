"""`POST /v1/predict` of `speech-emotion serve`, beside the page, with `/docs`.

The server is that of the library of this project, which `scripts/push_space.py` pushes beside the
page. Where it is missing, the addresses answer with one line that says what to install.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from classifier import Classifier, refuse_long_text
from clips import ClipError
from lock import after_batch, asked, asking
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

ADDRESSES = ("/v1/predict", "/v1/models", "/health", "/docs", "/openapi.json")
STATIC = "/static-offline-docs/{path:path}"
"""Script and style of `/docs`."""

NOT_INSTALLED = (
    "this copy of the demo has only the page and its own API; for POST /v1/predict, run "
    'pip install ".[serve]" in the repository of the project, and start the demo again'
)


class OneCall:
    """The server as an ASGI app; it is made at the first request, when the model is there."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._making = threading.Lock()
        self._app: ASGIApp | None = None

    def routes(self) -> list[Route]:
        """The addresses that are answered."""
        return [Route(address, self) for address in (*ADDRESSES, STATIC)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        app = self._app or await asyncio.to_thread(self._make)
        await app(scope, receive, send)

    def _make(self) -> ASGIApp:
        with self._making:
            if self._app is not None:
                return self._app
            try:
                from speech_emotion.predict import PredictError
                from speech_emotion.predict.server import make_app
            except ImportError:
                return JSONResponse({"error": NOT_INSTALLED}, 501)
            classifier, settings = self._classifier, self._classifier.settings
            try:
                if not classifier.supports_text:
                    _ = classifier.pipeline  # raises its problem
                    line = f"{classifier.name} is a stock checkpoint: use the API of the page"
                    return JSONResponse({"error": line}, 501)
                shared = Shared(classifier)
                app = make_app(
                    shared,
                    name=classifier.name,
                    max_megabytes=settings.max_megabytes,
                    max_waiting=settings.queue_size,
                )
            except (ClipError, PredictError) as error:
                return JSONResponse({"error": str(error)}, 503)
            shared.gone = app.state.service.gone
            self._app = app
            return app


class Shared:
    """The pipeline, as the queue of the server uses it: the page has it between its batches."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier, self._pipeline = classifier, classifier.pipeline
        self.gone: Callable[[], bool] = lambda: False
        """Whether nobody waits for the recording that runs; set when the server is made."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def preprocess(self, source: Any, *, text: str | None = None, **options: Any) -> Any:
        """Decode and clean a clip within the limits of the page. Raises ClipError, in one line."""
        refuse_long_text(text)
        most = self._classifier.settings.max_seconds
        self._refuse_longer(source, most, f"clip is too long: at most {most:g} seconds")
        return self._pipeline.preprocess(source, text=text, **options)

    def forward(self, inputs: Any, **options: Any) -> Any:
        """Classify a batch when it is its turn. The server replaces this by a function that also
        answers what waits."""
        with self._classifier.lock:
            return self._on_gpu(inputs, **options)

    def _on_gpu(self, inputs: Any, **options: Any) -> Any:
        token = after_batch.set(lambda _: None)
        try:
            return self._pipeline.forward(inputs, **options)
        finally:
            after_batch.reset(token)

    def __call__(self, sources: Any, **options: Any) -> Any:
        """Classify recordings; others run between their batches.

        Raises:
            ClipError: one is too long; one line.
        """
        lock, minutes = self._classifier.lock, self._classifier.settings.max_recording_minutes
        for source in sources if isinstance(sources, list) else [sources]:
            said = f"recording is too long: at most {minutes:g} minutes"
            self._refuse_longer(source, 60 * minutes, said)

        def between(_: int) -> None:
            mine = asked.set(None)  # the server answers other requests
            try:
                with lock.released():
                    self.forward([], batch_size=1)
            finally:
                asked.reset(mine)

        token = after_batch.set(between)
        try:
            with asking(self.gone), lock:
                return self._pipeline(sources, **options)
        finally:
            after_batch.reset(token)

    def _refuse_longer(self, source: Any, most: float, said: str) -> None:
        stream = self._classifier.audio_stream
        if stream is None:  # code of an older release
            return
        with stream(source) as audio:
            seconds = audio.seconds or 0.0
            if audio.seconds is None:
                for block in audio.native():
                    seconds += block.size / audio.rate
                    if seconds > most:
                        break
        if seconds > most:
            raise ClipError(f"The {said} are accepted.")
