"""A limit on the length of every request, before anything reads it."""

from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE = "The request exceeded the maximum allowed size."
MULTIPART_ROOM = 1_000_000
"""Bytes that an upload may take on top of its files, for names and boundaries."""

CLOSE = (b"connection", b"close")
"""Cuts the line after a refusal: otherwise the server would read on to the end of the request."""


class BodyLimit:
    """Middleware that refuses long requests with 413; Gradio limits single files alone.

    A length that is announced is refused before a byte of it is read. One that is not, or that is
    wrong, is counted while it comes.
    """

    def __init__(self, app: ASGIApp, *, upload_bytes: int, other_bytes: int) -> None:
        """Wrap `app`; `upload_bytes` for all files of an upload, `other_bytes` for the rest."""
        self._app = app
        self._upload_bytes = upload_bytes + MULTIPART_ROOM
        self._other_bytes = other_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within the limits, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"].rstrip("/").endswith("/upload")
        limit = self._upload_bytes if is_upload else self._other_bytes
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > limit:
            await _refuse(send)
            return
        seen, ended, started = 0, False, False

        async def counted() -> Message:
            nonlocal seen, ended
            message = await receive()
            seen += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if seen > limit:
                # Gradio's parser knows this one, and removes what it has written.
                raise MultiPartException(TOO_LARGE)
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            if seen > limit and not started:
                return
            if is_upload and not ended and not started:  # a single file was too large
                message = {**message, "headers": [*message["headers"], CLOSE]}
            started = True
            await send(message)

        # Whatever is said of half a request is not passed on.
        try:
            await self._app(scope, counted, noted)
        except MultiPartException:
            if seen <= limit:
                raise
        if not started:
            await _refuse(send)


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), CLOSE]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": TOO_LARGE.encode()})
