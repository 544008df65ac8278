"""What Gradio leaves out of its API: errors of one line, schemas of results, MCP as JSON."""

import asyncio
import json
import logging
from typing import Any

import gradio as gr
import gradio.mcp
from classifier import first_line
from gradio.exceptions import InvalidPathError
from mcp.types import CallToolRequest, CallToolResult, ListToolsRequest, ServerResult, TextContent
from settings import VERSION
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uploads import change_json

logger = logging.getLogger("space")

TEXT, NUMBER, TRUTH = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
TEXT_OR_NULL = {"description": "a string, or null"}
ANYTHING = {"description": "an object, or null"}
LIST = {"type": "array"}
TEXTS = {**LIST, "items": TEXT}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


EMOTIONS = {**LIST, "items": _object(label=TEXT, score=NUMBER)}
CLIP = {
    "emotions": EMOTIONS,
    "transcript": TEXT_OR_NULL,
    "transcript_source": TEXT_OR_NULL,
    "note": TEXT_OR_NULL,
    "modalities": TEXTS,
    "clip_seconds": NUMBER,
    "elapsed_seconds": NUMBER,
}
PART = {"start": NUMBER, "end": NUMBER, "label": TEXT, "score": {"description": "0 to 1, or null"}}
ROW = {"file": TEXT, "label": TEXT_OR_NULL, "score": ANYTHING, "error": TEXT_OR_NULL}
RESULTS = {
    "predict": _object(**CLIP),
    "explain": _object(**CLIP, label=TEXT_OR_NULL, unsure=TRUTH, contributions=ANYTHING),
    "timeline": _object(
        emotions=EMOTIONS,
        note=TEXT_OR_NULL,
        segments={**LIST, "items": _object(**PART, transcript=TEXT_OR_NULL)},
        windows={**LIST, "items": _object(**PART)},
        seconds=NUMBER,
        csv=TEXT,
        srt=TEXT,
    ),
    "batch": _object(rows={**LIST, "items": _object(**ROW)}, csv=TEXT),
    "compare": _object(agree=TRUTH, answers={**LIST, "items": _object(model=TEXT, **CLIP)}),
    "benchmark": _object(scores={"type": "object"}, markdown=TEXT, errors=LIST, answers=LIST),
    "about": _object(model=TEXT, labels=TEXTS, reads_text=TRUTH, problem=TEXT_OR_NULL),
}
"""JSON schema of the result of each function; a name may have more."""


class Page(gr.Blocks):
    """The page; every error of a request is one line, and links to it have a description.

    Attributes:
        description, picture: for links; the picture is an address.
        late: components and what they show when the model has been loaded.
        classifier: of the page.
    """

    description = ""
    picture = ""
    classifier: Any = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.late: list[tuple[Any, Any]] = []

    def update_late(self) -> None:
        """Add the event that updates them, in every page that is opened."""
        fields, updates = zip(*self.late, strict=True)
        quietly = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        self.load(lambda: [update() for update in updates], None, list(fields), **quietly)

    async def preprocess_data(self, *args: Any, **kwargs: Any) -> Any:
        """Read the inputs of a request. Raises gr.Error, in one line."""
        try:
            return await super().preprocess_data(*args, **kwargs)
        except gr.Error:
            raise
        except InvalidPathError as error:
            raise gr.Error(
                "A file must be an upload to this server, or a URL.", print_exception=False
            ) from error
        except Exception as error:
            line = f"The request cannot be read: {first_line(error)}"
            raise gr.Error(line, print_exception=False) from error

    async def process_api(self, *args: Any, **kwargs: Any) -> Any:
        """Answer a request. Raises gr.Error, in one line."""
        try:
            return await super().process_api(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            logger.exception("a request failed")
            raise gr.Error(
                "The server failed on this request; its log says more.", print_exception=False
            ) from error

    def get_config_file(self) -> Any:
        """Return the configuration of the page, with what links to it show."""
        extra = {"simple_description": self.description, "thumbnail": self.picture}
        return {**super().get_config_file(), **extra}


class Tools(gradio.mcp.GradioMCPServer):
    """The MCP server, whose tools return JSON and structured content."""

    def create_mcp_server(self) -> Any:
        """Return Gradio's server with this project's version and the schemas of results."""
        server = super().create_mcp_server()
        server.version = VERSION
        call, listed = (server.request_handlers[k] for k in (CallToolRequest, ListToolsRequest))

        async def call_tool(request: CallToolRequest) -> ServerResult:
            result = (await call(request)).root
            if isinstance(result, CallToolResult) and not result.isError:
                result.structuredContent = json.loads(result.content[0].text)
            return ServerResult(result)

        async def list_tools(request: ListToolsRequest) -> ServerResult:
            result = (await listed(request)).root
            for tool in result.tools:
                tool.outputSchema = RESULTS.get(tool.name)
            return ServerResult(result)

        server.request_handlers[CallToolRequest] = call_tool
        server.request_handlers[ListToolsRequest] = list_tools
        return server

    def postprocess_output_data(self, data: Any, root_url: str) -> list[TextContent]:
        """Return the one result of a function as JSON; Gradio writes it as Python does."""
        return [TextContent(type="text", text=json.dumps(data[0]))]


gradio.mcp.GradioMCPServer = Tools  # Gradio has no option for it


class ResultSchemas:
    """Middleware that adds the schemas of results to the OpenAPI description."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http" and scope["path"].endswith("/gradio_api/openapi.json"):
            send = change_json(send, self._described)
        await self._app(scope, receive, send)

    def _described(self, document: dict[str, Any]) -> dict[str, Any]:
        document["info"]["version"] = VERSION
        document["components"]["schemas"] |= RESULTS
        for path, item in document["paths"].items():
            name = path.removeprefix("/gradio_api/call/").removesuffix("/{event_id}")
            if "get" in item and name in RESULTS:
                reply = item["get"]["responses"]["200"]
                reference = {"$ref": f"#/components/schemas/{name}"}
                reply["content"]["text/event-stream"]["schema"] = {
                    "type": "array",
                    "items": reference,
                }
        return document


class QuickCancel:
    """Middleware that confirms a cancellation at once.

    Gradio confirms it when the function has ended its step, which may take as long as a
    transcription; until then its page does not send the next request of the same button.
    """

    PATHS = ("/gradio_api/cancel", "/gradio_api/reset")

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or not scope["path"].endswith(self.PATHS):
            await self._app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        task = asyncio.create_task(self._pass_on(scope, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await JSONResponse({"success": True})(scope, receive, send)

    async def _pass_on(self, scope: Scope, body: bytes) -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def drop(_: Message) -> None:
            pass

        try:
            await self._app(scope, receive, drop)
        except Exception as error:  # Gradio may have removed the function already
            logger.debug("a cancellation failed: %r", error)
