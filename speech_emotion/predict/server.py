"""The HTTP server: one ``POST /v1/predict`` for a recording, JSON out.

FastAPI is imported where the app is made: it is in the extra ``serve`` only.
"""

import asyncio
import logging
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from hub_model.labels import Labels
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from hub_model.results import Options
from speech_emotion import __version__
from speech_emotion.predict import PredictError
from speech_emotion.predict.description import licence_of
from speech_emotion.predict.server_input import Problem, Reader, one_line, options_model
from speech_emotion.predict.server_output import Answer, Error, Health, ModelFacts, Models
from speech_emotion.predict.server_queue import Busy, Job, Service

logger = logging.getLogger(__name__)

SPEAKER_WORDS = ("channels",)
"""What ``speakers`` may be as text. Any other text could name a file of the server."""

ERRORS = {
    400: "the body is not what its content type says, or has no recording",
    401: "the token is missing or wrong",
    408: "the body did not arrive",
    413: "the body is too large",
    415: "the body is neither multipart/form-data nor application/json",
    422: "an option is wrong, or the recording cannot be used",
    500: "the server failed",
    503: "too many requests; Retry-After says when to ask again",
}


def make_app(
    classifier: SpeechTextEmotionPipeline,
    *,
    name: str,
    token: str | None = None,
    max_megabytes: float = 64,
    max_waiting: int = 64,
    batch_size: int = 8,
) -> Any:
    """Make the FastAPI app.

    It can be mounted in another app (``app.mount("/api", make_app(...))``) or have one mounted,
    such as a Gradio page. Where its lifespan does not run, as when it is mounted, call
    ``app.state.service.close()`` at the end.

    Args:
        classifier: the pipeline.
        name: of the model; of a path only the last part is shown.
        token: when it is given, requests below ``/v1`` need it (``Authorization: Bearer ...``).
        max_megabytes: largest body, in 10^6 bytes.
        max_waiting: requests that may wait or run at once; more get 503.
        batch_size: most clips in a batch.

    Raises:
        PredictError: FastAPI is not installed, or a limit is not above 0.
    """
    try:
        from fastapi import Depends, FastAPI, Request
        from fastapi.responses import JSONResponse, Response
        from fastapi.security import HTTPBearer
        from fastapi_offline import FastAPIOffline  # the page /docs without a network
        from starlette.exceptions import HTTPException
        from starlette.requests import ClientDisconnect
    except ImportError as error:
        raise PredictError(
            f'{error.name} is not installed; pip install "speech-text-emotion[serve]"'
        ) from error
    if max_megabytes <= 0 or max_waiting < 1 or batch_size < 1:
        raise PredictError("the size of a body, the queue and a batch must be above 0")
    service = Service(classifier, max_waiting=max_waiting, batch_size=batch_size)
    reader = Reader(round(max_megabytes * 1e6), options_model())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    def allowed(request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if token is not None and not secrets.compare_digest(given, f"Bearer {token}".encode()):
            raise Problem(
                401, "a bearer token is needed", www_authenticate="Bearer", connection="close"
            )

    app = FastAPIOffline(
        redoc_url=None,
        title="Speech emotion recognition",
        version=__version__,
        description="A score estimates how a voice sounds, not what a person feels.",
        lifespan=lifespan,
    )
    app.state.service = service
    # What FastAPI shows of the token in /docs; it is checked above, with an error of one line.
    guards = [Depends(HTTPBearer(auto_error=False))] if token is not None else []
    guards.append(Depends(allowed))

    @app.post(
        "/v1/predict",
        response_model=None,
        responses={
            200: {"model": Answer, "description": "the result of the pipeline"},
            **{code: {"model": Error, "description": why} for code, why in ERRORS.items()},
        },
        openapi_extra={"requestBody": reader.schema()},
        dependencies=guards,
    )
    async def predict(request: Request) -> Response:
        """Classify the emotion of one recording: a file, or base64 in JSON."""
        try:
            service.refuse_full()
            async with reader.read(request) as (source, given):
                job = service.submit(_job(classifier, source, given))
                answer = await _unless_gone(job, request)
        except Busy as busy:
            raise Problem(
                503, str(busy), retry_after=str(busy.seconds), connection="close"
            ) from busy
        except ClientDisconnect:
            answer = None
        if answer is None:
            return Response(status_code=499)  # nobody reads it
        return JSONResponse({"emotions": answer} if isinstance(answer, list) else answer)

    @app.get("/v1/models", responses={401: {"model": Error}}, dependencies=guards)
    def models() -> Models:
        """Say which model answers."""
        config, transcriber = classifier.model.config, classifier.transcriber
        facts = ModelFacts(
            id=PurePath(name).name if PurePath(name).is_absolute() else name,
            labels=list(config.id2label.values()),
            reads_text=config.use_text,
            transcriber=None if transcriber is None else PurePath(transcriber.name).name,
            licence=licence_of(config),
        )
        return Models([facts])

    @app.get("/health")
    def health() -> Health:
        """Say whether requests are taken."""
        return Health("stopping" if service.closed else "ok", service.waiting)

    @app.exception_handler(Problem)
    def problem(_: Request, error: Problem) -> JSONResponse:
        headers = {key.replace("_", "-"): value for key, value in error.headers.items()}
        return JSONResponse(asdict(Error(str(error))), error.status, headers)

    @app.exception_handler(HTTPException)
    def other(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(asdict(Error(error.detail.lower())), error.status_code, error.headers)

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse(asdict(Error(f"the server failed ({type(error).__name__})")), 500)

    return app


def _job(classifier: Any, source: dict[str, Any], given: dict[str, Any]) -> Job:
    """A request whose options are checked.

    Raises:
        Problem: an option is outside its range, or the model has no such label.
    """
    text = given.pop("text")
    try:
        if isinstance(given["speakers"], str) and given["speakers"] not in SPEAKER_WORDS:
            raise ValueError("speakers must be channels, or a list of names")
        asked = Options(**given)
        Labels(list(classifier.model.config.id2label.values()), asked.labels)
    except ValueError as error:
        raise Problem(422, one_line(error)) from error
    return Job(source, asked, text)


async def _unless_gone(job: Job, request: Any) -> Any:
    """The result; ``None`` when the client hangs up before.

    Raises:
        Problem: there is none.
    """
    answer = asyncio.wrap_future(job.future)
    gone = asyncio.ensure_future(_hung_up(request.receive))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    except ValueError as error:
        raise Problem(422, one_line(error)) from error
    except Exception as error:
        logger.exception("a request failed")
        raise Problem(500, f"the server failed ({type(error).__name__})") from error
    finally:
        gone.cancel()
        answer.cancel()
        job.cancel()


async def _hung_up(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def serve(app: Any, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve an app until SIGTERM or SIGINT; requests that run are finished.

    Args:
        app: of :func:`make_app`.
        host, port: where to listen; 0 is a free port.
        on_ready: called with the address.

    Raises:
        PredictError: nobody may listen there.
    """
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise PredictError(f"{host}:{port}: {getattr(error, 'strerror', None) or error}") from error
    shown = f"[{host}]" if ":" in host else host
    on_ready(f"http://{shown}:{listening.getsockname()[1]}")
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    # uvicorn raises the signal once more when it has stopped; that would end the process.
    handlers = {s: signal.signal(s, lambda *_: None) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with listening:
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
