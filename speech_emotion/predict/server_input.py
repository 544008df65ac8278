"""Reading the requests of the server: a recording and the options of a call."""

import asyncio
import base64
import inspect
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from pathlib import PurePath
from typing import Any, get_type_hints

from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from hub_model.results import Options
from speech_emotion.predict import PredictError
from speech_emotion.predict.run import read_labels
from speech_emotion.predict.server_queue import Busy

HELD_BODIES = 4
"""Bodies of the largest size that may be in memory together."""

STALLED_SECONDS = 30
"""A client that sends nothing for so long while its body is read is given up."""

FILE = "file"
"""Field of a multipart body that holds the recording; in JSON it is ``audio``."""


class Problem(Exception):
    """A request that is answered with an error: status, one line, and headers."""

    def __init__(self, status: int, line: str, **headers: str) -> None:
        super().__init__(line)
        self.status, self.headers = status, headers


def options_model() -> Any:
    """The pydantic model of the fields of a request: the options of a call, and ``text``."""
    from pydantic import ConfigDict, Field, create_model

    says = _descriptions()
    hints = get_type_hints(Options)
    defaults = {option.name: option.default for option in fields(Options)}
    defaults |= {"return_transcript": True, "text": None}
    hints["text"] = str | None
    known: dict[str, Any] = {
        name: (hints[name], Field(default, description=says.get(name)))
        for name, default in defaults.items()
    }
    return create_model("Fields", __config__=ConfigDict(extra="forbid"), **known)


def _descriptions() -> dict[str, str]:
    """What the pipeline's docstring says about each option."""
    text = inspect.cleandoc(SpeechTextEmotionPipeline.__doc__ or "")
    entries = re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", text, re.M)
    return {
        name: " ".join(says.replace("``", "`").split())
        for names, says in entries
        for name in names.split(", ")
    }


class Reader:
    """Reads the body of a request, within limits, into memory only.

    Args:
        most: bytes of a body.
        model: of :func:`options_model`.
    """

    def __init__(self, most: int, model: Any) -> None:
        self._most, self._model, self._held = most, model, 0

    def schema(self) -> dict[str, Any]:
        """The request body in OpenAPI's words."""
        shape = self._model.model_json_schema()

        def of(field: str, **kind: str) -> dict[str, Any]:
            properties = {field: {"type": "string", **kind}, **shape["properties"]}
            return {"schema": {**shape, "properties": properties, "required": [field]}}

        says = "the bytes of an audio file in base64"
        return {
            "required": True,
            "content": {
                "multipart/form-data": of(FILE, format="binary"),
                "application/json": of("audio", contentEncoding="base64", description=says),
            },
        }

    @asynccontextmanager
    async def read(self, request: Any) -> AsyncIterator[tuple[dict[str, Any], Any]]:
        """Yield the recording, as the pipeline takes it, and the fields.

        Raises:
            Problem: the body is too large, of another kind, or not complete.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        count = [0]
        try:
            if kind == "multipart/form-data":
                source, given = await self._form(request, self._chunks(request, count))
            elif kind == "application/json":
                body = b"".join([chunk async for chunk in self._chunks(request, count)])
                source, given = await asyncio.to_thread(_from_json, body)
            else:
                raise Problem(
                    415,
                    "the body must be multipart/form-data or application/json, "
                    f"not {kind[:100] or 'without a content type'}",
                    connection="close",
                )
            yield source, self._checked(given)
        finally:
            self._held -= count[0]

    async def _chunks(self, request: Any, count: list[int]) -> AsyncIterator[bytes]:
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._most:
            raise await self._too_large(request.stream())
        stream = request.stream()
        while True:
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    chunk = await anext(stream, None)
            except TimeoutError as error:
                raise Problem(408, "the body did not arrive", connection="close") from error
            if chunk is None:
                return
            count[0] += len(chunk)
            self._held += len(chunk)
            if count[0] > self._most:
                raise await self._too_large(stream)
            if self._held > HELD_BODIES * self._most:
                raise Busy("too much is being uploaded at once; ask again later", 5)
            yield chunk

    async def _too_large(self, stream: AsyncIterator[bytes]) -> Problem:
        """The refusal. Some of the rest is thrown away: many clients read no answer before."""
        rest = self._most
        with suppress(TimeoutError):
            async with asyncio.timeout(STALLED_SECONDS):
                while rest > 0 and (chunk := await anext(stream, None)) is not None:
                    rest -= len(chunk)
        return Problem(413, f"the body is larger than {self._most / 1e6:g} MB", connection="close")

    async def _form(
        self, request: Any, chunks: AsyncIterator[bytes]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        from starlette.formparsers import MultiPartException, MultiPartParser

        parser = MultiPartParser(request.headers, chunks, max_files=1, max_fields=100)  # type: ignore[arg-type]
        parser.spool_max_size = self._most + 1  # nothing goes to the disk
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise Problem(400, f"the body: {error.message}", connection="close") from error
        items = form.multi_items()
        given: dict[str, Any] = {key: _form_value(key, v) for key, v in items if isinstance(v, str)}
        files = [value for _, value in items if not isinstance(value, str)]
        if not files:
            raise Problem(400, f"the field {FILE} must hold a file")
        if len(given) + 1 < len(items):
            raise Problem(400, "a field is there twice")
        content = await files[0].read()
        await files[0].close()
        # An option that a page sends without a value is not given; an empty text means something.
        given = {key: value for key, value in given.items() if value != "" or key == "text"}
        return _recording(content, files[0].filename), given

    def _checked(self, given: dict[str, Any]) -> dict[str, Any]:
        from pydantic import ValidationError

        try:
            return dict(self._model(**given))
        except ValidationError as error:
            lines = {str(e["loc"][0]): e["msg"] for e in reversed(error.errors())}
            told = "; ".join(f"{field}: {why}" for field, why in sorted(lines.items()))
            raise Problem(422, one_line(told)) from error


def _form_value(field: str, value: str) -> Any:
    """A field of a form: text, JSON, or a list; ``labels`` as on the command line."""
    if field == "text":
        return value
    if value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise Problem(422, f"{field}: neither text nor JSON") from error
    if field == "labels" and value:
        try:
            return read_labels(value)
        except PredictError as error:
            raise Problem(422, str(error).removeprefix("--")) from error
    return [part.strip() for part in value.split(",")] if "," in value else value


def _from_json(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "the body is not JSON") from error
    audio = given.pop("audio", None) if isinstance(given, dict) else None
    if not isinstance(audio, str):
        raise Problem(400, "the body must be an object with the key audio, text in base64")
    if audio.startswith("data:"):
        audio = audio.partition(",")[2]
    try:
        content = base64.b64decode("".join(audio.split()), validate=True)
    except ValueError as error:
        raise Problem(400, "audio is not base64") from error
    return _recording(content, None), given


def _recording(content: bytes, name: str | None) -> dict[str, Any]:
    """A file as the pipeline takes it; the name is for messages."""
    return {"bytes": content, "path": PurePath((name or "").replace("\\", "/")).name or None}


def one_line(error: object) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:500]
